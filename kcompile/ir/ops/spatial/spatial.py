"""What convolution and pooling share: sizes and pads of sliding windows, and the two data formats."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any, ClassVar, TypeVar

import numpy as np

from kcompile.ir.core import Array, Builder, Node, Op, Permutation, Value, apply
from kcompile.ir.dims import Dim, Shape, floor_divide
from kcompile.ir.errors import IRError
from kcompile.ir.ops.shapes.batching import all_stacked, merged, parted
from kcompile.ir.types import TensorType

Pads = tuple[tuple[Dim, Dim], ...]
"""For each spatial axis how many elements are added before and after."""

T = TypeVar("T")


def to_channels_first(rank: int) -> Permutation:
    """The transpose from (batch, spatial..., channels) to (batch, channels, spatial...)."""
    return (0, rank - 1, *range(1, rank - 1))


def to_channels_last(rank: int) -> Permutation:
    """The transpose from (batch, channels, spatial...) to (batch, spatial..., channels)."""
    return (0, *range(2, rank), 1)


def arrange(batch: T, channels: T, spatial: Sequence[T], data_format: str) -> tuple[T, ...]:
    """Whatever belongs to each axis, in the order of ``data_format``."""
    return (batch, *spatial, channels) if data_format == "channels_last" else (batch, channels, *spatial)


def spatial_axes(rank: int, data_format: str) -> tuple[int, ...]:
    """The spatial axes of a tensor with ``rank`` axes."""
    return tuple(range(1, rank - 1)) if data_format == "channels_last" else tuple(range(2, rank))


def channel_axis(rank: int, data_format: str) -> int:
    """The channel axis of a tensor with ``rank`` axes."""
    return rank - 1 if data_format == "channels_last" else 1


def spatial_sizes(shape: Shape, data_format: str) -> tuple[Dim, ...]:
    """The sizes of the spatial axes."""
    return tuple(shape[axis] for axis in spatial_axes(len(shape), data_format))


def span(kernel: int, dilation: int) -> int:
    """How many elements a dilated kernel reaches over."""
    return (kernel - 1) * dilation + 1


def same_pads(size: Dim, kernel: int, stride: int, dilation: int = 1) -> tuple[Dim, Dim]:
    """The pads of Keras' ``padding="same"``: ``ceil(size / stride)`` outputs, the odd element at the end.

    The pads are symbolic if ``size`` is and ``stride > 1``.
    """
    reach = span(kernel, dilation)
    last = size - floor_divide(size - 1, stride) * stride
    if isinstance(last, int):
        total: Dim = max(reach - last, 0)
    elif reach >= stride:
        total = reach - last
    else:
        # max(reach - last, 0) in terms of sizes: the number of m in 1..reach-1 with last <= m.
        total = 0
        for bound in range(1, reach):
            total = total + 1 - floor_divide(last - bound - 1 + stride, stride)
    before = floor_divide(total, 2)
    return before, total - before


def resolve_pads(
    padding: str,
    sizes: Sequence[Dim],
    kernel: Sequence[int],
    strides: Sequence[int],
    dilations: Sequence[int],
) -> Pads:
    """The pads of Keras' ``padding`` (``valid``, ``same`` or ``causal``) for an input of spatial ``sizes``.

    Raises:
        ValueError: another padding.
    """
    geometry = tuple(zip(sizes, kernel, strides, dilations, strict=True))
    if padding == "valid":
        return ((0, 0),) * len(geometry)
    if padding == "same":
        return tuple(same_pads(*axis) for axis in geometry)
    if padding == "causal":
        return tuple((span(size, dilation) - 1, 0) for size, dilation in zip(kernel, dilations, strict=True))
    raise ValueError(f"padding is 'valid', 'same' or 'causal', got {padding!r}")


def output_size(size: Dim, kernel: int, stride: int, pads: tuple[Dim, Dim], dilation: int = 1) -> Dim:
    """How many windows fit on an axis.

    Raises:
        IRError: not even one.
    """
    free = size + pads[0] + pads[1] - span(kernel, dilation)
    if isinstance(free, int) and free < 0:
        raise IRError(
            f"a window over {span(kernel, dilation)} elements does not fit an axis of {size} padded by {pads}"
        )
    return floor_divide(free, stride) + 1


class SpatialOp(Op, abstract=True):
    """An op on a tensor of batch, channels and spatial axes, in the order that ``data_format`` says.

    ``activations`` are the inputs in that order (filters are not); ``lower_channels_first`` adds the ONNX
    nodes for channels-first tensors, the channels-last op transposes around it.
    """

    data_format: str
    activations: ClassVar[tuple[int, ...]] = (0,)
    activation_output: ClassVar[bool] = True

    def check_format(self) -> None:
        """Raises IRError unless ``data_format`` is one of the two."""
        if self.data_format not in ("channels_last", "channels_first"):
            raise IRError(f"data_format is channels_last or channels_first, got {self.data_format!r}")

    def split(self, type: TensorType) -> tuple[Dim, Dim, tuple[Dim, ...]]:
        """Batch, channels and spatial sizes."""
        channels = type.shape[channel_axis(type.rank, self.data_format)]
        return type.shape[0], channels, spatial_sizes(type.shape, self.data_format)

    def first(self, array: Array) -> Array:
        """``array`` with its channels on axis 1."""
        return np.moveaxis(array, -1, 1) if self.data_format == "channels_last" else array

    def back(self, array: Array) -> Array:
        """``array``, whose channels are on axis 1, in the order of ``data_format``."""
        return np.moveaxis(array, 1, -1) if self.data_format == "channels_last" else array

    def permuted(self, node: Node, permutation: Permutation) -> tuple[Op, tuple[Permutation | None, ...]] | None:
        """The same op in the other data format.

        Where the output has no data format (the gradient of a filter), ask with the identity: only the
        inputs are transposed.
        """
        rank = node.inputs[self.activations[0]].rank
        last = self.data_format == "channels_last"
        flip = to_channels_first(rank) if last else to_channels_last(rank)
        if permutation != (flip if self.activation_output else tuple(range(node.outputs[0].rank))):
            return None
        changed: dict[str, Any] = {"data_format": "channels_first" if last else "channels_last"}
        op = dataclasses.replace(self, **changed)
        return op, tuple(flip if i in self.activations else None for i in range(len(node.inputs)))

    def lower(self, b: Builder, node: Node, *names: str) -> str:
        types = [value.type for value in node.inputs]
        output = node.outputs[0].type
        if self.data_format == "channels_first":
            return self.lower_channels_first(b, types, output, *names)
        tensors = list(names)
        for index in self.activations:
            order = to_channels_first(types[index].rank)
            tensors[index] = b.op("Transpose", tensors[index], perm=order)
            types[index] = permuted_type(types[index], order)
        if not self.activation_output:
            return self.lower_channels_first(b, types, output, *tensors)
        order = to_channels_first(output.rank)
        result = self.lower_channels_first(b, types, permuted_type(output, order), *tensors)
        return b.op("Transpose", result, perm=to_channels_last(output.rank))

    def batched(self, inputs: Sequence[Value], stacked: Sequence[bool]) -> tuple[Value, ...] | None:
        """The slices go into the batch, if they have everything else in common."""
        shared = [flag for i, flag in enumerate(stacked) if i not in self.activations]
        if any(shared) or not self.activation_output:
            return None
        first = len(self.activations)
        images = all_stacked(inputs[:first], stacked[:first])
        y = apply(self, *map(merged, images), *inputs[first:])
        return (parted(y, *images[0].shape[:2]),)

    def lower_channels_first(self, b: Builder, types: Sequence[TensorType], output: TensorType, *names: str) -> str:
        """Add the ONNX nodes; ``types`` and ``output`` are those of the channels-first tensors."""
        raise NotImplementedError(type(self).__name__)


def permuted_type(type: TensorType, permutation: Permutation) -> TensorType:
    """The type after a transpose."""
    return type.with_shape(tuple(type.shape[axis] for axis in permutation))


# ---- NumPy: channels-first arrays


def integers(dims: Sequence[Dim]) -> tuple[int, ...]:
    """Sizes that have been bound to integers."""
    return tuple(dim for dim in dims if isinstance(dim, int))


def pad_spatial(x: Array, pads: Pads, value: float = 0.0) -> Array:
    """``x`` of shape (batch, channels, spatial...) with pads around the spatial axes."""
    widths = [(0, 0), (0, 0), *(integers(pair) for pair in pads)]
    return np.pad(x, widths, constant_values=value)


def offsets(
    kernel: Sequence[int], counts: Sequence[int], strides: Sequence[int], dilations: Sequence[int]
) -> Iterator[tuple[tuple[int, ...], tuple[Any, ...]]]:
    """Each position in the kernel, and the index of the padded input elements that it meets."""
    for position in product(*(range(size) for size in kernel)):
        starts = [p * d for p, d in zip(position, dilations, strict=True)]
        windows = zip(starts, counts, strides, strict=True)
        slices = (slice(start, start + (count - 1) * stride + 1, stride) for start, count, stride in windows)
        yield position, (slice(None), slice(None), *slices)


def crop(x: Array, pads: Pads, sizes: Sequence[int]) -> Array:
    """The inverse of :func:`pad_spatial`: the inner part of ``sizes``."""
    starts = integers([before for before, _ in pads])
    inner: list[Any] = [slice(start, start + size) for start, size in zip(starts, sizes, strict=True)]
    return x[(slice(None), slice(None), *inner)]


# ---- ONNX: channels-first tensors


def static_pads(pads: Pads) -> list[int] | None:
    """ONNX's ``pads`` attribute, or ``None`` if one of them is symbolic."""
    flat = [pair[0] for pair in pads] + [pair[1] for pair in pads]
    known = [dim for dim in flat if isinstance(dim, int)]
    return known if len(known) == len(flat) else None


