"""A small convolutional network, from the forward graph to a training step and a frozen inference graph.

The optimized graphs compute what the plain ones do: in NumPy in float64, and in ONNX Runtime.
"""

from __future__ import annotations

import numpy as np
import pytest

from kcompile.ir import Graph, Value, Variable, interpret, named
from kcompile.ir.core import Array, input_value, variable_value
from kcompile.ir.dims import SymbolicDim
from kcompile.ir.ops.arrays.reduction import reduce_max, reduce_mean, reduce_sum
from kcompile.ir.ops.arrays.shaping import concat, pad, reshape
from kcompile.ir.ops.elementwise import functions as e
from kcompile.ir.ops.elementwise.random import dropout_mask
from kcompile.ir.ops.loops.control import learning_phase, select
from kcompile.ir.ops.products.linalg import matmul
from kcompile.ir.ops.products.softmax import softmax
from kcompile.ir.ops.spatial.convolution import conv, conv_transpose
from kcompile.ir.ops.spatial.enlarging import repeat
from kcompile.ir.ops.spatial.normalization import batch_norm_inference, batch_norm_training
from kcompile.ir.ops.spatial.pooling import average_pool, max_pool
from kcompile.ir.ops.spatial.spatial import arrange, channel_axis, resolve_pads, spatial_axes
from kcompile.ir.types import TensorType
from kcompile.passes.algebra.specialize import freeze, specialize
from kcompile.passes.autodiff import gradients
from kcompile.passes.machinery.flops import work_of_graph
from kcompile.passes.onnx.emit import emit
from kcompile.passes.pipelines import FORWARD_INFERENCE, FORWARD_TRAINING, INFERENCE, TRAINING, run_pipeline
from tests.fixtures import random_array

BATCH = named("batch")


