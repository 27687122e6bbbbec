"""A compiled step of training or evaluation, and running it."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from kcompile import ir
from kcompile.ir import costs
from kcompile.ir.dims import names_in
from kcompile.ir.ops.loops.control import scan
from kcompile.ir.ops.spatial.convolution import ConvWeightGrad
from kcompile.ir.substitution import substitute
from kcompile.runtime.executable import Executable
from kcompile.symbolic.tensor import Array

if TYPE_CHECKING:
    from kcompile.passes.machinery.report import Report
    from kcompile.passes.pipelines import Pipeline
UPDATE_SUM = "update_sum"
"""The output of a training step that tells whether the new weights are numbers."""

MAX_SIZES = 4
"""So many sizes of a step have models of their own."""


class Step:
    """A compiled step: run on batches, with the loss and the new weights checked before the new state is kept.

    One compiled model serves all batch sizes. Known sizes make a faster one (constant shapes; the blocked kernels work
    on whole blocks of images), so that the sizes that batches usually have get a model of their own. Which sizes those
    are depends on nothing else: a step rounds the same in every process.

    Images of any height and width gain most: the fast ways to gradients of filters must know how many windows there
    are. So the first sizes of images that come get models of their own as well; others share one.

    Args:
        graph: the step.
        pipeline: the passes that it still has to go through.
        report: what earlier passes did.
        fixed: whether usual batch sizes (called ``batch`` in the graph) get models of their own.
        repeated: whether it takes several batches at once, stacked on a leading axis.
    """

    def __init__(
        self, graph: ir.Graph, pipeline: Pipeline, report: Report, fixed: bool = False, repeated: bool = False
    ) -> None:
        self.refused = False
        """Whether the state that the last call computed was not kept."""
        self.update_sums: Array | None = None
        """The sum of the new weights in the last call, one for each batch that it ran."""
        self.log_names: tuple[str, ...] | None = None
        """What a step of the user's own returns after the first output; ``None``: losses."""
        self._sums = UPDATE_SUM in graph.outputs
        self._graph = graph
        self._pipeline = pipeline
        self._report: Report | None = report
        self._fixed = fixed
        self._repeated = repeated
        self._by_size: dict[int | tuple[int, ...], Executable] = {}
        self._free = _free_windows(graph) if fixed else ()
        self._executable: Executable | None = None
        self._many: Step | None = None

    def __call__(self, batch: Sequence[Array], keep: str = "finite") -> list[Array]:
        """Run on C-contiguous arrays; returns the losses.

        Args:
            batch: inputs, targets, weights.
            keep: when the new state is kept: ``finite``: if losses and new weights are numbers, ``loss``: if losses
                are, ``always``.
        """
        leading = 1 if self._repeated else 0
        size = batch[0].shape[leading]
        key = (size, *(batch[i].shape[leading + axis] for i, axis, _ in self._free)) if self._free else size
        executable = self._by_size.get(key) or self._executable_for(size, key)
        with executable.exclusive:
            results = executable.run(batch)
            good = keep == "always" or (
                _finite(results[0]) and (keep == "loss" or not self._sums or _finite(results[-1]))
            )
            if good:
                executable.commit()
            else:
                executable.refuse()
        self.refused = not good
        if not self._sums:
            return results
        self.update_sums = results[-1]
        return results[:-1]

    @property
    def graph(self) -> ir.Graph:
        """The step on one batch, before the passes that it still has to go through."""
        return self._graph

    @property
    def executable(self) -> Executable:
        """A compiled model of the step: one that has run, if any."""
        return next(iter(self._by_size.values())) if self._by_size else self._for_all_sizes()

    def _executable_for(self, size: int, key: int | tuple[int, ...]) -> Executable:
        own = {key: e for key, e in self._by_size.items() if e is not self._executable}
        sizes = self._sizes(size, key)
        known: ir.Graph | None = None
        if self._fixed and sizes and len(own) < MAX_SIZES:
            from kcompile.passes.algebra.specialize import specialize

            with contextlib.suppress(ir.IRError):  # images too small: the model for all sizes says in which layer
                known = specialize(self._graph, sizes=sizes)
        found = self._for_all_sizes() if known is None else self._compiled(known)
        if len(self._by_size) >= 8 * MAX_SIZES:
            self._by_size = own  # the rest is quickly found again
        self._by_size[key] = found
        return found

    def _sizes(self, size: int, key: int | tuple[int, ...]) -> dict[str, int]:
        """The sizes by name that a model of its own would know; none where it would not be worth it."""
        usual = size > 0 and (size % costs.FIXED_BATCHES == 0 or size in costs.FEW_FIXED_BATCHES)
        sizes = {"batch": size} if usual else {}
        if isinstance(key, tuple):
            for (_, _, name), extent in zip(self._free, key[1:], strict=True):
                if sizes.setdefault(name, extent) != extent or extent == 0:
                    return {}  # the model for all sizes says what is wrong
        return sizes

    def _for_all_sizes(self) -> Executable:
        if self._executable is None:
            self._executable = self._compiled(self._graph)
        return self._executable

    def _compiled(self, graph: ir.Graph) -> Executable:
        from kcompile.passes.machinery.report import Report
        from kcompile.passes.pipelines import run_pipeline

        report, self._report = self._report or Report(), None
        if not self._repeated:
            return Executable(graph, self._pipeline, report=report)
        return Executable(repeat_step(run_pipeline(graph, self._pipeline, report=report)), (), report=report)

    @property
    def many(self) -> Step:
        """The step repeated over a leading axis of its inputs, in one run of ONNX Runtime.

        Its outputs are the losses of all steps.
        """
        if self._many is None:
            from kcompile.passes.machinery.report import Report

            self._many = Step(self._graph, self._pipeline, Report(), self._fixed, repeated=True)
            self._many.log_names = self.log_names
        return self._many


