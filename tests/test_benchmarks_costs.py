"""The command that measures costs: a table of figures, each beside the one that is built in."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.__main__ import main
from benchmarks.costs import Found, render
from kcompile.ir import costs


def test_costs_are_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    raw = tmp_path / "raw.json"
    assert main(["costs", "--rounds", "2", "--seconds", "0", "--json", str(raw)]) == 0
    printed = capsys.readouterr().out
    assert "| cost " in printed
    measured = json.loads(raw.read_text())["results"]
    assert len(measured) >= 12
    for cost in measured:
        assert isinstance(getattr(costs, cost["name"]), int | float)
        assert f"| {cost['name']} " in printed
        assert len(cost["rounds"]) == 2
    assert [cost["built_in"] for cost in measured if cost["name"] == "COPY_RATE"] == [costs.COPY_RATE / 1e9]


def test_uneven_rounds_are_named() -> None:
    printed = render([Found("A", "us", 2.0, [1.0, 1.1, 1.2]), Found("B", "us", 2.0, [1.0, 5.0, 2.0])])
    assert "| A    | us   |     2.00 | 1.10 | 0.550 | 1.00 to 1.20 |" in printed
    assert printed.endswith("Rounds differ by more than 30 % (other processes?): B.")
