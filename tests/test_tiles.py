"""Filter gradients by tiles: every way to cut the windows of images into tiles gives the same sums."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kcompile.ir import Graph, Target, apply, input_value, interpret, named
from kcompile.ir.ops.blocked import weight_lowering as blocked_weight_lowering
from kcompile.ir.ops.blocked.base import to_blocks
from kcompile.ir.ops.blocked.blocked import BlockedConvWeightGrad
from kcompile.ir.ops.blocked.tiles import Tiling, WindowSum, cheapest_tiling
from kcompile.ir.ops.spatial.convolution import ConvWeightGrad
from kcompile.ir.ops.spatial.spatial import output_size, resolve_pads
from kcompile.passes.blocking.weight_gradients import by_tiles
from kcompile.runtime.session import channel_block
from tests.op_checks import assert_close, run_onnx

BLOCK = channel_block() or 16
TILINGS = {
    "whole images": (16, Tiling((1, 1), (7, 6), 1, 16)),
    "images are added": (3, Tiling((1, 1), (7, 6), 1, 16)),
    "images are added to any batch": (None, Tiling((1, 1), (7, 6), 1, 16)),
    "too few for a block": (3, Tiling((1, 1), (7, 6), 1, 0)),
    "a single one": (1, Tiling((1, 1), (7, 6), 1, 0)),
    "few bands": (2, Tiling((7, 1), (1, 6), 7, 0)),
    "few bands of one image": (1, Tiling((7, 1), (1, 6), 7, 0)),
    "rows": (2, Tiling((7, 1), (1, 6), 8, 2)),
    "rows, ragged": (8, Tiling((2, 1), (4, 6), 2, 8)),
    "columns": (4, Tiling((1, 4), (7, 2), 4, 4)),
    "rows and columns": (2, Tiling((4, 2), (2, 3), 8, 2)),
    "blocks of tiles": (1, Tiling((4, 4), (2, 2), 16, 1)),
    "several blocks of tiles": (2, Tiling((7, 6), (1, 1), 48, 1)),
    "several images, several blocks": (4, Tiling((4, 2), (2, 3), 8, 4)),
    "any batch": (None, Tiling((4, 3), (2, 2), 16, 1)),
    "any batch, several blocks of tiles": (None, Tiling((7, 6), (1, 1), 64, 1)),
    "one window each": (2, Tiling((7, 6), (1, 1), 48, 2)),
}
GEOMETRIES = {
    "same": ((7, 6), (3, 3), (1, 1), (1, 1), "same"),
    "valid": ((9, 8), (3, 3), (1, 1), (1, 1), "valid"),
    "flat": ((7, 6), (1, 5), (1, 1), (1, 1), "same"),
    "strided": ((14, 11), (3, 2), (2, 2), (1, 1), "same"),
    "dilated": ((9, 10), (2, 3), (1, 1), (2, 2), "valid"),
}


@pytest.mark.skipif(channel_block() == 0, reason="this processor has no blocked kernels")
@pytest.mark.parametrize("geometry", GEOMETRIES)
@pytest.mark.parametrize("case", TILINGS)
def test_every_tiling_gives_the_gradient(case: str, geometry: str, monkeypatch: pytest.MonkeyPatch) -> None:
    batch, tiling = TILINGS[case]
    tiling = dataclasses.replace(tiling, images=min(tiling.images, BLOCK))
    if tiling.plain and batch is not None and batch * tiling.count >= BLOCK:
        pytest.skip("enough tiles for a block of this processor")
    sizes, kernel, strides, dilations, padding = GEOMETRIES[geometry]
    pads = resolve_pads(padding, sizes, kernel, strides, dilations)
    windows = [output_size(*axis) for axis in zip(sizes, kernel, strides, pads, dilations, strict=True)]
    assert windows == [7, 6]
    count = batch or 5
    random = np.random.default_rng(1)
    x = random.standard_normal((count, *sizes, 5)).astype(np.float32)
    g = random.standard_normal((count, 32, *windows)).astype(np.float32)
    values = [
        input_value(name, "float32", (batch or named("batch"), *array.shape[1:]))
        for name, array in (("x", x), ("g", g))
    ]
    graph = Graph(values, [apply(BlockedConvWeightGrad(strides, pads, dilations, BLOCK, kernel), *values)])
    monkeypatch.setattr(blocked_weight_lowering, "cheapest_tiling", lambda _: (0.0, tiling))
    feeds = {"x": x, "g": to_blocks(g, BLOCK)}
    actual = run_onnx(graph, feeds, Target(portable=False, block=BLOCK))
    assert_close(actual["output"], interpret(graph, feeds).outputs["output"], 1e-5, case)


@given(
    batch=st.one_of(st.none(), st.integers(1, 130)),
    windows=st.tuples(st.integers(1, 512), st.integers(1, 512)),
    channels=st.sampled_from([1, 3, 16, 64, 256]),
    outputs=st.sampled_from([16, 48, 64, 512]),
    kernel=st.sampled_from([(1, 1), (3, 3), (1, 7), (11, 11)]),
    stride=st.sampled_from([1, 2]),
)
def test_the_chosen_tiles_cover_all_windows_and_fill_blocks(batch, windows, channels, outputs, kernel, stride):
    problem = WindowSum(batch, windows, channels, outputs, kernel, (stride, stride), (1, 1), BLOCK)
    _, chosen = cheapest_tiling(problem)
    for count, size, extent in zip(chosen.grid, chosen.tile, windows, strict=True):
        assert (count - 1) * size < extent <= count * size
    assert chosen.count >= chosen.grid[0] * chosen.grid[1]
    if chosen.plain:
        assert batch is not None
        assert batch * chosen.count < BLOCK
        assert chosen.covers(windows)
    else:
        assert chosen.images * chosen.count % BLOCK == 0


@pytest.mark.parametrize("size", [128, 256, 512])
def test_a_single_large_image_fills_its_blocks(size: int) -> None:
    """Each image as one of sixteen channels, fifteen of them empty, took forty times as long."""
    _, chosen = cheapest_tiling(WindowSum(1, (size, size), 64, 64, (3, 3), (1, 1), (1, 1), BLOCK))
    assert chosen.count == chosen.grid[0] * chosen.grid[1]
    together = 1 if chosen.plain else BLOCK
    assert chosen.tile[0] * chosen.tile[1] * together * 64 * 4 <= 1_100_000  # bytes that stay in the cache


@pytest.mark.parametrize("batch", [1, 5, 16])
@pytest.mark.parametrize(("kernel", "stride", "dilation"), [((3, 3), 1, 2), ((5, 3), 1, 4), ((1, 2), 2, 3)])
def test_dilated_columns_of_a_filter_are_computed_one_by_one(
    batch: int, kernel: tuple[int, int], stride: int, dilation: int
) -> None:
    sizes, strides, dilations = (18, 21), (stride, stride), (dilation, dilation)
    pads = resolve_pads("same", sizes, kernel, strides, dilations)
    windows = [output_size(*axis) for axis in zip(sizes, kernel, strides, pads, dilations, strict=True)]
    values = [input_value("x", "float32", (batch, *sizes, 20)), input_value("g", "float32", (batch, 32, *windows))]
    op = ConvWeightGrad(strides, pads, dilations, 1, "channels_first", kernel)
    graph = Graph(values, [by_tiles(op, *values, 30, BLOCK)])
    found = [node.op for node in graph.nodes() if isinstance(node.op, BlockedConvWeightGrad)]
    assert [op.dilations[1] for op in found] == [1] * kernel[1]
    random = np.random.default_rng(4)
    feeds = {value.op.label: random.standard_normal(value.shape).astype(np.float32) for value in values}
    whole = apply(BlockedConvWeightGrad(strides, pads, dilations, BLOCK, kernel), *values)
    expected = interpret(Graph(values, [whole]), feeds).outputs["output"][..., :30]
    assert_close(interpret(graph, feeds).outputs["output"], expected, 1e-5, "pass")
    if channel_block() == BLOCK:
        assert_close(run_onnx(graph, feeds, Target(portable=False, block=BLOCK))["output"], expected, 1e-5, "kernels")


@pytest.mark.skipif(channel_block() == 0, reason="this processor has no blocked kernels")
def test_overlapping_bands_that_add_up_to_the_height(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two bands of 13 rows overlap by one, and a row of the 26 is left over: they are not halves of the image."""
    values = [input_value("x", "float32", (8, 26, 20, 5)), input_value("g", "float32", (8, 32, 8, 6))]
    none = ((0, 0), (0, 0))
    graph = Graph(values, [apply(BlockedConvWeightGrad((3, 3), none, (1, 1), BLOCK, (4, 4)), *values)])
    tiling = Tiling((2, 1), (4, 6), 2, BLOCK // 2)
    monkeypatch.setattr(blocked_weight_lowering, "cheapest_tiling", lambda _: (0.0, tiling))
    random = np.random.default_rng(5)
    feeds = {value.op.label: random.standard_normal(value.shape).astype(np.float32) for value in values}
    actual = run_onnx(graph, feeds, Target(portable=False, block=BLOCK))
    assert_close(actual["output"], interpret(graph, feeds).outputs["output"], 1e-5, "bands")
