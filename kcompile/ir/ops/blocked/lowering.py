"""ONNX nodes for convolutions on blocked tensors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kcompile.ir.core import Builder
from kcompile.ir.dims import product
from kcompile.ir.ops.blocked.base import BlockedPooling, FusedConvolution, padded, takes_plain
from kcompile.ir.ops.spatial.normalization_lowering import coefficients, inverse_deviation
from kcompile.ir.ops.spatial.spatial import Pads, static_pads
from kcompile.ir.types import TensorType

DOMAIN = "com.microsoft.nchwc"


def fixed(pads: Pads) -> list[int]:
    """ONNX's ``pads`` attribute; the pass blocks no op with symbolic ones."""
    flat = static_pads(pads)
    assert flat is not None
    return flat


def integers(b: Builder, values: Sequence[int]) -> str:
    return b.constant(list(values), "int64")


def pad_end(b: Builder, x: str, rests: Sequence[int]) -> str:
    """``x`` with so many zeros at the end of each axis."""
    return b.op("Pad", x, integers(b, [*(0 for _ in rests), *rests])) if any(rests) else x


def padded_filter(
    b: Builder, w: str, sizes: tuple[int, ...], blocks: tuple[int, int]
) -> tuple[str, tuple[int, int, int, int]]:
    """The filter and its sizes, with zeros up to whole blocks of these numbers of inputs and outputs."""
    height, width, inner, out = sizes
    whole = height, width, padded(inner, blocks[0]), padded(out, blocks[1])
    return pad_end(b, w, [0, 0, whole[2] - inner, whole[3] - out]), whole


def blocked_filter(b: Builder, w: str, sizes: tuple[int, ...], block: int, plain: bool) -> str:
    """The filter as the kernel reads it: blocked by outputs, and by inputs unless these are plain."""
    w, (height, width, inner, out) = padded_filter(b, w, sizes, (1 if plain else block, block))
    taps = height * width
    if plain:
        split = b.op("Reshape", w, integers(b, [taps, inner, out // block, block]))
        turned = b.op("Transpose", split, perm=[2, 1, 0, 3])
    else:
        # Rows of the filter as pixels with their outputs as channels; then blocks change places as a whole.
        rows = b.op("Reshape", w, integers(b, [1, taps * inner, 1, out]))
        turned = b.op("ReorderInput", rows, domain=DOMAIN, channels_last=1)
        if taps > 1 and inner > block:
            tiles = b.op("Reshape", turned, integers(b, [out // block, taps, inner // block, block * block]))
            turned = b.op("Transpose", tiles, perm=[0, 2, 1, 3])
    return b.op("Reshape", turned, integers(b, [out, inner, height, width]))


def conv(b: Builder, op: FusedConvolution, x_type: TensorType, w_type: TensorType, x: str, w: str, *rest: str) -> str:
    """The blocked Conv kernel."""
    height, width, _, out = w_type.static_shape
    filters = blocked_filter(b, w, w_type.static_shape, op.block, takes_plain(x_type, op.block))
    if op.adds and len(rest) == 1:
        rest = ("", *rest)  # no bias
    elif rest:
        rest = (pad_end(b, rest[0], [-out % op.block]), *rest[1:])
    return b.op(
        "Conv", x, filters, *rest, domain=DOMAIN, kernel_shape=[height, width], strides=op.strides,
        pads=fixed(op.pads), dilations=op.dilations, group=1, activation="Relu" if op.relu else None,
    )  # fmt: skip


def channel_sums(b: Builder, x_type: TensorType, x: str, channels: int) -> str:
    """The sum of each true channel over height and width, then batch: the pooling kernel reads fastest."""
    means = b.op("ReduceSum", b.op("GlobalAveragePool", x, domain=DOMAIN), integers(b, [0, 2, 3]), keepdims=0)
    if x_type.shape[1] != channels:
        means = b.op("Slice", means, *(integers(b, [value]) for value in (0, channels)))
    pixels = b.op("Cast", b.dims([product(x_type.shape[2:])]), to=x_type.dtype)
    return b.op("Mul", means, pixels)


def affine(
    b: Builder, channels: int, block: int, x: str, factor: str, *rest: str, activation: str | None = None
) -> str:
    """``x * factor + shift`` of each channel in one pass, as a Conv of each channel with a single weight.

    ``rest`` is the shift (or an empty name), then a blocked tensor to add, if any.
    """
    missing, whole = [-channels % block], padded(channels, block)
    factors = b.op("Reshape", pad_end(b, factor, missing), integers(b, [whole, 1, 1, 1]))
    shift, *added = rest
    shift = pad_end(b, shift, missing) if shift else shift
    return b.op(
        "Conv", x, factors, shift, *added, domain=DOMAIN, kernel_shape=[1, 1], group=whole, activation=activation
    )


def batch_norm_grad(
    b: Builder,
    epsilon: float,
    block: int,
    x_type: TensorType,
    channels: int,
    g: str,
    x: str,
    scale: str,
    mean: str,
    variance: str,
) -> tuple[str, str, str]:
    """As on plain images."""
    dtype = x_type.dtype
    inverse = inverse_deviation(b, epsilon, dtype, variance)
    doffset = channel_sums(b, x_type, g, channels)
    total = b.op("Sub", channel_sums(b, x_type, b.op("Mul", g, x), channels), b.op("Mul", mean, doffset))
    count = b.op("Cast", b.dims([product((x_type.shape[0], *x_type.shape[2:]))]), to=dtype)
    dscale, (from_g, from_x, shift) = coefficients(b, total, doffset, scale, inverse, count, mean)
    scaled = affine(b, channels, block, x, from_x, shift)
    return affine(b, channels, block, g, from_g, "", scaled), dscale, doffset


def pool(b: Builder, op_type: str, op: BlockedPooling, x: str, **attributes: Any) -> str:
    """The blocked pooling kernel."""
    return b.op(
        op_type,
        x,
        domain=DOMAIN,
        kernel_shape=op.window,
        strides=op.strides,
        pads=fixed(op.pads),
        **attributes,
    )
