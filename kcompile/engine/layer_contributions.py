"""What a layer adds to the training of every model that contains it: losses, updates, metrics."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from kcompile.backend.variables import Variable
from kcompile.engine.lists import as_list
from kcompile.engine.step_trace import current_step
from kcompile.engine.tensor import Tensor, as_tensor
from kcompile.engine.traces import with_sublayers
from kcompile.errors import check_one_of

if TYPE_CHECKING:
    from kcompile.engine.layer import Layer


class LayerContributions:
    """Losses, updates and metrics; a part of :class:`~kcompile.engine.layer.Layer`."""

    name: str
    trainable: bool
    stateful: bool
    sublayers: list[Layer]
    _losses: list[tuple[Tensor, Any]]
    _updates: list[tuple[Any, Any]]
    _metrics: list[tuple[str, Tensor]]
    _regularized: list[tuple[Variable, Any]]

    def add_loss(self, losses: Any, inputs: Any = None) -> None:
        """Add scalar (or per-sample) tensors to the loss of every model that contains this layer."""
        for loss in as_list(losses):
            self._losses.append((as_tensor(loss() if callable(loss) else loss), inputs))

    def add_update(self, updates: Any, inputs: Any = None) -> None:
        """Add pairs ``(variable, new value)`` to be applied by each training step."""
        pairs = updates if isinstance(updates, list) else [updates]
        if (step := current_step()) is not None:
            step.layer_updates(cast("Layer", self), pairs)
            return
        self._updates.extend((pair, inputs) for pair in pairs)

    def add_metric(self, value: Any, name: str | None = None, aggregation: str | None = "mean") -> None:
        """Show the mean of ``value`` among the metrics of every model that contains this layer.

        Args:
            value: a tensor.
            name: shown in logs; default: the layer's name with ``_metric``.
            aggregation: ``mean`` over all batches, which is also what ``None`` gives.

        Raises:
            ValueError: another aggregation.
        """
        check_one_of(f"layer {self.name!r}: add_metric", "aggregation", aggregation, ("mean", None))
        self._metrics.append((name or f"{self.name}_metric", as_tensor(value)))

    @property
    def losses(self) -> list[Tensor]:
        """Regularization and added losses, of this layer and of those that it contains, each once."""
        layers = with_sublayers(cast("Layer", self))
        own = [regularizer(w) for layer in layers if layer.trainable for w, regularizer in layer._regularized]
        return own + [loss for layer in layers for loss, _ in layer._losses]

    @property
    def updates(self) -> list[Any]:
        """Updates of training steps, each once; none if the layer is not trainable and not stateful."""
        if not self.trainable and not self.stateful:
            return []
        found = [pair for pair, _ in self._updates] + [u for s in self.sublayers for u in s.updates]
        return list({id(pair): pair for pair in found}.values())

    def get_losses_for(self, inputs: Any) -> list[Tensor]:
        """Added losses that belong to ``inputs``; with ``None`` those that depend on no input."""
        wanted = {id(x) for x in as_list(inputs)}
        if inputs is None:
            return [r(w) for w, r in self._regularized] + [loss for loss, x in self._losses if x is None]
        return [loss for loss, x in self._losses if any(id(item) in wanted for item in as_list(x))]

    def get_updates_for(self, inputs: Any) -> list[Any]:
        """Updates that belong to ``inputs``; with ``None`` those that depend on no input."""
        wanted = {id(x) for x in as_list(inputs)}
        if inputs is None:
            return [pair for pair, x in self._updates if x is None]
        return [pair for pair, x in self._updates if any(id(item) in wanted for item in as_list(x))]
