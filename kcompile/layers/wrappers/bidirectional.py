"""Bidirectional: a recurrent layer in both directions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kcompile import backend as K
from kcompile.common.checks import check_one_of
from kcompile.common.errors import KCompileError, ShapeError
from kcompile.common.lists import as_list, is_shape_list
from kcompile.common.tracebacks import short_traceback
from kcompile.engine.layer import Layer
from kcompile.layers.base.types import Masks, Phase, Shapes, each_shape
from kcompile.layers.recurrent.base import RNN, depends_on_layers
from kcompile.layers.wrappers.wrapper import Wrapper, build_inside, calls_inside, check_layer, clone_of
from kcompile.objects.configs import layer_from_config
from kcompile.objects.custom import get_registered_name
from kcompile.symbolic.tensor import Tensor, as_tensor

__all__ = ["Bidirectional"]

MERGE_MODES = ("sum", "mul", "concat", "ave", None)
_COMMON = ("stateful", "return_sequences", "return_state", "time_major")


class Bidirectional(Wrapper):
    """Runs a recurrent layer over the steps from the first to the last and, with other weights, from the last to the
    first.

    Both directions are copies of ``layer``, named ``forward_...`` and ``backward_...``; the weights are those of
    ``forward_layer``, then those of ``backward_layer``. Outputs of all steps are in the order of the input, for both.
    Called with ``initial_state``, the first half of the list is for ``forward_layer``; states are returned in the same
    order. With ``return_sequences``, masked steps give zeros, as in tf.keras (Keras 2.3.1 repeats the output before).

    Source: Schuster and Paliwal (1997); Keras 2.3.1; ``backward_layer`` of tf.keras.

    Args:
        layer: a recurrent layer.
        merge_mode: what becomes of the two outputs: ``concat`` (on the last axis), ``sum``, ``mul``, ``ave``, or
            ``None``: both are returned.
        weights: initial weights of both directions.
        backward_layer: another layer for the second direction, which must go backwards (if ``layer`` does not).

    Raises:
        TypeError (also a ValueError): a layer is not a recurrent layer.
        ValueError: an unknown ``merge_mode``, two layers that do not fit each other; an odd number of states in a call.
    """

    def __init__(
        self,
        layer: Layer,
        merge_mode: str | None = "concat",
        weights: Sequence[Any] | None = None,
        backward_layer: Layer | None = None,
        **kwargs: Any,
    ) -> None:
        owner = type(self).__name__
        check_one_of(owner, "merge_mode", merge_mode, MERGE_MODES)
        for argument, item in (("layer", layer), ("backward_layer", backward_layer)):
            if item is not None or argument == "layer":
                _check_recurrent(owner, argument, item)
        kwargs.setdefault("trainable", layer.trainable)
        super().__init__(layer, **kwargs)
        self.merge_mode = merge_mode
        self._backward_name = None if backward_layer is None else backward_layer.name
        self._backward_config: dict[str, Any] | None = None
        if backward_layer is None:
            backward_layer = clone_of(layer)
            backward_layer.go_backwards = not layer.go_backwards
        else:
            _check_fits(owner, layer, backward_layer)
            self._backward_config = _serialized(backward_layer)
        self.forward_layer = clone_of(layer)
        self.backward_layer: Any = backward_layer
        for item, direction in ((self.forward_layer, "forward"), (self.backward_layer, "backward")):
            _rename(item, f"{direction}_{item.name.removeprefix(f'{direction}_')}")  # Keras 3 writes the new names
            item.zero_output_for_mask = item.return_sequences
        for name in _COMMON:
            setattr(self, name, getattr(layer, name))
        self.supports_masking = True
        if weights is not None:
            half = len(weights) // 2
            self.forward_layer._initial_weights = weights[:half]
            self.backward_layer._initial_weights = weights[half:]

    def items_it_keeps(self) -> list[Any]:
        """The two directions; ``layer`` is only what they were made from."""
        return [item for item in super().items_it_keeps() if item is not self.layer]

    # -- calling

    @short_traceback
    def __call__(self, inputs: Any, initial_state: Any = None, constants: Any = None, **kwargs: Any) -> Any:
        """As of a recurrent layer; ``initial_state`` lists the states of both directions.

        Raises:
            ValueError: an odd number of states, or states of which only some depend on model inputs.
        """
        x, states, constants = self.forward_layer.split_off_states(inputs, initial_state, constants)
        self.forward_layer.num_constants = self.backward_layer.num_constants = len(constants)
        if len(states) % 2:
            raise ShapeError(
                f"layer {self.name!r} (Bidirectional): initial_state must list the states of the forward layer and "
                f"then those of the backward layer, got {len(states)} tensors"
            )
        added = [*states, *constants]
        within = [depends_on_layers(item) for item in added]
        if all(within) or not any(isinstance(item, Tensor) for item in (x, *added)):
            return super().__call__([x, *added] if added else x, **kwargs)
        if any(within):
            raise KCompileError(
                f"layer {self.name!r} (Bidirectional): some of the initial states and constants depend on model inputs "
                "and some do not; turn the others into inputs, or compute them in a layer"
            )
        if states:
            kwargs["initial_state"] = states
        if constants:
            kwargs["constants"] = constants
        return super().__call__(x, **kwargs)

    def call(
        self, inputs: Any, mask: Masks = None, training: Phase = None, initial_state: Any = None, constants: Any = None
    ) -> Any:
        x, states, constants = self.forward_layer.split_off_states(inputs, initial_state, constants)
        states = [as_tensor(state) for state in states]
        half, masks = len(states) // 2, as_list(mask)
        common = {"mask": masks[0] if masks else None, "training": training, "constants": constants or None}
        forward = self._run(self.forward_layer, x, states[:half], common)
        backward = self._run(self.backward_layer, x, states[half:], common)
        y, y_backward = forward[0], backward[0]
        if self.return_sequences:
            y_backward = K.reverse(y_backward, 0 if self.time_major else 1)
        merged = [y, y_backward] if self.merge_mode is None else [_merged(self.merge_mode, y, y_backward)]
        results = [*merged, *forward[1:], *backward[1:]]
        return results if len(results) > 1 else results[0]

    def _run(self, layer: Any, x: Tensor, states: Sequence[Tensor], arguments: dict[str, Any]) -> list[Tensor]:
        with calls_inside(self, layer, [x, *states]):
            return as_list(layer(x, initial_state=list(states) or None, **arguments))

    def build(self, input_shape: Shapes | None = None) -> None:
        if input_shape is not None:
            first = each_shape(input_shape)[0]
            build_inside(self.forward_layer, first)
            build_inside(self.backward_layer, first)
        self.built = True

    # -- states

    @property
    def states(self) -> list[Any]:
        """The states of the forward layer, then those of the backward layer."""
        return [*self.forward_layer.states, *self.backward_layer.states]

    def reset_states(self, states: Sequence[Any] | None = None) -> None:
        """Set the states of stateful layers.

        Args:
            states: arrays for the forward layer, then for the backward layer; ``None``: zeros.

        Raises:
            AttributeError: the layers are not stateful.
            ValueError: arrays that do not fit.
        """
        half = 0 if states is None else len(states) // 2
        self.forward_layer.reset_states(None if states is None else list(states[:half]))
        self.backward_layer.reset_states(None if states is None else list(states[half:]))

    # -- shapes and masks

    def compute_output_shape(self, input_shape: Shapes) -> Any:
        forward, backward = (
            found if is_shape_list(found) else [found]
            for found in (item.compute_output_shape(input_shape) for item in (self.forward_layer, self.backward_layer))
        )
        y = [tuple(forward[0])]
        if self.merge_mode is None:
            y.append(tuple(backward[0]))
        elif self.merge_mode == "concat":
            y = [(*y[0][:-1], y[0][-1] + backward[0][-1])]
        shapes = [*y, *map(tuple, forward[1:]), *map(tuple, backward[1:])]
        return shapes if len(shapes) > 1 else shapes[0]

    def compute_mask(self, inputs: Any, mask: Masks = None) -> Any:
        masks = as_list(mask)
        passed = masks[0] if masks and self.return_sequences else None
        outputs = [passed, passed] if self.merge_mode is None else [passed]
        if self.return_state:
            outputs += [None] * len(self.states)
        return outputs if len(outputs) > 1 else passed

    # -- configuration

    def get_config(self) -> dict[str, Any]:
        config = {**super().get_config(), "merge_mode": self.merge_mode}
        if self.forward_layer.num_constants:
            config["num_constants"] = self.forward_layer.num_constants
        if self._backward_config is not None:
            config["backward_layer"] = self._backward_config
        return config

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Mapping[str, Any] | None = None) -> Any:
        """A new layer from :meth:`get_config`; classes that Keras does not know are custom objects."""
        config = dict(config)
        count = config.pop("num_constants", None) or 0
        for key in ("layer", "backward_layer"):
            if config.get(key) is not None:
                config[key] = layer_from_config(config[key], custom_objects)
        return _with_constants(cls(**config), count)

    def clone_of_layer(self) -> Any:
        config = {**self.get_config(), "layer": clone_of(self.layer)}
        count = config.pop("num_constants", 0)
        if self._backward_name is not None:
            config["backward_layer"] = clone_of(self.backward_layer)
            _rename(config["backward_layer"], self._backward_name)
        return _with_constants(type(self)(**config), count)


def _merged(mode: str, y: Tensor, y_backward: Tensor) -> Tensor:
    if mode == "concat":
        return K.concatenate([y, y_backward])
    if mode == "mul":
        return y * y_backward
    return y + y_backward if mode == "sum" else (y + y_backward) / 2


def _rename(layer: Any, name: str) -> None:
    """Rename a layer, and the cell that has its name."""
    if getattr(layer.cell, "name", None) == layer.name:
        layer.cell.name = name
    layer.name = name


def _with_constants(layer: Bidirectional, count: int) -> Bidirectional:
    layer.forward_layer.num_constants = layer.backward_layer.num_constants = count
    return layer


def _serialized(layer: Layer) -> dict[str, Any]:
    return {"class_name": get_registered_name(type(layer)), "config": layer.get_config()}


def _check_recurrent(owner: str, argument: str, layer: Any) -> None:
    check_layer(owner, argument, layer)
    if not isinstance(layer, RNN):
        raise KCompileError(
            f"{owner}: {argument} must be a recurrent layer, such as LSTM or RNN(cell), got {layer.name!r} "
            f"({type(layer).__name__}), which has no direction"
        )


def _check_fits(owner: str, layer: Any, backward_layer: Any) -> None:
    """Refuse two layers that are not two directions of the same thing.

    Raises:
        ValueError: both go the same way, or they differ in what they return or keep.
    """
    if layer.go_backwards == backward_layer.go_backwards:
        raise KCompileError(
            f"{owner}: layer and backward_layer both have go_backwards={layer.go_backwards}; one of them must go the "
            "other way"
        )
    for name in _COMMON:
        values = getattr(layer, name), getattr(backward_layer, name)
        if values[0] != values[1]:
            raise KCompileError(
                f"{owner}: layer has {name}={values[0]} and backward_layer {name}={values[1]}; they must be the same"
            )
