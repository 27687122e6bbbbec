"""Whether an exported file computes what the model means: ONNX Runtime against the interpreter of the IR in NumPy.

The interpreter runs the graph as the layers built it, before any pass; ONNX Runtime runs the file that was written.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from kcompile.common.errors import KCompileError, listed
from kcompile.converting.rounding import moved
from kcompile.engine.inference_graph import predict_graph
from kcompile.export.samples import free_sizes, random_feeds, with_numbers
from kcompile.ir import bind_graph
from kcompile.ir.interpret import interpret
from kcompile.passes.machinery.flops import work_of_graph
from kcompile.runtime.session import Session
from kcompile.runtime.storage import storage_of

if TYPE_CHECKING:
    from kcompile.ir.core import Array, Graph, Variable
    from kcompile.models.model import Model

BATCHES = (1, 8)
"""Batch sizes; of models that take long only the first."""

LENGTHS = ((16, 25), (32, 49), (64, 97), (128, 193), (256, 385))
"""Pairs of values for free sizes, such as that of time; larger ones are tried where a model refuses the smaller."""

LONGEST = 1 << 16
"""The search for a size that a model takes ends here."""

KINDS = ("negative", "zero", "equal", "large")
"""Besides random inputs: what shows faults at borders, in comparisons and at the ends of functions."""

TOLERANCES = {"float32": 1e-4, "fp16": 2e-2}
"""A difference, relative to the largest number of the output in all comparisons, that is too small to be looked at."""

EPSILONS = {"float32": float(np.finfo(np.float32).eps), "fp16": float(np.finfo(np.float16).eps)}

NOTHING = 1e-6
"""Numbers of an output that are so much smaller than on random inputs are compared as if they were as large: where a
sigmoid ends, ONNX Runtime's has 0 for what NumPy has as 1e-20."""

ROUNDING = 8.0
"""A difference may be so many times what known errors of the operators do to an output."""

MOST_ROUNDING = 0.1
"""... but no larger than this, relative to the largest number of the output."""

MUCH_WORK, MOST_WORK = 5e10, 5e11
"""Floating point operations, of which NumPy does some 10^10 in a second."""


class NotCheckedError(KCompileError):
    """The model is too large to be compared in NumPy; that says nothing about the file."""


@dataclass(frozen=True)
class Parity:
    """One comparison.

    Attributes:
        sizes: of the batch and of other free axes, by name.
        difference: the largest one of an output, relative to that output's largest number in all comparisons.
        tolerance: what is allowed.
        problem: instead of a difference, what makes the outputs incomparable.
        kind: of the inputs: ``random``, or one of :data:`KINDS`.
    """

    sizes: Mapping[str, int]
    difference: float
    tolerance: float
    problem: str = ""
    kind: str = "random"

    @property
    def passed(self) -> bool:
        return not self.problem and self.difference <= self.tolerance

    def __str__(self) -> str:
        sizes = ", ".join(f"{name} {size}" for name, size in self.sizes.items())
        verdict = self.problem or f"largest relative difference {self.difference:.1e}"
        inputs = "" if self.kind == "random" else f", {self.kind} inputs"
        return f"{'equal' if self.passed else 'DIFFERENT'} at {sizes}{inputs}: {verdict}"


@dataclass
class _Case:
    """Inputs of one comparison."""

    sizes: dict[str, int]
    kind: str
    feeds: dict[str, Array]


def check_parity(
    model: Model, path: Path, kind: str = "float32", fixed: Mapping[str, int] | None = None
) -> list[Parity]:
    """Compare the ONNX file with the model.

    On random inputs of two batch sizes and of two lengths of free axes; and on inputs that are all negative, zero,
    equal or large. What is allowed comes from the known errors of the operators
    (:mod:`kcompile.converting.rounding`), and is at least :data:`TOLERANCES` of the largest number of an output.

    Args:
        model: what was exported.
        path: the file.
        kind: ``float32`` or ``fp16``, which has a wider tolerance.
        fixed: sizes that the file has for good, by the model's names for them.

    Raises:
        NotCheckedError: the model is too large to be interpreted; a ValueError.
        ValueError: no sizes of free axes were found that it takes, or ONNX Runtime refuses the file.
    """
    graph = predict_graph(model)
    state = {variable: storage_of(variable).read() for variable in graph.variables()}
    cases = _cases(model, graph, fixed or {}, kind)
    expected = [_outputs(graph, case, state) for case in cases]
    runtime = Session(path, "cpu")
    states = {variable.label: state[variable] for variable in graph.updates}
    got = [runtime.run({**case.feeds, **states}) for case in cases]
    found: list[Parity] = []
    usual: list[float] = []
    for name in dict.fromkeys(case.kind for case in cases):
        chosen = [number for number, case in enumerate(cases) if case.kind == name]
        columns = zip(*(expected[number] for number in chosen), strict=True)
        scales = [max(map(_largest, arrays)) for arrays in columns]
        usual = usual or scales  # random inputs come first
        scales = [max(scale, NOTHING * other) for scale, other in zip(scales, usual, strict=True)]
        for number in chosen:
            found.append(_compared(graph, cases[number], state, expected[number], got[number], scales, kind))
    return found