class Network:
    """Convolutions, batch norm, a residual sum, pooling, upsampling, dropout, dense layers, an L2 penalty."""

    def __init__(self, data_format: str, dtype: str) -> None:
        self.data_format, self.dtype = data_format, dtype
        self.weights: list[Value] = []
        self.updates: dict[Variable, Value] = {}
        self.x = input_value("x", dtype, arrange(BATCH, 3, (8, 8), data_format))
        self.y = input_value("y", dtype, (BATCH, 5))
        self.counter = variable_value("counter", "int64", (), "rng")
        self.updates[_variable(self.counter)] = e.add(self.counter, 1)
        self.probabilities = self.forward()
        penalties = [reduce_sum(e.square(w)) for w in self.weights if w.rank > 1]
        cross_entropy = reduce_mean(e.neg(reduce_sum(e.mul(self.y, e.log(self.probabilities)), -1)))
        self.loss = e.add(cross_entropy, e.mul(sum_of(penalties), 0.01))

    def forward(self) -> Value:
        x = e.div(self.x, 4.0)
        first = e.relu(self.normalized(self.convolution(x, 4)))
        second = self.normalized(self.convolution(first, 4, groups=2))
        x = e.relu(e.add(first, second))
        gate = e.sigmoid(reduce_max(x, spatial_axes(4, self.data_format), keepdims=True))
        x = max_pool(e.mul(x, gate), (2, 2), data_format=self.data_format)
        for axis in spatial_axes(4, self.data_format):
            x = repeat(x, 2, axis)
        x = pad(x, [(1, 1) if axis in spatial_axes(4, self.data_format) else (0, 0) for axis in range(4)])
        x = self.transposed(average_pool(x, (2, 2), data_format=self.data_format))
        x = concat([e.tanh(x), x], channel_axis(4, self.data_format))
        keep = dropout_mask(self.counter, x.shape, 0.25, 1, x.dtype)
        x = select(learning_phase(), e.mul(x, keep), x)
        x = self.dense(reshape(x, (BATCH, -1)), 6)
        return softmax(self.dense(self.normalized(x, 1), 5))

    def weight(self, *shape: int) -> Value:
        kind = "kernel" if len(shape) > 1 else "bias"
        self.weights.append(variable_value(f"layer_{len(self.weights)}/{kind}", self.dtype, shape))
        return self.weights[-1]

    def convolution(self, x: Value, filters: int, groups: int = 1) -> Value:
        channels = _known(x.shape[channel_axis(4, self.data_format)])
        sizes = [x.shape[axis] for axis in spatial_axes(4, self.data_format)]
        pads = resolve_pads("same", sizes, (3, 3), (1, 1), (1, 1))
        w = self.weight(3, 3, channels // groups, filters)
        return self.biased(conv(x, w, pads=pads, groups=groups, data_format=self.data_format))

    def transposed(self, x: Value) -> Value:
        w = self.weight(2, 2, 2, _known(x.shape[channel_axis(4, self.data_format)]))
        sizes = [x.shape[axis] * 2 for axis in spatial_axes(4, self.data_format)]
        return self.biased(conv_transpose(x, w, sizes, (2, 2), data_format=self.data_format))

    def biased(self, x: Value) -> Value:
        axis = channel_axis(4, self.data_format)
        bias = self.weight(_known(x.shape[axis]))
        return e.add(x, reshape(bias, [-1 if i == axis else 1 for i in range(4)]))

    def dense(self, x: Value, units: int) -> Value:
        return e.add(matmul(x, self.weight(_known(x.shape[1]), units)), self.weight(units))

    def normalized(self, x: Value, axis: int | None = None) -> Value:
        axis = channel_axis(4, self.data_format) if axis is None else axis
        channels = _known(x.shape[axis])
        scale, offset = self.weight(channels), self.weight(channels)
        moving = [
            variable_value(f"layer_{len(self.weights)}/{name}", self.dtype, (channels,), "statistic")
            for name in ("mean", "variance")
        ]
        trained, *found = batch_norm_training(x, scale, offset, axis)
        for old, new in zip(moving, found, strict=True):
            moved = e.add(e.mul(old, 0.9), e.mul(new, 0.1))
            self.updates[_variable(old)] = select(learning_phase(), moved, old)
        return select(learning_phase(), trained, batch_norm_inference(x, scale, offset, *moving, axis))


def _variable(value: Value) -> Variable:
    assert isinstance(value.op, Variable)
    return value.op


def _known(dim: int | SymbolicDim) -> int:
    assert isinstance(dim, int)
    return dim


def sum_of(values: list[Value]) -> Value:
    total = values[0]
    for value in values[1:]:
        total = e.add(total, value)
    return total


def with_updates(forward: Graph, weights: list[Value]) -> Graph:
    """A step of gradient descent with momentum on ``loss``."""
    rate = variable_value("rate", weights[0].dtype, (), "hyper")
    updates = dict(forward.updates)
    for w, g in zip(weights, gradients([forward.outputs["loss"]], weights), strict=True):
        assert g is not None
        velocity = variable_value(f"{_variable(w).label}/velocity", w.dtype, w.shape, "slot")
        moved = e.sub(e.mul(velocity, 0.9), e.mul(g, rate))
        updates[_variable(velocity)] = moved
        updates[_variable(w)] = e.add(w, moved)
    return Graph(forward.inputs, forward.outputs, updates, "step")


def step_graphs(data_format: str, dtype: str) -> tuple[Graph, Graph]:
    """The training step without any pass, and with all."""
    network = Network(data_format, dtype)
    forward = Graph([network.x, network.y], {"loss": network.loss}, network.updates)
    plain = with_updates(specialize(forward, training=True), network.weights)
    optimized = run_pipeline(with_updates(run_pipeline(forward, FORWARD_TRAINING), network.weights), TRAINING)
    return plain, optimized


def feeds_and_state(*graphs: Graph) -> tuple[dict[str, Array], dict[str, Array]]:
    """Arrays for the inputs and, by label, the variables of graphs of one network."""
    generator = np.random.default_rng(0)
    x, y = graphs[0].inputs
    rows = {
        "x": random_array(x.type, {"batch": 3}, generator, False),
        "y": np.eye(5, dtype=y.dtype)[[0, 3, 4]],
    }
    state = {}
    for variable in (v for graph in graphs for v in graph.variables()):
        array = random_array(TensorType(variable.type.dtype, variable.type.shape), {}, generator, False)
        positive = variable.role in ("statistic", "hyper")
        state.setdefault(variable.label, np.asarray(np.abs(array) + 0.1, array.dtype) if positive else array)
    return rows, state


def run(graph: Graph, rows: dict[str, Array], state: dict[str, Array]) -> dict[str, Array]:
    result = interpret(graph, rows, {v: state[v.label] for v in graph.variables()})
    return result.outputs | {variable.label: array for variable, array in result.updates.items()}


def assert_close(actual: dict[str, Array], expected: dict[str, Array], rtol: float) -> None:
    """Within ``rtol`` of the largest element of each array."""
    assert actual.keys() == expected.keys()
    for name, array in expected.items():
        scale = float(np.abs(array).max(initial=1e-3))
        np.testing.assert_allclose(actual[name], array, rtol=0, atol=rtol * scale, err_msg=name)


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_training_step(data_format: str) -> None:
    plain, optimized = step_graphs(data_format, "float64")
    rows, state = feeds_and_state(plain, optimized)
    assert_close(run(optimized, rows, state), run(plain, rows, state), rtol=1e-10)


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_layout_leaves_few_transposes(data_format: str) -> None:
    _, optimized = step_graphs(data_format, "float32")
    permutations = [node for node in optimized.nodes() if node.op.name == "transpose"]
    # Images at the input; before the flatten, and its gradient.
    assert len(permutations) == (3 if data_format == "channels_last" else 0)
    assert not [n for n in optimized.nodes() if getattr(n.op, "data_format", "") == "channels_last"]


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_training_step_in_onnx_runtime(data_format: str) -> None:
    plain, optimized = step_graphs(data_format, "float32")
    rows, state = feeds_and_state(plain, optimized)
    emitted = emit(optimized)
    named_state = {name: state[variable.label] for variable, name in emitted.state_inputs.items()}
    results = _onnx_runtime(emitted.model.SerializeToString(), rows | named_state)
    labels = {name: variable.label for variable, name in emitted.state_outputs.items()}
    found = {labels.get(name, name): array for name, array in results.items()}
    assert_close(found, run(plain, rows, state), rtol=2e-5)


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_frozen_inference(data_format: str) -> None:
    network = Network(data_format, "float32")
    graph = run_pipeline(Graph([network.x], {"p": network.probabilities}), FORWARD_INFERENCE)
    rows, state = feeds_and_state(Graph([network.x, network.y], {"loss": network.loss}))
    frozen = freeze(graph, {v: state[v.label] for v in graph.variables()})
    optimized = run_pipeline(frozen, INFERENCE)
    expected = run(specialize(Graph([network.x], {"p": network.probabilities}), training=False), rows, state)
    assert_close(run(optimized, rows, state), expected, rtol=1e-5)
    feeds = {"x": rows["x"]}
    assert_close(_onnx_runtime(emit(optimized).model.SerializeToString(), feeds), expected, rtol=1e-5)
    names = [node.op.name for node in optimized.nodes()]
    assert "batch_norm_inference" not in names
    assert names.count("transpose") == (1 if data_format == "channels_last" else 0)
    assert work_of_graph(optimized).flops < work_of_graph(graph).flops


def _onnx_runtime(model: bytes, feeds: dict[str, Array]) -> dict[str, Array]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    wanted = {item.name for item in session.get_inputs()}
    names = [item.name for item in session.get_outputs()]
    return dict(zip(names, session.run(names, {n: a for n, a in feeds.items() if n in wanted}), strict=True))