def _free_windows(graph: ir.Graph) -> tuple[tuple[int, int, str], ...]:
    """Where the unknown sizes of images are found, if filters are learned on such: (input, axis, name)."""
    learned = [node.inputs for node in graph.nodes() if isinstance(node.op, ConvWeightGrad)]
    if all(isinstance(dim, int) for x, g in learned for dim in (*x.shape[1:], *g.shape[1:])):
        return ()
    return tuple(
        (i, axis, str(dim))
        for i, value in enumerate(graph.inputs)
        for axis, dim in enumerate(value.shape)
        if axis > 0 and isinstance(dim, ir.SymbolicDim) and dim in map(ir.named, names_in(dim))
    )


def _finite(x: Array) -> bool:
    return math.isfinite(x) if x.ndim == 0 else bool(np.isfinite(x).all())


def repeat_step(graph: ir.Graph) -> ir.Graph:
    """``graph`` scanned over a leading axis ``steps`` of its inputs, its updated variables as the carried state."""
    steps = ir.named("steps")
    inputs = []
    for value in graph.inputs:
        assert isinstance(value.op, ir.Input)
        inputs.append(ir.input_value(value.op.label, value.dtype, (steps, *value.shape)))
    leaves = {node.op: node.outputs[0] for node in graph.nodes() if isinstance(node.op, ir.Variable)}
    variables = list(graph.updates)
    before = [leaves.get(variable) or ir.apply(variable) for variable in variables]

    def body(*operands: ir.Value) -> tuple[list[ir.Value], list[ir.Value]]:
        new = dict(zip([*before, *graph.inputs], operands, strict=True))
        results = substitute(graph.results, new)
        count = len(graph.outputs)
        return results[count:], results[:count]

    after, stacked = scan(body, before, inputs)
    outputs = dict(zip(graph.outputs, stacked, strict=True))
    return ir.Graph(inputs, outputs, dict(zip(variables, after, strict=True)), f"{graph.name}s")


def first_bad(names: Sequence[str], arrays: Sequence[Array]) -> str | None:
    """Which of the arrays holds a NaN or infinity, and where."""
    for name, array in zip(names, arrays, strict=True):
        if array.dtype.kind != "f":
            continue
        bad = ~np.isfinite(array)
        if bad.any():
            place = tuple(int(i) for i in np.argwhere(bad)[0])
            return f"{name}{list(place)} is {array[place]}"
    return None
