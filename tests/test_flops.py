"""Work estimates: products and convolutions by hand, symbolic sizes, regions."""

from __future__ import annotations

import pytest

from kcompile.ir import Graph, input_value, lstm, named
from kcompile.ir.text import parse_graph
from kcompile.passes.machinery.flops import Work, work_of_graph

CONV = 'strides=(1, 1), pads=((0, 0), (0, 0)), dilations=(1, 1), groups={}, data_format="channels_last"'

ROWS = {
    # multiplications and additions
    "matmul(x, y, transpose_x=True)": ("x: f32[4, batch], y: f32[4, 5]", "f32[batch, 5]", 2 * 4 * 5 * 3),
    "gemm(x, y, z)": ("x: f32[batch, 4], y: f32[4, 5], z: f32[5]", "f32[batch, 5]", (2 * 4 + 1) * 5 * 3),
    f"conv(x, y, {CONV.format(1)})": (
        "x: f32[batch, 6, 6, 2], y: f32[3, 3, 2, 4]",
        "f32[batch, 4, 4, 4]",
        3 * 4 * 4 * 4 * 2 * 9 * 2,
    ),
    f"conv(x, y, {CONV.format(2)})": (
        "x: f32[batch, 6, 6, 2], y: f32[3, 3, 1, 4]",
        "f32[batch, 4, 4, 4]",
        3 * 4 * 4 * 4 * 2 * 9,
    ),
    f"conv_input_grad(x, y, {CONV.format(1)}, sizes=(6, 6))": (
        "x: f32[batch, 4, 4, 4], y: f32[3, 3, 2, 4]",
        "f32[batch, 6, 6, 2]",
        3 * 4 * 4 * 4 * 2 * 9 * 2,
    ),
    f"conv_weight_grad(x, y, {CONV.format(1)}, kernel=(3, 3))": (
        "x: f32[batch, 6, 6, 2], y: f32[batch, 4, 4, 4]",
        "f32[3, 3, 2, 4]",
        3 * 4 * 4 * 4 * 2 * 9 * 2,
    ),
    f"conv(x, y, z, {CONV.format(1)})": (
        "x: f32[batch, 6, 6, 2], y: f32[3, 3, 2, 4], z: f32[4]",
        "f32[batch, 4, 4, 4]",
        3 * 4 * 4 * 4 * (2 * 9 * 2 + 1),
    ),
    "reduce_sum(x, axes=(1,))": ("x: f32[batch, 5]", "f32[batch]", 15),
    "blocked_affine(x, y, y, block=8)": ("x: f32[batch, 8, 2, 2], y: f32[8]", "f32[batch, 8, 2, 2]", 3 * 8 * 4 * 2),
    "blocked_mean(x, block=8)": ("x: f32[batch, 8, 2, 2]", "f32[batch, 8]", 3 * 8 * 4),
    "add(x, 1.0)": ("x: f32[batch, 5]", "f32[batch, 5]", 15),
    "reshape(x, shape=(5*batch,))": ("x: f32[batch, 5]", "f32[5*batch]", 0),
}


@pytest.mark.parametrize("call", ROWS)
def test_flops(call: str) -> None:
    parameters, result, expected = ROWS[call]
    graph = parse_graph(f"def graph({parameters}):\n    result: {result} = {call}\n    return result\n")
    assert work_of_graph(graph, {"batch": 3}).flops == expected


def test_recurrence() -> None:
    """Each step multiplies with the recurrent kernel, and does some elementwise work on the gates."""
    x, w, h = (input_value(label, "float32", shape) for label, shape in (
        ("x", (named("time"), named("batch"), 8)), ("w", (2, 8)), ("h", (named("batch"), 2)),
    ))  # fmt: skip
    graph = Graph([x, w, h], [lstm(x, w, h, h)[0]])
    assert work_of_graph(graph, {"time": 5, "batch": 3}).flops == 5 * 3 * 8 * (2 * 2 + 4)


def test_bytes_and_unknown_sizes() -> None:
    graph = parse_graph("def graph(x: f32[batch, 5]):\n    y: f64[batch, 5] = cast(x, dtype='float64')\n    return y")
    assert work_of_graph(graph, {"batch": 3}) == Work(15, 15 * (4 + 8))
    assert work_of_graph(graph) == Work(5, 5 * (4 + 8))


def test_regions_count_once() -> None:
    text = """\
def graph(x: f32[4], p: bool):
    def then(a: f32[4]):
        exp_1: f32[4] = exp(a)
        return exp_1
    def otherwise(a: f32[4]):
        return a
    cond_1: f32[4] = cond(p, x, then=then, otherwise=otherwise)
    return cond_1
"""
    assert work_of_graph(parse_graph(text)).flops == 4
