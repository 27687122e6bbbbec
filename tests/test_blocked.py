"""The passes ``blocked`` and ``pool_first`` change how fast, not what."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from kcompile.ir import Graph, Target, Value, constant, input_value, interpret, named
from kcompile.ir.core import Array
from kcompile.ir.ops.arrays.reduction import reduce_max, reduce_mean, reduce_sum
from kcompile.ir.ops.arrays.shaping import concat
from kcompile.ir.ops.elementwise.functions import add, div, mul, relu
from kcompile.ir.ops.spatial.convolution import conv
from kcompile.ir.ops.spatial.enlarging import enlarge
from kcompile.ir.ops.spatial.normalization import batch_norm_inference, batch_norm_training
from kcompile.ir.ops.spatial.pooling import average_pool, max_pool
from kcompile.ir.ops.spatial.spatial import resolve_pads
from kcompile.passes.algebra.cse import cse
from kcompile.passes.autodiff import gradients
from kcompile.passes.blocking.blocked import blocked
from kcompile.passes.blocking.fusion import join_blocked, scale_filters
from kcompile.passes.layouts.pool_first import pool_first
from kcompile.runtime.session import channel_block
from tests.op_checks import assert_close, run_onnx

FIRST = "channels_first"


class Network:
    """Builds a graph of convolutions, and remembers its weights as inputs."""

    def __init__(self, block: int, sizes: tuple[int, int]) -> None:
        self.block = block
        self.random = np.random.default_rng(3)
        self.inputs: list[Value] = []
        self.arrays: list[Array] = []
        self.image = self.input((named("batch"), 3, *sizes), (2, 3, *sizes))

    def input(self, shape: tuple, actual: tuple[int, ...], scale: float = 1.0) -> Value:
        self.inputs.append(input_value(f"x{len(self.inputs)}", "float32", shape))
        self.arrays.append((self.random.standard_normal(actual) * scale).astype(np.float32))
        return self.inputs[-1]

    def weight(self, *shape: int) -> Value:
        return self.input(shape, shape, 1 / np.sqrt(np.prod(shape[:-1])))

    def conv(
        self, x: Value, blocks: float, kernel: int = 3, stride: int = 1, padding: str = "same", bias: bool = True
    ) -> Value:
        outputs = int(blocks * self.block)
        w = self.weight(kernel, kernel, x.type.with_shape(x.shape[1:]).static_shape[0], outputs)
        pads = resolve_pads(padding, x.shape[2:], (kernel, kernel), (stride, stride), (1, 1))
        added = self.weight(outputs) if bias else None
        return conv(x, w, (stride, stride), pads, data_format=FIRST, bias=added)

    def grouped(self, x: Value, blocks: float, groups: int, stride: int = 1, kernel: int = 3) -> Value:
        """Without a bias."""
        outputs, channels = int(blocks * self.block), x.type.with_shape(x.shape[1:]).static_shape[0]
        w = self.weight(kernel, kernel, channels // groups, outputs)
        pads = resolve_pads("same", x.shape[2:], (kernel, kernel), (stride, stride), (1, 1))
        return conv(x, w, (stride, stride), pads, groups=groups, data_format=FIRST)

    def batch_norm(self, x: Value) -> Value:
        """After a convolution without bias: the gradient of a bias there is zero, rounding errors apart."""
        channels = x.type.with_shape(x.shape[1:]).static_shape[0]
        y, *_ = batch_norm_training(x, self.weight(channels), self.weight(channels), 1, 1e-3)
        return y


def plain_cnn(n: Network) -> Value:
    x = relu(n.conv(n.image, 1))
    x = relu(n.conv(x, 2, padding="valid"))
    x = max_pool(x, (2, 2), data_format=FIRST)
    x = relu(n.conv(x, 2))
    return average_pool(x, (2, 3), (1, 2), ((0, 1), (1, 1)), FIRST)


def residual(n: Network) -> Value:
    def conv_norm(x: Value, blocks: int, stride: int = 1) -> Value:
        return n.batch_norm(n.conv(x, blocks, stride=stride, bias=False))

    x = relu(conv_norm(n.image, 1))
    x = relu(add(n.conv(x, 2, 1, 2), conv_norm(relu(conv_norm(x, 2, 2)), 2)))
    x = relu(add(x, conv_norm(relu(conv_norm(x, 2)), 2)))
    return reduce_mean(x, (2, 3))


def branches(n: Network) -> Value:
    x = n.conv(n.image, 1)
    wide = concat([relu(n.conv(x, 1)), n.conv(x, 2, 1)], 1)
    mixed = mul(n.conv(wide, 3), n.conv(n.image, 3))
    return max_pool(add(mul(mixed, 0.5), wide), (3, 3), (2, 2), ((1, 1), (0, 1)), FIRST)


def odd_channels(n: Network) -> Value:
    """Channels that fill no whole blocks, or are fewer than one; zeros that fill up a block would become NaN."""
    x = relu(n.conv(max_pool(relu(n.conv(n.image, 0.75)), (2, 2), data_format=FIRST), 1.75))
    x = add(x, relu(n.conv(x, 1.75)))
    y = n.conv(x, 1.75)
    y = add(y, relu(n.batch_norm(n.conv(y, 1.75, bias=False))))
    x = mul(n.conv(div(y, add(mul(y, y), add(relu(y), relu(mul(y, -1))))), 1.75, 3, 2), reduce_max(x, None))
    x = concat([n.conv(x, 1), x, n.conv(div(1, add(x, 9)), 0.75)], 1)
    return n.conv(relu(n.conv(average_pool(n.conv(x, 1.5), (2, 2), data_format=FIRST), 0.5)), 0.25)


def separable(n: Network) -> Value:
    """Depthwise convolutions between pointwise ones, one of two filters per channel, and some of a few groups."""
    x = relu(n.conv(n.image, 2))
    x = n.batch_norm(n.grouped(x, 2, 2 * n.block))
    x = n.grouped(relu(n.conv(relu(x), 2, 1)), 4, 2 * n.block)
    x = n.batch_norm(n.grouped(x, 4, 4 * n.block, stride=2, kernel=5))
    odd = relu(n.batch_norm(n.conv(x, 2.5, 1, bias=False)))  # no whole blocks
    odd = n.batch_norm(n.grouped(odd, 2.5, 5 * n.block // 2))
    x = add(x, n.conv(relu(odd), 4, 1))
    return relu(n.grouped(n.grouped(x, 2, 2), 2, 2, stride=2))


def enlarged(n: Network) -> Value:
    """Images that are made larger between convolutions."""
    x = relu(n.conv(enlarge(relu(n.conv(n.image, 2)), (1, 1, 2, 3)), 1))
    return n.conv(enlarge(n.conv(x, 1.75), (1, 1, 2, 1)), 1)


NETWORKS: dict[str, Callable[[Network], Value]] = {
    f.__name__: f for f in (plain_cnn, residual, branches, odd_channels, separable, enlarged)
}


def training_graph(name: str, block: int, sizes: tuple[int, int]) -> tuple[Graph, dict[str, Array]]:
    """The output and the gradients of all inputs (the image too)."""
    network = Network(block, sizes)
    y = NETWORKS[name](network)
    weighted = reduce_sum(mul(y, mul(y, y)))
    found = [g for g in gradients([weighted], network.inputs) if g is not None]
    graph = Graph(network.inputs, [y, *found])
    return graph, {f"x{i}": array for i, array in enumerate(network.arrays)}


def names(graph: Graph) -> list[str]:
    return [node.op.name for node in graph.nodes()]


@pytest.mark.parametrize("sizes", [(8, 8), (9, 7)], ids=str)
@pytest.mark.parametrize("name", NETWORKS)
def test_blocked_graph_computes_the_same(name: str, sizes: tuple[int, int]) -> None:
    graph, feeds = training_graph(name, 4, sizes)
    changed = join_blocked(cse(blocked(graph, 4)))
    used = names(changed)
    assert {"blocked_conv", "blocked_conv_input_grad", "blocked_conv_weight_grad"} <= set(used)
    expected, actual = interpret(graph, feeds).outputs, interpret(changed, feeds).outputs
    for key, array in expected.items():
        assert_close(actual[key], array, 2e-5, key)  # sums of float32 in another order


@pytest.mark.skipif(channel_block() == 0, reason="this processor has no blocked kernels")
@pytest.mark.parametrize("name", NETWORKS)
def test_kernels_compute_what_numpy_computes(name: str) -> None:
    block = channel_block()
    graph, feeds = training_graph(name, block, (8, 8))
    changed = join_blocked(cse(blocked(graph, block)))
    actual = run_onnx(changed, feeds, Target(portable=False, block=block))
    for key, array in interpret(graph, feeds).outputs.items():
        assert_close(actual[key], array, 1e-4, key)  # some sums have 10^4 terms


def test_depthwise_chains_stay_blocked() -> None:
    """Forth and back, batch norm too; depthwise filter gradients read blocked inputs."""
    network = Network(8, (8, 8))

    def norm(x: Value) -> Value:
        return relu(network.batch_norm(x))

    x = norm(network.conv(network.image, 1, stride=2, bias=False))
    x = norm(network.grouped(norm(network.conv(x, 2, 1, bias=False)), 2, 16))
    y = norm(network.grouped(norm(network.conv(x, 3, 1, bias=False)), 3, 24, stride=2))
    graph = Graph(network.inputs, [y, *gradients([y], network.inputs[1:])])  # type: ignore[list-item]
    used = names(join_blocked(cse(blocked(graph, 8))))
    assert used.count("blocked_depthwise_weight_grad") == 2
    assert used.count("blocked_conv_input_grad") == used.count("blocked_grouped_conv_input_grad") == 2
    plain = {"conv", "conv_input_grad", "conv_weight_grad", "batch_norm_training", "batch_norm_grad"}
    assert not plain & set(used)
    assert used.count("to_blocked") == 1  # the gradient of the result
    assert used.count("from_blocked") == 5  # the result, and the operands of two products for filters of size 1


def test_few_conversions_remain() -> None:
    """None between the convolutions, forth and back; but filter gradients read plain inputs."""
    network = Network(8, (8, 8))
    y = plain_cnn(network)
    graph = Graph(network.inputs, [y, *gradients([y], network.inputs[1:])])  # type: ignore[list-item]
    used = names(join_blocked(cse(blocked(graph, 8))))
    assert used.count("to_blocked") == 1  # the gradient of the average pool
    assert used.count("from_blocked") == 3  # the result, and the inputs of two filter gradients
    assert "max_pool_grad" not in used


@pytest.mark.parametrize("block", sorted({4, channel_block() or 4}))
def test_inference_fuses_batch_norm_sums_and_relu(block: int) -> None:
    """With live weights too, a residual block is two kernels."""
    n = Network(block, (16, 16))

    def norm(x: Value) -> Value:
        channels = x.type.with_shape(x.shape[1:]).static_shape[0]
        variance = n.input((channels,), (channels,))
        vectors = [n.weight(channels), n.weight(channels), n.weight(channels), mul(variance, variance)]
        return batch_norm_inference(x, *vectors, 1, 1e-3)

    x = relu(norm(n.conv(n.image, 1)))
    y = norm(n.conv(relu(norm(n.conv(x, 1, bias=False))), 1))
    graph = Graph(n.inputs, [relu(add(x, y))])
    changed = join_blocked(cse(blocked(scale_filters(graph), block)))
    used = names(changed)
    assert used.count("blocked_conv") == 3
    assert used.count("from_blocked") == 1
    assert not {"relu", "batch_norm_inference", "conv", "to_blocked"} & set(used)
    feeds = {f"x{i}": array for i, array in enumerate(n.arrays)}
    expected = interpret(graph, feeds).outputs["output"]
    assert_close(interpret(changed, feeds).outputs["output"], expected, 1e-5, "NumPy")
    if block == channel_block():
        actual = run_onnx(changed, feeds, Target(portable=False, block=block))["output"]
        assert_close(actual, expected, 1e-5, "kernels")


@pytest.mark.parametrize(
    ("shape", "kernel", "outputs", "stride", "forward", "backward"),
    [
        ((128, 16, 28, 28), 3, 8, 1, "blocked_conv_few", "blocked_conv_input_grad"),
        ((128, 8, 28, 28), 3, 16, 1, "blocked_conv", "conv_input_grad"),
        ((1, 8, 512, 512), 3, 8, 1, "blocked_conv_few", "blocked_conv_few"),
        ((128, 20, 64, 64), 3, 40, 1, "conv", "conv_input_grad"),  # much of 32 and 48 would be padding
        ((1, 64, 56, 56), 3, 128, 2, "blocked_conv", "blocked_conv_input_grad"),
        ((128, 16, 28, 28), 3, 32, 2, "blocked_conv", "conv_input_grad"),  # interleaving takes too long
        ((1, 512, 7, 7), 1, 512, 1, "blocked_conv", "conv_input_grad"),  # a filter larger than the image
        ((8, 64, 56, 56), 1, 256, 1, "conv", "conv_input_grad"),
        ((named("batch"), 512, 7, 7), 1, 512, 1, "blocked_conv", "conv_input_grad"),
        ((named("batch"), 64, 56, 56), 1, 256, 1, "conv", "conv_input_grad"),
    ],
)
def test_blocked_where_it_costs_less(
    shape: tuple, kernel: int, outputs: int, stride: int, forward: str, backward: str
) -> None:
    """Alone, with conversions on both sides."""
    x = input_value("x", "float32", shape)
    w = input_value("w", "float32", (kernel, kernel, shape[1], outputs))
    pads = resolve_pads("same", shape[2:], (kernel, kernel), (stride, stride), (1, 1))
    y = conv(x, w, (stride, stride), pads, data_format=FIRST)
    assert forward in names(blocked(Graph([x, w], [y]), 16))
    g = input_value("g", "float32", y.shape)
    (dx,) = gradients([reduce_sum(mul(y, g))], [x])
    assert dx is not None
    assert backward in names(blocked(Graph([g, w], [dx]), 16))


def test_constant_filters_and_what_padding_would_slow_down_are_left_alone() -> None:
    x = input_value("x", "float32", (2, 17, 64, 16))
    frozen = conv(x, constant(np.ones((3, 3, 17, 16), np.float32)), data_format=FIRST)
    odd = conv(x, input_value("w", "float32", (3, 3, 17, 33)), data_format=FIRST)
    last = conv(x, input_value("v", "float32", (3, 3, 16, 16)))
    graph = Graph([x, odd.node.inputs[1], last.node.inputs[1]], [frozen, odd, last])
    assert blocked(graph, 16) is graph
    assert blocked(graph, 0) is graph


@pytest.mark.parametrize("pool", [lambda x: max_pool(x, (2, 2), data_format=FIRST), lambda x: reduce_max(x, (2, 3))])
def test_pooling_before_relu_changes_neither_values_nor_gradients(pool: Callable[[Value], Value]) -> None:
    x = input_value("x", "float64", (2, 3, 6, 4))
    array = np.random.default_rng(0).integers(-3, 4, (2, 3, 6, 4)).astype(np.float64)  # with ties
    plain = Graph([x], [pool(relu(x))])
    moved = pool_first(plain)
    assert moved.outputs["output"].op.name == "relu"
    results = [
        interpret(Graph([x], [y, *gradients([mul(y, y)], [x])]), {"x": array}).outputs
        for y in (plain.outputs["output"], moved.outputs["output"])
    ]
    for key, expected in results[0].items():
        np.testing.assert_array_equal(results[1][key], expected)
    shared = relu(x)
    both = Graph([x], [pool(shared), shared])
    assert pool_first(both) is both
