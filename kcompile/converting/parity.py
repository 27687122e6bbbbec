"""Whether an exported file computes what the model means: ONNX Runtime against the interpreter of the IR in NumPy.

The interpreter runs the graph as the layers built it, before any pass; ONNX Runtime runs the file that was written.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from kcompile.errors import KCompileError, listed
from kcompile.export.samples import free_sizes, random_feeds
from kcompile.ir.interpret import interpret

if TYPE_CHECKING:
    from kcompile.engine.training import Model
    from kcompile.ir.core import Array, Graph, Variable

BATCHES = ((1, 8), (1, 2))
"""Pairs of batch sizes; the second one for models that take long."""

SIZES = ((16, 25), (32, 49), (64, 97), (128, 193), (256, 385))
"""Pairs of values for free sizes, such as that of time; larger ones are tried where a model refuses the smaller."""

TOLERANCES = {"float32": 1e-4, "fp16": 2e-2}
"""The largest difference, relative to the largest number of the output in all comparisons."""

MUCH_WORK, MOST_WORK = 5e10, 5e11
"""Floating point operations, of which NumPy does some 10^10 in a second."""


@dataclass(frozen=True)
class Parity:
    """One comparison.

    Attributes:
        sizes: of the batch and of other free axes, by name.
        difference: the largest one of an output, relative to that output's largest number in all comparisons.
        tolerance: what is allowed.
        problem: instead of a difference, what makes the outputs incomparable.
    """

    sizes: Mapping[str, int]
    difference: float
    tolerance: float
    problem: str = ""

    @property
    def passed(self) -> bool:
        return not self.problem and self.difference <= self.tolerance

    def __str__(self) -> str:
        sizes = ", ".join(f"{name} {size}" for name, size in self.sizes.items())
        verdict = self.problem or f"largest relative difference {self.difference:.1e}"
        return f"{'equal' if self.passed else 'DIFFERENT'} at {sizes}: {verdict}"


def check_parity(
    model: Model, path: Path, kind: str = "float32", fixed: Mapping[str, int] | None = None
) -> list[Parity]:
    """Compare the ONNX file with the model, on random inputs of two batch sizes and of two lengths of free axes.

    Args:
        model: what was exported.
        path: the file.
        kind: ``float32`` or ``fp16``, which has a wider tolerance.
        fixed: sizes that the file has for good, by the model's names for them.

    Raises:
        ValueError: the model is too large to be interpreted, accepts none of the tried sizes, or ONNX Runtime refuses
            the file.
    """
    from kcompile.engine.steps import predict_graph
    from kcompile.runtime.session import Session
    from kcompile.runtime.storage import storage_of

    graph = predict_graph(model)
    state = {variable: storage_of(variable).read() for variable in graph.variables()}
    cases, feeds, expected = _interpreted(model, graph, state, fixed or {})
    runtime = Session(path, "cpu")
    states = {variable.label: state[variable] for variable in graph.updates}
    outputs = [runtime.run({**feed, **states}) for feed in feeds]
    scales = [max(map(_largest, arrays)) for arrays in zip(*expected, strict=True)]
    return [
        _compared(case, wanted, got, scales, TOLERANCES[kind])
        for case, wanted, got in zip(cases, expected, outputs, strict=True)
    ]


def _interpreted(
    model: Model, graph: Graph, state: Mapping[Variable, Array], fixed: Mapping[str, int]
) -> tuple[list[dict[str, int]], list[dict[str, Array]], list[list[Array]]]:
    """Sizes that the model takes; for each its inputs, and its outputs and new states as NumPy computes them."""
    free = [name for name in free_sizes(model) if name not in fixed]
    for pair in SIZES if free else SIZES[:1]:
        cases = _cases(graph, [dict.fromkeys(free, size) for size in (pair if free else pair[:1])], fixed)
        feeds = [random_feeds(model, case["batch"], case) for case in cases]
        try:
            results = [interpret(graph, feed, state) for feed in feeds]
        except ValueError as error:  # a window does not fit, or a reshape; perhaps larger images do
            refusal = error
            continue
        return cases, feeds, [[*found.outputs.values(), *found.updates.values()] for found in results]
    raise KCompileError(f"the model accepts none of the tried sizes of {listed(free)}: {refusal}")


def _cases(graph: Graph, lengths: Sequence[dict[str, int]], fixed: Mapping[str, int]) -> list[dict[str, int]]:
    """The lengths with two batch sizes each, if NumPy can do that in reasonable time."""
    from kcompile.passes.flops import work_of_graph

    work = 0
    for batches, most in zip(BATCHES, (MUCH_WORK, MOST_WORK), strict=True):
        cases = [{"batch": batch, **sizes, **fixed} for batch in batches for sizes in lengths]
        cases = [dict(case) for case in dict.fromkeys(tuple(case.items()) for case in cases)]
        work = sum(work_of_graph(graph, case).flops for case in cases)
        if work <= most:
            return cases
    raise KCompileError(f"too large to be checked in NumPy, which would take {work:.0e} operations")


def _largest(array: Array) -> float:
    return float(np.abs(array[np.isfinite(array)].astype(np.float64)).max(initial=0.0))


def _compared(
    sizes: Mapping[str, int],
    expected: Sequence[Array],
    got: Sequence[Array],
    scales: Sequence[float],
    tolerance: float,
) -> Parity:
    worst = 0.0
    for a, b, scale in zip(expected, got, scales, strict=True):
        if a.shape != b.shape:
            return Parity(sizes, np.inf, tolerance, f"shapes {a.shape} and {b.shape}")
        a, b = a.astype(np.float64), b.astype(np.float64)
        finite = np.isfinite(a)
        if not np.array_equal(a[~finite], b[~finite], equal_nan=True) or not np.isfinite(b[finite]).all():
            return Parity(sizes, np.inf, tolerance, "infinite or undefined numbers at other places")
        apart = float(np.abs(a - b)[finite].max(initial=0.0))
        worst = max(worst, apart / max(scale, 1e-30))
    return Parity(sizes, worst, tolerance)
