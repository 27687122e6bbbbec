"""Every op, on the rows of ``tests/op_examples``: NumPy and ONNX Runtime, types, gradients, permutations."""

from __future__ import annotations

import dataclasses
import importlib
import pkgutil

import pytest

from kcompile.ir import OPS, Op, apply, ops
from kcompile.ir.core import Leaf
from kcompile.ir.ops.arrays.reduction import ReduceSum
from kcompile.ir.ops.elementwise.functions import Exp, neg
from tests.op_checks import (
    TARGETS,
    build,
    check_commutes,
    check_emitted_gradient,
    check_facts,
    check_gradient,
    check_onnx,
    check_permuted,
    check_types,
    differentiable,
    nodes_with_inputs,
    overrides_permuted,
    resized,
)
from tests.op_examples import Example, all_examples, floats

EXAMPLES = all_examples()
SMOOTH = [example for example in EXAMPLES if differentiable(example)]
BATCHED = [example for example in EXAMPLES if example.batch]


def sizes(example: Example) -> list[int]:
    return [0, 1, 3] if example.empty else [1, 3]


def skip_if_unsupported(example: Example, target: str) -> None:
    if target in example.skip:
        pytest.skip(example.skip[target])


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("example", EXAMPLES, ids=str)
def test_onnx_runtime_computes_what_numpy_computes(example: Example, target: str) -> None:
    skip_if_unsupported(example, target)
    graph, arrays = build(example)
    check_onnx(graph, arrays, TARGETS[target], example.rtol)


@pytest.mark.parametrize("example", EXAMPLES, ids=str)
def test_inferred_types_are_the_actual_ones(example: Example) -> None:
    check_types(*build(example))


@pytest.mark.parametrize("example", BATCHED, ids=str)
def test_symbolic_batch(example: Example) -> None:
    """One model serves all batch sizes, and so does its gradient."""
    target = "portable" if "portable" not in example.skip else "native"
    graph, arrays = build(example, symbolic=True)
    for size in sizes(example):
        check_onnx(graph, resized(example, arrays, size), TARGETS[target], example.rtol)
        if differentiable(example):
            check_emitted_gradient(example, TARGETS[target], size)


@pytest.mark.parametrize("example", SMOOTH, ids=str)
def test_gradient_equals_finite_differences(example: Example) -> None:
    check_gradient(example)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("example", SMOOTH, ids=str)
def test_onnx_runtime_computes_the_same_gradient(example: Example, target: str) -> None:
    skip_if_unsupported(example, target)
    check_emitted_gradient(example, TARGETS[target])


@pytest.mark.parametrize("example", EXAMPLES, ids=str)
def test_facts(example: Example) -> None:
    """Passes ask ops what they cost and what may be done with them; sums of products are counted independently."""
    graph, arrays = build(example)
    for node, inputs in nodes_with_inputs(graph, arrays, example.op):
        check_facts(node)
        if node.op.commutative:
            check_commutes(node, inputs)


def permuted_count(example: Example) -> int:
    graph, arrays = build(example)
    return sum(check_permuted(node, inputs) for node, inputs in nodes_with_inputs(graph, arrays, example.op))


@pytest.mark.parametrize("example", [e for e in EXAMPLES if overrides_permuted(OPS[e.op])], ids=str)
def test_permuted_op_commutes_with_transpose(example: Example) -> None:
    permuted_count(example)


def test_every_op_has_examples() -> None:
    for module in pkgutil.walk_packages(ops.__path__, f"{ops.__name__}."):
        importlib.import_module(module.name)
    wanted = {name for name, op in OPS.items() if not issubclass(op, Leaf)}
    covered = {example.op for example in EXAMPLES}
    assert not wanted - covered, f"ops without a row in tests/op_examples: {sorted(wanted - covered)}"
    assert not covered - wanted, f"rows for ops that do not exist: {sorted(covered - wanted)}"


def test_every_op_says_what_it_costs() -> None:
    """The base class refuses to: an op that forgets would count as nothing."""
    assert not [name for name, op in OPS.items() if op.flops is Op.flops]


def test_every_permuted_method_is_exercised() -> None:
    counts: dict[str, int] = {}
    for example in EXAMPLES:
        if overrides_permuted(OPS[example.op]):
            counts[example.op] = counts.get(example.op, 0) + permuted_count(example)
    assert not [op for op, count in counts.items() if count == 0]


# ---- the checks themselves notice mistakes


@dataclasses.dataclass(frozen=True)
class WrongExp(Exp, abstract=True):
    """Its gradient has the wrong sign, and it lowers to another function."""

    name = "exp"
    onnx = "Sinh"

    def derivative(self, x, y):
        return neg(y)


@dataclasses.dataclass(frozen=True)
class WrongSum(ReduceSum, abstract=True):
    """Its permuted form forgets that the summed axis moves too."""

    name = "reduce_sum"

    def permuted(self, node, permutation):
        return self, (permutation,)


def test_the_checks_notice_a_wrong_sign_function_and_axis() -> None:
    wrong = Example("exp", lambda x: apply(WrongExp(), x), [floats(3, 2)])
    with pytest.raises(AssertionError, match="gradient of input 0"):
        check_gradient(wrong)
    graph, arrays = build(wrong)
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        check_onnx(graph, arrays, TARGETS["portable"], wrong.rtol)
    graph, arrays = build(Example("reduce_sum", lambda x: apply(WrongSum((0,), True), x), [floats(3, 2)]))
    ((node, inputs),) = nodes_with_inputs(graph, arrays, "reduce_sum")
    with pytest.raises(AssertionError):
        check_permuted(node, inputs)
