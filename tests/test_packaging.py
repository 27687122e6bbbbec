"""What pyproject.toml promises about versions is what is tested."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parent.parent


def test_the_lowest_versions_are_the_lowest_that_are_allowed() -> None:
    """``make test-lowest`` would go on testing what is no longer the lowest."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = [*project["dependencies"], *project["optional-dependencies"]["test"]]
    lowest = dict(re.findall(r"^([\w-]+)==([\d.]+)$", (ROOT / "tests/lowest.txt").read_text(encoding="utf-8"), re.M))
    pairs = [re.match(r"([\w-]+)>=([\d.]+)", text) for text in wanted]
    assert all(pairs), "each requirement has a lower bound, and none above"
    bounds = {pair[1].lower(): pair[2] for pair in pairs if pair}
    assert bounds.keys() == lowest.keys()
    for name, bound in bounds.items():
        assert re.fullmatch(rf"{re.escape(bound)}(\.0)*", lowest[name]), (name, bound, lowest[name])
