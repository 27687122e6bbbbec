"""The graph of a training or evaluation step: losses, metrics, and the updates of the optimizer."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from kcompile import ir, losses
from kcompile.backend import math as tensor_math
from kcompile.common import config
from kcompile.common.errors import KCompileError, ShapeError
from kcompile.engine.inference_graph import Update, merge, state_updates, without_idle_counters
from kcompile.engine.network import is_state
from kcompile.engine.notes import belongs
from kcompile.ir import costs
from kcompile.ir.ops.arrays import reduction, shaping
from kcompile.ir.ops.elementwise import functions as elementwise
from kcompile.symbolic.functions import build_graph
from kcompile.symbolic.tensor import Tensor, as_tensor
from kcompile.symbolic.variable import Variable, placeholder
from kcompile.training.compilation import OutputPlan
from kcompile.training.first_updates import updated_first, with_first_updates
from kcompile.training.plan import TrainingPlan
from kcompile.training.step import UPDATE_SUM, Step

if TYPE_CHECKING:
    from kcompile.passes.machinery.report import Report
    from kcompile.passes.pipelines import Pipeline


class StepGraph:
    """The IR of a step: inputs, targets and weights in; loss, losses and state out.

    Args:
        plan: that of a compiled model.
        targets: the shape of each target, without the batch size.
        weighted: for each output with a loss, the number of axes of its sample weights (0: none are given).
        training: with the optimizer's updates, in the training phase; otherwise evaluation.
    """

    def __init__(
        self, plan: TrainingPlan, targets: Sequence[tuple[int | None, ...]], weighted: Sequence[int], training: bool
    ) -> None:
        plans, model = plan.outputs, plan.model
        self.plan = plan
        self.model = model
        self.training = training
        self.y = [
            placeholder(shape=(None, *shape), name=f"{output.name}_target")
            for output, shape in zip(plans, targets, strict=True)
        ]
        self.w = [
            placeholder(shape=(None,) * rank, name=f"{output.name}_sample_weight") if rank else None
            for output, rank in zip(plans, weighted, strict=True)
        ]
        fed = zip(plans, self.y, self.w, strict=True)
        self.losses = {output.name: self._loss(output, y, w) for output, y, w in fed if output.loss is not None}
        total: Tensor | None = None
        for output in [output for output in plans if output.loss is not None]:
            loss = self.losses[output.name]
            term = loss if isinstance(output.weight, float) and output.weight == 1 else loss * output.weight
            total = term if total is None else total + term
        for loss in model.losses:
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
        for plan, y, w in zip(self.plan.outputs, self.y, self.w, strict=True):
            output = self.model.outputs[plan.index]
            mask = None if output.keras_mask is None else tensor_math.cast(output.keras_mask, output.dtype)
            with ir.scope(f"metrics/{plan.name}"):
                for metric in plan.metrics:
                    updates += called("metric", metric, metric.symbolic_update, plan.name, y, output, mask)
                for metric in plan.weighted_metrics:
                    both = w if mask is None else mask if w is None else spread(w, mask.ndim) * mask
                    updates += called("metric", metric, metric.symbolic_update, plan.name, y, output, both)
        for added in [] if self.plan.compiled is None else self.plan.compiled.added:
            updates += added.updates(self.training)
        return updates

    def compile(self, name: str) -> Step:
        """The compiled step; its outputs are ``loss`` and, if there are several, the loss of each output."""
        from kcompile.passes.machinery.report import Report
        from kcompile.passes.pipelines import INFERENCE, TRAINING

        report = Report()
        pipeline = TRAINING if self.training else INFERENCE
        graph = self.whole(name, report)
        if self.training and self.model.on_nan == "raise":
            graph = with_update_sum(graph, self.plan.trained_weights)
        return Step(graph, pipeline, report, fixed=self.training)

    def optimized(self, name: str) -> ir.Graph:
        """The step as an optimized graph, for any target."""
        from kcompile.passes.pipelines import INFERENCE, TRAINING, run_pipeline

        return run_pipeline(self.whole(name, None), TRAINING if self.training else INFERENCE)

    def as_written(self, name: str) -> ir.Graph:
        """The step before the passes, but for the one without which it has no meaning; to measure them by."""
        from kcompile.passes.algebra.specialize import specialize_inference, specialize_training

        return self.whole(name, None, (specialize_training if self.training else specialize_inference,))

    def whole(self, name: str, report: Report | None, passes: Pipeline | None = None) -> ir.Graph:
        """The whole step, its forward part optimized."""
        from kcompile.passes.pipelines import FORWARD_INFERENCE, FORWARD_TRAINING, run_pipeline

        forward = self.forward(name)
        passes = passes or (FORWARD_TRAINING if self.training else FORWARD_INFERENCE)
        graph = run_pipeline(forward, passes, report=report)
        if not self.training:
            return without_idle_counters(graph)  # evaluating does not change the training that goes on after it
        # Gradients are taken of the optimized forward graph, so that backward ops are born in the right layout.
        updates = dict(graph.updates)
        with ir.scope("optimizer"):
            pairs = self.plan.optimize(Tensor(graph.outputs["loss"]))
        for variable, value in pairs:
            updates[variable.variable] = as_tensor(value).value
        step = ir.Graph(graph.inputs, graph.outputs, updates, name)
        return with_first_updates(step, graph.updates, updated_first(self.model.layer_and_those_inside()))

    def forward(self, name: str) -> ir.Graph:
        """Losses, metrics and the updates of layers, before differentiation."""
        updates: dict[Variable, Tensor] = {}
        if self.training:
            found = [u for u in self.plan.updates if not is_state(u[0])]
            merge(updates, [u for u in found if belongs(self.model, as_tensor(u[1]))])
        merge(updates, state_updates(self.model))
        merge(updates, self.metric_updates)
        feeds = [*self.model.inputs, *self.y, *(w for w in self.w if w is not None)]
        outputs = {"loss": self.total}
        if len(self.model.outputs) > 1:
            outputs.update({f"{name}_loss": x for name, x in self.losses.items()})
        counter = self.plan.random_counter.value
        return build_graph(
            feeds,
            list(outputs.values()),
            list(updates.items()),
            name,
            list(outputs),
            counter=counter,
            fixed=self.plan.switches,
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
    with ir.scope(f"loss/{plan.name}"):
        if losses.calls_itself(plan.loss):  # Loss.__call__ takes the mask from the output itself
            whole = functools.partial(plan.loss, sample_weight=w) if w is not None else plan.loss
            found = as_tensor(called("loss", plan.loss, whole, plan.name, y, output))
            return tensor_math.mean(found) if found.ndim else found
        function = losses.per_sample(plan.loss, w is not None)
        values: Tensor = called("loss", plan.loss, function, plan.name, y, output)
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
