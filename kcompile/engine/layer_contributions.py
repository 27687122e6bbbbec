"""What a layer adds to the training of every model that contains it: losses, updates, metrics."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from kcompile.backend import math
from kcompile.backend.shape import shape
from kcompile.common.checks import check_one_of
from kcompile.common.errors import KCompileError
from kcompile.common.lists import as_list
from kcompile.engine.added_metrics import Noted, metric_result
from kcompile.engine.layer_base import LayerBase
from kcompile.engine.notes import made_now
from kcompile.engine.traced_calls import calls_in
from kcompile.objects.dialects import conventions
from kcompile.objects.registry import find
from kcompile.symbolic.dependence import input_leaves, reached
from kcompile.symbolic.step_trace import StepTrace, current_step
from kcompile.symbolic.tensor import Tensor, as_tensor
from kcompile.symbolic.trace import at_once
from kcompile.symbolic.variable import Variable


class LayerContributions(LayerBase):
    """Losses, updates and metrics; a part of :class:`~kcompile.engine.layer.Layer`."""

    _step_metrics: list[Any]
    _regularized: list[tuple[Variable, Any]]

    def add_loss(self, losses: Any, inputs: Any = None) -> None:
        """Add scalar (or per-sample) tensors to the loss of every model that contains this layer.

        Args:
            losses: a tensor, a function without arguments that gives one, or a list of these; ``None`` adds nothing.
            inputs: the tensors that the losses depend on; ``None``: they count as unconditional.
        """
        for loss in as_list(losses):
            if (value := loss() if callable(loss) else loss) is not None:
                self.call_notes = self.call_notes.and_more(losses=[(made_now(as_tensor(value)), inputs)])

    def add_update(self, updates: Any, inputs: Any = None) -> None:
        """Add pairs ``(variable, new value)`` to be applied by each training step."""
        pairs = updates if isinstance(updates, list) else [updates]
        if (step := current_step()) is not None:
            self._update_in(step, pairs)
            return
        self.call_notes = self.call_notes.and_more(updates=[(pair, inputs) for pair in pairs])
        for _, value in pairs:
            made_now(as_tensor(value))

    def _update_in(self, step: StepTrace, pairs: Sequence[Any]) -> None:
        """Make updates at once, in a traced step; none while this layer, or one around it, is frozen."""
        if calls_in(step).is_trained(self):
            for pair in pairs:
                if not isinstance(pair, (tuple, list)) or len(pair) != 2:
                    raise KCompileError(f"layer {self.name!r}: add_update takes pairs (variable, value), got {pair!r}")
                step.append((pair[0], pair[1]))

    def add_metric(self, value: Any, name: str | None = None, aggregation: str | None = "mean") -> None:
        """Show ``value`` among the metrics of every model that contains this layer.

        Args:
            value: a tensor, whose mean over all batches is shown; or what a Metric object returned, which is shown
                under its own name, as in tf.keras.
            name: shown in logs.
            aggregation: ``mean``, which is also what ``None`` gives.

        Raises:
            ValueError: another aggregation, or a tensor without a name.
        """
        check_one_of(f"layer {self.name!r}: add_metric", "aggregation", aggregation, ("mean", None))
        if (result := metric_result(value)) is not None:
            metric = result.metric
            if current_step() is not None:
                self._step_metrics += [] if any(metric is old for old in self._step_metrics) else [metric]
                return
            if all(note.metric is not metric for note in self.call_notes.metrics):
                raise KCompileError(
                    f"layer {self.name!r}: add_metric got the result of metric {metric.name!r}, which was called "
                    "outside of the layer's call; call it there, or pass the tensor itself"
                )
            return
        if name is None:
            raise KCompileError(
                f"layer {self.name!r}: add_metric needs a name for the logs: add_metric(value, name='mean_activation')"
            )
        if current_step() is not None:
            self._own_mean(name).update_state(value)
        else:
            self.call_notes = self.call_notes.and_more(metrics=[Noted(name, made_now(as_tensor(value)))])

    def _own_mean(self, name: str) -> Any:
        """The metric under that name that this layer feeds in steps of a user's own."""
        found = next((metric for metric in self._step_metrics if metric.name == name), None)
        if found is None:
            with at_once():
                found = find("Mean", "metric")(name=name)
            self._step_metrics.append(found)
        return found

    @property
    def losses(self) -> list[Tensor]:
        """Added losses and the penalties on weights, of this layer and of those in it, layer by layer.

        Frozen layers count, but not those of files of Keras 3, which leaves them out.
        """
        return [loss for loss, _ in self._loss_entries()]

    def _loss_entries(self) -> list[tuple[Tensor, bool]]:
        """The losses, and whether they count as depending on inputs."""
        training = set(_training(self))
        found = []
        for layer in self.layer_and_those_inside():
            found += [(loss, x is not None) for loss, x in layer.call_notes.losses]
            for w, regularizer in layer.penalties_of_weights:
                if not conventions.of(layer).frees_frozen or (w.trainable and layer in training):
                    found.append((as_tensor(regularizer(w)), False))
        return found

    @property
    def updates(self) -> list[Any]:
        """Updates of training steps, each once; none if the layer is not trainable and not stateful."""
        if not self.trainable and not self.stateful:
            return []
        found = [pair for pair, _ in self.call_notes.updates] + [u for s in self.layers_inside for u in s.updates]
        return list({id(pair): pair for pair in found}.values())

    def get_losses_for(self, inputs: Any) -> list[Tensor]:
        """The losses that are computed from ``inputs`` (tensors at any place before them).

        With ``None`` those that count as unconditional: penalties on weights, and what was added without ``inputs``.
        """
        entries = self._loss_entries()
        if inputs is None:
            return [loss for loss, conditional in entries if not conditional]
        losses = [loss for loss, conditional in entries if conditional]
        return list(itertools.compress(losses, reached(losses, as_list(inputs))))

    def get_updates_for(self, inputs: Any) -> list[Any]:
        """The updates that are computed from ``inputs``; with ``None`` those that depend on no input."""
        pairs = self.updates
        values = [as_tensor(value) for _, value in pairs]
        if inputs is None:
            return [pair for pair, value in zip(pairs, values, strict=True) if not input_leaves(value)]
        return list(itertools.compress(pairs, reached(values, as_list(inputs))))


def activity_loss(layer: LayerBase, regularizer: Callable[[Any], Any], y: Tensor) -> Tensor:
    """The penalty for an output, by the layer's convention."""
    loss = as_tensor(regularizer(y))
    if conventions.of(layer).sums_activity or y.ndim == 0:
        return loss
    return loss / math.maximum(math.cast(shape(y)[0], loss.dtype), 1.0)


def _training(layer: LayerBase) -> Iterator[LayerBase]:
    """The layers that train, those in a frozen one left out."""
    if layer.trainable:
        yield layer
        for inner in layer.layers_inside:
            yield from _training(inner)
