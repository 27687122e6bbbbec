"""Each way to compute a filter gradient, on the sizes for which it is not chosen too; and float64."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from kcompile.ir import Graph, IRError, Target, apply, constant, input_value, interpret, named
from kcompile.ir.ops.spatial import convolution, convolution_table
from kcompile.ir.ops.spatial import convolution_weight_lowering as ways
from kcompile.ir.ops.spatial.convolution import Conv, ConvInputGrad, ConvWeightGrad
from kcompile.ir.ops.spatial.pooling import average_pool
from kcompile.ir.ops.spatial.spatial import output_size, resolve_pads
from kcompile.passes.blocking.convolution_kinds import convolution_kinds
from kcompile.passes.onnx.emit import emit
from tests.op_checks import (
    TARGETS,
    assert_close,
    build,
    check_onnx,
    differentiable,
    gradient_feeds,
    gradient_graph,
    run_onnx,
)
from tests.op_examples import Example
from tests.op_examples.convolution import EXAMPLES as convolutions
from tests.op_examples.pooling import EXAMPLES as poolings

CASES = {
    "plain": ((6, 7), (3, 2), (1, 1), (1, 1), "valid"),
    "same": ((6, 7), (3, 3), (1, 1), (1, 1), "same"),
    "strided": ((7, 9), (3, 2), (2, 3), (1, 1), "same"),
    "ragged": ((8, 8), (2, 3), (3, 2), (1, 1), "valid"),
    "dilated": ((8, 9), (2, 3), (1, 2), (2, 3), "same"),
    "pointwise": ((5, 6), (1, 1), (2, 2), (1, 1), "valid"),
}


def by_table(b, op, types, output, x, g):
    return convolution_table.conv_weight_grad(b, op, *types, x, g)


def side_by_side(b, op, types, output, x, g):
    return ways.side_by_side(b, op, *types, x, g)


def by_positions(b, op, types, output, x, g):
    return ways.by_positions(b, op, *types, x, g)


WAYS: list[Callable[..., str]] = [by_table, side_by_side, by_positions, ways.with_roles_swapped]


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
@pytest.mark.parametrize("portable", [True, False])
@pytest.mark.parametrize("case", CASES)
def test_every_way_gives_the_gradient(
    case: str, portable: bool, way: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes, kernel, strides, dilations, padding = CASES[case]
    pads = resolve_pads(padding, sizes, kernel, strides, dilations)
    axes = zip(sizes, kernel, strides, pads, dilations, strict=True)
    counts = tuple(output_size(*axis) for axis in axes)
    x = input_value("x", "float32", (named("batch"), 3, *sizes))
    g = input_value("g", "float32", (named("batch"), 4, *counts))
    graph = Graph([x, g], [apply(ConvWeightGrad(strides, pads, dilations, 1, "channels_first", kernel), x, g)])
    random = np.random.default_rng(1)
    feeds = {v.op.label: random.standard_normal((2, *v.shape[1:])).astype(np.float32) for v in (x, g)}
    monkeypatch.setattr(convolution, "lower_weight_grad", way)
    actual = run_onnx(graph, feeds, Target(portable=portable))
    assert_close(actual["output"], interpret(graph, feeds).outputs["output"], 1e-5, case)


@pytest.mark.parametrize("portable", [True, False])
@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("case", CASES)
def test_images_of_any_size(case: str, groups: int, portable: bool) -> None:
    sizes, kernel, strides, dilations, padding = CASES[case]
    free = tuple(named(name) for name in ("height", "width"))
    pads = resolve_pads(padding, free, kernel, strides, dilations)
    counts = tuple(output_size(*axis) for axis in zip(free, kernel, strides, pads, dilations, strict=True))
    x = input_value("x", "float32", (named("batch"), 4, *free))
    g = input_value("g", "float32", (named("batch"), 6, *counts))
    graph = Graph([x, g], [apply(ConvWeightGrad(strides, pads, dilations, groups, "channels_first", kernel), x, g)])
    random = np.random.default_rng(1)
    known_pads = resolve_pads(padding, sizes, kernel, strides, dilations)
    known = [output_size(*axis) for axis in zip(sizes, kernel, strides, known_pads, dilations, strict=True)]
    feeds = {
        "x": random.standard_normal((2, 4, *sizes)).astype(np.float32),
        "g": random.standard_normal((2, 6, *known)).astype(np.float32),
    }
    actual = run_onnx(graph, feeds, Target(portable=portable))
    assert_close(actual["output"], interpret(graph, feeds).outputs["output"], 1e-5, case)


@pytest.mark.parametrize("example", [*convolutions, *poolings], ids=str)
def test_float64_has_no_kernel_but_works(example: Example) -> None:
    graph, arrays = build(example, "float64", symbolic=True)
    check_onnx(graph, arrays, TARGETS["portable"], 1e-12)
    feeds = gradient_feeds(graph, arrays)
    backward = gradient_graph(graph, differentiable(example))
    expected = interpret(backward, feeds).outputs
    for name, array in run_onnx(backward, feeds, TARGETS["native"]).items():
        assert_close(array, expected[name], 1e-12, name)


def test_float64_images_of_unknown_size_are_refused() -> None:
    x = input_value("x", "float64", (2, 3, named("height"), 8))
    w = input_value("w", "float64", (3, 3, 3, 2))
    with pytest.raises(IRError, match=r"convolves float64 only on images of known size.*use float32"):
        emit(Graph([x, w], [convolution.conv(x, w, data_format="channels_first")]))
    with pytest.raises(IRError, match=r"averages float64 only on images of known size.*use float32"):
        emit(Graph([x], [average_pool(x, (2, 2), data_format="channels_first")]))


@pytest.mark.parametrize(
    ("sizes", "kernel", "op"),
    [
        ((40, 40), 3, ConvInputGrad),
        ((40, 40), 9, ConvInputGrad),
        ((400, 600), 9, Conv),
        ((400, named("width")), 3, ConvInputGrad),
        ((400, named("width")), 9, Conv),
    ],
)
def test_transposed_convolutions_stand_for_plain_ones_while_they_take_little_memory(sizes, kernel, op) -> None:
    x = input_value("x", "float32", (2, 8, *sizes))
    w = constant(np.zeros((kernel, kernel, 8, 1), "float32"))
    y = convolution.conv(x, w, pads=((kernel // 2,) * 2,) * 2, data_format="channels_first")
    found = convolution_kinds(Graph([x], [y])).results[0]
    assert isinstance(found.op, op)
    assert found.type == y.type
