"""The gradient of max pooling by comparisons of runs is that of the op: on ties, padding and NaN too."""

from __future__ import annotations

import numpy as np
import pytest

from kcompile.ir import Graph, Target, input_value
from kcompile.ir.core import Array, apply
from kcompile.ir.dims import named
from kcompile.ir.ops.spatial.pooling import MaxPoolGrad
from kcompile.ir.ops.spatial.spatial import output_size
from kcompile.ir.ops.spatial.window_maxima import compares_runs, grad_by_runs
from kcompile.passes.layouts.max_gradients import max_gradients
from tests.op_checks import run_onnx

GEOMETRIES = [  # sizes, window, strides, pads
    ((7,), (2,), (2,), ((0, 0),)),
    ((7,), (3,), (2,), ((1, 1),)),
    ((8,), (3,), (2,), ((0, 1),)),
    ((9,), (5,), (1,), ((2, 2),)),
    ((10,), (5,), (2,), ((1, 2),)),
    ((11,), (4,), (3,), ((3, 2),)),
    ((11,), (8,), (3,), ((3, 2),)),
    ((5, 7), (3, 3), (2, 2), ((0, 1), (1, 1))),
    ((5, 7), (3, 1), (1, 1), ((1, 1), (0, 0))),
    ((3, 4, 5), (3, 2, 2), (1, 1, 2), ((0, 1), (1, 0), (0, 1))),
]


def made(sizes: tuple, window: tuple, strides: tuple, pads: tuple) -> tuple[MaxPoolGrad, tuple, Graph]:
    """The op, the sizes of its gradient, and the graph that takes its place."""
    counts = tuple(output_size(*axis) for axis in zip(sizes, window, strides, pads, strict=True))
    op = MaxPoolGrad(window, strides, pads, "channels_last")
    inputs = [input_value(name, "float32", (named("batch"), *n, 3)) for name, n in (("g", counts), ("x", sizes))]
    assert compares_runs(op, inputs[1].type)
    return op, counts, Graph(inputs, [grad_by_runs(op, *inputs)])


def result(graph: Graph, g: Array, x: Array) -> Array:
    (dx,) = run_onnx(graph, {"g": g, "x": x}, Target()).values()
    return dx


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("geometry", GEOMETRIES, ids=str)
def test_it_computes_what_the_op_means(geometry: tuple, ties: bool) -> None:
    op, counts, graph = made(*geometry)
    random = np.random.default_rng(3)
    x = random.standard_normal((2, *geometry[0], 3)).astype(np.float32)
    x = np.maximum(np.round(x), 0) if ties else x
    g = random.standard_normal((2, *counts, 3)).astype(np.float32)
    np.testing.assert_allclose(result(graph, g, x), op.evaluate(g, x), rtol=1e-6, atol=1e-6)


def test_nan_of_the_gradient_stays() -> None:
    _, _, graph = made((4, 4), (2, 2), (2, 2), ((0, 0), (0, 0)))
    g = np.ones((1, 2, 2, 3), np.float32)
    g[0, 0, 1] = np.nan
    dx = result(graph, g, np.arange(48, dtype=np.float32).reshape(1, 4, 4, 3))
    assert np.isnan(dx[0, 1, 3]).all()
    assert np.isfinite(np.delete(dx, [2, 3], 2)).all()
    assert np.isfinite(dx[0, 2:]).all()


def test_large_windows_are_left_to_the_kernel() -> None:
    x = input_value("x", "float32", (named("batch"), 40, 40, 3))
    flat, square = ((0, 0), (0, 0)), ((6, 6), (6, 6))
    assert not compares_runs(MaxPoolGrad((13, 1), (13, 1), flat, "channels_last"), x.type)
    assert compares_runs(MaxPoolGrad((13, 13), (1, 1), square, "channels_last"), x.type)
    assert not compares_runs(MaxPoolGrad((2, 2), (3, 2), flat, "channels_last"), x.type)


def test_the_pass_takes_both_orders_of_channels() -> None:
    shapes = {"channels_last": (named("batch"), 5, 6, 3), "channels_first": (named("batch"), 3, 5, 6)}
    random = np.random.default_rng(4)
    for order, shape in shapes.items():
        op = MaxPoolGrad((2, 3), (2, 2), ((0, 1), (1, 0)), order)
        x = input_value("x", "float32", shape)
        g = input_value("g", "float32", op.pooled(x.type).shape)
        feeds = {
            name: random.standard_normal((4, *v.type.with_shape(v.shape[1:]).static_shape)).astype(np.float32)
            for name, v in (("g", g), ("x", x))
        }
        after = max_gradients(Graph([g, x], [apply(op, g, x)]))
        assert not any(isinstance(node.op, MaxPoolGrad) for node in after.nodes())
        (dx,) = run_onnx(after, feeds, Target()).values()
        np.testing.assert_allclose(dx, op.evaluate(feeds["g"], feeds["x"]), rtol=1e-6, atol=1e-6)
