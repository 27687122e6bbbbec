"""EinsumDense: a fully connected layer over axes that an equation names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from kcompile import activations, regularizers
from kcompile.common.errors import DataTypeError, KCompileError, ShapeError, shown
from kcompile.ir.ops.products.einsum import einsum
from kcompile.layers.base.weight_options import WeightOptions
from kcompile.objects.lookup import Identifier
from kcompile.symbolic.tensor import Tensor, as_tensor

__all__ = ["EinsumDense"]

Shape = tuple[int | None, ...]


@dataclass(frozen=True)
class Equation:
    """The letters of the axes of the input, the kernel and the output.

    Attributes:
        input, kernel, output: the axes that are named.
        left, right: whether ``...`` stands before or behind them in the input and the output.
    """

    input: str
    kernel: str
    output: str
    left: bool
    right: bool

    @classmethod
    def of(cls, owner: str, text: Any) -> Equation:
        """Read ``ab,bc->ac``, ``...b,bc->...c`` or ``ab...,bc->ac...``.

        Raises:
            TypeError: not a text. ValueError: none of these.
        """
        if not isinstance(text, str):
            raise DataTypeError(f"{owner}: equation must be a text such as 'abc,cd->abd', got {shown(text)}")
        operands, arrow, output = text.replace(" ", "").partition("->")
        given, comma, kernel = operands.partition(",")
        left = given.startswith("...") and output.startswith("...")
        right = not left and given.endswith("...") and output.endswith("...")
        if left or right:
            given, output = (given[3:], output[3:]) if left else (given[:-3], output[:-3])
        terms = (given, kernel, output)
        if not arrow or not comma or not all(term.isascii() and term.isalpha() for term in terms):
            raise KCompileError(
                f"{owner}: equation must be of the form 'ab,bc->ac', '...b,bc->...c' or 'ab...,bc->ac...', got {text!r}"
            )
        for term in terms:
            if len(set(term)) != len(term):
                raise KCompileError(f"{owner}: equation {text!r} has a letter twice in {term!r}")
        for letter in output:
            if letter not in given + kernel:
                raise KCompileError(
                    f"{owner}: equation {text!r}: axis {letter!r} of the output is none of the input or the kernel"
                )
        for letter in kernel:
            if letter not in given + output:
                raise KCompileError(
                    f"{owner}: equation {text!r}: axis {letter!r} of the kernel is none of the input or the output"
                )
        return cls(given, kernel, output, left, right)

    def elided(self, rank: int) -> int:
        """How many axes the ``...`` stands for in an input of that rank; negative if it has too few."""
        return rank - len(self.input)

    def full(self, rank: int) -> str:
        """The equation with a letter for each axis of an input of that rank."""
        used = self.input + self.kernel + self.output
        free = [letter for letter in "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ" if letter not in used]
        more = "".join(free[: self.elided(rank)])
        before, behind = (more, "") if self.left else ("", more)
        return f"{before}{self.input}{behind},{self.kernel}->{before}{self.output}{behind}"


class EinsumDense(WeightOptions):
    """``activation(einsum(equation, inputs, kernel) + bias)``.

    Args:
        equation: the axes of input, kernel and output: ``ab,bc->ac``, ``...b,bc->...c`` or ``ab...,bc->ac...``.
        output_shape: the sizes of the output's axes, without the batch axis and those of ``...``; ``None`` is that of
            the input.
        activation: name or function; ``None`` is linear.
        bias_axes: the axes of the output that the bias has; ``None``: there is no bias.
        kernel_initializer, bias_initializer: initial values.
        kernel_regularizer, bias_regularizer, activity_regularizer: losses on weights and output.
        kernel_constraint, bias_constraint: applied after each update.

    Raises:
        ValueError: an equation of another form; on the first call, sizes that do not fit it or are not known.
        TypeError: ``equation`` is not a text, or an unknown argument.
    """

    _takes_one_tensor = True

    def __init__(
        self,
        equation: str,
        output_shape: Any,
        activation: Identifier = None,
        bias_axes: str | None = None,
        kernel_initializer: Identifier = "glorot_uniform",
        bias_initializer: Identifier = "zeros",
        kernel_regularizer: Identifier = None,
        bias_regularizer: Identifier = None,
        activity_regularizer: Identifier = None,
        kernel_constraint: Identifier = None,
        bias_constraint: Identifier = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self._terms = Equation.of("EinsumDense", equation)
        self.equation = equation
        self.partial_output_shape = _sizes("EinsumDense", output_shape)
        if bias_axes is not None and not isinstance(bias_axes, str):
            raise DataTypeError(f"EinsumDense: bias_axes must be a text of letters or None, got {shown(bias_axes)}")
        for letter in bias_axes or "":
            if letter not in self._terms.output:
                raise KCompileError(
                    f"EinsumDense: bias_axes names {letter!r}, which is no axis of the output in {equation!r}"
                )
        self.bias_axes = bias_axes or None
        self.activation = activations.get(activation)
        self._set_weight_options("kernel", kernel_initializer, kernel_regularizer, kernel_constraint)
        self._set_weight_options("bias", bias_initializer, bias_regularizer, bias_constraint)
        self.activity_regularizer = regularizers.get(activity_regularizer)

    def build(self, input_shape: Shape) -> None:
        sizes = self._known(tuple(input_shape))
        inside = {letter: sizes[letter] for letter in self._terms.kernel}
        bias: dict[str, Any] = {}
        if self.bias_axes is not None:
            start = min(self._terms.output.index(letter) for letter in self.bias_axes)
            bias = {letter: sizes[letter] for letter in self._terms.output[start:] if letter in self.bias_axes}
        for letter, size in {**inside, **bias}.items():
            if size is None:
                raise ShapeError(
                    f"layer {self.name!r} (EinsumDense) needs to know the size of axis {letter!r} of {self.equation!r} "
                    f"for an input of shape {tuple(input_shape)}; give it in output_shape or in Input(shape=...)"
                )
        self.kernel = self._add_weight_of("kernel", tuple(inside.values()))
        self.bias = None
        if self.bias_axes is not None:
            shape = [bias.get(letter, 1) for letter in self._terms.output[start:]]
            elided = 0 if self._terms.left else self._terms.elided(len(input_shape))
            self.bias = self._add_weight_of("bias", (*shape, *(1,) * elided))
        self.built = True

    def _known(self, input_shape: Shape) -> dict[str, int | None]:
        """The size of each letter; ``None`` where it is known only at run time."""
        terms, elided = self._terms, self._terms.elided(len(input_shape))
        if elided < 0 or (elided and not terms.left and not terms.right):
            least = "at least " if terms.left or terms.right else ""
            raise ShapeError(
                f"layer {self.name!r} (EinsumDense): {self.equation!r} is for inputs of {least}{len(terms.input)} "
                f"axes, got shape {input_shape}"
            )
        own = input_shape[elided:] if terms.left else input_shape[: len(terms.input)]
        sizes: dict[str, int | None] = dict(zip(terms.input, own, strict=True))
        named = terms.output if terms.left and elided else terms.output[1:]
        if len(self.partial_output_shape) != len(named):
            raise ShapeError(
                f"layer {self.name!r} (EinsumDense): output_shape {self.partial_output_shape} must have a size for "
                f"each of the axes {named!r} of the output of {self.equation!r}"
            )
        for letter, size in zip(named, self.partial_output_shape, strict=True):
            before = sizes.get(letter)
            if before is not None and size is not None and before != size:
                raise ShapeError(
                    f"layer {self.name!r} (EinsumDense): axis {letter!r} of {self.equation!r} is {before} in the input "
                    f"of shape {input_shape}, and {size} in output_shape"
                )
            sizes[letter] = before if size is None else size
        return sizes

    def call(self, inputs: Tensor) -> Any:
        x, kernel = as_tensor(inputs), as_tensor(self.kernel)
        y = Tensor(einsum(self._terms.full(x.ndim), x.value, kernel.value))
        if self.bias is not None:
            y = y + self.bias
        return self.activation(y)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        shape, terms = tuple(input_shape), self._terms
        sizes, elided = self._known(shape), terms.elided(len(input_shape))
        named = [sizes[letter] for letter in terms.output]
        return (*shape[:elided], *named) if terms.left else (*named, *shape[len(terms.input) :])

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "output_shape": self.partial_output_shape,
            "equation": self.equation,
            "activation": activations.serialize(self.activation),
            "bias_axes": self.bias_axes,
            **self._weight_config("kernel", "bias", activity_regularizer=True),
        }


def _sizes(owner: str, sizes: Any) -> Shape:
    if isinstance(sizes, int) and not isinstance(sizes, bool):
        sizes = (sizes,)
    wrong = not isinstance(sizes, Sequence) or isinstance(sizes, str)
    if wrong or not all(size is None or (isinstance(size, int) and size > 0) for size in sizes):
        raise DataTypeError(
            f"{owner}: output_shape must be a positive integer, or a tuple of these and None, got {shown(sizes)}"
        )
    return tuple(sizes)
