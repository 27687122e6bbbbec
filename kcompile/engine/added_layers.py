"""Losses and metrics of a functional model's own tensors, as layers of the model: saved, cloned and replayed with it.

``model.add_loss(tensor)`` puts an :class:`AddLoss` behind the tensor, as tf.keras does; it is no output of the model.
"""

from __future__ import annotations

from typing import Any

from kcompile.common.errors import KCompileError, warn
from kcompile.common.lists import as_list, unique
from kcompile.engine.added_metrics import metric_result
from kcompile.engine.layer import Layer, OpLayer, wrap_operations
from kcompile.engine.layer_base import Node
from kcompile.engine.network_base import NetworkBase
from kcompile.engine.notes import belongs, caller
from kcompile.engine.tracing import trace
from kcompile.symbolic.dependence import input_leaves
from kcompile.symbolic.history import remember
from kcompile.symbolic.tensor import Tensor, as_tensor


class AddLoss(Layer):
    """Adds its input to the loss, and gives it out.

    Args:
        unconditional: whether the loss counts as depending on no input; see ``get_losses_for``.
    """

    def __init__(self, unconditional: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.unconditional = bool(unconditional)
        self.supports_masking = True

    def call(self, inputs: Any) -> Any:
        self.add_loss(inputs, None if self.unconditional else inputs)
        return inputs

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "unconditional": self.unconditional}


class AddMetric(Layer):
    """Shows the mean of its input as a metric, and gives the input out.

    Args:
        aggregation: ``mean`` or ``None``, which is the same. metric_name: shown in logs.
    """

    def __init__(self, aggregation: str | None = None, metric_name: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.aggregation = aggregation
        self.metric_name = metric_name
        self.supports_masking = True

    def call(self, inputs: Any) -> Any:
        self.add_metric(inputs, name=self.metric_name, aggregation=self.aggregation)
        return inputs

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "aggregation": self.aggregation, "metric_name": self.metric_name}


class AddedLayers(NetworkBase):
    """The losses and metrics that were added to a model; a part of :class:`~kcompile.engine.network.Network`."""

    def add_loss(self, losses: Any, inputs: Any = None) -> None:
        """Add to the loss of this model, and of every model that contains it.

        Args:
            losses: a tensor that is computed from the model's inputs or layers, a function without arguments that gives
                one, or a list of these.
            inputs: for models that define ``call``: the tensors that the losses depend on.

        Raises:
            ValueError: a tensor that is computed from inputs of another model.
        """
        for loss in as_list(losses):
            value = loss() if callable(loss) else loss
            if value is None:
                continue
            value = as_tensor(value)
            if callable(loss) or not self._takes(value, "add_loss"):
                super().add_loss(value, inputs)
            else:
                self._insert(value, AddLoss(dtype=value.dtype))

    def add_metric(self, value: Any, name: str | None = None, aggregation: str | None = "mean") -> None:
        """Show the mean of a tensor among the metrics of this model, and of every model that contains it.

        Args:
            value: a tensor that is computed from the model's inputs or layers.
            name: shown in logs. aggregation: ``mean``, which is also what ``None`` gives.

        Raises:
            ValueError: no name, another aggregation, or a tensor that is computed from inputs of another model.
        """
        result = metric_result(value)
        if result is not None and caller() is not self:
            if result.mean_of is None:
                raise KCompileError(
                    f"model {self.name!r}: add_metric takes a tensor, whose mean is shown, not the result of metric "
                    f"{result.metric.name!r}; pass the tensor, or call the metric in a layer of your own"
                )
            value, name = result.mean_of, result.metric.name
        if result is None or caller() is not self:
            value = as_tensor(value)
            if name is not None and aggregation in ("mean", None) and self._takes(value, "add_metric"):
                self._insert(value, AddMetric(aggregation, name, dtype=value.dtype))
                return
        super().add_metric(value, name, aggregation)

    def _takes(self, value: Tensor, verb: str) -> bool:
        """Whether a tensor becomes part of the model's graph; others are noted, as those of any layer.

        Raises:
            ValueError: it never could be computed.
        """
        if not self._functional or self._subclassed or caller() is self or not input_leaves(value):
            return False
        if belongs(self, value):
            return True
        raise KCompileError(
            f"model {self.name!r}: {verb} got a tensor that is computed from inputs of another model; compute it from "
            "the inputs and layers of this one"
        )

    def _insert(self, value: Tensor, layer: Layer) -> None:
        x = value if value.keras_history is not None else wrap_operations(value)
        y = layer(x)
        remember(x)  # what is computed from it later starts there, not behind the loss
        self.append_ends([y])


# ---- what can be written


def lasting(model: NetworkBase, say: bool = False) -> tuple[list[Layer], set[int]]:
    """The layers of a model that its configuration holds, and their nodes (by ``id``).

    Left out are losses and metrics that are computed outside of layers with variables, which none can hold.

    Args:
        model: a functional or Sequential model. say: warn of what is left out.
    """
    if say:
        model.warn_of_plain_losses("saved")
    kept = unique([*model.layers, *(node.layer for node in model.nodes_of_layer_graph)])
    nodes = {id(node) for node in model.nodes_of_layer_graph}
    for y in model.added_ends:
        way = _way(model, y)
        reason = next((text for node in way if (text := _unwritable(node.layer))), None)
        if reason is None:
            continue
        assert y.keras_history is not None
        what = "loss" if isinstance(y.keras_history[0], AddLoss) else "metric"
        if say:
            warn(
                f"model {model.name!r}: a {what} that was added to it is not saved, because {reason}; add it again "
                "after loading"
            )
        others = [node for other in model.added_ends if other is not y for node in _way(model, other)]
        gone = {id(node) for node in way} - {id(node) for node in others if not _unwritable(node.layer)}
        nodes -= gone
        written = [*model.main_layer_nodes, *(node for node in model.nodes_of_layer_graph if id(node) in nodes)]
        here = {node.layer for node in written}
        kept = [item for item in kept if item in here]
    return kept, nodes


def outputs_of(layer: Layer) -> list[Tensor]:
    """What a layer gave out in all its calls in a graph."""
    return [y for node in layer.call_notes.inbound_nodes for y in node.output_tensors]


def _way(model: NetworkBase, y: Tensor) -> list[Node]:
    """The nodes that only added tensors need."""
    own = {id(node) for node in model.main_layer_nodes}
    return [node for node in trace(model.name, model.inputs, [y])[0] if id(node) not in own]


def _unwritable(layer: Layer) -> str | None:
    if not isinstance(layer, OpLayer):
        return None
    try:
        layer.get_config()
    except KCompileError as error:
        return str(error).rstrip(".")
    return None
