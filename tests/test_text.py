"""The text form: print and parse are inverse; errors name the line."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from kcompile.ir import Graph, IRError, apply, constant, input_value, interpret, named, scope, variable_value
from kcompile.ir.ops.arrays.shaping import split
from kcompile.ir.ops.elementwise import functions as e
from kcompile.ir.ops.loops.control import cond
from kcompile.ir.ops.shapes.reshaping import Reshape
from kcompile.ir.text import digest, large_constants, parse_graph, print_graph
from tests import fixtures
from tests.random_graphs import graphs

TYPES = ["float16", "float32", "float64", "int8", "int32", "int64", "uint8", "uint64", "bool"]


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(graphs())
def test_random_graphs_print_and_parse(graph: Graph) -> None:
    text = print_graph(graph)
    parsed = parse_graph(text, large_constants(graph))
    assert print_graph(parsed) == text
    assert [value.type for value in parsed.results] == [value.type for value in graph.results]
    assert [node.scope for node in parsed.nodes() if node.inputs] == [n.scope for n in graph.nodes() if n.inputs]


def test_everything_in_one_text() -> None:
    batch = named("batch")
    x, y = input_value("x", "float32", (batch, 4)), input_value("in/1", "bool", ((batch + 1) // 2,))
    weight, count = variable_value("a/if", "float32", (4,)), variable_value("it", "int64", (), "counter")
    with scope("dense/1"):
        left, right = split(e.mul(x, weight), (1, 3), 1)
        (chosen,) = cond(constant(True), lambda a: [e.add(a, 0.1)], lambda a: [a], [left])
    flat = apply(Reshape((3 * batch,)), right)
    graph = Graph([x, y], {"chosen": chosen, "": y, 'quote " \\': flat}, {count.op: e.add(count, 1)}, "if")
    expected = """\
def _if(x: f32[batch, 4], in_1: input("in/1", bool[(batch+1)//2])):
    _if: f32[4] = variable("a/if", "weight")
    it: i64 = variable("it", "counter")
    with scope("dense/1"):
        mul_1: f32[batch, 4] = mul(x, _if)
        split_1_0, split_1_1 = split(mul_1, sizes=(1, 3), axis=1)  # f32[batch, 1], f32[batch, 3]
        def then(operand_0: f32[batch, 1]):
            with scope("dense/1"):
                add_1: f32[batch, 1] = add(operand_0, 0.1)
            return add_1
        def _else(operand_0: f32[batch, 1]):
            return operand_0
        cond_1: f32[batch, 1] = cond(True, split_1_0, then=then, otherwise=_else)
    reshape_1: f32[3*batch] = reshape(split_1_1, shape=(3*batch,))
    add_1: i64 = add(it, 1)
    it.next = add_1
    return {"chosen": cond_1, "": in_1, "quote \\" \\\\": reshape_1}
"""
    assert print_graph(graph) == expected
    assert print_graph(parse_graph(expected)) == expected
    assert "scope" not in print_graph(graph, scopes=False)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("shape", [(), (1,), (3,), (2, 2), (0, 2), (4, 4, 4)])
def test_constants_keep_every_bit(dtype: str, shape: tuple[int, ...]) -> None:
    generator = np.random.default_rng(len(shape))
    limits = np.iinfo(dtype) if np.dtype(dtype).kind in "iu" else None
    if limits is not None:
        array = generator.integers(limits.min, limits.max, shape, dtype, endpoint=True)
    else:
        array = np.asarray(generator.normal(size=shape) * 10.0 ** generator.integers(-6, 4, shape)).astype(dtype)
    for part in (
        array,
        np.zeros(shape, dtype),
        np.full(shape, -0.0 if array.dtype.kind == "f" else 1, dtype),
    ):
        graph = Graph([], [constant(part)])
        parsed = parse_graph(print_graph(graph), large_constants(graph))
        found = interpret(parsed).outputs["output"]
        assert found.dtype == part.dtype
        assert found.shape == part.shape
        assert found.tobytes() == part.tobytes()


def test_nan_and_infinities() -> None:
    graph = Graph([], [constant([np.nan, np.inf, -np.inf, -0.0], "float32"), constant(-np.inf, "float64")])
    text = print_graph(graph)
    assert "constant([nan, inf, -inf, -0.0])" in text
    assert "f64(-inf)" in text
    assert print_graph(parse_graph(text)) == text


def test_large_constants_are_named_by_content() -> None:
    array = np.arange(100, dtype=np.float32)
    graph = Graph([], [constant(array)])
    assert large_constants(graph) == {digest(array): pytest.approx(array)}
    with pytest.raises(IRError, match=r"line 2: the array of constant '[0-9a-f]{16}' is not given"):
        parse_graph(print_graph(graph))


X = "def g(x: f32[3]):\n    "
BAD = {
    "x = 1": "the text form of a graph is a function",
    "def g(x: f32[3]):\n    return x\ndef h():\n    return ()": "exactly one function",
    "def g(x: f32[3]) return": "line 1: not Python syntax",
    "def g(x):\n    return x": "line 1: input x has no type",
    "def g(x: f33[3]):\n    return x": "line 1: 'f33[3]' is not a type",
    "def g(x: f32[1.5]):\n    return x": "line 1: '1.5' is not a size",
    X + "pass": "line 2: not a statement of the text form: pass",
    X + "y: f32[3] = neg(x)": "line 1: function g returns nothing",
    X + "y: f32[3] = matmull(x, x)": "line 2: unknown op 'matmull'; did you mean 'matmul'?",
    X + "return xx": "line 2: no value 'xx'; did you mean 'x'?",
    X + "y: f32[4] = neg(x)": "line 2: neg has type f32[3], declared is f32[4]",
    X + "y: f32[3] = add(x, 1)": "line 2: add(f32[3], i64[]): operands are float32 and int64; cast one",
    X + "y: f32[3] = cast(x, to=1)": "line 2: attributes of cast: ",
    X + "a, b = split(x, sizes=(1, 1, 1), axis=0)": "line 2: split has 3 results, 2 names are given",
    X + "x.next = x": "line 2: x is not a variable",
    X + "y: f32[3] = constant('z')": "line 2: the array of constant 'z' is not given; pass arrays={...}",
    X + "y: f32[3] = neg(open('f'))": "line 2: \"open('f')\" is not a number",
}


@pytest.mark.parametrize("text", BAD)
def test_errors_name_the_line(text: str) -> None:
    with pytest.raises(IRError) as caught:
        parse_graph(text)
    assert BAD[text] in str(caught.value)


def test_fixtures_are_canonical() -> None:
    for case in fixtures.cases():
        _, made = fixtures.run_pass(case)
        assert print_graph(parse_graph(case.after, large_constants(made))) == case.after, case.label
