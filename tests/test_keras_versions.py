"""docs/keras_versions.md says of kcompile what is true."""

import importlib
from pathlib import Path

import pytest

from tests.golden.compare_defaults import ABSENT, KINDS, of_module

TEXT = (Path(__file__).parents[1] / "docs" / "keras_versions.md").read_text()
LINES = [line for line in TEXT.partition("## Defaults of constructors")[2].splitlines() if line.startswith("| `")]
ROWS = [[cell.strip(" `") for cell in line.strip("|").split("|")] for line in LINES]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_defaults(row: list[str]) -> None:
    name, argument = row[0].rstrip(")").split("(")
    modules = [importlib.import_module(f"kcompile.{kind}") for kind in KINDS]
    kind = next(kind for kind, module in zip(KINDS, modules, strict=True) if hasattr(module, name))
    assert of_module("kcompile", kind, name).get(argument, ABSENT) == row[4]


def test_the_table_is_there() -> None:
    assert len(ROWS) >= 10
