"""Layers that move elements: Flatten, Reshape, Permute, RepeatVector."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from kcompile import backend as K
from kcompile.common.checks import check_int, check_positive_int
from kcompile.common.errors import ShapeError
from kcompile.engine.layer import Layer, Shape
from kcompile.engine.node import InputSpec
from kcompile.layers.base.types import Ints
from kcompile.symbolic.tensor import Tensor

__all__ = ["Flatten", "Permute", "RepeatVector", "Reshape"]


class Flatten(Layer):
    """All axes but the batch in one: ``(batch, ...)`` to ``(batch, n)``.

    Args:
        data_format: with ``channels_first``, channels are moved last before flattening, so that weights that
            follow fit both formats.
    """

    _takes_one_tensor = True

    def __init__(self, data_format: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.data_format = K.normalize_data_format(data_format)
        self.input_spec = InputSpec(min_ndim=1)

    def call(self, inputs: Tensor) -> Tensor:
        if self.data_format == "channels_first" and inputs.ndim > 2:
            inputs = K.permute_dimensions(inputs, (0, *range(2, inputs.ndim), 1))
        return K.batch_flatten(inputs)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        sizes = [size for size in input_shape[1:] if size is not None]
        return (input_shape[0], math.prod(sizes) if len(sizes) == len(input_shape) - 1 else None)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "data_format": self.data_format}


class Reshape(Layer):
    """Another shape of each sample, in row-major order.

    Args:
        target_shape: without the batch axis; one size may be -1, which is worked out.

    Raises:
        ValueError: two sizes are -1, or a size is not positive; on a call, the numbers of elements differ.
    """

    _takes_one_tensor = True

    def __init__(self, target_shape: Ints, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        sizes = (target_shape,) if isinstance(target_shape, int) else tuple(target_shape)
        self.target_shape = tuple(check_int("Reshape", "target_shape", size, minimum=-1) for size in sizes)
        if self.target_shape.count(-1) > 1:
            raise ShapeError(f"Reshape: target_shape may have one -1, got {self.target_shape}")

    def call(self, inputs: Tensor) -> Tensor:
        computed = self.compute_output_shape(tuple(inputs.shape))
        sizes = [-1 if size is None else size for size in computed[1:]]
        return K.reshape(inputs, (K.shape(inputs)[0], *sizes))

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        known = [size for size in input_shape[1:] if size is not None]
        if len(known) < len(input_shape) - 1:
            return (input_shape[0], *(None if size == -1 else size for size in self.target_shape))
        total, fixed = math.prod(known), math.prod(size for size in self.target_shape if size != -1)
        fits = total == fixed if -1 not in self.target_shape else fixed > 0 and total % fixed == 0
        if not fits:
            raise ShapeError(
                f"layer {self.name!r} (Reshape) cannot turn samples of shape {tuple(input_shape[1:])} with "
                f"{total} elements into {self.target_shape}"
            )
        return (input_shape[0], *(total // fixed if size == -1 else size for size in self.target_shape))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "target_shape": self.target_shape}


class Permute(Layer):
    """The axes of each sample in another order.

    Args:
        dims: the axes, counted from 1, which is the first after the batch: ``(2, 1)`` exchanges the two axes.

    Raises:
        ValueError: ``dims`` does not name each axis once.
    """

    _takes_one_tensor = True

    def __init__(self, dims: Sequence[int], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.dims = tuple(check_positive_int("Permute", "dims", axis) for axis in dims)
        if sorted(self.dims) != list(range(1, len(self.dims) + 1)):
            raise ShapeError(
                f"Permute: dims must hold each of 1 to {len(self.dims)} once (the batch is axis 0), got {dims}"
            )
        self.input_spec = InputSpec(ndim=len(self.dims) + 1)

    def call(self, inputs: Tensor) -> Tensor:
        return K.permute_dimensions(inputs, (0, *self.dims))

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return (input_shape[0], *(input_shape[axis] for axis in self.dims))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "dims": self.dims}


class RepeatVector(Layer):
    """``(batch, features)`` to ``(batch, n, features)``: each vector ``n`` times.

    Args:
        n: how often.

    Raises:
        ValueError: ``n`` is not positive.
    """

    _takes_one_tensor = True

    def __init__(self, n: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.n = check_positive_int("RepeatVector", "n", n)
        self.input_spec = InputSpec(ndim=2)

    def call(self, inputs: Tensor) -> Tensor:
        return K.repeat(inputs, self.n)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return (input_shape[0], self.n, input_shape[1])

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "n": self.n}
