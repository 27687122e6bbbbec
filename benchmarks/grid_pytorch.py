"""The rows of the grid in PyTorch: eager mode, channels first. Runs in PyTorch's environment."""
# ruff: noqa: TID251 - the product may not import PyTorch; this file is a peer

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from benchmarks.grid_task import Data
from benchmarks.shapes import JOINED, Row

ACTIVATION = {
    "relu": functional.relu, "relu6": functional.relu6, "leakyrelu": lambda x: functional.leaky_relu(x, 0.3),
    "elu": functional.elu, "gelu": functional.gelu, "swish": functional.silu, "tanh": torch.tanh,
    "sigmoid": torch.sigmoid, "softplus": functional.softplus,
}  # fmt: skip


def moved(row: Row, array: np.ndarray) -> Any:
    """A tensor with the channels on axis 1; of what is no image, the order stays."""
    images = row.rank > 0 or row.kind in ("batchnorm", "concat", "softmax")
    return torch.from_numpy(array).movedim(-1, 1).contiguous() if images and array.ndim > 2 else torch.from_numpy(array)


def around(row: Row, extent: str) -> tuple[tuple[int, ...], bool]:
    """The padding that gives as many windows as "same", on both sides alike, and whether it does."""
    if row.padding == "valid":
        return (0,) * row.rank, True
    pads, fits = [], True
    axes = zip(row.spatial, row.each(extent), row.each("dilation"), row.strides, row.windows(), strict=True)
    for size, kernel, rate, stride, count in axes:
        reach = (kernel - 1) * rate + 1
        pad = -(-max((count - 1) * stride + reach - size, 0) // 2)
        pads.append(pad)
        fits = fits and (size + 2 * pad - reach) // stride + 1 == count
    return tuple(pads), fits


def convolution(row: Row, x: Any, w: Any) -> Any:
    function = getattr(functional, f"conv{row.rank}d")
    groups = row.channels if row.kind == "depthwise" else row.number("groups")
    pads, fits = around(row, "kernel")
    return function(x, w, None, row.strides, pads if fits else "same", row.each("dilation"), groups)


def transposed(row: Row, x: Any, w: Any) -> Any:
    """Padding so that each axis grows by its stride."""
    pads, extra = [], []
    for kernel, stride, rate in zip(row.each("kernel"), row.strides, row.each("dilation"), strict=True):
        reach = (kernel - 1) * rate + 1
        pads.append(-(-max(reach - stride, 0) // 2))
        extra.append(stride - reach + 2 * pads[-1])
    function = getattr(functional, f"conv_transpose{row.rank}d")
    return function(x, w, None, row.strides, pads, extra, 1, row.each("dilation"))


def pooled(row: Row, x: Any) -> Any:
    pads, fits = around(row, "pool")
    function = getattr(functional, f"{row.kind[:3]}_pool{row.rank}d")
    inside = {"count_include_pad": False} if row.kind == "avgpool" else {}
    return function(x, row.each("pool"), row.strides, pads if fits else 0, **inside)


def forward(row: Row, inputs: list[Any], weights: list[Any], training: bool) -> Any:
    """The result of the row's operation."""
    x, *others = inputs
    if row.kind in ACTIVATION:
        return ACTIVATION[row.kind](x)
    match row.kind:
        case "conv" | "depthwise":
            return convolution(row, x, weights[0])
        case "transposed":
            return transposed(row, x, weights[0])
        case "dense":
            return functional.linear(x, weights[0])
        case "embedding":
            return functional.embedding(x, weights[0])
        case "maxpool" | "avgpool":
            return pooled(row, x)
        case "globalmax":
            return x.amax(dim=tuple(range(2, x.ndim)))
        case "globalavg":
            return x.mean(dim=tuple(range(2, x.ndim)))
        case "batchnorm":
            gamma, beta, mean, variance = weights
            moving = (None, None) if training else (mean, variance)
            return functional.batch_norm(x, *moving, gamma, beta, training, 0.01, 1e-3)
        case "softmax":
            return functional.cross_entropy(x, others[0])
        case "upsample":
            mode = "bilinear" if "bilinear" in row.flags else "nearest"
            return functional.interpolate(x, scale_factor=tuple(map(float, row.each("pool"))), mode=mode)
        case "pad":
            return functional.pad(x, [extra for extra in reversed(row.each("pool")) for _ in range(2)])
        case "concat":
            return torch.cat(inputs, dim=1)
        case "add":
            return sum(others, x)
    raise ValueError(f"no operation for {row.kind!r}")


def filter_order(row: Row) -> tuple[int, ...]:
    """From Keras' filter to PyTorch's: what it gives, what it takes, spatial."""
    if row.kind == "dense":
        return (1, 0)
    if row.kind == "embedding":
        return (0, 1)
    last = (row.rank, row.rank + 1) if row.kind == "depthwise" else (row.rank + 1, row.rank)
    return (*last, *range(row.rank))


class Program:
    """One part of a row: a function on tensors that exist."""

    def __init__(self, row: Row, part: str, data: Data) -> None:
        self.row, self.part = row, part
        self.inputs = [moved(row, array) for array in data.inputs]
        if row.kind in ("softmax", "embedding"):
            self.inputs[-1] = torch.from_numpy(data.inputs[-1]).long()
        self.weights = [torch.from_numpy(array).clone() for array in data.weights]
        if row.weight():
            self.weights = [self.weights[0].permute(filter_order(row)).contiguous()]
        self.seed = None if data.seed is None else moved(row, data.seed)

    def build(self) -> None:
        """Run forward once if the gradient alone is asked for."""
        row, part = self.row, self.part
        if part in ("forward", "inference"):

            def call() -> Any:
                with torch.inference_mode():
                    return [forward(row, self.inputs, self.weights, part == "forward")]

            self.call: Callable[[], Any] = call
            return
        wanted = self.weights if part == "filter" else self.inputs[: row.count]
        wanted = [*wanted, *self.weights[:2]] if part == "input" and row.kind == "batchnorm" else wanted
        for tensor in wanted:
            tensor.requires_grad_()
        if row.kind in JOINED:

            def joined() -> Any:
                y = forward(row, self.inputs, self.weights, True)
                return [y, *torch.autograd.grad(y, wanted, self.seed)]

            self.call = joined
            return
        y = forward(row, self.inputs, self.weights, True)
        self.call = lambda: torch.autograd.grad(y, wanted, self.seed, retain_graph=True)

    def results(self) -> list[np.ndarray]:
        return [tensor.detach().numpy() for tensor in self.call()]
