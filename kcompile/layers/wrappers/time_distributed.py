"""TimeDistributed: a layer applied to every time step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kcompile import backend as K
from kcompile import ir
from kcompile.common.errors import KCompileError, ShapeError
from kcompile.common.lists import as_list, is_shape_list, one_or_list
from kcompile.engine.layer import Layer, Shape
from kcompile.engine.layer_calls import call_arguments
from kcompile.engine.node import InputSpec
from kcompile.engine.notes import made_now
from kcompile.ir.ops.arrays.shaping import reshape
from kcompile.ir.substitution import substitute
from kcompile.layers.base.types import Mask, Masks, Phase, Shapes, each_shape
from kcompile.layers.wrappers.wrapper import Wrapper, build_inside, calls_inside
from kcompile.objects.registry import our_base
from kcompile.symbolic.tensor import Tensor, TensorLike, as_tensor

__all__ = ["TimeDistributed"]


class TimeDistributed(Wrapper):
    """Applies a layer to every time step, with the same weights.

    Shapes: ``(batch, steps, ...)`` to ``(batch, steps, ...)``; the inner layer sees ``(batch * steps, ...)``, so that
    all steps are computed at once. Any layer or model will do, also one of several inputs (all with as many steps) or
    outputs. A mask that has the axes of time and more is the inner layer's mask; of a mask of steps it sees one
    element per sample.

    As in Keras, the layer is called step by step where that may make a difference: on a fixed batch size, if it is
    stateful (its states go from step to step) or a class of the user's that derives from ``Layer`` itself. A masked
    step repeats the output of the step before it then.

    Args:
        layer: what is applied to ``(batch, ...)``.

    Raises:
        TypeError (also a ValueError): ``layer`` is not a layer.
        ValueError: on a call, an input has fewer than three axes, or what goes on from step to step needs to
            know their number.
    """

    def __init__(self, layer: Layer, **kwargs: Any) -> None:
        super().__init__(layer, **kwargs)
        self.supports_masking = True
        self.stateful = _is_stateful(layer)
        if (index_limit := getattr(layer, "index_limit", None)) is not None:  # an Embedding's indices are checked
            self.index_limit, self.input_dtype = index_limit, getattr(layer, "input_dtype", None)

    # -- shapes

    def build(self, input_shape: Shapes | None = None) -> None:
        if input_shape is None:
            raise ShapeError(f"layer {self.name!r} (TimeDistributed) is built for an input shape, got None")
        shapes = each_shape(input_shape)
        for shape in shapes:
            if len(shape) < 3:
                raise ShapeError(
                    f"layer {self.name!r} (TimeDistributed) takes inputs (batch, steps, ...) with at least 3 axes, got "
                    f"shape {shape}; layer {self.layer.name!r} can be applied to it directly"
                )
        inner = [_without_steps(shape) for shape in shapes]
        build_inside(self.layer, inner if is_shape_list(input_shape) else inner[0])
        self.input_spec = [InputSpec(shape=(None, None, *shape[2:])) for shape in shapes]
        self.built = True

    def compute_output_shape(self, input_shape: Shapes) -> Any:
        nested, shapes = is_shape_list(input_shape), each_shape(input_shape)
        inner = [_without_steps(shape) for shape in shapes]
        found = self.layer.compute_output_shape(inner if nested else inner[0])
        steps = shapes[0][1]
        if is_shape_list(found):
            return [(shape[0], steps, *shape[1:]) for shape in found]
        return (found[0], steps, *found[1:])

    # -- computing

    def call(self, inputs: Any, training: Phase = None, mask: Masks = None) -> Any:
        tensors, masks = as_list(inputs), as_list(mask)
        masks = masks or [None] * len(tensors)
        arguments = {"training": training} if "training" in call_arguments(type(self.layer)) else {}
        nested = isinstance(inputs, (list, tuple))
        if tensors[0].shape[0] is not None and (self.stateful or _is_users(self.layer)):
            return self._step_by_step(tensors, masks, nested, arguments)
        return self._at_once(tensors, masks, nested, arguments)

    def _at_once(self, tensors: list[Tensor], masks: list[Any], nested: bool, arguments: dict[str, Any]) -> Any:
        folded = [_fold(x) for x in tensors]
        if self.layer.supports_masking or "mask" in call_arguments(type(self.layer)):
            for x, mask in zip(folded, masks, strict=True):
                x.keras_mask = None if mask is None else _fold(mask)
        with calls_inside(self, self.layer, folded):
            outputs = self.layer(folded if nested else folded[0], **arguments)
        results = [_unfold(y, tensors[0]) for y in as_list(outputs)]
        for y, inner in zip(results, as_list(outputs), strict=True):
            y.keras_mask = self._mask_of(inner.keras_mask, tensors[0], masks)
        return results if isinstance(outputs, list) else results[0]

    def _mask_of(self, inner: Mask, x: Tensor, masks: Sequence[Mask]) -> Tensor | None:
        """An output's mask: that which the inner layer computed, else the steps that have anything unmasked."""
        if inner is not None:
            return _unfold(as_tensor(inner), x)
        given = next((as_tensor(mask) for mask in masks if mask is not None), None)
        if given is None or given.ndim == 2:
            return given
        return K.any(given, axis=list(range(2, given.ndim)))

    def _step_by_step(self, tensors: list[Tensor], masks: list[Any], nested: bool, arguments: dict[str, Any]) -> Any:
        steps = tensors[0].shape[1]
        if steps is None:
            return self._in_a_loop(tensors, masks, nested, arguments)
        mask = next((as_tensor(m) for m in masks if m is not None), None)
        states = _Updates(self.layer)
        collected: list[list[Tensor]] = []
        several = False
        for step in range(steps):
            slices = [x[:, step] for x in tensors]
            with calls_inside(self, self.layer, slices):
                outputs = self.layer(slices if nested else slices[0], **arguments)
            several = isinstance(outputs, list)
            current = states.advance(as_list(outputs))
            if mask is not None:
                before = collected[-1] if collected else [K.zeros_like(y) for y in current]
                current = [K.switch(mask[:, step], y, last) for y, last in zip(current, before, strict=True)]
            collected.append(current)
        states.finish()
        results = [K.stack(list(ys), axis=1) for ys in zip(*collected, strict=True)]
        for y in results:
            y.keras_mask = mask
        return results if several else results[0]

    def _in_a_loop(self, tensors: list[Tensor], masks: list[Any], nested: bool, arguments: dict[str, Any]) -> Any:
        """As :meth:`_step_by_step`, for an open number of steps."""
        before = _count_notes(self.layer)

        def step(x: Any, states: Any) -> tuple[Any, list[Any]]:
            slices = as_list(x)
            with calls_inside(self, self.layer, slices):
                return self.layer(slices if nested else slices[0], **arguments), []

        mask = next((m for m in masks if m is not None), None)
        _, outputs, _ = K.rnn(step, tensors if nested else tensors[0], [], mask=mask)
        if self.stateful or _count_notes(self.layer) != before:
            raise KCompileError(
                f"layer {self.name!r} (TimeDistributed): the batch size is fixed and layer {self.layer.name!r} has "
                "states, losses, updates or metrics that go on from step to step, so the number of steps must be "
                "known; give it in Input(batch_shape=...), or leave the batch size open"
            )
        for y in as_list(outputs):
            y.keras_mask = None if mask is None else as_tensor(mask)
        return outputs

    # -- masks

    def _masks(self, inputs: Any, masks: Any, outputs: Sequence[Tensor]) -> list[Tensor | None]:
        return [y.keras_mask for y in outputs]

    def compute_mask(self, inputs: Any, mask: Masks = None) -> Any:
        """What the inner layer computes from the masks of all samples and steps; see the class."""
        tensors, masks = as_list(inputs), as_list(mask)
        if tensors[0].shape[0] is not None and (self.stateful or _is_users(self.layer)):
            return mask
        folded = [_fold(x) for x in tensors]
        inner_masks = [None if m is None else _fold(m) for m in masks]
        found = self.layer.compute_mask(one_or_list(folded), one_or_list(inner_masks) if masks else None)
        results = [self._mask_of(inner, tensors[0], masks) for inner in as_list(found) or [None]]
        return one_or_list(results)

    def reset_states(self) -> None:
        """Forget the states of a stateful inner layer.

        Raises:
            AttributeError: it has none.
        """
        self.layer.reset_states()


