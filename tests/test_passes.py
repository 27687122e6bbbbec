"""Each pass on pairs of graphs: the exact text after it, and the same numbers before and after."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from kcompile import passes
from kcompile.ir.text import print_graph
from tests import fixtures

CASES = list(fixtures.cases())
ONCE = ("carry_nan",)
"""Passes that another calls, once: they would add to their own result what they have added."""
FINITE = ("enlarged_convolutions", "max_gradients", "scale_filters")
"""Passes after which infinity becomes NaN, or the other way around: it is multiplied with zeros, its factors in another
order, or with a sum instead of each term."""
TOLERANCES = {"half": 1e-2}
"""How far results may be apart, where that is not rounding in float32."""


@pytest.mark.parametrize("case", CASES, ids=[case.label for case in CASES])
def test_text(case: fixtures.Case) -> None:
    before, after = fixtures.run_pass(case)
    assert print_graph(before) == case.before, "the fixture is not in canonical form"
    assert print_graph(after) == case.after


@pytest.mark.parametrize("case", [case for case in CASES if case.pass_name not in ONCE], ids=lambda case: case.label)
def test_idempotent(case: fixtures.Case) -> None:
    _, after = fixtures.run_pass(case)
    assert print_graph(fixtures.PASSES[case.pass_name](after)) == case.after


def _runnable(case: fixtures.Case) -> bool:
    # An open learning phase has no value.
    return not case.pass_name.startswith("specialize_") or "learning_phase" not in case.before


@pytest.mark.filterwarnings("ignore:Mean of empty slice", "ignore:Degrees of freedom", "ignore:invalid value")
@pytest.mark.parametrize("special", [False, True], ids=["numbers", "special"])
@pytest.mark.parametrize("size", [0, 1, 2, 5])
@pytest.mark.parametrize("case", list(filter(_runnable, CASES)), ids=lambda case: case.label)
def test_meaning(case: fixtures.Case, size: int, special: bool) -> None:
    if special and case.pass_name in FINITE:
        pytest.skip("numbers only")
    before, after = fixtures.run_pass(case)
    if case.pass_name == "specialize_sizes":
        size = 2
    tolerance = TOLERANCES.get(case.pass_name, 1e-6)
    results = fixtures.run_both(before, after, 7 * size + special, size, special)
    fixtures.assert_same(*results, tolerance, tolerance)


def test_every_pass_has_fixtures() -> None:
    assert {case.pass_name for case in CASES} == set(fixtures.PASSES)


def test_every_function_from_graph_to_graph_is_a_pass() -> None:
    """Also those that are in no pipeline, which other passes or export call."""
    folder = Path(passes.__file__).parent
    found = set()
    for path in folder.rglob("*.py"):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef) and not node.name.startswith("_") and node.returns is not None:
                first = [ast.unparse(x.annotation) for x in node.args.args[:1] if x.annotation is not None]
                if first == ["Graph"] and ast.unparse(node.returns) == "Graph":
                    found.add(node.name)
    machinery = {"rewrite", "in_regions", "run_pipeline"}
    given_more = {"specialize", "freeze"}  # the phase and sizes, values of variables
    assert found - machinery - given_more <= set(fixtures.PASSES)
