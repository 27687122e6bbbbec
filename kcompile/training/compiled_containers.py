"""``compiled_loss`` and ``compiled_metrics``: what ``compile`` was told, for steps of a user's own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kcompile import backend as K
from kcompile import losses
from kcompile.backend import math as tensor_math
from kcompile.common.errors import DataError, unknown_name
from kcompile.common.nest import flatten
from kcompile.ir.ops.arrays import shaping
from kcompile.metrics import Mean, Metric
from kcompile.symbolic.tensor import Tensor, as_tensor
from kcompile.symbolic.trace import at_once
from kcompile.training.compilation import Compilation, OutputPlan, resolve
from kcompile.training.plan import TrainingPlan
from kcompile.training.step_graph import called, output_loss, spread


class Containers:
    """The losses and metrics of one ``compile``, with the Means that show the losses.

    Attributes:
        tracker: the Mean of the loss that the default steps show where ``compute_loss`` shows none.
    """

    def __init__(self, plan: TrainingPlan) -> None:
        self.plan = plan
        self.tracker: Mean | None = None
        self.loss = CompiledLoss(self)
        self.metrics = CompiledMetrics(self)

    def track(self, loss: Tensor) -> None:
        """Show a loss."""
        if self.tracker is None:
            self.tracker = _mean("loss")
        self.tracker.update_state(loss)

    def reset(self) -> None:
        """Start what the model's ``metrics`` may not list anew."""
        for metric in [*self.loss.metrics, *self.metrics.metrics, *([] if self.tracker is None else [self.tracker])]:
            metric.reset_states()

    def compilation(self, outputs: Sequence[Tensor], names: Sequence[str]) -> Compilation:
        """What ``compile`` was told, for these outputs."""
        plan = self.plan
        if plan.compiled is None:
            assert plan.arguments is not None
            with at_once():
                plan.compiled = resolve(_Outputs(names, outputs), plan.arguments)
            plan.follow_loss_weights()
        return plan.compiled

    def matched(self, y: Any, y_pred: Any, sample_weight: Any) -> list[tuple[OutputPlan, Tensor, Tensor, Any]]:
        """For each output with a loss or metrics: its plan, target, prediction and weights."""
        model = self.plan.model
        names, outputs = _named(y_pred, model.output_names if model.has_layer_graph else None)
        compiled = self.compilation(outputs, names)
        targets, weights = _by_output(y, names, "y"), _by_output(sample_weight, names, "sample_weight", spread_one=True)
        found = []
        for plan in compiled.outputs:
            target = targets[plan.index]
            if target is None:
                raise DataError(
                    f"model {model.name!r}: output {plan.name!r} has a loss or metrics, but the step got no "
                    "target for it; pass y to fit, or compile without"
                )
            predicted = outputs[plan.index]
            found.append((plan, aligned(as_tensor(target), predicted, plan), predicted, weights[plan.index]))
        return found


class CompiledLoss:
    """The losses of ``compile``. Called, it gives their weighted sum and shows it as ``loss``."""

    def __init__(self, containers: Containers) -> None:
        self._containers = containers
        self._total: Mean | None = None
        self._parts: dict[str, Mean] = {}

    @property
    def metrics(self) -> list[Metric]:
        """The Means that show the losses: none before the first call."""
        return [] if self._total is None else [self._total, *self._parts.values()]

    def __call__(
        self, y_true: Any, y_pred: Any, sample_weight: Any = None, regularization_losses: Sequence[Any] | None = None
    ) -> Tensor:
        """The loss of a batch, a scalar.

        Args:
            y_true, y_pred, sample_weight: targets, outputs and weights: tensors, or lists or dictionaries by output.
            regularization_losses: what is added, usually ``model.losses``.

        Raises:
            ValueError: an output with a loss has no target.
        """
        total: Tensor | None = None
        size = _batch_size(y_pred)
        matched = [item for item in self._containers.matched(y_true, y_pred, sample_weight) if item[0].loss is not None]
        several = len(self._containers.plan.outputs) > 1
        if not matched and not regularization_losses:
            return as_tensor(0.0)  # nothing to show
        if self._total is None:
            self._total = _mean("loss")
        for plan, y, output, w in matched:
            loss = output_loss(plan, output, y, None if w is None else as_tensor(w))
            if several:
                if plan.name not in self._parts:
                    self._parts[plan.name] = _mean(f"{plan.name}_loss")
                self._parts[plan.name].update_state(loss, size)
            term = loss if isinstance(plan.weight, float) and plan.weight == 1 else loss * plan.weight
            total = term if total is None else total + term
        for extra in regularization_losses or []:
            x = as_tensor(extra)
            x = tensor_math.mean(x) if x.ndim else x
            total = x if total is None else total + x
        total = as_tensor(0.0) if total is None else total
        self._total.update_state(total, size)
        return total


