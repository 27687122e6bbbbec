"""The pass ``as_images`` changes how fast convolutions over one and three axes are, not what they compute."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import product

import numpy as np
import pytest

from kcompile.ir import Graph, Target, Value, input_value, interpret, named
from kcompile.ir.core import Array
from kcompile.ir.ops.arrays.reduction import reduce_mean, reduce_sum
from kcompile.ir.ops.arrays.shaping import reshape, transpose
from kcompile.ir.ops.blocked.tiles import WindowSum, cheapest_tiling
from kcompile.ir.ops.blocked.upright import upright_sum
from kcompile.ir.ops.elementwise.functions import add, mul, relu
from kcompile.ir.ops.spatial.convolution import conv
from kcompile.ir.ops.spatial.normalization import batch_norm_training
from kcompile.ir.ops.spatial.pooling import average_pool, max_pool
from kcompile.ir.ops.spatial.spatial import resolve_pads, same_pads, to_channels_first
from kcompile.passes.autodiff import gradients
from kcompile.passes.layouts.as_images import as_images
from kcompile.passes.pipelines import TRAINING, native_passes, run_pipeline
from kcompile.runtime.session import channel_block
from tests.op_checks import assert_close, run_onnx

FIRST = "channels_first"
GEOMETRIES = [  # kernel, stride, dilation, padding
    (3, 1, 1, "same"),
    (3, 2, 1, "same"),
    (3, 1, 2, "valid"),
    (2, 2, 1, "valid"),
    (1, 1, 1, "same"),
    (1, 2, 1, "valid"),
    (4, 3, 1, "same"),
    (3, 2, 3, "same"),
]


@dataclass
class Network:
    """Builds a graph with symbolic batch, and remembers its inputs."""

    block: int
    random: np.random.Generator = field(default_factory=lambda: np.random.default_rng(5))
    inputs: list[Value] = field(default_factory=list)
    arrays: dict[str, Array] = field(default_factory=dict)

    def input(self, shape: tuple, scale: float = 1.0) -> Value:
        name = f"x{len(self.inputs)}"
        actual = tuple(dim if isinstance(dim, int) else 2 for dim in shape)
        self.inputs.append(input_value(name, "float32", shape))
        self.arrays[name] = (self.random.standard_normal(actual) * scale).astype(np.float32)
        return self.inputs[-1]

    def weight(self, *shape: int) -> Value:
        return self.input(shape, 1 / np.sqrt(np.prod(shape[:-1])))

    def image(self, *sizes: int, channels: int) -> Value:
        x = self.input((named("batch"), *sizes, channels))
        return transpose(x, to_channels_first(x.rank))

    def conv(
        self,
        x: Value,
        out: int,
        kernel: int = 3,
        stride: int = 1,
        dilation: int = 1,
        padding: str = "same",
        bias: bool = True,
        groups: int = 1,
    ) -> Value:
        ones = (1,) * (x.rank - 2)
        window, strides, steps = ((n,) * len(ones) for n in (kernel, stride, dilation))
        pads = resolve_pads(padding, x.shape[2:], window, strides, steps)
        (channels,) = x.type.with_shape(x.shape[1:2]).static_shape
        w, b = self.weight(*window, channels // groups, out), self.weight(out) if bias else None
        return conv(x, w, strides, pads, steps, groups, FIRST, b)

    def norm(self, x: Value) -> Value:
        """After a convolution without bias, the gradient of which would be zero, rounding errors apart."""
        (channels,) = x.type.with_shape(x.shape[1:2]).static_shape
        return batch_norm_training(x, self.weight(channels), self.weight(channels), 1, 1e-3)[0]

    def graph(self, y: Value) -> Graph:
        """The output and all gradients."""
        found = [g for g in gradients([reduce_sum(mul(y, y))], self.inputs) if g is not None]
        return Graph(self.inputs, [y, *found])


def wave(n: Network) -> Value:
    """Causal and dilated, with a residual, as in WaveNet."""
    x = relu(n.conv(n.image(24, channels=3), n.block, padding="causal"))
    x = add(x, relu(n.conv(x, n.block, 2, dilation=4, padding="causal")))
    x = max_pool(n.norm(n.conv(x, 2 * n.block, stride=2, bias=False)), (2,), data_format=FIRST)
    return reduce_mean(average_pool(x, (2,), data_format=FIRST), (2,))


def separable(n: Network) -> Value:
    """Depthwise, with one filter per channel and two, and a few groups."""
    x = relu(n.conv(n.image(24, channels=3), n.block))
    x = relu(n.conv(x, n.block, 5, stride=2, groups=n.block))
    x = relu(n.conv(x, 2 * n.block, dilation=2, groups=n.block))
    return n.conv(x, 2 * n.block, groups=2)


def volume(n: Network) -> Value:
    x = relu(n.conv(n.image(4, 6, 5, channels=1), n.block))
    x = add(x, relu(n.norm(n.conv(x, n.block, bias=False))))
    x = n.conv(max_pool(x, (2, 2, 2), data_format=FIRST), 2 * n.block)
    x = relu(n.conv(x, n.block, stride=2))
    (*_, height, width) = x.type.with_shape((1, *x.shape[1:])).static_shape
    return reshape(x, (x.shape[0], n.block * height * width))


def odd_volume(n: Network) -> Value:
    """Channels that fill no blocks, and no two sizes alike."""
    x = relu(n.conv(n.image(5, 4, 6, channels=2), 3))
    x = average_pool(relu(n.conv(x, n.block, stride=2)), (1, 2, 2), data_format=FIRST)
    return reduce_mean(n.conv(x, 3, 1), (2, 3, 4))


NETWORKS: dict[str, Callable[[Network], Value]] = {f.__name__: f for f in (wave, separable, volume, odd_volume)}


@pytest.mark.parametrize("geometry", GEOMETRIES, ids=str)
@pytest.mark.parametrize("sizes", [(9,), (12,), (9, 5, 7), (8, 7, 5)], ids=str)
def test_geometries(sizes: tuple[int, ...], geometry: tuple[int, int, int, str]) -> None:
    n = Network(4)
    graph = n.graph(n.conv(n.conv(n.image(*sizes, channels=9), 4, *geometry), 3, 1))
    changed = as_images(graph, 4)
    assert changed is not graph
    expected, actual = interpret(graph, n.arrays).outputs, interpret(changed, n.arrays).outputs
    for key, array in expected.items():
        assert_close(actual[key], array, 2e-5, key)  # sums of float32 in another order


@pytest.mark.parametrize("name", NETWORKS)
def test_kernels_compute_what_numpy_computes(name: str) -> None:
    target = Target("cpu", portable=False, block=channel_block())
    n = Network(target.block or 8)
    graph = n.graph(NETWORKS[name](n))
    changed = run_pipeline(graph, (*TRAINING, *native_passes(target)))
    actual = run_onnx(changed, n.arrays, target)
    for key, array in interpret(graph, n.arrays).outputs.items():
        assert_close(actual[key], array, 1e-4, key)


@pytest.mark.parametrize("name", ["wave", "separable", "volume"])
def test_few_conversions_remain(name: str) -> None:
    """What lies between convolutions is on blocked images; only filter gradients read plain inputs."""
    n = Network(4)
    target = Target("cpu", portable=False, block=4)
    graph = run_pipeline(n.graph(NETWORKS[name](n)), (*TRAINING, *native_passes(target)))
    used = [node.op.name for node in graph.nodes()]
    assert not {"relu", "conv", "batch_norm_training"} & {
        node.op.name for node in graph.nodes() if any(value.rank in (3, 5) for value in node.inputs)
    }
    assert used.count("blocked_conv") + used.count("blocked_grouped_conv") >= 3
    assert used.count("to_blocked") <= 2


def test_dilated_sums_are_counted_as_they_are_computed() -> None:
    """What lies between the elements of a dilated filter costs nothing; few channels side by side fill vectors."""
    dilated = WindowSum(1, (1, 5000), 64, 64, (1, 3), (1, 1), (1, 32), 16)
    assert upright_sum(dilated).kernel == (3, 1)
    assert cheapest_tiling(upright_sum(dilated))[0] < cheapest_tiling(dilated)[0] / 4
    narrow = WindowSum(1, (1, 5000), 4, 64, (1, 15), (1, 1), (1, 1), 16)
    assert upright_sum(narrow) is narrow
    image = WindowSum(1, (2, 50), 64, 64, (1, 3), (1, 1), (1, 2), 16)
    assert upright_sum(image) is image


def test_sizes_that_are_not_known_are_left_alone() -> None:
    time = named("time")
    x = input_value("x", "float32", (2, 4, time))
    w = input_value("w", "float32", (3, 4, 4))
    graph = Graph([x, w], [conv(x, w, (2,), (same_pads(time, 3, 2),), data_format=FIRST)])
    assert as_images(graph, 4) is graph


def test_all_pairs_of_formats() -> None:
    """Values that are needed both as sequences and as images."""
    for rank, ends in product((1, 3), (True, False)):
        n = Network(4)
        x = n.conv(n.image(*(4,) * rank, channels=4), 4)
        tail = transpose(relu(x), (0, *range(2, x.rank), 1)) if ends else relu(x)
        graph = Graph(n.inputs, [tail, x, reduce_sum(x, tuple(range(1, x.rank)))])
        results = [interpret(g, n.arrays).outputs for g in (graph, as_images(graph, 4))]
        for key, array in results[0].items():
            assert_close(results[1][key], array, 1e-5, key)
