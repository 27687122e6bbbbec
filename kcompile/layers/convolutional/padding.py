"""Zero padding and cropping of the spatial axes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from kcompile import backend as K
from kcompile.common.checks import check_int
from kcompile.common.errors import DataTypeError, KCompileError, ShapeError
from kcompile.engine.layer import Shape
from kcompile.layers.base.spatial import SpatialLayer
from kcompile.layers.base.types import Margins
from kcompile.objects.legacy_arguments import understands_keras_1
from kcompile.symbolic.tensor import Tensor

__all__ = ["Cropping1D", "Cropping2D", "Cropping3D", "ZeroPadding1D", "ZeroPadding2D", "ZeroPadding3D"]

Pairs = tuple[tuple[int, int], ...]


def _pairs(owner: str, argument: str, value: Margins, rank: int) -> Pairs:
    """(before, after) for each axis, from one number, one per axis, or one pair per axis.

    For one axis, two numbers are (before, after).
    """
    if isinstance(value, (str, bytes)) or not isinstance(value, (int, np.integer, Iterable)):
        raise DataTypeError(f"{owner}: {argument} must be a whole number or {_forms(rank)}, got {value!r}.")
    items: list[Any] = [value] * rank if isinstance(value, (int, np.integer)) else list(value)
    if rank == 1 and len(items) == 2:
        items = [items]
    if len(items) != rank:
        raise KCompileError(f"{owner}: {argument} must be a whole number or {_forms(rank)}, got {value!r}.")
    pairs = []
    for item in items:
        pair = [item] * 2 if isinstance(item, (int, np.integer)) else list(item) if isinstance(item, Iterable) else []
        if len(pair) != 2:
            raise KCompileError(f"{owner}: {argument} must be a whole number or {_forms(rank)}, got {value!r}.")
        before, after = (check_int(owner, argument, size, minimum=0) for size in pair)
        pairs.append((before, after))
    return tuple(pairs)


def _forms(rank: int) -> str:
    return "a pair (before, after)" if rank == 1 else f"{rank} numbers, or {rank} pairs (before, after)"


class ZeroPadding(SpatialLayer):
    """Zeros around the spatial axes; see :class:`ZeroPadding2D`. Subclasses set ``rank``."""

    @understands_keras_1
    def __init__(self, padding: Margins = 1, data_format: str | None = None, **kwargs: Any) -> None:
        super().__init__(data_format=data_format, **kwargs)
        self.padding: Any = _pairs(type(self).__name__, "padding", padding, self.rank)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        batch, spatial, channels = self._split_shape(input_shape)
        axes = zip(spatial, self.padding, strict=True)
        sizes = [None if size is None else size + before + after for size, (before, after) in axes]
        return self._join_shape(batch, sizes, channels)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "padding": self.padding, "data_format": self.data_format}


class ZeroPadding1D(ZeroPadding):
    """Zeros before and after the steps of ``(batch, steps, channels)``.

    Args:
        padding: a number for both ends, or ``(before, after)``.

    Raises:
        ValueError: a negative number, or another form.
    """

    rank = 1

    def __init__(self, padding: Margins = 1, **kwargs: Any) -> None:
        super().__init__(padding, "channels_last", **kwargs)

    def call(self, inputs: Tensor) -> Any:
        return K.temporal_padding(inputs, self.padding[0])

    def get_config(self) -> dict[str, Any]:
        config = {**super().get_config(), "padding": self.padding[0]}
        del config["data_format"]
        return config


class ZeroPadding2D(ZeroPadding):
    """Zeros around images ``(batch, rows, columns, channels)``.

    Args:
        padding: a number for all sides, ``(rows, columns)``, or ``((top, bottom), (left, right))``.
        data_format: ``channels_last`` or ``channels_first``; default as configured.

    Raises:
        ValueError: a negative number, or another form.
    """

    rank = 2

    def call(self, inputs: Tensor) -> Any:
        return K.spatial_2d_padding(inputs, self.padding, self.data_format)


class ZeroPadding3D(ZeroPadding):
    """Zeros around volumes; a number, three numbers or three pairs, the rest as for :class:`ZeroPadding2D`."""

    rank = 3

    def call(self, inputs: Tensor) -> Any:
        return K.spatial_3d_padding(inputs, self.padding, self.data_format)


class Cropping(SpatialLayer):
    """Removes elements at the ends of the spatial axes; see :class:`Cropping2D`. Subclasses set ``rank``."""

    @understands_keras_1
    def __init__(self, cropping: Margins = 1, data_format: str | None = None, **kwargs: Any) -> None:
        super().__init__(data_format=data_format, **kwargs)
        self.cropping: Any = _pairs(type(self).__name__, "cropping", cropping, self.rank)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        batch, spatial, channels = self._split_shape(input_shape)
        sizes = []
        for size, (before, after) in zip(spatial, self.cropping, strict=True):
            if size is not None and size <= before + after:
                raise ShapeError(
                    f"{self._label}: cropping={self.cropping} leaves nothing of the input shape {tuple(input_shape)}"
                )
            sizes.append(None if size is None else size - before - after)
        return self._join_shape(batch, sizes, channels)

    def call(self, inputs: Tensor) -> Any:
        self.compute_output_shape(K.int_shape(inputs))
        inner = [slice(before, -after if after else None) for before, after in self.cropping]
        skipped = [slice(None)] * (2 if self.data_format == "channels_first" else 1)
        return inputs[(*skipped, *inner)]

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "cropping": self.cropping, "data_format": self.data_format}


class Cropping1D(Cropping):
    """Removes steps at the ends of ``(batch, steps, channels)``.

    Args:
        cropping: a number for both ends, or ``(before, after)``.

    Raises:
        ValueError: a negative number or another form, or (when called) an input of which nothing is left.
    """

    rank = 1

    def __init__(self, cropping: Margins = (1, 1), **kwargs: Any) -> None:
        super().__init__(cropping, "channels_last", **kwargs)

    def get_config(self) -> dict[str, Any]:
        config = {**super().get_config(), "cropping": self.cropping[0]}
        del config["data_format"]
        return config


class Cropping2D(Cropping):
    """Removes rows and columns at the edges of ``(batch, rows, columns, channels)``.

    Args:
        cropping: a number for all sides, ``(rows, columns)``, or ``((top, bottom), (left, right))``.
        data_format: ``channels_last`` or ``channels_first``; default as configured.

    Raises:
        ValueError: a negative number or another form, or (when called) an input of which nothing is left.
    """

    rank = 2

    @understands_keras_1
    def __init__(self, cropping: Margins = ((0, 0), (0, 0)), data_format: str | None = None, **kwargs: Any) -> None:
        super().__init__(cropping, data_format, **kwargs)


class Cropping3D(Cropping):
    """Removes the outer parts of volumes; a number, three numbers or three pairs, the rest as for Cropping2D."""

    rank = 3

    @understands_keras_1
    def __init__(
        self, cropping: Margins = ((1, 1), (1, 1), (1, 1)), data_format: str | None = None, **kwargs: Any
    ) -> None:
        super().__init__(cropping, data_format, **kwargs)