class CompiledMetrics:
    """The metrics of ``compile``."""

    def __init__(self, containers: Containers) -> None:
        self._containers = containers
        self._used = False

    @property
    def metrics(self) -> list[Metric]:
        """The Metric objects: none before the first update."""
        compiled = self._containers.plan.compiled
        return list(compiled.metrics) if self._used and compiled is not None else []

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Take a batch into account; arguments as for :class:`CompiledLoss`."""
        arguments = self._containers.plan.arguments
        if arguments is None or not (arguments.metrics or arguments.weighted_metrics):
            return
        matched = self._containers.matched(y_true, y_pred, sample_weight)
        several = len(self._containers.plan.outputs) > 1
        for plan, y, output, w in matched:
            mask = None if output.keras_mask is None else tensor_math.cast(output.keras_mask, output.dtype)
            weights = None if w is None else as_tensor(w)
            both = weights if mask is None else mask if weights is None else spread(weights, mask.ndim) * mask
            for group, factor in ((plan.metrics, mask), (plan.weighted_metrics, both)):
                for metric in group:
                    if several and not self._used:
                        metric.name = f"{plan.name}_{metric.name}"
                    called("metric", metric, metric.update_state, plan.name, y, output, factor)
        self._used = True

    def reset_state(self) -> None:
        """Start anew."""
        for metric in self.metrics:
            metric.reset_states()

    reset_states = reset_state

    def result(self) -> dict[str, Any]:
        """The results by name."""
        return {metric.name: metric.result() for metric in self.metrics}


class _Outputs:
    """What a step of the user's own gives, in the place of a model's outputs."""

    def __init__(self, output_names: Sequence[str], outputs: Sequence[Tensor]) -> None:
        self.output_names = list(output_names)
        self.outputs = list(outputs)


def aligned(y: Tensor, y_pred: Tensor, plan: OutputPlan) -> Tensor:
    """Targets with the last axis of size 1 that predictions have, or that class numbers may leave out."""
    sparse = plan.loss is not None and losses.target_kind(plan.loss) == "sparse"
    if y.ndim == y_pred.ndim - 1 and (y_pred.shape[-1] == 1 or sparse or y.ndim == 1):
        axis = plan.class_axis if sparse else -1
        return Tensor(shaping.expand_dims(y.value, axis % y_pred.ndim))
    return y


def _mean(name: str) -> Mean:
    with at_once():
        return Mean(name=name)


def _named(y_pred: Any, names: Sequence[str] | None) -> tuple[list[str], list[Tensor]]:
    if isinstance(y_pred, Mapping):
        names = sorted(y_pred)  # the order of a model's outputs
        return names, [as_tensor(y_pred[name]) for name in names]
    outputs = list(y_pred) if isinstance(y_pred, (list, tuple)) else [y_pred]
    if names is None or len(names) != len(outputs):
        names = [f"output_{i + 1}" for i in range(len(outputs))]
    return list(names), [as_tensor(x) for x in outputs]


def _by_output(value: Any, names: Sequence[str], argument: str, spread_one: bool = False) -> list[Any]:
    if isinstance(value, Mapping):
        for key in value:
            if key not in names:
                raise unknown_name(f"output in {argument}:", key, names)
        return [value.get(name) for name in names]
    if isinstance(value, (list, tuple)):
        if len(value) != len(names):
            raise DataError(f"{argument} has {len(value)} entries for {len(names)} outputs")
        return list(value)
    if len(names) > 1 and value is not None and not spread_one:
        raise DataError(f"{argument} is one tensor for {len(names)} outputs; give one for each")
    return [value] * len(names)


def _batch_size(y_pred: Any) -> Tensor:
    first = as_tensor(flatten(y_pred)[0])
    return K.cast(K.shape(first)[0], first.dtype)
