"""The graphs of one training, evaluation or prediction step, and running them."""

from __future__ import annotations

import contextlib
import functools
import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from kcompile import ir
from kcompile.backend import math as tensor_math
from kcompile.common import config
from kcompile.common.errors import KCompileError, ShapeError
from kcompile.engine.inference_graph import Update, merge, state_updates, without_idle_counters
from kcompile.engine.network import is_state
from kcompile.engine.notes import belongs
from kcompile.ir import costs
from kcompile.ir.dims import names_in
from kcompile.ir.ops.arrays import reduction, shaping
from kcompile.ir.ops.elementwise import functions as elementwise
from kcompile.ir.ops.loops.control import scan
from kcompile.ir.ops.spatial.convolution import ConvWeightGrad
from kcompile.ir.substitution import substitute
from kcompile.symbolic.functions import build_graph
from kcompile.symbolic.tensor import Array, Tensor, as_tensor
from kcompile.symbolic.variable import Variable, placeholder
from kcompile.training.compilation import OutputPlan
from kcompile.training.partial_losses import weights_with_loss

if TYPE_CHECKING:
    from kcompile.models.model import Model
    from kcompile.passes.machinery.report import Report
    from kcompile.passes.pipelines import Pipeline
    from kcompile.runtime.executable import Executable

UPDATE_SUM = "update_sum"
"""The output of a training step that tells whether the new weights are numbers."""

MAX_SIZES = 4
"""So many sizes of a step have models of their own."""


class StepGraph:
    """The IR of a step: inputs, targets and weights in; loss, losses and state out.

    Args:
        model: a compiled model.
        targets: the shape of each target, without the batch size.
        weighted: for each output with a loss, the number of axes of its sample weights (0: none are given).
        training: with the optimizer's updates, in the training phase; otherwise evaluation.
    """

    def __init__(
        self, model: Model, targets: Sequence[tuple[int | None, ...]], weighted: Sequence[int], training: bool
    ) -> None:
        plans = model._compiled.outputs
        self.model = model
        self.training = training
        self.y = [
            placeholder(shape=(None, *shape), name=f"{plan.name}_target")
            for plan, shape in zip(plans, targets, strict=True)
        ]
        self.w = [
            placeholder(shape=(None,) * rank, name=f"{plan.name}_sample_weight") if rank else None
            for plan, rank in zip(plans, weighted, strict=True)
        ]
        fed = zip(plans, self.y, self.w, strict=True)
        self.losses = {plan.name: self._loss(plan, y, w) for plan, y, w in fed if plan.loss is not None}
        total: Tensor | None = None
        for plan in [plan for plan in plans if plan.loss is not None]:
            loss = self.losses[plan.name]
            term = loss if isinstance(plan.weight, float) and plan.weight == 1 else loss * plan.weight
            total = term if total is None else total + term
        for loss in self.model.losses:
            term = tensor_math.mean(loss) if loss.ndim else loss
            total = term if total is None else total + term
        if total is None and (training or not model.metrics):
            raise KCompileError(
                f"model {model.name!r} has nothing to {'minimize' if training else 'measure'}: no output has a loss "
                "and no layer adds one; pass loss= to compile, or add one with add_loss"
            )
        self.total = as_tensor(0.0) if total is None else total  # only metrics are asked for
        self.metric_updates = self._metric_updates()

    def _loss(self, plan: OutputPlan, y: Tensor, w: Tensor | None) -> Tensor:
        return output_loss(plan, self.model.outputs[plan.index], y, w)

    def _metric_updates(self) -> list[Update]:
        updates: list[Update] = []
        for plan, y, w in zip(self.model._compiled.outputs, self.y, self.w, strict=True):
            output = self.model.outputs[plan.index]
            mask = None if output.keras_mask is None else tensor_math.cast(output.keras_mask, output.dtype)
            with ir.scope(f"metrics/{plan.name}"):
                for metric in plan.metrics:
                    updates += called("metric", metric, metric.symbolic_update, plan.name, y, output, mask)
                for metric in plan.weighted_metrics:
                    both = w if mask is None else mask if w is None else spread(w, mask.ndim) * mask
                    updates += called("metric", metric, metric.symbolic_update, plan.name, y, output, both)
        for added in self.model._compiled.added:
            updates += added.updates(self.training)
        return updates

    def compile(self, name: str) -> Step:
        """The compiled step; its outputs are ``loss`` and, if there are several, the loss of each output."""
        from kcompile.passes.machinery.report import Report
        from kcompile.passes.pipelines import INFERENCE, TRAINING

        report = Report()
        pipeline = TRAINING if self.training else INFERENCE
        graph = self._graph(name, report)
        if self.training and self.model.on_nan == "raise":
            graph = with_update_sum(graph, self.model._collected_trainable_weights)
        return Step(graph, pipeline, report, fixed=self.training)

    def optimized(self, name: str) -> ir.Graph:
        """The step as an optimized graph, for any target."""
        from kcompile.passes.pipelines import INFERENCE, TRAINING, run_pipeline

        return run_pipeline(self._graph(name, None), TRAINING if self.training else INFERENCE)

    def as_written(self, name: str) -> ir.Graph:
        """The step before the passes, but for the one without which it has no meaning; to measure them by."""
        from kcompile.passes.algebra.specialize import specialize_inference, specialize_training

        return self._graph(name, None, (specialize_training if self.training else specialize_inference,))

    def _graph(self, name: str, report: Report | None, passes: Pipeline | None = None) -> ir.Graph:
        """The whole step, its forward part optimized."""
        from kcompile.passes.pipelines import FORWARD_INFERENCE, FORWARD_TRAINING, run_pipeline

        forward = self._forward(name)
        passes = passes or (FORWARD_TRAINING if self.training else FORWARD_INFERENCE)
        graph = run_pipeline(forward, passes, report=report)
        if not self.training:
            return without_idle_counters(graph)  # evaluating does not change the training that goes on after it
        # Gradients are taken of the optimized forward graph, so that backward ops are born in the right layout.
        updates = dict(graph.updates)
        with ir.scope("optimizer"):
            loss = Tensor(graph.outputs["loss"])
            pairs = self.model.optimizer.get_updates(loss, weights_with_loss(self.model, loss))
        for variable, value in pairs:
            updates[variable.variable] = as_tensor(value).value
        return ir.Graph(graph.inputs, graph.outputs, updates, name)

    def _forward(self, name: str) -> ir.Graph:
        """Losses, metrics and the updates of layers, before differentiation."""
        updates: dict[Variable, Tensor] = {}
        if self.training:
            found = [u for u in self.model._collected_updates if not is_state(u[0])]
            merge(updates, [u for u in found if belongs(self.model, as_tensor(u[1]))])
        merge(updates, state_updates(self.model))
        merge(updates, self.metric_updates)
        feeds = [*self.model.inputs, *self.y, *(w for w in self.w if w is not None)]
        outputs = {"loss": self.total}
        if len(self.model.outputs) > 1:
            outputs.update({f"{name}_loss": x for name, x in self.losses.items()})
        counter = self.model._random_counter().value
        return build_graph(
            feeds,
            list(outputs.values()),
            list(updates.items()),
            name,
            list(outputs),
            counter=counter,
            fixed=self.model._collected_switches,
        )


