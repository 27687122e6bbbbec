"""Sums of products of two tensors, by an equation such as ``abc,cd->abd``."""

from __future__ import annotations

from kcompile.ir.core import Value
from kcompile.ir.errors import IRError
from kcompile.ir.ops.arrays.reduction import reduce_sum
from kcompile.ir.ops.products.linalg import dot_general
from kcompile.ir.ops.shapes.reshaping import transpose


def einsum(equation: str, x: Value, y: Value) -> Value:
    """The sum of products over all letters that the result does not have: one matrix product.

    Args:
        equation: a letter for each axis of ``x``, of ``y`` and of the result, as ``abc,cd->abd``.
        x, y: the operands.

    Raises:
        IRError: the equation does not say that, or does not fit the operands.
    """
    first, second, result = _terms(equation)
    if len(first) != x.rank or len(second) != y.rank:
        raise IRError(f"einsum {equation!r} needs operands of {len(first)} and {len(second)} axes, got {x} and {y}")
    first, x = _summed(first, x, second + result)
    second, y = _summed(second, y, first + result)
    batch = [letter for letter in result if letter in first and letter in second]
    straight, turned = _order(first, second, batch), _order(second, first, batch)
    if straight != result and turned == result:
        (first, x), (second, y), straight = (second, y), (first, x), turned
    contracted = [letter for letter in first if letter in second and letter not in result]
    product = dot_general(
        x,
        y,
        contract=([first.index(letter) for letter in contracted], [second.index(letter) for letter in contracted]),
        batch=([first.index(letter) for letter in batch], [second.index(letter) for letter in batch]),
    )
    return transpose(product, [straight.index(letter) for letter in result])


def _terms(equation: str) -> tuple[str, str, str]:
    """The letters of both operands and of the result."""
    operands, arrow, result = equation.partition("->")
    first, comma, second = operands.partition(",")
    terms = (first, second, result)
    if not arrow or not comma or not all(not term or term.isalpha() for term in terms):
        raise IRError(f"einsum takes an equation such as 'abc,cd->abd', got {equation!r}")
    for term in terms:
        if len(set(term)) != len(term):
            raise IRError(f"einsum {equation!r} has a letter twice in {term!r}")
    if unknown := [letter for letter in result if letter not in first + second]:
        raise IRError(f"einsum {equation!r}: no operand has the axis {unknown[0]!r} of the result")
    return terms


def _summed(letters: str, x: Value, wanted: str) -> tuple[str, Value]:
    """An operand without the axes that nothing else has."""
    alone = [axis for axis, letter in enumerate(letters) if letter not in wanted]
    if not alone:
        return letters, x
    return "".join(letter for letter in letters if letter in wanted), reduce_sum(x, alone)


def _order(first: str, second: str, batch: list[str]) -> str:
    """The axes of the product in the order in which it has them."""
    free = [letter for letter in first if letter not in second] + [letter for letter in second if letter not in first]
    return "".join([*batch, *free])
