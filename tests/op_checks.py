"""The checks that ``tests/test_ops.py`` runs on every example of an op."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np
import onnx
import onnxruntime

from kcompile.ir import Graph, Op, Target, Value, input_value, interpret, named
from kcompile.ir.core import Node
from kcompile.ir.interpret import evaluate
from kcompile.ir.ops.blocked.base import BlockedOp
from kcompile.ir.ops.products.gemm import Gemm
from kcompile.ir.ops.products.linalg import MatMul
from kcompile.ir.ops.recurrent.base import Recurrence
from kcompile.ir.ops.recurrent.operators import RecurrentOperator
from kcompile.passes.autodiff import gradients
from kcompile.passes.onnx.emit import emit
from kcompile.passes.onnx.opsets import NATIVE
from tests.op_examples import Example

CUDA = Target("cuda", NATIVE["cuda"], portable=False)
TARGETS = {"portable": Target(), "native": Target(portable=False), "cuda": CUDA}
"""What is lowered for CUDA runs on the CPU here: that the nodes mean the right thing, not that CUDA has them."""


def build(example: Example, dtype: str = "float32", symbolic: bool = False) -> tuple[Graph, list[np.ndarray]]:
    """The graph of an example and arrays for its inputs, with float inputs of the given element type."""
    inputs, arrays = [], []
    for index, array in enumerate(example.arrays):
        array = np.asarray(array, dtype if array.dtype.kind == "f" else None)
        shape = (named("batch"), *array.shape[1:]) if symbolic and index in example.batch else array.shape
        inputs.append(input_value(f"x{index}", array.dtype, shape))
        arrays.append(array)
    results = example.build(*inputs)
    results = (results,) if isinstance(results, Value) else tuple(results)
    graph = Graph(inputs, {f"y{i}": value for i, value in enumerate(results)})
    assert example.op in {node.op.name for node in graph.nodes()}, f"{example} does not use {example.op}"
    return graph, arrays


def resized(example: Example, arrays: Sequence[np.ndarray], size: int) -> list[np.ndarray]:
    """The arrays with ``size`` rows where the first axis is the batch."""
    return [
        array[np.arange(size) % len(array)] if index in example.batch else array for index, array in enumerate(arrays)
    ]


def feeds_of(graph: Graph, arrays: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
    return {value.op.label: array for value, array in zip(graph.inputs, arrays, strict=True)}


def run_onnx(graph: Graph, feeds: dict[str, np.ndarray], target: Target) -> dict[str, np.ndarray]:
    """The outputs of the emitted model in ONNX Runtime, whose optimizations are off (not under test)."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 2  # Kernels that share out work are tested as such.
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3
    model = emit(graph, target).model
    if target.portable:
        onnx.checker.check_model(model, full_check=True)
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, ["CPUExecutionProvider"])
    used = {item.name for item in session.get_inputs()}
    names = [item.name for item in session.get_outputs()]
    return dict(zip(names, session.run(names, {k: v for k, v in feeds.items() if k in used}), strict=True))


def assert_close(actual: np.ndarray, expected: np.ndarray, rtol: float, what: str) -> None:
    """Equal types; integers and bools exactly equal; floats equal within ``rtol``."""
    assert actual.dtype == expected.dtype, f"{what}: {actual.dtype} instead of {expected.dtype}"
    assert actual.shape == expected.shape, f"{what}: {actual.shape} instead of {expected.shape}"
    if expected.dtype.kind != "f":
        np.testing.assert_array_equal(actual, expected, what)
        return
    finite = np.abs(expected[np.isfinite(expected)])
    largest = float(finite.max()) if finite.size else 0.0
    np.testing.assert_allclose(actual, expected, rtol, atol=rtol / 10 * max(largest, 1e-30), err_msg=what)


def check_onnx(graph: Graph, arrays: Sequence[np.ndarray], target: Target, rtol: float) -> None:
    """ONNX Runtime and NumPy compute the same, of the inferred types."""
    feeds = feeds_of(graph, arrays)
    expected = interpret(graph, feeds).outputs
    for name, array in run_onnx(graph, feeds, target).items():
        assert_close(array, expected[name], rtol, name)


