"""The ONNX files that graphs become: names, state, sizes, sub-graphs."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest

from kcompile.ir import (
    Graph,
    IRError,
    Target,
    Value,
    Variable,
    apply,
    constant,
    input_value,
    interpret,
    named,
    scope,
    variable_value,
)
from kcompile.ir.ops.arrays.cumulative import cumprod
from kcompile.ir.ops.arrays.reduction import reduce_sum
from kcompile.ir.ops.arrays.shaping import dims_vector, reshape
from kcompile.ir.ops.elementwise.functions import add, exp, mul
from kcompile.ir.ops.products.linalg import matmul
from kcompile.passes.onnx.emit import Emitted, Names, emit

batch = named("batch")


def run(emitted: Emitted, feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    session = onnxruntime.InferenceSession(emitted.model.SerializeToString(), options)
    names = [item.name for item in session.get_outputs()]
    return dict(zip(names, session.run(names, feeds), strict=True))


def variable_of(value: Value) -> Variable:
    assert isinstance(value.op, Variable)
    return value.op


def test_header_types_and_metadata() -> None:
    x = input_value("image", "float32", (batch, 3))
    emitted = emit(Graph([x], {"y": matmul(x, constant(np.ones((3, 2)), "float32"))}, name="net"), metadata={"a": "b"})
    model = emitted.model
    onnx.checker.check_model(model, full_check=True)
    assert (model.ir_version, model.opset_import[0].version, model.graph.name) == (10, 21, "net")
    assert {item.key: item.value for item in model.metadata_props} == {"a": "b"}
    assert [item.name for item in model.graph.input] == emitted.inputs == ["image"]
    assert [item.name for item in model.graph.output] == emitted.outputs == ["y"]
    dims = model.graph.output[0].type.tensor_type.shape.dim
    assert (dims[0].dim_param, dims[1].dim_value) == ("batch", 2)


def test_a_variable_may_be_read_by_two_nodes() -> None:
    first = variable_value("w", "float32", (2,))
    second = apply(first.op)
    emitted = emit(Graph([], {"y": add(first, mul(second, 2))}))
    assert [item.name for item in emitted.model.graph.input] == ["w"]
    np.testing.assert_array_equal(run(emitted, {"w": np.array([1, 2], np.float32)})["y"], [3, 6])


def test_an_update_keeps_the_shape_of_its_variable() -> None:
    w = variable_value("w", "float32", (2,))
    with pytest.raises(IRError, match=r"'w' of type f32\[2\] would be updated to f32\[3\]"):
        Graph([], {}, {variable_of(w): constant(np.zeros(3), "float32")})


def test_state_goes_in_and_comes_out_under_its_label() -> None:
    x = input_value("x", "float32", (2,))
    weight = variable_value("dense/kernel", "float32", (2,))
    unused = variable_value("unused", "float32", (), role="counter")
    updates = {variable_of(weight): add(weight, x), variable_of(unused): constant(3.0, "float32")}
    graph = Graph([x], {"y": mul(weight, x)}, updates)
    emitted = emit(graph)
    assert emitted.state_inputs == {variable_of(weight): "dense/kernel", variable_of(unused): "unused"}
    assert emitted.state_outputs == {
        variable_of(weight): "dense/kernel.next",
        variable_of(unused): "unused.next",
    }
    feeds = {"x": np.array([1, 2], np.float32), "dense/kernel": np.array([3, 4], np.float32)}
    found = run(emitted, feeds | {"unused": np.zeros((), np.float32)})
    np.testing.assert_array_equal(found["y"], [3, 8])
    np.testing.assert_array_equal(found["dense/kernel.next"], [4, 6])
    np.testing.assert_array_equal(found["unused.next"], 3)


def test_frozen_variables_become_initializers() -> None:
    x = input_value("x", "float32", (2,))
    weight = variable_value("w", "float32", (2,))
    graph = Graph([x], {"y": mul(weight, x)}, {variable_of(weight): add(weight, x)})
    emitted = emit(graph, frozen={variable_of(weight): np.array([5, 6])})
    assert emitted.state_inputs == {}
    assert emitted.state_outputs == {}
    assert [item.name for item in emitted.model.graph.input] == ["x"]
    assert "w" in [item.name for item in emitted.model.graph.initializer]
    found = run(emitted, {"x": np.ones(2, np.float32)})
    np.testing.assert_array_equal(found["y"], [5, 6])


def test_outputs_may_be_inputs_constants_and_each_other() -> None:
    x = input_value("x", "float32", (2,))
    y = exp(x)
    graph = Graph([x], {"same": x, "one": constant(1.0, "float32"), "first": y, "second": y, "uses": add(y, y)})
    feeds = {"x": np.array([0, 1], np.float32)}
    found = run(emit(graph), feeds)
    for name, expected in interpret(graph, feeds).outputs.items():
        np.testing.assert_allclose(found[name], expected, rtol=1e-6)


def test_an_output_name_wins_over_a_node_of_that_name() -> None:
    x = input_value("x", "float32", (2,))
    graph = Graph([x], {"Add": exp(add(x, x)), "Exp": add(x, x)})
    feeds = {"x": np.array([0, 1], np.float32)}
    found = run(emit(graph), feeds)
    for name, expected in interpret(graph, feeds).outputs.items():
        np.testing.assert_allclose(found[name], expected, rtol=1e-6)


def test_two_emissions_are_the_same_bytes() -> None:
    def model() -> bytes:
        x = input_value("x", "float32", (batch, 4))
        with scope("dense_1"):
            y = add(matmul(x, constant(np.eye(4), "float32")), 1)
        emitted = emit(Graph([x], {"y": y, "sum": reduce_sum(y)}))
        assert any(node.name.startswith("dense_1/") for node in emitted.model.graph.node)
        return emitted.model.SerializeToString(deterministic=True)

    assert model() == model()


def test_equal_constants_are_stored_once_also_across_sub_graphs() -> None:
    x = input_value("x", "float32", (3,))
    y = add(add(x, constant([7.0], "float32")), constant([7.0], "float32"))
    model = emit(Graph([x], {"y": y})).model
    assert len(model.graph.initializer) == 1


def test_known_shapes_need_no_computed_sizes() -> None:
    """A symbolic batch passes through reshapes without Shape nodes."""
    x = input_value("x", "float32", (batch, 4, 6))
    y = reshape(matmul(x, constant(np.ones((6, 2)), "float32")), (batch, 8))
    assert "Shape" not in {node.op_type for node in emit(Graph([x], {"y": y})).model.graph.node}


def test_sizes_inside_sub_graphs_are_computed_outside() -> None:
    x = input_value("x", "float32", (batch, 4))
    graph = Graph([x], {"y": cumprod(x, 1)})
    model = emit(graph).model
    onnx.checker.check_model(model, full_check=True)
    (scan,) = [node for node in model.graph.node if node.op_type == "Scan"]
    inner = {item.name for attribute in scan.attribute for item in attribute.g.input}
    assert not inner & {item.name for item in model.graph.input}
    feeds = {"x": np.full((3, 4), 2, np.float32)}
    np.testing.assert_array_equal(run(emit(graph), feeds)["y"], interpret(graph, feeds).outputs["y"])


def test_a_size_that_no_input_has_is_refused() -> None:
    x = input_value("x", "float32", (batch * named("time"),))
    with pytest.raises(IRError, match="size time cannot be computed"):
        emit(Graph([x], {"y": dims_vector((named("time"),))}))


def test_a_name_used_twice_is_refused() -> None:
    x = input_value("x", "float32", (2,))
    with pytest.raises(IRError, match="'x'"):
        emit(Graph([x], {"x": exp(x)}))


@pytest.mark.parametrize(("portable", "domains"), [(True, {""}), (False, {"", "com.microsoft"})])
def test_only_the_native_target_uses_contributed_operators(portable: bool, domains: set[str]) -> None:
    x, y = input_value("x", "float32", (2, 3, 4)), input_value("y", "float32", (2, 5, 4))
    model = emit(Graph([x, y], {"z": matmul(x, y, False, True)}), Target(portable=portable)).model
    assert {item.domain for item in model.opset_import} == domains
    assert {node.domain for node in model.graph.node} <= domains


def test_names_are_unique_readable_and_stable() -> None:
    names = Names()
    assert names.reserve("x") == "x"
    assert [
        names.unique("x"),
        names.unique("x"),
        names.unique("x_1"),
        names.unique("a b"),
        names.unique(""),
    ] == [
        "x_1",
        "x_2",
        "x_1_1",
        "a_b",
        "tensor",
    ]
    with pytest.raises(IRError, match="'x'"):
        names.reserve("x")