class _Updates:
    """What a layer that is called several times in a row adds: each call starts from the updates of the one before."""

    def __init__(self, layer: Layer) -> None:
        self._before = {item: item.call_notes for item in layer.layer_and_those_inside()}
        self._latest: dict[ir.Value, ir.Value] = {}
        self._last: dict[ir.Value, tuple[Layer, Any, Any]] = {}

    def advance(self, outputs: Sequence[Tensor]) -> list[Tensor]:
        """The outputs of a call, computed from the present values of what earlier calls updated."""
        new = {item: item.call_notes.since(before) for item, before in self._before.items()}
        added = [(item, pair, x) for item, notes in new.items() for pair, x in notes.updates]
        losses = [loss for notes in new.values() for loss, _ in notes.losses]
        tensors = [*outputs, *(as_tensor(pair[1]) for _, pair, _ in added), *losses]
        values = iter(substitute([x.value for x in tensors], self._latest))
        current = [Tensor(next(values)) for _ in outputs]
        for item, pair, x in added:
            value = next(values)
            self._latest[pair[0].value] = value
            self._last[pair[0].value] = (item, (pair[0], Tensor(value)), x)
        for item, before in self._before.items():
            changed = [(made_now(Tensor(next(values))), x) for _, x in new[item].losses]
            notes = item.call_notes.but(updates=before.updates, losses=(*before.losses, *changed))
            item.call_notes = self._before[item] = notes
        return current

    def finish(self) -> None:
        """Leave the updates of the last call to the layers."""
        for item, pair, x in self._last.values():
            item.call_notes = item.call_notes.and_more(updates=[(pair, x)])
            made_now(pair[1])


def _count_notes(layer: Layer) -> int:
    """How many losses, updates and metrics there are in a layer."""
    return sum(item.call_notes.contributions() for item in layer.layer_and_those_inside())


def _is_stateful(layer: Layer) -> bool:
    return any(item.stateful for item in layer.layer_and_those_inside())


def _is_users(layer: Layer) -> bool:
    """Whether the layer is of a class that a user derived from ``Layer`` itself."""
    return our_base(type(layer)) is Layer and type(layer) is not Layer


def _without_steps(shape: Shape) -> Shape:
    return (shape[0], *shape[2:])


def _fold(x: TensorLike) -> Tensor:
    """``(batch, steps, ...)`` as ``(batch * steps, ...)``."""
    batch, steps, *rest = as_tensor(x).value.shape
    return Tensor(reshape(as_tensor(x).value, (batch * steps, *rest)))


def _unfold(y: Tensor, x: Tensor) -> Tensor:
    """``(batch * steps, ...)`` as ``(batch, steps, ...)``, the sizes of ``x``."""
    return Tensor(reshape(y.value, (*x.value.shape[:2], *y.value.shape[1:])))