def check_types(graph: Graph, arrays: Sequence[np.ndarray]) -> None:
    """Each node evaluates to arrays of exactly the inferred element types and shapes."""
    known = dict(zip(graph.inputs, arrays, strict=True))
    for node in graph.nodes():
        if node.outputs[0] in known:
            continue
        results = evaluate(node.op, *(known[value] for value in node.inputs))
        assert len(results) == len(node.outputs)
        for value, array in zip(node.outputs, results, strict=True):
            array = np.asarray(array)
            assert (array.dtype.name, array.shape) == (value.dtype, value.shape), node
            known[value] = array


# ---- facts


def check_facts(node: Node) -> None:
    """What the op says of itself has the right types; its operations are those of :func:`counted`, where that knows."""
    flops, cost = node.op.flops(node, int), node.op.cost(node, int)
    assert isinstance(flops, int)
    assert flops >= 0
    assert cost > 0 or node.op.free or 0 in {value.type.size for value in node.outputs}
    assert isinstance(node.op.in_half(node), bool)
    known = counted(node)
    if known is not None:
        expected, exact = known
        assert flops == expected if exact else flops >= expected


def counted(node: Node) -> tuple[int, bool] | None:
    """The operations of a sum of products, by what it gives for ones, and whether that is exact; else ``None``.

    A product of ones adds 1 to some result, so that the sum of all results is the number of products. Those with
    padding are not among them, though kernels compute them.
    """
    op, shapes = node.op, [value.type.static_shape for value in node.inputs]
    if isinstance(op, Recurrence):
        projected = np.ones(shapes[0])
        units = shapes[1][-2]
        return projected.size * 4 + sum(2 * step.size * units for step in projected), True
    if isinstance(op, RecurrentOperator):
        x, w, r = (np.ones(shape) for shape in shapes[:3])
        steps = [(row, direction) for row in x.reshape(-1, x.shape[-1]) for direction in range(len(w))]
        return sum(2 * int((w[d] @ row).sum() + r[d].sum()) for row, d in steps), True
    if not (op.convolves or isinstance(op, (MatMul, Gemm))):
        return None
    operands = [np.ones(shape, np.float32) for shape in shapes[:2]] + [np.zeros(shape) for shape in shapes[2:]]
    products = int(np.asarray(evaluate(op, *operands)[0], np.float64).sum())
    padded = any(pad for pair in getattr(op, "pads", ()) for pad in pair)
    size = math.prod(node.outputs[0].type.static_shape)
    return 2 * products + (len(shapes) - 2) * size, not padded and not isinstance(op, BlockedOp)


def check_commutes(node: Node, inputs: Sequence[np.ndarray]) -> None:
    """Exchanged operands give the same."""
    expected, found = evaluate(node.op, *inputs), evaluate(node.op, *reversed(inputs))
    for a, b in zip(expected, found, strict=True):
        np.testing.assert_array_equal(a, b)


# ---- gradients


def gradient_graph(graph: Graph, wrt: Sequence[int]) -> Graph:
    """The gradients of the float outputs, weighted by extra inputs ``g0``, ``g1``, ..."""
    outputs = [value for value in graph.outputs.values() if value.type.is_float]
    seeds = [input_value(f"g{i}", value.dtype, value.shape) for i, value in enumerate(outputs)]
    chosen = [graph.inputs[index] for index in wrt]
    found = gradients(outputs, chosen, seeds)
    named_results = {f"d{index}": g for index, g in zip(wrt, found, strict=True) if g is not None}
    for index in wrt:
        if f"d{index}" in named_results:
            assert named_results[f"d{index}"].type == graph.inputs[index].type
    return Graph([*graph.inputs, *seeds], named_results)


def differentiable(example: Example) -> list[int]:
    if example.wrt is not None:
        return list(example.wrt)
    return [index for index, array in enumerate(example.arrays) if array.dtype.kind == "f"]


