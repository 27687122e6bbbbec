"""Fixtures of passes: pairs of graphs as text, and seeded arrays on which both are run.

A file ``tests/passes/<pass>.ir`` holds cases: a line ``## title``, the graph before, ``---``, the graph
after. Run this module with the names of files to write the graphs after anew; then read what changed.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from kcompile.ir import Graph, Result, Variable, interpret
from kcompile.ir.core import Array, Input
from kcompile.ir.dims import Dim, substitute
from kcompile.ir.ops.arrays.variable_part import VariablePart
from kcompile.ir.target import Target
from kcompile.ir.text import parse_graph, print_graph
from kcompile.ir.types import TensorType
from kcompile.passes import pipelines
from kcompile.passes.algebra.prune import prune
from kcompile.passes.algebra.specialize import specialize
from kcompile.passes.blocking.groups import repeat_channels
from kcompile.passes.fusion.half import half
from kcompile.passes.recurrence.carry_nan import carry_nan
from kcompile.passes.recurrence.two_directions import join_directions

FOLDER = Path(__file__).parent / "passes"

BLOCK = 4
PIPELINES = (
    pipelines.FORWARD_TRAINING,
    pipelines.FORWARD_INFERENCE,
    pipelines.TRAINING,
    pipelines.INFERENCE,
    pipelines.native_passes(Target(portable=False)),
    pipelines.native_passes(Target(portable=False, block=BLOCK)),
)
PASSES: dict[str, pipelines.Pass] = {
    **{pipelines.pass_name(function): function for pipeline in PIPELINES for function in pipeline},
    # Those that export or other passes call, and one that is given sizes.
    "carry_nan": carry_nan,
    "half": half,
    "join_directions": join_directions,
    "prune": prune,
    "repeat_channels": partial(repeat_channels, block=BLOCK),
    "specialize_sizes": partial(specialize, sizes={"batch": 2}),
}
"""Every pass by the name of its file of fixtures; on blocked tensors with blocks of :data:`BLOCK` channels."""


@dataclass(frozen=True)
class Case:
    pass_name: str
    title: str
    before: str
    after: str

    @property
    def label(self) -> str:
        return f"{self.pass_name}: {self.title}"


def cases(name: str | None = None) -> Iterator[Case]:
    """The cases of one pass, or of all."""
    for path in sorted(FOLDER.glob(f"{name or '*'}.ir")):
        for block in path.read_text(encoding="utf-8").split("## ")[1:]:
            title, _, graphs = block.partition("\n")
            before, _, after = graphs.partition("---\n")
            yield Case(path.stem, title.strip(), before.strip() + "\n", after.strip() + "\n")


def run_pass(case: Case) -> tuple[Graph, Graph]:
    """The graph of a case before and after its pass."""
    before = parse_graph(case.before)
    return before, PASSES[case.pass_name](before)


SPECIAL = np.array([np.nan, np.inf, -np.inf, -0.0, 0.0, 1.0])


def random_array(type: TensorType, sizes: dict[str, int], generator: np.random.Generator, special: bool) -> Array:
    """An array of ``type``; among floating point numbers one in four is a special one if ``special``."""
    shape = tuple(_known(dim, sizes) for dim in type.shape)
    if type.dtype == "bool":
        return generator.random(shape) < 0.5
    if not type.is_float:
        return generator.integers(0, 4, shape).astype(type.dtype)
    array = generator.normal(size=shape)
    if special:
        array = np.where(generator.random(shape) < 0.25, generator.choice(SPECIAL, shape), array)
    return np.asarray(array, type.dtype)


def _known(dim: Dim, sizes: dict[str, int]) -> int:
    result = substitute(dim, sizes)
    assert isinstance(result, int), f"{dim} is not known from {sizes}"
    return result


def run_both(before: Graph, after: Graph, seed: int, size: int, special: bool) -> tuple[Result, Result]:
    """Run two graphs of one signature on the same arrays; all named sizes are ``size``."""
    generator = np.random.default_rng(seed)
    sizes = {name: size for graph in (before, after) for name in graph.dim_names()}
    arrays = {}
    for value in after.inputs:
        assert isinstance(value.op, Input)
        arrays[value.op.label] = random_array(value.type, sizes, generator, special)
    state: dict[Variable, Array] = {}
    for variable in dict.fromkeys([*before.variables(), *after.variables()]):
        if isinstance(variable, VariablePart):
            assert variable.whole is not None
            state[variable] = state[variable.whole][variable.rows]
        else:
            state[variable] = random_array(variable.type, sizes, generator, special)
    return interpret(before, arrays, state), joined(interpret(after, arrays, state))


def joined(result: Result) -> Result:
    """The result with the parts of variables, which are in order, put together."""
    updates: dict[Variable, list[Array]] = {}
    for variable, array in result.updates.items():
        whole = variable.whole if isinstance(variable, VariablePart) else variable
        assert whole is not None
        updates.setdefault(whole, []).append(array)
    return Result(
        result.outputs, {x: parts[0] if len(parts) == 1 else np.concatenate(parts) for x, parts in updates.items()}
    )


def assert_same(before: Result, after: Result, rtol: float = 1e-6, atol: float = 1e-6) -> None:
    """The same results, NaN where the other has NaN."""
    assert list(before.outputs) == list(after.outputs)
    assert list(before.updates) == list(after.updates)
    pairs = [(before.outputs[name], after.outputs[name], name) for name in before.outputs]
    pairs += [(before.updates[variable], after.updates[variable], variable.label) for variable in before.updates]
    for expected, actual, name in pairs:
        assert expected.dtype == actual.dtype, name
        assert expected.shape == actual.shape, name
        np.testing.assert_allclose(actual, expected, rtol, atol, equal_nan=True, err_msg=name)


def regenerate(name: str) -> None:
    """Write the graphs after the pass as they are now."""
    blocks = []
    for case in cases(name):
        before, after = run_pass(case)
        blocks.append(f"## {case.title}\n{print_graph(before)}---\n{print_graph(after)}")
    (FOLDER / f"{name}.ir").write_text("\n".join(blocks), encoding="utf-8")


if __name__ == "__main__":
    for argument in sys.argv[1:]:
        regenerate(argument)
