"""What ``compile`` was told, resolved per output: losses, their weights, metrics, names."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from kcompile import losses, optimizers
from kcompile import metrics as metric_functions
from kcompile.common.checks import check_positive_int
from kcompile.common.errors import UnknownNameError
from kcompile.common.lists import per_output
from kcompile.common.meanings import as_meant_now
from kcompile.data.checks import TargetSpec, warn_of_loss_and_activation
from kcompile.data.weights import sample_weight_modes
from kcompile.engine.advice import on_loss_name
from kcompile.engine.layer_base import LayerBase
from kcompile.engine.network import Network
from kcompile.layers import Dropout, Permute, Reshape, Softmax
from kcompile.metrics import MeanMetricWrapper
from kcompile.metrics.by_output import check_used_once, metric_lists
from kcompile.metrics.chosen import ChosenMetric
from kcompile.symbolic.tensor import Tensor
from kcompile.symbolic.variable import Variable
from kcompile.training.added_metrics import AddedMetric
from kcompile.training.loss_weights import WeightDict, WeightList, factor


@dataclass(frozen=True)
class CompileArguments:
    """The arguments of ``compile`` that wait for the outputs of a model: as given, but for the optimizer's name."""

    optimizer: Any
    loss: Any = None
    metrics: Any = None
    loss_weights: WeightList | WeightDict | None = None
    sample_weight_mode: Any = None
    weighted_metrics: Any = None
    steps_per_execution: int | None = None


class Outputs(Protocol):
    """As much of a model as :func:`resolve` looks at."""

    output_names: list[str]
    outputs: list[Tensor]


@dataclass
class OutputPlan:
    """One output that takes targets: it has a loss, or metrics, or both.

    Attributes:
        index: its position among the model's outputs.
        name: its name.
        loss: the resolved loss; ``None``: only metrics look at it.
        weight: its factor in the total loss, a number or a scalar tensor.
        metrics: metrics that ignore sample weights; weighted_metrics: those that use them.
        mode: ``temporal`` if sample weights are given per time step.
    """

    index: int
    name: str
    loss: Any
    weight: Any = 1.0
    metrics: list[Any] = field(default_factory=list)
    weighted_metrics: list[Any] = field(default_factory=list)
    mode: str | None = None
    class_axis: int = -1
    outputs: tuple[str, ...] = ()
    """The names of all outputs of the model."""

    def target(self, shape: tuple[int | None, ...], dtype: str = "float32") -> TargetSpec:
        """What ``y`` must look like."""
        if self.loss is None:
            kind, name = _kind_of_metrics([*self.metrics, *self.weighted_metrics]), ""
        else:
            kind, name = losses.target_kind(self.loss), losses.name_of(self.loss)
        return TargetSpec(self.name, shape, kind, name, dtype, self.class_axis, self.mode, self.outputs)


@dataclass
class Compilation:
    """The arguments of ``compile``, resolved."""

    optimizer: Any
    outputs: list[OutputPlan]
    metrics_names: list[str]
    steps_per_execution: int = 1
    output_names: list[str] = field(default_factory=list)
    added: list[AddedMetric] = field(default_factory=list)
    """The metrics that layers add."""

    @property
    def metrics(self) -> list[Any]:
        return [m for plan in self.outputs for m in (*plan.metrics, *plan.weighted_metrics)]


def resolve(model: Outputs, arguments: CompileArguments, added: Sequence[AddedMetric] = ()) -> Compilation:
    """Check and resolve the arguments of ``compile``.

    Args:
        model: the outputs that they are for.
        arguments: as they were given.
        added: the metrics that layers add.

    Raises:
        ValueError: unknown names (with near matches), or lists and dictionaries that do not fit the outputs.
    """
    names = model.output_names
    given = arguments.loss_weights
    chosen = per_output(arguments.loss, names, "loss")
    factors = per_output(1.0 if given is None else given, names, "loss_weights", default=1.0)
    modes = sample_weight_modes(arguments.sample_weight_mode, names)
    trained = [item is not None for item in chosen]
    plain = metric_lists(arguments.metrics, names, "metrics", trained)
    weighted = metric_lists(arguments.weighted_metrics, names, "weighted_metrics", trained)
    check_used_once([*plain, *weighted])
    plans: list[OutputPlan] = []
    for i, name in enumerate(names):
        if chosen[i] is None and not plain[i] and not weighted[i]:
            continue
        resolved = None if chosen[i] is None else _loss(as_meant_now(chosen[i]))
        weight = 1.0 if given is None else factor(factors[i], name)
        plan = OutputPlan(i, name, resolved, weight, mode=modes[i], outputs=tuple(names))
        shape = tuple(model.outputs[i].shape)
        plan.metrics = [metric_functions.resolve(as_meant_now(m), shape, resolved) for m in plain[i]]
        plan.weighted_metrics = [metric_functions.resolve(as_meant_now(m), shape, resolved) for m in weighted[i]]
        plans.append(plan)
    several = len(names) > 1
    labels = ["loss"]
    if several:
        labels += [f"{plan.name}_loss" for plan in plans if plan.loss is not None]
    for plan in plans:
        for metric in (*plan.metrics, *plan.weighted_metrics):
            labels.append(_free(f"{plan.name}_{metric.name}" if several else metric.name, labels))
    for each in added:
        labels.append(_free(each.name, labels))
    steps = 1 if arguments.steps_per_execution is None else arguments.steps_per_execution
    return Compilation(
        optimizers.get(arguments.optimizer),
        plans,
        labels,
        check_positive_int("compile", "steps_per_execution", steps),
        list(names),
        list(added),
    )


