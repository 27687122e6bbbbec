"""The recipes of CONTRIBUTING.md are complete: in a copy of the tree, following one to the letter adds a working part.

A section ``## Add a ...`` is followed like this. A block of code belongs to the last file that the paragraph above it
names: ``python`` is put at the file's end (or makes the file), ``diff`` goes where its lines without a sign stand. A
block below a paragraph that names no file is run, as Python or, without a language, as commands; each must succeed.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FILE = re.compile(r"`((?:kcompile|tests|docs)/[\w/.]+\.\w+)`")
SECTIONS = re.findall(
    r"^## Add (.*?)\n(.*?)(?=^## |\Z)", (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"), re.S | re.M
)
MOST = {
    "an op": 2, "a rule": 2, "a pass": 3, "a layer": 2, "a loss": 1, "a metric": 1, "a callback": 2, "an optimizer": 1,
    "a spelling of another version of Keras": 1,
}  # fmt: skip
"""So many files are touched, not counting what Keras computes: a golden case, a signature in ``tests/surface.txt``."""


def blocks(section: str) -> Iterator[tuple[str, str, str]]:
    """Text above, language and contents of each block."""
    parts = re.split(r"^[ ]*```(\w*)\n(.*?)^[ ]*```$", section, flags=re.S | re.M)
    for text, language, block in zip(parts[0::3], parts[1::3], parts[2::3], strict=False):
        yield text, language, textwrap.dedent(block)


def inserted(text: str, diff: str, file: str) -> str:
    """The text with the added lines of a diff, whose other lines stand in it once, in a row."""
    lines = diff.splitlines()
    old = "\n".join(line[1:] for line in lines if not line.startswith("+"))
    new = "\n".join(line[1:] for line in lines if not line.startswith("-"))
    assert text.count(old) == 1, f"{file} holds these lines {text.count(old)} times, not once:\n{old}"
    return text.replace(old, new)


def follow(section: str, root: Path) -> list[str]:
    """Do what a section says; returns the places that it touched."""
    environment = {**os.environ, "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1", "KCOMPILE_THREADS": "1"}
    touched = []
    for text, language, block in blocks(section):
        named = FILE.findall(text.rstrip().rsplit("\n\n", 1)[-1])
        if not named:
            arguments = [[sys.executable, "-c", block]] if language else map(shlex.split, block.splitlines())
            for command in arguments:
                command[0] = sys.executable if command[0] == "python" else command[0]
                done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, timeout=300)
                assert done.returncode == 0, f"{block}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
            continue
        path = root / named[-1]
        assert path.resolve().is_relative_to(root.resolve()), f"{named[-1]} would be changed in the tree itself"
        before = path.read_text(encoding="utf-8") if path.exists() else ""
        after = inserted(before, block, named[-1]) if language == "diff" else f"{before}\n\n{block}".lstrip("\n")
        path.write_text(after, encoding="utf-8")
        touched.append(named[-1])
    return touched


@pytest.mark.parametrize(("kind", "section"), SECTIONS, ids=[kind for kind, _ in SECTIONS])
def test_recipe(kind: str, section: str, tmp_path: Path) -> None:
    for folder in ("kcompile", "tests"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__", "golden"))
    (tmp_path / "tests" / "golden").symlink_to(ROOT / "tests" / "golden")
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    assert MOST[kind] >= len(set(follow(section, tmp_path))) > 0
    assert "Then it works:" in section