def with_update_sum(graph: ir.Graph, params: Sequence[Variable]) -> ir.Graph:
    """``graph`` with one more output, which is a number only if the new weights are: the sum of the smaller ones.

    A gradient that overflows on its way back reaches the biases of the layers below as well as their kernels; summing
    large kernels too would cost a pass over memory (9 % of a step of a multilayer perceptron).
    """
    updated = [graph.updates[p.variable] for p in params if p.variable in graph.updates]
    small = [value for value in updated if math.prod(value.type.static_shape) <= costs.SUMMED] or updated
    if not small:
        return graph
    total = functools.reduce(
        lambda a, b: elementwise.add(a, elementwise.cast(b, a.dtype)), map(reduction.reduce_sum, small)
    )
    return ir.Graph(graph.inputs, {**graph.outputs, UPDATE_SUM: total}, graph.updates, graph.name)


def output_loss(plan: OutputPlan, output: Tensor, y: Tensor, w: Tensor | None) -> Tensor:
    """The weighted mean of the loss over samples (and time steps), as a scalar."""
    from kcompile import losses

    with ir.scope(f"loss/{plan.name}"):
        if losses.calls_itself(plan.loss):  # Loss.__call__ takes the mask from the output itself
            whole = functools.partial(plan.loss, sample_weight=w) if w is not None else plan.loss
            values = as_tensor(called("loss", plan.loss, whole, plan.name, y, output))
            return tensor_math.mean(values) if values.ndim else values
        values = called("loss", plan.loss, losses.per_sample(plan.loss, w is not None), plan.name, y, output)
        if values.ndim == 0:  # a user's own loss: one number for all samples, which have their weights in common
            return values if w is None else values * tensor_math.mean(w)
        mask = output.keras_mask
        if mask is not None and values.ndim >= mask.ndim:
            valid = tensor_math.cast(mask, values.dtype)
            # The mean goes over the entries that the mask keeps.
            valid = valid / tensor_math.maximum(tensor_math.mean(valid), config.epsilon())
            w = valid if w is None else spread(w, valid.ndim) * valid
        if w is not None:
            values = values * spread(w, values.ndim)
        reduction = losses.reduction_of(plan.loss)
        return tensor_math.sum(values) if reduction == "sum" else tensor_math.mean(values)


def called(kind: str, owner: Any, function: Callable[..., Any], output: str, *arguments: Any) -> Any:
    """What a loss or metric makes of targets and predictions; shapes that it cannot join are the user's to know."""
    name = getattr(owner, "name", None) or getattr(owner, "__name__", type(owner).__name__)
    try:
        return function(*arguments)
    except ir.IRError as error:
        y, predicted = (tuple(x.shape) for x in arguments[:2])
        raise ShapeError(
            f"{kind} {name!r} of output {output!r} cannot be computed from targets of shape {y} and predictions of "
            f"shape {predicted}: {error}"
        ) from error
    except Exception as error:
        error.add_note(f"Raised in {kind} {name!r} of output {output!r}, which is called on symbolic tensors.")
        raise


def spread(w: Tensor, rank: int) -> Tensor:
    """Weights with trailing axes of size 1, to multiply values of ``rank`` axes."""
    value = w.value
    if value.rank > rank:
        return tensor_math.mean(w, axis=list(range(rank, value.rank)))
    return Tensor(shaping.reshape(value, (*value.shape, *(1,) * (rank - value.rank)))) if value.rank < rank else w


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
        from kcompile.runtime.executable import Executable

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


__all__ = ["Step", "StepGraph", "first_bad", "repeat_step"]