def gradient_feeds(graph: Graph, arrays: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
    """The inputs, and fixed random weights of the float outputs."""
    feeds = feeds_of(graph, arrays)
    random = np.random.default_rng(3)
    outputs = interpret(graph, feeds).outputs
    weighted = [array for array in outputs.values() if array.dtype.kind == "f"]
    seeds = {f"g{i}": random.standard_normal(a.shape).astype(a.dtype) for i, a in enumerate(weighted)}
    return feeds | seeds


def check_gradient(example: Example, step: float = 1e-6, rtol: float = 1e-3, atol: float = 1e-5) -> None:
    """The gradient along random directions equals the central difference quotient, in float64."""
    graph, arrays = build(example, "float64")
    wrt = differentiable(example)
    feeds = gradient_feeds(graph, arrays)
    found = interpret(gradient_graph(graph, wrt), feeds).outputs
    random = np.random.default_rng(5)

    def weighted_sum(changed: dict[str, np.ndarray]) -> float:
        outputs = interpret(graph, {**feeds, **changed}).outputs.values()
        weighted = [array for array in outputs if array.dtype.kind == "f"]
        return float(sum((feeds[f"g{i}"] * array).sum() for i, array in enumerate(weighted)))

    for index in wrt:
        label = f"x{index}"
        for _ in range(3):
            direction = random.standard_normal(feeds[label].shape)
            plus = weighted_sum({label: feeds[label] + step * direction})
            minus = weighted_sum({label: feeds[label] - step * direction})
            along = float((found[f"d{index}"] * direction).sum()) if f"d{index}" in found else 0.0
            expected = (plus - minus) / (2 * step)
            np.testing.assert_allclose(along, expected, rtol, atol, err_msg=f"gradient of input {index}")


def check_emitted_gradient(example: Example, target: Target, size: int | None = None) -> None:
    """ONNX Runtime and NumPy compute the same gradient; with ``size`` for a symbolic batch of that size."""
    graph, arrays = build(example, symbolic=size is not None)
    if size is not None:
        arrays = resized(example, arrays, size)
    feeds = gradient_feeds(graph, arrays)
    backward = gradient_graph(graph, differentiable(example))
    if not backward.outputs:
        return
    expected = interpret(backward, feeds).outputs
    for name, array in run_onnx(backward, feeds, target).items():
        assert_close(array, expected[name], example.rtol, f"{name} of the gradient")


# ---- permuted


def permutations_of(rank: int) -> list[tuple[int, ...]]:
    """All permutations, of higher ranks those that layouts and reversals need."""
    if rank <= 3:
        return list(itertools.permutations(range(rank)))
    middle = tuple(range(1, rank - 1))
    to_first, to_last = (0, rank - 1, *middle), (0, *range(2, rank), 1)
    swapped = (*range(rank - 2), rank - 1, rank - 2)
    front = (1, 0, *range(2, rank))
    return [tuple(range(rank)), to_first, to_last, swapped, front, tuple(range(rank))[::-1]]


def check_permuted(node: Node, arrays: Sequence[np.ndarray]) -> int:
    """The permuted op on transposed inputs gives transposed outputs (vectors stay); counts the permutations."""
    plain, *rest = evaluate(node.op, *arrays)
    found = 0
    for permutation in permutations_of(np.ndim(plain)):
        answer = node.op.permuted(node, permutation)
        if answer is None:
            continue
        op, wanted = answer
        moved = [apply_permutation(a, p) for a, p in zip(arrays, wanted, strict=True)]
        actual, *others = evaluate(op, *moved)
        expected = np.transpose(plain, permutation)
        assert_close(np.asarray(actual), expected, 1e-5, f"{node.op} permuted by {permutation}")
        for other, kept in zip(others, rest, strict=True):
            kept = np.transpose(kept, permutation) if np.ndim(kept) == len(permutation) else kept
            assert_close(other, kept, 1e-5, f"a further output of {node.op} permuted by {permutation}")
        types = op.infer(*(input_value("x", a.dtype, a.shape).type for a in moved))
        assert (types[0] if isinstance(types, tuple) else types).shape == expected.shape
        found += 1
    return found


def apply_permutation(array: np.ndarray, permutation: tuple[int, ...] | None) -> np.ndarray:
    if permutation is None:
        return array
    missing = len(permutation) - array.ndim
    return array.reshape((1,) * missing + array.shape).transpose(permutation)


def nodes_with_inputs(graph: Graph, arrays: Sequence[np.ndarray], name: str) -> list[tuple[Node, list]]:
    """The nodes of the op ``name`` and the arrays that reach them."""
    feeds = feeds_of(graph, arrays)
    nodes = [node for node in graph.nodes() if node.op.name == name]
    return [(node, list(interpret(Graph(graph.inputs, list(node.inputs)), feeds).outputs.values())) for node in nodes]


def overrides_permuted(op: type[Op]) -> bool:
    return op.permuted is not Op.permuted
