"""Symbolic sizes: one normal form, which means what the expression means."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kcompile.ir import Graph, input_value, named
from kcompile.ir.dims import (
    Dim,
    SymbolicDim,
    as_integers,
    divide_exactly,
    names_in,
    parse_dim,
    product,
    substitute,
)
from kcompile.ir.ops.shapes.sizes import dims_vector
from kcompile.passes.onnx.emit import emit

NAMES = ("batch", "time")
batch, time = named("batch"), named("time")

Expression = tuple  # ("name", text) | ("number", int) | (operator, left, right)


def expressions() -> st.SearchStrategy[Expression]:
    leaf = st.sampled_from(NAMES).map(lambda name: ("name", name)) | st.integers(-4, 9).map(lambda n: ("number", n))
    return st.recursive(
        leaf,
        lambda inner: (
            st.tuples(st.sampled_from("+-*"), inner, inner) | st.tuples(st.just("//"), inner, st.integers(1, 5))
        ),
        max_leaves=6,
    )


def compute(expression: Expression, sizes: dict[str, Dim]) -> Dim:
    """The expression with Python's operators, on integers or on symbolic sizes."""
    match expression:
        case ("name", name):
            return sizes[name]
        case ("number", number):
            return number
        case ("//", left, divisor):
            return compute(left, sizes) // divisor
        case (operator, left, right):
            a, b = compute(left, sizes), compute(right, sizes)
            return a + b if operator == "+" else a - b if operator == "-" else a * b
    raise AssertionError(expression)


symbols: dict[str, Dim] = {name: named(name) for name in NAMES}
sizes_of_axes = st.fixed_dictionaries({name: st.integers(0, 12) for name in NAMES})


@given(expressions(), sizes_of_axes)
def test_the_normal_form_equals_integer_arithmetic(expression: Expression, sizes: dict[str, Dim]) -> None:
    assert substitute(compute(expression, symbols), sizes) == compute(expression, sizes)


@given(expressions())
def test_sizes_are_read_as_they_are_printed(expression: Expression) -> None:
    dim = compute(expression, symbols)
    assert parse_dim(str(dim)) == dim
    assert names_in(dim) <= set(NAMES)


@given(expressions(), expressions(), sizes_of_axes)
def test_ring_laws_hold_in_the_normal_form(left: Expression, right: Expression, sizes: dict[str, Dim]) -> None:
    a, b = compute(left, symbols), compute(right, symbols)
    assert a + b == b + a
    assert a * b == b * a
    assert (a + b) * a == a * a + a * b
    assert a - a == 0
    assert hash(a + b - b) == hash(a)


@given(expressions(), st.integers(1, 5), st.integers(0, 2), st.integers(0, 2))
def test_division_undoes_multiplication_by_a_monomial(expression: Expression, scale: int, i: int, j: int) -> None:
    total = compute(expression, symbols)
    part = product([scale, *[batch] * i, *[time] * j])
    assert divide_exactly(total * part, part) == total


@pytest.mark.parametrize(
    ("total", "part", "expected"),
    [
        (12, 4, 3),
        (12, 5, None),
        (12, 0, None),
        (batch * 12, batch * 4, 3),
        (batch * time, time, batch),
        (batch * 3, 2, None),
        (batch + time, batch, None),
        (12, batch, None),
        (batch + time, batch + time, 1),
    ],
)
def test_divide_exactly(total: Dim, part: Dim, expected: Dim | None) -> None:
    assert divide_exactly(total, part) == expected


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ((batch * 4 + 3) // 2, batch * 2 + 1),
        ((batch + 2) // 2, batch // 2 + 1),
        ((batch - 3) // 2 + 1, (batch - 1) // 2),
        (batch * 2 // 2, batch),
        (batch - batch, 0),
    ],
)
def test_equal_sizes_compare_equal(left: Dim, right: Dim) -> None:
    assert left == right
    assert hash(left) == hash(right)
    assert str(left) == str(right)


@pytest.mark.parametrize("text", ["batch+", "batch/2", "f(batch)", "batch//time", "batch//0", "3//0", "1.5", ""])
def test_unreadable_sizes_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a size"):
        parse_dim(text)


def test_as_integers_refuses_symbols() -> None:
    assert as_integers([2, 3]) == (2, 3)
    with pytest.raises(ValueError, match="batch"):
        as_integers([2, batch])


@settings(max_examples=60, deadline=None)
@given(expressions(), sizes_of_axes)
def test_emitted_graphs_compute_sizes_from_their_inputs(expression: Expression, sizes: dict[str, int]) -> None:
    """From axes that are the size itself, and from one that is ``2 * time + 1``."""
    dim = compute(expression, symbols)
    x = input_value("x", "float32", (batch, time * 2 + 1))
    graph = Graph([x], {"sizes": dims_vector((dim, 3, time))})
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    session = onnxruntime.InferenceSession(emit(graph).model.SerializeToString(), options)
    feeds = {"x": np.zeros((sizes["batch"], 2 * sizes["time"] + 1), np.float32)}
    used = {item.name for item in session.get_inputs()}
    (found,) = session.run(None, {k: v for k, v in feeds.items() if k in used})
    assert found.tolist() == [substitute(dim, sizes), 3, sizes["time"]]
    assert isinstance(dim, (int, SymbolicDim))