def _free(name: str, taken: Sequence[str]) -> str:
    """The name, with a number if it is taken."""
    names = itertools.chain([name], (f"{name}_{number}" for number in itertools.count(1)))
    return next(each for each in names if each not in taken)


def check_names(loss: Any, *metrics: Any) -> None:
    """Refuse unknown losses and metrics of a model whose outputs are not known yet."""
    for item in _leaves(loss):
        losses.get(item)
    for argument, value in zip(("metrics", "weighted_metrics"), metrics, strict=True):
        if value is not None and not isinstance(value, (list, tuple, dict)):
            metric_lists(value, [], argument)  # raises
        for item in _leaves(value):
            metric_functions.resolve(item, (None, 1), None)


def _leaves(value: Any) -> list[Any]:
    """The entries of nested lists and dictionaries by output; a configuration counts as one entry."""
    if value is None:
        return []
    if isinstance(value, dict) and "class_name" not in value:
        return [leaf for item in value.values() for leaf in _leaves(item)]
    return [leaf for item in value for leaf in _leaves(item)] if isinstance(value, (list, tuple)) else [value]


def warn_of_unfit_losses(model: Network, plans: Sequence[OutputPlan]) -> None:
    """Warn where a loss reads the output of an activation that was not meant for it."""
    for plan in [plan for plan in plans if plan.loss is not None]:
        output = model.outputs[plan.index]
        activation = _last_activation(output)
        function = losses.function_of(plan.loss)
        if activation is not None and losses.target_kind(plan.loss) != "any":
            warn_of_loss_and_activation(
                function.__name__, activation, plan.name, output.shape[-1], losses.reads_logits(plan.loss)
            )


def _last_activation(output: Tensor) -> str | None:
    """The activation that made an output, looked for through layers that only move numbers; None if unknown."""
    x = output
    while x.keras_history is not None:
        layer, node_index, tensor_index = x.keras_history
        if isinstance(layer, Network):
            if layer.outputs[tensor_index] is x:  # a subclassed model: what it calls is its own affair
                return None
            x = layer.outputs[tensor_index]
            continue
        if isinstance(layer, Softmax):
            return "softmax"
        if hasattr(layer, "activation"):
            return str(getattr(layer.activation, "__name__", "")) or None
        if not isinstance(layer, (Reshape, Permute, Dropout)):
            return None
        (x,) = layer.call_notes.inbound_nodes[node_index].input_tensors
    return None


def _loss(identifier: Any) -> Any:
    try:
        return losses.get(identifier)
    except UnknownNameError as error:
        if advice := on_loss_name(identifier):
            raise UnknownNameError(f"Unknown loss {identifier!r}: {advice}") from error
        raise


def _kind_of_metrics(metrics: Sequence[Any]) -> str:
    """What targets an output takes that has no loss: what its metrics compare with, if they agree."""
    plain = [m for m in metrics if isinstance(m, MeanMetricWrapper) and not isinstance(m, ChosenMetric)]
    kinds = {"sparse" if m.kind_of_targets == "sparse" else "same" for m in plain if m.kind_of_targets != "any"}
    return kinds.pop() if len(kinds) == 1 and len(plain) == len(metrics) else "any"


def switches(layer: LayerBase, trainable: bool = True) -> dict[Variable, bool]:
    """Whether the layers in ``layer`` train, by the variables from which their graphs read it.

    A layer does not if one that contains it has ``trainable=False``.
    """
    trains = bool(trainable and layer.trainable)
    switch = getattr(layer, "_switch", None)
    found = {} if switch is None else {switch: trains}
    for sublayer in layer.layers_inside:
        found.update(switches(sublayer, trains))
    return found
