"""Convolutions of images that were enlarged just before, on the images themselves.

Enlarging by a whole factor ``s``, each element repeated, is a transposed convolution with a filter of ones and strides
``s``. So a convolution with ``k`` taps behind it is a transposed one with ``k + s - 1`` taps, of which each result
meets ``1 / s``: for 3x3 taps and a factor of 2 less than half of the work. Its filter holds sums of neighbouring taps,
and its gradients are those of the one convolution with strides.
"""

from __future__ import annotations

import functools
import math

import numpy as np

from kcompile.ir import costs
from kcompile.ir.core import Array, Graph, Node, Value, apply, constant, constant_of
from kcompile.ir.ops.arrays.indexing import gather
from kcompile.ir.ops.arrays.shaping import expand, reshape, transpose
from kcompile.ir.ops.arrays.slicing import concat
from kcompile.ir.ops.blocked.base import padded
from kcompile.ir.ops.elementwise.functions import add
from kcompile.ir.ops.spatial.convolution import Conv, ConvInputGrad, ConvWeightGrad
from kcompile.ir.ops.spatial.convolution_base import Convolution
from kcompile.ir.ops.spatial.enlarging import Enlarge, EnlargeGrad, Enlarging
from kcompile.ir.rebuilding import rebuild
from kcompile.ir.types import TensorType
from kcompile.passes.blocking.weight_gradients import seconds_by_way
from kcompile.passes.machinery.report import fired
from kcompile.passes.machinery.rewrite import count_uses, in_regions

Pair = tuple[int, ...]
"""A number for each of the two axes of images."""


def enlarged_convolutions(graph: Graph, block: int) -> Graph:
    """Convolve images instead of enlarged ones, forward and for both gradients, each where it costs less."""
    graph = in_regions(graph, lambda region: enlarged_convolutions(region, block))
    uses = count_uses(graph)

    def rule(node: Node, inputs: tuple[Value, ...]) -> Value | None:
        above = inputs[0].node if inputs else node
        match node.op, above.op:
            case Conv() as op, Enlarge() as enlarge:
                taps = inputs[1].type.static_shape[:-2]
                if not _meets_all(op, enlarge, taps) or constant_of(inputs[1]) is not None:
                    return None
                like = _transposed(op, taps, inputs[0].type, enlarge)
                return _forward(like, above.inputs[0], *inputs[1:]) if _pays(op, node, like, block) else None
            case ConvWeightGrad() as op, Enlarge() as enlarge if _meets_all(op, enlarge, op.kernel):
                like = _transposed(op, op.kernel, inputs[0].type, enlarge)
                return _filter_gradient(op, like, above.inputs[0], inputs, block)
            case EnlargeGrad() as op, ConvInputGrad() as gradient if uses[node.inputs[0]] == 1:
                g, w, *bias = above.inputs
                if bias or not _meets_all(gradient, op, w.type.static_shape[:-2]):
                    return None
                like = _transposed(gradient, w.type.static_shape[:-2], inputs[0].type, op)
                fired("input gradient of an enlarged image")
                made = Conv(like.strides, like.pads, like.dilations, 1, like.data_format)
                return apply(made, g, _summed_taps(w, like.strides))
        return None

    return rebuild(graph, rule)


def _meets_all(op: Convolution, enlarge: Enlarging, kernel: Pair) -> bool:
    """Whether a convolution of the enlarged image is a transposed one of the image itself, with less to do."""
    return (
        op.data_format == "channels_first"
        and len(kernel) == 2
        and op.groups == 1
        and set(op.strides + op.dilations) == {1}
        and all(isinstance(pad, int) and pad < k for pair, k in zip(op.pads, kernel, strict=True) for pad in pair)
        and enlarge.mode == "nearest"
        and enlarge.factors[:2] == (1, 1)
        and _met(kernel, enlarge.factors[2:]) < math.prod(kernel)
    )


def _met(kernel: Pair, factors: Pair) -> float:
    """How many taps of the transposed convolution each of its results meets."""
    return math.prod((k + s - 1) / s for k, s in zip(kernel, factors, strict=True))


def _transposed(op: Convolution, kernel: Pair, enlarged: TensorType, enlarge: Enlarging) -> ConvInputGrad:
    """The transposed convolution of the image that one of the enlarged image is."""
    axes = list(zip(enlarged.shape[2:], kernel, op.pads, strict=True))
    sizes = tuple(size + before + after - k + 1 for size, k, (before, after) in axes)
    pads = tuple((k - 1 - before, k - 1 - after) for _, k, (before, after) in axes)
    return ConvInputGrad(enlarge.factors[2:], pads, op.dilations, 1, op.data_format, sizes)


