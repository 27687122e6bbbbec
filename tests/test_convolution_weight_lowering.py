"""Each way to compute a filter gradient, on the sizes for which it is not chosen too."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from kcompile.ir import Graph, Target, apply, input_value, interpret, named
from kcompile.ir.ops import convolution
from kcompile.ir.ops import convolution_weight_lowering as ways
from kcompile.ir.ops.convolution import ConvWeightGrad
from kcompile.ir.ops.spatial import output_size, resolve_pads
from tests.op_checks import assert_close, run_onnx

CASES = {
    "plain": ((6, 7), (3, 2), (1, 1), (1, 1), "valid"),
    "same": ((6, 7), (3, 3), (1, 1), (1, 1), "same"),
    "strided": ((7, 9), (3, 2), (2, 3), (1, 1), "same"),
    "ragged": ((8, 8), (2, 3), (3, 2), (1, 1), "valid"),
    "dilated": ((8, 9), (2, 3), (1, 2), (2, 3), "same"),
    "pointwise": ((5, 6), (1, 1), (2, 2), (1, 1), "valid"),
}


def by_table(b, op, types, output, x, g):
    return ways.by_table(b, op, *types, x, g)


def side_by_side(b, op, types, output, x, g):
    return ways.side_by_side(b, op, *types, x, g)


WAYS: list[Callable[..., str]] = [by_table, side_by_side, ways.with_roles_swapped]


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