def balanced(pads: Pads) -> bool:
    """Whether each axis is padded alike on both ends: all that cuDNN's pooling and transposed convolution know.

    ONNX Runtime's CUDA AveragePool took the first number for both until July 2026 (pull request 29631), and its
    ConvTranspose runs on the CPU where they differ.
    """
    return all(before == after for before, after in pads)


def lower_pad(b: Builder, name: str, dtype: str, pads: Pads, value: float = 0.0) -> str:
    """Pad the spatial axes of a channels-first tensor; negative pads crop."""
    if all(pair == (0, 0) for pair in pads):
        return name
    befores, afters = [pair[0] for pair in pads], [pair[1] for pair in pads]
    widths = b.dims([0, 0, *befores, 0, 0, *afters])
    return b.op("Pad", name, widths, b.constant(value, dtype), mode="constant")


def padded_type(x: TensorType, pads: Pads) -> TensorType:
    """The type of a channels-first tensor after :func:`lower_pad`."""
    sizes = tuple(size + before + after for size, (before, after) in zip(x.shape[2:], pads, strict=True))
    return x.with_shape((*x.shape[:2], *sizes))


def rank_error(what: str, value: TensorType) -> IRError:
    """The complaint about a tensor without 1, 2 or 3 spatial axes."""
    return IRError(f"{what} needs batch, channels and 1 to 3 spatial axes, got {value}")