def _forward(like: ConvInputGrad, x: Value, w: Value, bias: Value | None = None) -> Value:
    fired("convolution of an enlarged image")
    y = apply(like, x, _summed_taps(w, like.strides))
    return y if bias is None else add(y, reshape(bias, (-1, 1, 1)))


def _pays(op: Conv, node: Node, like: ConvInputGrad, block: int) -> bool:
    """Whether fewer taps are worth the interleaving of their results, and that bias and activation are added later."""
    *kernel, inner, outer = node.inputs[1].type.static_shape
    pixel = costs.plain_input_pixel if inner < block else costs.blocked_pixel
    inner, outer = inner if inner < block else padded(inner, block), padded(outer, block)
    direct = pixel(math.prod(kernel), inner, outer, block) + costs.conversions(inner)
    phases = pixel(_met(tuple(kernel), like.strides), inner, outer, block)
    joined = sum(stride > 1 for stride in like.strides)
    return phases + (joined + 2) * costs.conversions(outer) < direct


def _filter_gradient(
    op: ConvWeightGrad, like: ConvInputGrad, x: Value, inputs: tuple[Value, ...], block: int
) -> Value | None:
    """The gradient of the summed taps, which each tap takes part in; ``None`` where that costs more."""
    enlarged, g = inputs
    taps = tuple(k + s - 1 for k, s in zip(op.kernel, like.strides, strict=True))
    made = ConvWeightGrad(like.strides, like.pads, like.dilations, 1, like.data_format, taps)
    known = all(isinstance(size, int) for size in (*enlarged.shape[1:], *g.shape[1:]))
    if not known or _seconds(made, g, x, block) > costs.CLEARLY * _seconds(op, enlarged, g, block):
        return None
    fired("filter gradient of an enlarged image")
    dw = transpose(apply(made, g, x), (0, 1, 3, 2))
    *_, inner, outer = dw.type.static_shape
    rows = reshape(dw, (math.prod(taps), inner * outer))
    return reshape(_sum_of_rows(rows, _place_in_window(op.kernel, like.strides)), (*op.kernel, inner, outer))


def _seconds(op: ConvWeightGrad, x: Value, g: Value, block: int) -> float:
    return min(seconds_by_way(op, x.type, g.type, block).values())


def _summed_taps(w: Value, factors: Pair) -> Value:
    """The filter of the transposed convolution: reversed, neighbouring taps added up, channels exchanged."""
    *kernel, inner, outer = w.type.static_shape
    rows = reshape(w, (math.prod(kernel), inner * outer))
    zeros = expand(constant(0, w.dtype), (1, inner * outer))
    summed = _sum_of_rows(concat([rows, zeros], 0), _taps_met(tuple(kernel), factors))
    taps = [k + s - 1 for k, s in zip(kernel, factors, strict=True)]
    return transpose(reshape(summed, (*taps, inner, outer)), (0, 1, 3, 2))


def _sum_of_rows(rows: Value, places: Array) -> Value:
    """For each column of ``places`` the sum of the rows that it names: no products with zero, which spread infinity."""
    return functools.reduce(add, (gather(rows, constant(each)) for each in places.astype(np.int64)))


def _taps_met(kernel: Pair, factors: Pair) -> Array:
    """For each place in a window of ``factors`` (rows) the tap that each tap of the transposed convolution (columns)
    has there; one behind the last tap where it has none.
    """
    places = _place_in_window(kernel, factors)
    count = math.prod(k + s - 1 for k, s in zip(kernel, factors, strict=True))
    found = np.full((len(places), count), math.prod(kernel))
    for place, taps in enumerate(places):
        found[place, taps] = np.arange(math.prod(kernel))
    return found


def _place_in_window(kernel: Pair, factors: Pair) -> Array:
    """The inverse: for each place in a window (rows) the tap of the transposed convolution that each tap adds to."""
    (a, b), (s, t) = kernel, factors
    down, across, row, column = np.ogrid[:s, :t, :a, :b]
    taps: Array = (down + a - 1 - row) * (b + t - 1) + across + b - 1 - column
    return taps.reshape(s * t, a * b)
