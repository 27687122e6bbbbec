"""Sizes of convolutions and pools, as Keras' module of this name computes them."""

from __future__ import annotations

from typing import Any

import numpy as np

from kcompile.common.checks import check_int_tuple, check_one_of
from kcompile.common.errors import KCompileError

PADDINGS = ("valid", "same", "causal", "full")


def normalize_tuple(value: Any, n: int, name: str) -> tuple[int, ...]:
    """A whole number repeated ``n`` times, or a sequence of ``n`` whole numbers, all at least 1.

    Raises:
        ValueError: anything else; ``name`` is the argument that the message names.
    """
    return check_int_tuple("convolution", name, value, n)


def normalize_padding(value: Any, allowed: tuple[str, ...] = PADDINGS, owner: str = "convolution") -> str:
    """``value`` in lower case.

    Raises:
        ValueError: not one of ``allowed``; ``owner`` is the layer that the message names.
    """
    padding: str = check_one_of(owner, "padding", value.lower() if isinstance(value, str) else value, allowed)
    return padding


def convert_kernel(kernel: Any) -> Any:
    """A kernel with its spatial axes reversed, which turns convolution into correlation and back.

    Args:
        kernel: an array of shape ``(spatial..., channels, filters)`` with 1 to 3 spatial axes.

    Raises:
        ValueError: another number of axes.
    """
    kernel = np.asarray(kernel)
    if not 3 <= kernel.ndim <= 5:
        raise KCompileError(f"a kernel has 3 to 5 axes (spatial..., channels, filters), got shape {kernel.shape}")
    return np.copy(np.flip(kernel, tuple(range(kernel.ndim - 2))))


def span(kernel_size: int, dilation: int = 1) -> int:
    """How many elements a dilated kernel reaches over."""
    return (kernel_size - 1) * dilation + 1


def conv_output_length(
    input_length: int | None, filter_size: int, padding: str, stride: int, dilation: int = 1
) -> int | None:
    """The size of an axis after a convolution or pool; ``None`` if that of the input is ``None``."""
    if input_length is None:
        return None
    reach = span(filter_size, dilation)
    change = {"same": 0, "causal": 0, "valid": 1 - reach, "full": reach - 1}[normalize_padding(padding)]
    return (input_length + change + stride - 1) // stride


def conv_input_length(output_length: int | None, filter_size: int, padding: str, stride: int) -> int | None:
    """The smallest size of an axis that a convolution turns into ``output_length``."""
    if output_length is None:
        return None
    allowed = ("valid", "same", "full")
    pad = {"same": filter_size // 2, "valid": 0, "full": filter_size - 1}[normalize_padding(padding, allowed)]
    return (output_length - 1) * stride - 2 * pad + filter_size


def deconv_length(
    dim_size: int | None,
    stride_size: int,
    kernel_size: int,
    padding: str,
    output_padding: int | None,
    dilation: int = 1,
) -> int | None:
    """The size of an axis after a transposed convolution; ``None`` if that of the input is ``None``."""
    if dim_size is None:
        return None
    reach = span(kernel_size, dilation)
    padding = normalize_padding(padding, ("valid", "same", "full"))
    if output_padding is None:
        change = {"same": 0, "valid": max(reach - stride_size, 0), "full": 2 - stride_size - reach}[padding]
        return dim_size * stride_size + change
    pad = {"same": reach // 2, "valid": 0, "full": reach - 1}[padding]
    return (dim_size - 1) * stride_size + reach - 2 * pad + output_padding
