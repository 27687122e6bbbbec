"""Every op, lowered for older and newer opsets: valid there, and the same numbers in ONNX Runtime."""

from __future__ import annotations

import onnx
import pytest

from kcompile.ir import Graph, Target, input_value
from kcompile.ir.errors import IRError
from kcompile.ir.ops.arrays.reduction import reduce_max
from kcompile.passes.onnx.emit import emit
from kcompile.passes.onnx.opsets import IR_VERSIONS, OPSETS, SPOKEN, spelled
from tests.op_checks import build, check_emitted_gradient, check_onnx, differentiable, resized
from tests.op_examples import Example, all_examples

EXAMPLES = [example for example in all_examples() if "portable" not in example.skip]
SINCE_18 = {"BitwiseAnd", "BitwiseOr", "BitwiseXor"}
"""What no model of opset 17 can contain: the random numbers of training need the last one."""


def check(example: Example, opset: int) -> None:
    """Forward, backward, and with a symbolic batch."""
    target = Target(opset=opset)
    graph, arrays = build(example)
    check_onnx(graph, arrays, target, example.rtol)
    if differentiable(example):
        check_emitted_gradient(example, target)
    if example.batch:
        graph, arrays = build(example, symbolic=True)
        check_onnx(graph, resized(example, arrays, 3), target, example.rtol)


@pytest.mark.parametrize("example", EXAMPLES, ids=str)
def test_the_oldest_opset(example: Example) -> None:
    try:
        check(example, OPSETS[0])
    except IRError as error:
        if not any(f"ONNX has {name} since opset 18" in str(error) for name in SINCE_18):
            raise


@pytest.mark.slow
@pytest.mark.parametrize("opset", [opset for opset in OPSETS if opset not in (OPSETS[0], SPOKEN)])
@pytest.mark.parametrize("example", EXAMPLES, ids=str)
def test_every_opset(example: Example, opset: int) -> None:
    check(example, opset)


@pytest.mark.parametrize("opset", OPSETS)
def test_reductions_take_axes_as_their_opset_does(opset: int) -> None:
    x = input_value("x", "float32", (2, 3))
    model = emit(Graph([x], [reduce_max(x, 1)]), Target(opset=opset)).model
    onnx.checker.check_model(model, full_check=True)
    (node,) = model.graph.node
    assert ("axes" in {item.name for item in node.attribute}, len(node.input)) == (
        (True, 1) if opset < 18 else (False, 2)
    )
    assert (
        model.ir_version == IR_VERSIONS[opset] == next(row[1] for row in onnx.helper.VERSION_TABLE if row[2] == opset)
    )


@pytest.mark.parametrize(
    ("op_type", "attributes", "opset", "message"),
    [
        ("BitwiseXor", {}, 17, "ONNX has BitwiseXor since opset 18, and the target is opset 17"),
        ("Gelu", {}, 19, "ONNX has Gelu since opset 20"),
        ("Resize", {"antialias": 1}, 17, "ONNX has Resize in this form since opset 18"),
        ("ReduceMax", {}, 17, "ReduceMax with axes that are computed since opset 18"),
        ("FusedMatMul", {}, 20, "no opset up to 21 has FusedMatMul"),
    ],
)
def test_what_an_opset_lacks_is_said_with_the_least_that_has_it(
    op_type: str, attributes: dict[str, int], opset: int, message: str
) -> None:
    with pytest.raises(IRError, match=message):
        spelled(op_type, ("x", "computed")[: 1 if op_type == "Gelu" else 2], attributes, opset, lambda name: None)


def test_an_operator_that_is_too_new_names_its_layer() -> None:
    from kcompile import Sequential, layers

    model = Sequential([layers.Dense(2, input_shape=(3,)), layers.Dropout(0.5, name="drop")])
    model.compile("sgd", "mse")
    with pytest.raises(ValueError, match=r"drop.*BitwiseXor since opset 18.*use opset 18 or later"):
        model.export_training("never_made", opset=17)
