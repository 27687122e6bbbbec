"""Layers that join several tensors, elementwise, by concatenation, or by a product."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

from kcompile import backend as K
from kcompile.common.checks import check_flag, check_int, check_one_of
from kcompile.common.errors import DataTypeError, ShapeError
from kcompile.engine.layer import Layer, Shape
from kcompile.layers.base.joined_masks import ALL, ANY, concatenated, elementwise, extreme, product, rules_differ
from kcompile.layers.base.types import Ints, Mask
from kcompile.symbolic.tensor import Tensor

__all__ = [
    "Add",
    "Average",
    "Concatenate",
    "Dot",
    "Maximum",
    "Minimum",
    "Multiply",
    "Subtract",
    "add",
    "average",
    "concatenate",
    "dot",
    "maximum",
    "minimum",
    "multiply",
    "subtract",
]


class _Join(Layer):
    """What joining layers share: they take a list of two or more tensors.

    Args:
        joined_masks: whether a step counts if it does in ``all`` inputs, as in Keras 2 and tf.keras, or in ``any``, as
            in Keras 3; layers of its files have it.
    """

    _inputs: int | None = None
    """The number of inputs, if it is fixed."""

    masks_matter = False
    """Whether it was called with masks for which ``all`` and ``any`` differ."""

    def __init__(self, *, joined_masks: str = ALL, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.joined_masks = check_one_of(type(self).__name__, "joined_masks", joined_masks, (ALL, ANY))
        self.supports_masking = True

    def _shapes(self, shapes: Sequence[Shape] | None) -> list[Shape]:
        """The shapes of the inputs.

        Raises:
            ValueError: not a list of them, or a wrong number.
        """
        found = shapes if isinstance(shapes, list) and all(isinstance(s, (list, tuple)) for s in shapes) else None
        count = 1 if found is None else len(found)
        if count < 2 or (self._inputs is not None and count != self._inputs):
            expected = f"{self._inputs}" if self._inputs is not None else "at least 2"
            raise ShapeError(
                f"layer {self.name!r} ({type(self).__name__}) is called on a list of {expected} tensors, got "
                f"{'one tensor' if found is None else count}; give them as one list, [a, b]"
            )
        return [tuple(shape) for shape in found or ()]

    def build(self, input_shape: Sequence[Shape] | None) -> None:
        self._shapes(input_shape)
        self.built = True

    def get_config(self) -> dict[str, Any]:
        own = {"joined_masks": ANY} if self.joined_masks == ANY and self.masks_matter else {}
        return {**super().get_config(), **own}


class _Merge(_Join):
    """An elementwise function of tensors that broadcast; a tensor of fewer axes gets them after the batch axis."""

    def _combine(self, tensors: Sequence[Tensor]) -> Tensor:
        raise NotImplementedError(f"{type(self).__name__} does not define how it combines tensors")

    def _combine_masked(self, tensors: Sequence[Tensor], masks: Sequence[Any]) -> Tensor:
        """The same as Keras 3 does it, of tensors of which some are masked."""
        return self._combine(tensors)

    def call(self, inputs: Sequence[Tensor], mask: Sequence[Mask] | None = None) -> Tensor:
        self.compute_output_shape([tuple(x.shape) for x in inputs] if isinstance(inputs, list) else None)
        rank = max(x.ndim for x in inputs)
        aligned = []
        for x in inputs:
            while x.ndim < rank:
                x = K.expand_dims(x, 1)
            aligned.append(x)
        if mask is None or self.joined_masks == ALL or all(item is None for item in mask):
            return self._combine(aligned)
        return self._combine_masked(aligned, mask)

    def compute_mask(self, inputs: Sequence[Tensor], mask: Sequence[Mask] | None = None) -> Any:
        """The steps that count in all inputs (or in any, see ``joined_masks``)."""
        left_out = type(self)._combine_masked is not _Merge._combine_masked and any(m is not None for m in mask or ())
        self.masks_matter = self.masks_matter or left_out or rules_differ(mask or ())
        return elementwise(mask or (), self.joined_masks)

    def compute_output_shape(self, input_shape: Sequence[Shape] | None) -> Shape:
        shapes = self._shapes(input_shape)
        batches = {shape[0] for shape in shapes if shape[0] is not None}
        rank = max(len(shape) for shape in shapes)
        columns = zip(*((1,) * (rank - len(shape)) + shape[1:] for shape in shapes), strict=True)
        sizes = [{size for size in column if size != 1} for column in columns]
        if len(batches) > 1 or any(len(found - {None}) > 1 for found in sizes):
            raise ShapeError(
                f"layer {self.name!r} ({type(self).__name__}) got inputs of shapes "
                f"{', '.join(map(str, shapes))}, which do not broadcast"
            )
        merged = (next(iter(found - {None}), None) if found else 1 for found in sizes)
        return (batches.pop() if batches else None, *merged)


class Add(_Merge):
    """The sum of the inputs."""

    def _combine(self, tensors: Sequence[Tensor]) -> Tensor:
        return functools.reduce(lambda x, y: x + y, tensors)


class Subtract(_Merge):
    """The first input minus the second."""

    _inputs = 2

    def _combine(self, tensors: Sequence[Tensor]) -> Tensor:
        return tensors[0] - tensors[1]


class Multiply(_Merge):
    """The product of the inputs, elementwise."""

    def _combine(self, tensors: Sequence[Tensor]) -> Tensor:
        return functools.reduce(lambda x, y: x * y, tensors)

    def _combine_masked(self, tensors: Sequence[Tensor], masks: Sequence[Any]) -> Tensor:
        return product(tensors, masks)


class Average(_Merge):
    """The mean of the inputs."""

    def _combine(self, tensors: Sequence[Tensor]) -> Tensor:
        return functools.reduce(lambda x, y: x + y, tensors) / len(tensors)


class Maximum(_Merge):
    """The largest of the inputs, elementwise."""

    def _combine(self, tensors: Sequence[Tensor]) -> Tensor:
        return functools.reduce(K.maximum, tensors)

    def _combine_masked(self, tensors: Sequence[Tensor], masks: Sequence[Any]) -> Tensor:
        return extreme(K.maximum, tensors, masks)


class Minimum(_Merge):
    """The smallest of the inputs, elementwise."""

    def _combine(self, tensors: Sequence[Tensor]) -> Tensor:
        return functools.reduce(K.minimum, tensors)

    def _combine_masked(self, tensors: Sequence[Tensor], masks: Sequence[Any]) -> Tensor:
        return extreme(K.minimum, tensors, masks)


class Concatenate(_Join):
    """The inputs one after the other along an axis.

    Args:
        axis: the axis, the batch counted as 0; default the last.

    Raises:
        ValueError: on a call, shapes that differ in another axis.
    """

    def __init__(self, axis: int = -1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.axis = check_int("Concatenate", "axis", axis)

    def call(self, inputs: Sequence[Tensor]) -> Tensor:
        self.compute_output_shape([tuple(x.shape) for x in inputs] if isinstance(inputs, list) else None)
        return K.concatenate(inputs, axis=self.axis)

    def compute_output_shape(self, input_shape: Sequence[Shape] | None) -> Shape:
        shapes = self._shapes(input_shape)
        rank = len(shapes[0])
        axis = self.axis % rank if -rank <= self.axis < rank else None
        fits = axis is not None and all(len(shape) == rank for shape in shapes)
        joined: list[int | None] = []
        for i, column in enumerate(zip(*shapes, strict=True) if fits else ()):
            known = [size for size in column if size is not None]
            if i == axis:
                joined.append(sum(known) if len(known) == len(column) else None)
            else:
                fits = fits and len(set(known)) <= 1
                joined.append(known[0] if known else None)
        if not fits:
            raise ShapeError(
                f"layer {self.name!r} (Concatenate) joins tensors that differ only in axis {self.axis}, got shapes "
                f"{', '.join(map(str, shapes))}"
            )
        return tuple(joined)

    def compute_mask(self, inputs: Sequence[Tensor], mask: Sequence[Mask] | None = None) -> Any:
        self.masks_matter = self.masks_matter or rules_differ(mask or ())
        return concatenated(inputs, mask or (), self.axis, self.joined_masks)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "axis": self.axis}


class Dot(_Join):
    """The product of two tensors over an axis of each, sample by sample.

    Shapes: with axes (1, 1), ``(batch, n)`` and ``(batch, n)`` give ``(batch, 1)``; with (2, 1), ``(batch, a, n)`` and
    ``(batch, n, b)`` give ``(batch, a, b)``.

    Args:
        axes: the axis of each tensor (or one for both), the batch counted as 0.
        normalize: whether vectors are scaled to length 1 along the axes first: the result is the cosine proximity.

    Raises:
        ValueError: on a call, the axes have different sizes.
    """

    _inputs = 2

    def __init__(self, axes: Ints, normalize: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if isinstance(axes, (list, tuple)):
            if len(axes) != 2:
                raise DataTypeError(f"Dot: axes must be an integer or two integers, got {axes!r}")
            self.axes: Any = tuple(check_int("Dot", "axes", axis) for axis in axes)
        else:
            self.axes = check_int("Dot", "axes", axes)
        self.normalize = check_flag("Dot", "normalize", normalize)

    def _axes_of(self, shapes: Sequence[Shape]) -> tuple[int, int]:
        """The axes counted from the front.

        Raises:
            ValueError: out of range, the batch axis, or of different sizes.
        """
        given = self.axes if isinstance(self.axes, tuple) else (self.axes, self.axes)
        first, second = (
            axis % len(shape) if -len(shape) <= axis < len(shape) else 0
            for axis, shape in zip(given, shapes, strict=True)
        )
        sizes = {shapes[0][first], shapes[1][second]} - {None}
        if first == 0 or second == 0 or len(sizes) > 1:
            raise ShapeError(
                f"layer {self.name!r} (Dot) cannot multiply shapes {shapes[0]} and {shapes[1]} over axes {given}"
            )
        return first, second

    def call(self, inputs: Sequence[Tensor]) -> Tensor:
        shapes = self._shapes([tuple(x.shape) for x in inputs] if isinstance(inputs, list) else None)
        axes = self._axes_of(shapes)
        x, y = inputs
        if self.normalize:
            x, y = K.l2_normalize(x, axis=axes[0]), K.l2_normalize(y, axis=axes[1])
        return K.batch_dot(x, y, axes)

    def compute_output_shape(self, input_shape: Sequence[Shape] | None) -> Shape:
        shapes = self._shapes(input_shape)
        first, second = self._axes_of(shapes)
        kept = [size for axis, size in enumerate(shapes[0]) if axis != first]
        kept += [size for axis, size in enumerate(shapes[1]) if axis not in (0, second)]
        return tuple(kept) if len(kept) > 1 else (*kept, 1)

    def compute_mask(self, inputs: Sequence[Tensor], mask: Sequence[Mask] | None = None) -> None:
        return None

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "axes": self.axes, "normalize": self.normalize}


# ---- functional forms


def add(inputs: Sequence[Tensor], **kwargs: Any) -> Tensor:
    """The sum of the tensors; see :class:`Add`."""
    joined: Tensor = Add(**kwargs)(inputs)
    return joined


def subtract(inputs: Sequence[Tensor], **kwargs: Any) -> Tensor:
    """The first tensor minus the second; see :class:`Subtract`."""
    joined: Tensor = Subtract(**kwargs)(inputs)
    return joined


def multiply(inputs: Sequence[Tensor], **kwargs: Any) -> Tensor:
    """The elementwise product of the tensors; see :class:`Multiply`."""
    joined: Tensor = Multiply(**kwargs)(inputs)
    return joined


def average(inputs: Sequence[Tensor], **kwargs: Any) -> Tensor:
    """The mean of the tensors; see :class:`Average`."""
    joined: Tensor = Average(**kwargs)(inputs)
    return joined


def maximum(inputs: Sequence[Tensor], **kwargs: Any) -> Tensor:
    """The elementwise maximum of the tensors; see :class:`Maximum`."""
    joined: Tensor = Maximum(**kwargs)(inputs)
    return joined


def minimum(inputs: Sequence[Tensor], **kwargs: Any) -> Tensor:
    """The elementwise minimum of the tensors; see :class:`Minimum`."""
    joined: Tensor = Minimum(**kwargs)(inputs)
    return joined


def concatenate(inputs: Sequence[Tensor], axis: int = -1, **kwargs: Any) -> Tensor:
    """The tensors one after the other; see :class:`Concatenate`."""
    joined: Tensor = Concatenate(axis=axis, **kwargs)(inputs)
    return joined


def dot(inputs: Sequence[Tensor], axes: Ints, normalize: bool = False, **kwargs: Any) -> Tensor:
    """The product of two tensors; see :class:`Dot`."""
    joined: Tensor = Dot(axes=axes, normalize=normalize, **kwargs)(inputs)
    return joined
