"""Sizes of axes: integers, or small expressions over named sizes such as ``batch``.

A :class:`SymbolicDim` is kept in a normal form (a polynomial with integer coefficients whose atoms are names
and floor divisions), so that two ways to compute the same size compare equal, and so that names survive
through strides and flattening to the exported file: ``(height+1)//2-1`` rather than ``unk__12``.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Union

Dim = Union[int, "SymbolicDim"]
Shape = tuple[Dim, ...]


@dataclass(frozen=True, slots=True)
class FloorDiv:
    """The atom ``numerator // divisor`` that could not be divided exactly."""

    numerator: SymbolicDim
    divisor: int

    def __str__(self) -> str:
        return f"({self.numerator})//{self.divisor}"


Atom = str | FloorDiv
Monomial = tuple[Atom, ...]


class SymbolicDim:
    """A size known only when the graph runs. Immutable; compares and hashes by its normal form.

    Arithmetic (``+ - * //``) with integers and other sizes returns an ``int`` as soon as the result is one.
    """

    __slots__ = ("_hash", "terms")

    terms: tuple[tuple[Monomial, int], ...]

    def __init__(self, terms: Iterable[tuple[Monomial, int]]) -> None:
        self.terms = tuple(sorted(terms, key=_term_order))
        self._hash = hash(self.terms)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SymbolicDim) and self.terms == other.terms

    def __hash__(self) -> int:
        return self._hash

    def __reduce__(self) -> tuple[Any, ...]:
        return SymbolicDim, (self.terms,)  # hashes of names differ between processes

    def __add__(self, other: Dim) -> Dim:
        total = dict(self.terms)
        for monomial, coefficient in _terms(other):
            total[monomial] = total.get(monomial, 0) + coefficient
        return _build(total)

    def __mul__(self, other: Dim) -> Dim:
        total: dict[Monomial, int] = {}
        for left, a in self.terms:
            for right, b in _terms(other):
                monomial = tuple(sorted(left + right, key=str))
                total[monomial] = total.get(monomial, 0) + a * b
        return _build(total)

    def __neg__(self) -> Dim:
        return self * -1

    def __sub__(self, other: Dim) -> Dim:
        return self + other * -1

    def __rsub__(self, other: Dim) -> Dim:
        return self * -1 + other

    __radd__ = __add__
    __rmul__ = __mul__

    def __floordiv__(self, divisor: int) -> Dim:
        if divisor < 1:
            raise ValueError(f"the size {self} is divided by {divisor}; sizes are divided by positive numbers")
        if divisor == 1:
            return self
        # Whole multiples leave the division: (4*n - 3) // 2 == 2*n - 2 + 1 // 2. What stays has coefficients in
        # 0..divisor-1: equal sizes have one form, and no numerator is negative (ONNX's Div truncates).
        exact = {m: c // divisor for m, c in self.terms}
        rest = _build({m: c % divisor for m, c in self.terms})
        if isinstance(rest, int):
            return _build(exact) + rest // divisor
        return _build(exact) + SymbolicDim([((FloorDiv(rest, divisor),), 1)])

    def __str__(self) -> str:
        text = ""
        for monomial, coefficient in self.terms:
            sign = "-" if coefficient < 0 else "+" if text else ""
            alone = len(monomial) == 1 and coefficient == 1
            factors = [str(atom) if alone or isinstance(atom, str) else f"({atom})" for atom in monomial]
            if abs(coefficient) != 1 or not factors:
                factors.insert(0, str(abs(coefficient)))
            text += sign + "*".join(factors)
        return text

    __repr__ = __str__


def _term_order(term: tuple[Monomial, int]) -> tuple[int, str]:
    return (-len(term[0]), str(term[0]))


def _terms(dim: Dim) -> tuple[tuple[Monomial, int], ...]:
    return dim.terms if isinstance(dim, SymbolicDim) else (((), dim),)


def _build(terms: Mapping[Monomial, int]) -> Dim:
    kept = {m: c for m, c in terms.items() if c != 0}
    if not kept:
        return 0
    if list(kept) == [()]:
        return kept[()]
    return SymbolicDim(kept.items())


def named(name: str) -> SymbolicDim:
    """The size called ``name``, a Python identifier such as ``batch``."""
    return SymbolicDim([((name,), 1)])


def name_of(dim: Dim) -> str | None:
    """The name of a size that is nothing but a name, else ``None``."""
    if isinstance(dim, int) or len(dim.terms) != 1:
        return None
    ((monomial, coefficient),) = dim.terms
    alone = coefficient == 1 and len(monomial) == 1 and isinstance(monomial[0], str)
    return str(monomial[0]) if alone else None


def names_in(dim: Dim) -> set[str]:
    """The named sizes on which ``dim`` depends."""
    found: set[str] = set()
    for monomial, _ in _terms(dim):
        for atom in monomial:
            found |= {atom} if isinstance(atom, str) else names_in(atom.numerator)
    return found


def substitute(dim: Dim, sizes: Mapping[str, Dim]) -> Dim:
    """``dim`` with the named sizes replaced; an ``int`` once all its names are given."""
    if isinstance(dim, int):
        return dim
    total: Dim = 0
    for monomial, coefficient in dim.terms:
        product: Dim = coefficient
        for atom in monomial:
            if isinstance(atom, str):
                product = product * sizes.get(atom, named(atom))
            else:
                product = product * floor_divide(substitute(atom.numerator, sizes), atom.divisor)
        total = total + product
    return total


def floor_divide(dim: Dim, divisor: int) -> Dim:
    """``dim // divisor``, for integers and symbolic sizes alike."""
    return dim // divisor


Size = Callable[[Dim], int]
"""What a size counts as, where some are symbolic."""


def product(dims: Iterable[Dim]) -> Dim:
    """The number of elements of a shape."""
    total: Dim = 1
    for dim in dims:
        total = total * dim
    return total


def divide_exactly(total: Dim, part: Dim) -> Dim | None:
    """``total / part`` if that is provably a whole size (as a reshape to ``-1`` needs), else ``None``."""
    if total == part:
        return 1
    if isinstance(part, int):
        if part == 0:
            return None
        if isinstance(total, int):
            return total // part if total % part == 0 else None
        if all(c % part == 0 for _, c in total.terms):
            return total // part
        return None
    if isinstance(total, int) or len(part.terms) != 1:
        return 0 if total == 0 else None
    ((divisor, divisor_coefficient),) = part.terms
    quotient: dict[Monomial, int] = {}
    for monomial, coefficient in total.terms:
        rest = list(monomial)
        for atom in divisor:
            if atom not in rest:
                return None
            rest.remove(atom)
        if coefficient % divisor_coefficient:
            return None
        quotient[tuple(rest)] = coefficient // divisor_coefficient
    return _build(quotient)


def as_integers(dims: Iterable[Dim]) -> tuple[int, ...]:
    """The sizes as integers, once no symbolic one is left.

    Raises:
        ValueError: one is.
    """
    sizes = tuple(dims)
    known = tuple(dim for dim in sizes if isinstance(dim, int))
    if len(known) != len(sizes):
        raise ValueError(f"the sizes {sizes} are needed as integers here, but one is symbolic")
    return known


def parse_dim(text: str) -> Dim:
    """Read a size as it is printed: ``"3"``, ``"2*batch+1"``, ``"(height-3)//2+1"``.

    Raises:
        ValueError: the text is not an expression of integers, names, ``+ - * //``.
    """

    def walk(node: ast.expr) -> Dim:
        match node:
            case ast.Constant(value=int(value)):
                return value
            case ast.Name(id=name):
                return named(name)
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                return walk(operand) * -1
            case ast.BinOp(left=left, op=ast.Add(), right=right):
                return walk(left) + walk(right)
            case ast.BinOp(left=left, op=ast.Sub(), right=right):
                return walk(left) - walk(right)
            case ast.BinOp(left=left, op=ast.Mult(), right=right):
                return walk(left) * walk(right)
            case ast.BinOp(left=left, op=ast.FloorDiv(), right=ast.Constant(value=int(divisor))) if divisor > 0:
                return walk(left) // divisor
        raise ValueError(f"{text!r} is not a size: write integers, names and + - * //")

    try:
        return walk(ast.parse(text.strip(), mode="eval").body)
    except SyntaxError as error:
        raise ValueError(f"{text!r} is not a size: write integers, names and + - * //") from error
