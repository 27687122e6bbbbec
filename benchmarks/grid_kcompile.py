"""The rows of the grid in kcompile: one layer, compiled as a training step is. Runs in kcompile's environment."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import kcompile
from benchmarks.grid_task import Data
from benchmarks.shapes import ACTIVATIONS, JOINED, Row
from kcompile import ir, layers
from kcompile.ir.dims import substitute
from kcompile.passes.algebra.specialize import specialize_inference
from kcompile.passes.autodiff import gradients
from kcompile.passes.machinery.report import Report
from kcompile.passes.pipelines import FORWARD_TRAINING, TRAINING, run_pipeline
from kcompile.runtime.executable import Executable
from kcompile.runtime.session import bind_array, bind_input, bind_output
from kcompile.runtime.storage import Buffer, aligned_empty
from kcompile.symbolic.functions import build_graph
from kcompile.training.step import Step

NAMES = {
    "conv": "Conv{}D", "depthwise": "DepthwiseConv{}D", "transposed": "Conv{}DTranspose", "maxpool": "MaxPooling{}D",
    "avgpool": "AveragePooling{}D", "globalmax": "GlobalMaxPooling{}D", "globalavg": "GlobalAveragePooling{}D",
    "upsample": "UpSampling{}D", "pad": "ZeroPadding{}D", "leakyrelu": "LeakyReLU", "elu": "ELU",
}  # fmt: skip


def channels_first(row: Row) -> bool:
    """Whether channels come before spatial sizes, as in a graph between its first and its last operation."""
    if row.kind in ("upsample", "pad"):
        return row.rank > 1  # UpSampling1D and ZeroPadding1D have one order only
    return row.rank > 0 or (row.kind in ("batchnorm", "concat") and len(row.sizes) > 2)


def layer_of(row: Row) -> Any:
    """The layer, or another function from tensors to a tensor, without bias and activation."""
    shared: dict[str, Any] = {"data_format": "channels_first"} if channels_first(row) else {}
    made = getattr(layers, NAMES[row.kind].format(row.rank)) if row.kind in NAMES else None
    windows = {"strides": row.strides, "padding": row.padding, **shared}
    kernel = {**windows, "dilation_rate": row.each("dilation"), "use_bias": False}
    match row.kind:
        case "conv":
            return made(row.number("filters"), row.each("kernel"), groups=row.number("groups"), **kernel)
        case "depthwise":
            return made(row.each("kernel"), **kernel)
        case "transposed":
            return made(row.number("filters"), row.each("kernel"), **kernel)
        case "maxpool" | "avgpool":
            return made(row.each("pool"), **windows)
        case "upsample" if row.rank == 2:
            return made(row.each("pool"), interpolation="bilinear" if "bilinear" in row.flags else "nearest", **shared)
        case "upsample" | "pad":
            return made(row.number("pool") if row.rank == 1 else row.each("pool"), **shared)
        case "dense":
            return layers.Dense(row.number("filters"), use_bias=False)
        case "embedding":
            return layers.Embedding(row.number("words"), row.number("filters"))
        case "batchnorm":
            return layers.BatchNormalization(axis=1 if channels_first(row) else -1)
        case "concat":
            return layers.Concatenate(axis=1 if channels_first(row) else -1)
        case "add":
            return layers.Add()
        case "leakyrelu" | "elu":
            return made()
    return layers.Activation(row.kind) if row.kind in ACTIVATIONS else made(**shared)


def moved(row: Row, array: np.ndarray) -> np.ndarray:
    """An array with channels last in the order of the graph, in memory that starts on a cache line."""
    turned = np.moveaxis(array, -1, 1) if channels_first(row) and array.ndim > 2 else array
    made = aligned_empty(turned.shape, turned.dtype.name)
    made[...] = turned
    return made


class Program:
    """One part of a row: an executable, with its inputs, weights and outputs bound once."""

    def __init__(self, row: Row, part: str, data: Data) -> None:
        self.row, self.part = row, part
        self.feeds = [moved(row, array) for array in data.inputs]
        inputs = [layers.Input(shape=feed.shape[1:], dtype=feed.dtype.name) for feed in self.feeds]
        self.weights: list[ir.Value] = []
        fixed = {}
        if row.kind == "softmax":  # Keras' targets: numbers, one in the last axis
            self.feeds[1] = data.inputs[1][..., None].astype(np.float32)
            inputs[1] = layers.Input(shape=self.feeds[1].shape[1:])
            losses = kcompile.losses.sparse_categorical_crossentropy(inputs[1], kcompile.activations.softmax(inputs[0]))
            y = kcompile.backend.mean(losses)
        else:
            layer = layer_of(row)
            y = layer(inputs if len(inputs) > 1 else inputs[0])
            if data.weights:
                layer.set_weights(data.weights)
                self.weights = [weight.value for weight in layer.trainable_weights]
            fixed = {layer._switch: True} if row.kind == "batchnorm" else {}
        self.forward = build_graph(inputs, [y], (), "forward", ["y"], fixed=fixed)
        if data.seed is not None:
            self.feeds.append(moved(row, data.seed))

    def build(self) -> None:
        """Compile and bind."""
        if self.part == "inference":
            self.executable = Executable(specialize_inference(self.forward), frozen=True)
        else:
            self.executable = self.step(run_pipeline(self.forward, FORWARD_TRAINING), self.weights)
        self.bind()

    def step(self, forward: ir.Graph, weights: list[ir.Value]) -> Executable:
        """The part of a training step, by the rules of `Step` for batch sizes."""
        y, inputs, outputs = forward.outputs["y"], list(forward.inputs), dict(forward.outputs)
        if self.part != "forward":
            data = inputs[: self.row.count]
            wanted = weights if self.part == "filter" else [*data, *(weights if self.row.kind == "batchnorm" else ())]
            seeds = [ir.input_value("g", y.dtype, y.shape)] if y.rank else []
            inputs += seeds
            found = gradients([y], wanted, seeds or None)
            outputs = {"y": y} if self.row.kind in JOINED else {}
            outputs |= {f"gradient_{i}": value for i, value in enumerate(found) if value is not None}
        step = Step(ir.Graph(inputs, outputs, {}, self.part), TRAINING, Report(), fixed=True)
        step(self.feeds, keep="always")  # now it has the model that it chose for these sizes
        return step.executable

    def bind(self) -> None:
        """All memory is bound once, that of outputs too: inside a model nothing is copied between operations."""
        made, session = self.executable, self.executable._session
        binding, self.kept = session.binding(), []
        for name, feed in zip(made.inputs, self.feeds, strict=True):
            if name in session.input_names:
                bind_array(binding, name, feed)
        for name, storage, rows in made._state:
            if name in session.input_names:
                bind_input(binding, name, storage.current.part(rows))
        for name, value in zip(made.outputs, made.graph.outputs.values(), strict=True):
            shape = tuple(substitute(dim, {"batch": self.row.batch}) for dim in value.shape)
            self.kept.append(Buffer(aligned_empty(shape, value.dtype)))
            bind_output(binding, name, self.kept[-1])
        self.call: Callable[[], Any] = lambda: session.run_binding(binding)

    def results(self) -> list[np.ndarray]:
        return [buffer.read() for buffer in self.kept]
