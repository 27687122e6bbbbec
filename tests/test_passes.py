"""Each pass on pairs of graphs: the exact text after it, and the same numbers before and after."""

from __future__ import annotations

import pytest

from kcompile.ir.text import print_graph
from tests import fixtures

CASES = list(fixtures.cases())


@pytest.mark.parametrize("case", CASES, ids=[case.label for case in CASES])
def test_text(case: fixtures.Case) -> None:
    before, after = fixtures.run_pass(case)
    assert print_graph(before) == case.before, "the fixture is not in canonical form"
    assert print_graph(after) == case.after


@pytest.mark.parametrize("case", CASES, ids=[case.label for case in CASES])
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
    before, after = fixtures.run_pass(case)
    if case.pass_name == "specialize_sizes":
        size = 2
    fixtures.assert_same(*fixtures.run_both(before, after, 7 * size + special, size, special))


def test_every_pass_has_fixtures() -> None:
    assert {case.pass_name for case in CASES} == set(fixtures.PASSES)