def _outputs(graph: Graph, case: _Case, state: Mapping[Variable, Array]) -> list[Array]:
    """What NumPy computes. Inputs that turn out to be indices that do not exist are replaced by zeros."""
    try:
        result = interpret(graph, case.feeds, state)
    except IndexError:
        for name, array in case.feeds.items():
            case.feeds[name] = np.zeros_like(array) if array.dtype.kind in "iu" else array
        result = interpret(graph, case.feeds, state)
    return [*result.outputs.values(), *result.updates.values()]


def _cases(model: Model, graph: Graph, fixed: Mapping[str, int], kind: str) -> list[_Case]:
    """Sizes that the model takes, with inputs; fewer of them if NumPy takes long."""
    free = [name for name in free_sizes(model) if name not in fixed]
    lengths = [dict.fromkeys(free, size) for size in _lengths(graph, free, fixed)] if free else [{}]
    choices = (
        [{"batch": batch, **length} for batch in BATCHES for length in lengths],
        [{"batch": 1, **length} for length in lengths],
        [{"batch": 1, **lengths[0]}],
    )
    work = 0
    for number, chosen in enumerate(choices):
        chosen = [{**sizes, **fixed} for sizes in chosen]
        chosen = [dict(sizes) for sizes in dict.fromkeys(tuple(sizes.items()) for sizes in chosen)]
        kinds = KINDS if number == 0 else ()
        work = sum(work_of_graph(graph, sizes).flops for sizes in (*chosen, *(chosen[0] for _ in kinds)))
        if work <= (MUCH_WORK if number == 0 else MOST_WORK):
            cases = [_Case(sizes, "random", random_feeds(model, sizes["batch"], sizes)) for sizes in chosen]
            largest = 1e3 if kind == "float32" else 30.0
            cases += [
                _Case(chosen[0], name, feeds)
                for name in kinds
                if (feeds := with_numbers(name, cases[0].feeds, model, largest)) is not None
            ]
            return cases
    raise NotCheckedError(f"too large to be checked in NumPy, which would take {work:.0e} operations")


def _lengths(graph: Graph, free: list[str], fixed: Mapping[str, int]) -> tuple[int, int]:
    """Two values for the free sizes: usual ones, or the smallest ones with which every output has elements.

    Raises:
        ValueError: there are none.
    """
    refusals: list[str] = []

    def fits(size: int) -> bool:
        refusal = _refusal(graph, {**dict.fromkeys(free, size), "batch": 1, **fixed})
        refusals.extend([refusal] if refusal else [])
        return not refusal

    for pair in LENGTHS:
        if all(map(fits, pair)):
            return pair
    found: list[int] = []
    for size in _candidates():
        if fits(size):
            found.append(size)
            if len(found) == 2:
                break
    if not found:
        raise KCompileError(f"the model accepts no size up to {LONGEST} of {listed(free)}: {refusals[-1]}")
    return found[0], found[-1]


def _candidates() -> Iterator[int]:
    """All small sizes, then ever fewer, with many divisors."""
    yield from range(1, 1025)
    size, step = 1024, 32
    while size < LONGEST:
        size += step
        step = max(step, 32 << max(0, size.bit_length() - 13))
        yield size


def _refusal(graph: Graph, sizes: Mapping[str, int]) -> str:
    """Why the graph does not take these sizes, or gives nothing for them; empty if it does."""
    try:
        bound = bind_graph(graph, dict(sizes))
    except ValueError as error:
        return str(error)
    empty = [node for node in bound.nodes() if any(0 in value.shape for value in node.outputs)]
    return f"layer {empty[0].scope!r} gives nothing" if empty else ""


def _largest(array: Array) -> float:
    return float(np.abs(array[np.isfinite(array)].astype(np.float64)).max(initial=0.0))


def _compared(
    graph: Graph,
    case: _Case,
    state: Mapping[Variable, Array],
    expected: list[Array],
    got: list[Array],
    scales: list[float],
    kind: str,
) -> Parity:
    tolerance, worst, allowed = TOLERANCES[kind], 0.0, TOLERANCES[kind]
    errors: list[Array] | None = None
    for number, (a, b, scale) in enumerate(zip(expected, got, scales, strict=True)):
        if a.shape != b.shape:
            return Parity(case.sizes, np.inf, tolerance, f"shapes {a.shape} and {b.shape}", case.kind)
        if not a.size:
            return Parity(case.sizes, np.inf, tolerance, "the output is empty, so nothing was compared", case.kind)
        a, b = a.astype(np.float64), b.astype(np.float64)
        finite = np.isfinite(a)
        if not np.array_equal(a[~finite], b[~finite], equal_nan=True) or not np.isfinite(b[finite]).all():
            where = "infinite or undefined numbers at other places"
            return Parity(case.sizes, np.inf, tolerance, where, case.kind)
        apart = float(np.abs(a[finite] - b[finite]).max(initial=0.0)) / max(scale, 1e-30)
        if apart <= max(worst, tolerance):
            worst = max(worst, apart)
            continue
        # Only now it is worth knowing what rounding may do.
        errors = errors or moved(graph, case.feeds, state, EPSILONS[kind])
        rounding = _largest(errors[number][finite].astype(np.float64) - a[finite]) / max(scale, 1e-30)
        worst, allowed = apart, max(tolerance, min(ROUNDING * rounding, MOST_ROUNDING))
        if apart > allowed:
            break
    return Parity(case.sizes, worst, allowed, kind=case.kind)
