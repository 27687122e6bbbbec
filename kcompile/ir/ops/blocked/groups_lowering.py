"""ONNX nodes for convolutions with groups on blocked tensors."""

from __future__ import annotations

from collections.abc import Sequence

from kcompile.ir.core import Builder
from kcompile.ir.ops.blocked.base import BlockedFilterGradient, BlockedInputGradient, FusedConvolution
from kcompile.ir.ops.blocked.lowering import DOMAIN, fixed, integers, pad_end
from kcompile.ir.ops.spatial.convolution import ConvInputGrad
from kcompile.ir.ops.spatial.spatial import span, static_pads
from kcompile.ir.types import TensorType


def is_depthwise(groups: int, w_type: TensorType) -> bool:
    """Whether each channel is convolved by itself, with one filter."""
    return groups > 1 and w_type.shape[-2:] == (1, groups)


def conv(b: Builder, op: FusedConvolution, groups: int, w_type: TensorType, x: str, w: str, *rest: str) -> str:
    """The blocked Conv kernel."""
    height, width, inner, out = w_type.static_shape
    size = op.block
    if is_depthwise(groups, w_type):
        filters, groups = _depthwise_filter(b, w, w_type, size)
    else:
        split = b.op("Reshape", w, integers(b, [height * width, inner // size, size, out // size, size]))
        turned = b.op("Transpose", split, perm=[3, 1, 0, 2, 4])
        filters = b.op("Reshape", turned, integers(b, [out, inner, height, width]))
    if op.adds and len(rest) == 1:
        rest = ("", *rest)  # no bias
    elif rest:
        rest = (pad_end(b, rest[0], [-out % size]), *rest[1:])
    return b.op(
        "Conv", x, filters, *rest, domain=DOMAIN, kernel_shape=[height, width], strides=op.strides,
        pads=fixed(op.pads), dilations=op.dilations, group=groups, activation="Relu" if op.relu else None,
    )  # fmt: skip


def _depthwise_filter(b: Builder, w: str, w_type: TensorType, block: int) -> tuple[str, int]:
    """The filter as the kernel reads it, and its number of channels: whole blocks."""
    height, width, _, channels = w_type.static_shape
    whole = channels + -channels % block
    w = pad_end(b, w, [0, 0, 0, whole - channels])
    split = b.op("Reshape", w, integers(b, [height * width, whole // block, block]))
    turned = b.op("Transpose", split, perm=[1, 0, 2])
    return b.op("Reshape", turned, integers(b, [whole, 1, height, width])), whole


def conv_input_grad(
    b: Builder, op: BlockedInputGradient, groups: int, g_type: TensorType, w_type: TensorType, g: str, w: str
) -> str:
    """A blocked Conv of the gradient, padded so far that the reversed filter meets every input."""
    height, width, inner, out = w_type.static_shape
    size = op.block
    if height * width > 1:
        ends = integers(b, [-(2**31)] * 2)
        w = b.op("Slice", w, integers(b, [-1, -1]), ends, integers(b, [0, 1]), integers(b, [-1, -1]))
    if is_depthwise(groups, w_type):
        filters, groups = _depthwise_filter(b, w, w_type, size)
    else:
        outer = out // groups
        shape = [height * width, inner // size, size, groups, outer // size, size]
        turned = b.op("Transpose", b.op("Reshape", w, integers(b, shape)), perm=[3, 1, 4, 0, 5, 2])
        filters = b.op("Reshape", turned, integers(b, [inner * groups, outer, height, width]))
    return b.op(
        "Conv", _spread(b, g_type, op.strides, size, g), filters, domain=DOMAIN, kernel_shape=[height, width],
        strides=[1, 1], pads=reversed_pads(op, g_type, w_type), dilations=op.dilations, group=groups,
    )  # fmt: skip


def reversed_pads(op: ConvInputGrad | BlockedInputGradient, g: TensorType, w: TensorType) -> list[int] | None:
    """ONNX's ``pads`` of the convolution that gives the input gradient, where ``stride - 1`` zeros follow each element
    of ``g``; ``None`` if something would have to be cropped, or a size is not known.
    """
    found = []
    for kernel, count, size, stride, step, (before, after) in zip(
        w.static_shape, g.shape[2:], op.sizes, op.strides, op.dilations, op.pads, strict=False
    ):
        reach = span(kernel, step) - 1
        found.append((reach - before, reach - after if stride == 1 else size + before - count * stride))
    flat = static_pads(tuple(found))
    return None if flat is None or min(flat) < 0 else flat


def _spread(b: Builder, x_type: TensorType, strides: Sequence[int], block: int, x: str) -> str:
    """A blocked tensor with ``stride - 1`` zeros after each element, along rows and columns."""
    if max(strides) == 1:
        return x
    down, across = strides
    channels, rows, columns = x_type.with_shape(x_type.shape[1:]).static_shape
    x = b.op("Reshape", x, integers(b, [-1, rows, 1, columns, block]))
    x = pad_end(b, x, [0, 0, down - 1, 0, (across - 1) * block])
    return b.op("Reshape", x, integers(b, [-1, channels, rows * down, columns * across]))


def depthwise_weight_grad(
    b: Builder, op: BlockedFilterGradient, channels: int, x_type: TensorType, g_type: TensorType, x: str, g: str
) -> str:
    """A depthwise Conv of the input whose filter is the gradient, and whose strides are the dilations of the other."""
    # The kernel's number of groups is an attribute, so that it must be known.
    way = _each_image if isinstance(x_type.shape[0], int) else _all_images
    found = way(b, op, x_type, g_type, x, g)
    dw = b.op("Slice", found, integers(b, [0, 0]), integers(b, op.kernel), integers(b, [1, 2]))
    dw = b.op("Transpose", dw, perm=[1, 2, 0, 3])
    dw = b.op("Reshape", dw, integers(b, [*op.kernel, 1, *x_type.with_shape(x_type.shape[1:2]).static_shape]))
    if channels == x_type.shape[1]:
        return dw
    return b.op("Slice", dw, *(integers(b, [value]) for value in (0, channels, 3)))


def _each_image(b: Builder, op: BlockedFilterGradient, x_type: TensorType, g_type: TensorType, x: str, g: str) -> str:
    """A Conv whose channels are those of all images, then a sum over the images.

    The result is (blocks of channels, kernel rows, kernel columns, block), rows and columns at least.
    """
    batch, channels, height, width = x_type.static_shape
    rows, columns = g_type.static_shape[2:]
    many, ends = batch * channels, _ends(op, x_type, g_type)
    y = b.op(
        "Conv",
        b.reshape(x, x_type, (1, many, height, width)),
        b.reshape(g, g_type, (many, 1, rows, columns)),
        domain=DOMAIN, kernel_shape=[rows, columns], strides=op.dilations, dilations=op.strides,
        pads=[*fixed(op.pads)[:2], *ends], group=many,
    )  # fmt: skip
    found = [
        (size + before + after - span(count, stride)) // step + 1
        for size, before, after, count, stride, step in zip(
            (height, width), fixed(op.pads), ends, (rows, columns), op.strides, op.dilations, strict=False
        )
    ]
    y = b.op("Reshape", y, integers(b, [batch, channels // op.block, *found, op.block]))
    return b.op("ReduceSum", y, integers(b, [0]), keepdims=0)


def _all_images(b: Builder, op: BlockedFilterGradient, x_type: TensorType, g_type: TensorType, x: str, g: str) -> str:
    """A Conv of one tall image, in which those of the batch lie one below the other, as the gradients do in its filter;
    both with so many rows of zeros in between that they stay in step.

    The result is as that of :func:`_each_image`.
    """
    channels, height, width = x_type.with_shape(x_type.shape[1:]).static_shape
    rows, columns = g_type.with_shape(g_type.shape[2:]).static_shape
    (stride, _), (top, left, *_), size = op.strides, fixed(op.pads), op.block
    bottom, right = _ends(op, x_type, g_type)
    pitch = -(-(top + height + bottom) // stride)

    def tall(name: str, extents: tuple[int, int], around: tuple[int, int, int, int]) -> str:
        """(batch, channels, ...) as (channels, one below the other, ...)."""
        name = b.op("Reshape", name, integers(b, [-1, channels // size, *extents, size]))
        if any(around):
            name = b.op("Pad", name, integers(b, [0, 0, *around[:2], 0, 0, 0, *around[2:], 0]))
        return b.op("Transpose", name, perm=[1, 0, 2, 3, 4])

    x = tall(x, (height, width), (top, left, pitch * stride - height - top, right))
    g = tall(g, (rows, columns), (0, 0, pitch - rows, 0))
    missing = max(span(op.kernel[0], op.dilations[0]) - stride, 0)
    y = b.op(
        "Conv",
        b.op("Reshape", x, integers(b, [1, channels, -1, left + width + right])),
        b.op("Reshape", g, integers(b, [channels, 1, -1, columns])),
        domain=DOMAIN, strides=op.dilations, dilations=op.strides, pads=[0, 0, missing, 0], group=channels,
    )  # fmt: skip
    reached = stride + missing, left + width + right - span(columns, op.strides[1]) + 1
    found = [(extent - 1) // step + 1 for extent, step in zip(reached, op.dilations, strict=True)]
    return b.op("Reshape", y, integers(b, [channels // size, *found, size]))


def _ends(op: BlockedFilterGradient, x_type: TensorType, g_type: TensorType) -> list[int]:
    """So much is to be padded after rows and columns for the last windows: nothing where they leave elements out."""
    sizes, counts = (type.with_shape(type.shape[2:]).static_shape for type in (x_type, g_type))
    return [
        max(span(count, stride) + span(kernel, step) - 1 - before - size, 0)
        for size, count, kernel, stride, step, before in zip(
            sizes, counts, op.kernel, op.strides, op.dilations, fixed(op.pads), strict=False
        )
    ]
