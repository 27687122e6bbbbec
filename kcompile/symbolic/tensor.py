"""The front end's tensor: a thin handle on an IR value, with Keras' history."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, SupportsIndex, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from kcompile import ir
from kcompile.common.config import floatx
from kcompile.common.errors import AbsentError, DataTypeError
from kcompile.ir.ops.elementwise import comparison
from kcompile.ir.ops.elementwise import functions as elementwise
from kcompile.ir.ops.loops.control import LearningPhase
from kcompile.ir.ops.products import linalg
from kcompile.ir.pickling import flattened, restored
from kcompile.ir.types import broadcast_shapes
from kcompile.symbolic.advice import on_tensor_attribute
from kcompile.symbolic.concrete import described, evaluated, has_value, is_traced, number, numbers
from kcompile.symbolic.indexing import index

Array = NDArray[Any]


class Tensor:
    """A symbolic tensor. Operators and indexing build IR; ``numpy()`` compiles and runs what it needs.

    Attributes:
        value: the IR value.
        keras_history: ``(layer, node_index, tensor_index)`` of the layer call that made it, or ``None``.
        keras_mask: the mask that travels with it, or ``None``.
    """

    _metric_object: Any
    """Of what a metric returned: the metric, and under ``_metric_call`` what it was called on."""
    _metric_call: tuple[Any, ...] | None

    __array_priority__ = 100  # ndarray + Tensor builds IR instead of an object array

    def __init__(self, value: ir.Value, name: str | None = None) -> None:
        self.value = value
        self._name = name
        self.keras_history: tuple[Any, int, int] | None = None
        self.keras_mask: Tensor | None = None

    # -- facts

    @property
    def name(self) -> str:
        if self._name is None:
            scope = self.value.node.scope
            self._name = f"{scope}/{self.value.op.name}:0" if scope else f"{self.value.op.name}:0"
        return self._name

    @property
    def dtype(self) -> str:
        return self.value.dtype

    @property
    def shape(self) -> TensorShape:
        """The static shape: ``None`` where a size is known only at run time."""
        return TensorShape(dim if isinstance(dim, int) else None for dim in self.value.shape)

    @property
    def ndim(self) -> int:
        return self.value.rank

    # What Keras calls them.

    @property
    def _keras_history(self) -> tuple[Any, int, int] | None:
        return self.keras_history

    @_keras_history.setter
    def _keras_history(self, history: tuple[Any, int, int] | None) -> None:
        self.keras_history = history

    @property
    def _keras_mask(self) -> Tensor | None:
        return self.keras_mask

    @_keras_mask.setter
    def _keras_mask(self, mask: Tensor | None) -> None:
        self.keras_mask = mask

    @property
    def _keras_shape(self) -> tuple[int | None, ...]:
        return tuple(self.shape)

    @property
    def _uses_learning_phase(self) -> bool:
        return any(isinstance(node.op, LearningPhase) for node in ir.toposort([self.value]))

    def get_shape(self) -> TensorShape:
        return self.shape

    def __repr__(self) -> str:
        """Name, shape and type, and the value if it depends on no input."""
        return described(self)

    def __format__(self, spec: str) -> str:
        """Of one number as Python formats it; without ``spec`` as :meth:`__repr__`."""
        return format(number(self, "number to format").item(), spec) if spec else repr(self)

    def __len__(self) -> int:
        if not self.ndim:
            raise DataTypeError(f"{self!r} is a scalar, which has no length")
        size = self.value.shape[0]
        if not isinstance(size, int):
            raise DataTypeError(f"the length of {self!r} is known only when the model runs; use K.shape(x)[0]")
        return size

    def __bool__(self) -> bool:
        if has_value(self.value) and not is_traced(self.value):
            return bool(self.numpy())
        raise DataTypeError(f"{self!r} has no truth value while the model is being built; use K.switch, K.any or K.all")

    def __iter__(self) -> Any:
        return (self[i] for i in range(len(self)))

    def __hash__(self) -> int:
        return id(self)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        raise AbsentError(f"a tensor has no attribute {name!r}", lambda: on_tensor_attribute(name, dir(Tensor)))

    def __reduce_ex__(self, protocol: SupportsIndex) -> Any:
        """For ``pickle`` and ``copy``: what the tensor is computed from.

        Raises:
            TypeError (also a ValueError): it depends on a model input.
        """
        if any(isinstance(node.op, ir.Input) for node in ir.toposort([self.value])):
            raise DataTypeError(
                f"{self!r} is symbolic: it has no value, and belongs to the graph of this process, so that it cannot "
                "be pickled or copied; pickle the model or layer that makes it, or an array"
            )
        return _tensor_of, (*flattened([self.value]), self._name)

    def __copy__(self) -> Any:
        other = object.__new__(type(self))
        vars(other).update(vars(self))
        return other

    # -- the number itself

    def numpy(self) -> Array:
        """Compile and run what this tensor needs.

        Raises:
            ValueError: it depends on a model input, which has no value here.
        """
        return evaluated([self])[0]

    def eval(self, session: object = None) -> Array:
        """As ``numpy()``; the session of TensorFlow 1 scripts is not needed."""
        return self.numpy()

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> Array:
        array = numbers(self)
        return array if dtype is None else array.astype(dtype)

    def __float__(self) -> float:
        return float(number(self, "number"))

    def __int__(self) -> int:
        return int(number(self, "number"))

    def __round__(self, digits: int | None = None) -> Any:
        return round(float(self), digits)

    # -- operators

    def __add__(self, other: TensorLike) -> Tensor:
        return binary(elementwise.add, self, other)

    def __radd__(self, other: TensorLike) -> Tensor:
        return binary(elementwise.add, other, self)

    def __sub__(self, other: TensorLike) -> Tensor:
        return binary(elementwise.sub, self, other)

    def __rsub__(self, other: TensorLike) -> Tensor:
        return binary(elementwise.sub, other, self)

    def __mul__(self, other: TensorLike) -> Tensor:
        return binary(elementwise.mul, self, other)

    def __rmul__(self, other: TensorLike) -> Tensor:
        return binary(elementwise.mul, other, self)

    def __truediv__(self, other: TensorLike) -> Tensor:
        return binary(elementwise.div, as_float(self), other)

    def __rtruediv__(self, other: TensorLike) -> Tensor:
        return binary(elementwise.div, other, as_float(self))

    def __floordiv__(self, other: TensorLike) -> Tensor:
        return floor_divide(self, other)

    def __rfloordiv__(self, other: TensorLike) -> Tensor:
        return floor_divide(other, self)

    def __mod__(self, other: TensorLike) -> Tensor:
        return binary(elementwise.mod, self, other)

    def __pow__(self, other: TensorLike) -> Tensor:
        return binary(elementwise.power, self, other)

    def __rpow__(self, other: TensorLike) -> Tensor:
        return binary(elementwise.power, other, self)

    def __matmul__(self, other: TensorLike) -> Tensor:
        return binary(linalg.matmul, self, other)

    def __neg__(self) -> Tensor:
        return Tensor(elementwise.neg(self.value))

    def __abs__(self) -> Tensor:
        return Tensor(elementwise.absolute(self.value))

    def __lt__(self, other: TensorLike) -> Tensor:
        return binary(comparison.less, self, other)

    def __le__(self, other: TensorLike) -> Tensor:
        return binary(comparison.less_equal, self, other)

    def __gt__(self, other: TensorLike) -> Tensor:
        return binary(comparison.greater, self, other)

    def __ge__(self, other: TensorLike) -> Tensor:
        return binary(comparison.greater_equal, self, other)

    def __and__(self, other: TensorLike) -> Tensor:
        return binary(comparison.logical_and, self, other)

    def __or__(self, other: TensorLike) -> Tensor:
        return binary(comparison.logical_or, self, other)

    def __xor__(self, other: TensorLike) -> Tensor:
        """Of truth values: where they differ."""
        return binary(comparison.logical_xor, self, other)

    __rand__, __ror__, __rxor__ = __and__, __or__, __xor__

    def __rmod__(self, other: TensorLike) -> Tensor:
        return binary(elementwise.mod, other, self)

    def __invert__(self) -> Tensor:
        return Tensor(comparison.logical_not(self.value))

    def __eq__(self, other: Any) -> Any:
        """Elementwise, as in tf.keras; ``False`` for what holds no numbers, or has a shape that does not fit."""
        return compared(comparison.equal, self, other)

    def __ne__(self, other: Any) -> Any:
        return compared(comparison.not_equal, self, other)

    def __getitem__(self, key: Any) -> Tensor:
        if isinstance(key, tuple):
            return Tensor(index(self.value, tuple(_index(k) for k in key)))
        return Tensor(index(self.value, _index(key)))


class TensorShape(tuple[int | None, ...]):
    """A static shape: a tuple that also answers ``as_list()`` and ``ndims`` as TensorFlow's does."""

    def as_list(self) -> list[int | None]:
        return list(self)

    @property
    def ndims(self) -> int:
        return len(self)

    def __getitem__(self, key: Any) -> Any:
        item = super().__getitem__(key)
        return TensorShape(item) if isinstance(key, slice) else item


def _tensor_of(flat: Any, places: Any, name: str | None) -> Tensor:
    """The tensor that was pickled, or copied."""
    return Tensor(restored(flat, places)[0], name)


# ---- operands

TensorLike: TypeAlias = "Tensor | ArrayLike"
"""What :func:`as_tensor` takes: a tensor, or what NumPy makes an array of."""


def as_tensor(x: TensorLike, dtype: DTypeLike | None = None) -> Tensor:
    """``x`` itself, or the constant of a number, list or array (floating point numbers as ``floatx``)."""
    if isinstance(x, Tensor):
        return x
    array = np.asarray(x)
    if dtype is None and array.dtype.kind == "f":
        dtype = floatx()
    elif dtype is None and array.dtype.kind in "iu" and not isinstance(x, (np.ndarray, np.generic)):
        dtype = "int32"
    return Tensor(ir.constant(array, dtype))


def promote(x: TensorLike, y: TensorLike) -> tuple[ir.Value, ir.Value]:
    """Both operands in one element type.

    Numbers and arrays take the type of the tensor that they meet, except that a fraction turns an integer tensor
    into ``floatx``; of two tensors, the floating point (or wider) type wins, as in NumPy and Keras 3.
    """
    if isinstance(y, Tensor) and not isinstance(x, Tensor):
        b, a = _met(y, x)
    else:
        a, b = _met(as_tensor(x), y)
    return common_dtype(a, b)


def _met(tensor: Tensor, other: TensorLike) -> tuple[ir.Value, ir.Value]:
    """A tensor and what it meets, which takes its element type if it is no tensor."""
    if not isinstance(other, Tensor):
        array = np.asarray(other)
        if array.dtype.kind == "f" and not tensor.value.type.is_float:
            tensor, other = as_float(tensor), as_tensor(array)
        elif array.dtype.kind in "iufb" and tensor.dtype != "bool":
            other = Tensor(ir.constant(array, tensor.dtype))
        else:
            other = as_tensor(other)
    return tensor.value, other.value


def common_dtype(a: ir.Value, b: ir.Value) -> tuple[ir.Value, ir.Value]:
    """Both values in one element type; the floating point (or wider) one wins."""
    if a.dtype == b.dtype:
        return a, b
    if a.type.is_float != b.type.is_float:
        dtype = a.dtype if a.type.is_float else b.dtype
    else:
        dtype = np.promote_types(a.dtype, b.dtype).name
    return elementwise.cast(a, dtype), elementwise.cast(b, dtype)


def as_float(x: TensorLike) -> Tensor:
    """``x`` as floating point numbers (``floatx`` if it is not yet)."""
    tensor = as_tensor(x)
    if tensor.value.type.is_float:
        return tensor
    return Tensor(elementwise.cast(tensor.value, floatx()))


def binary(function: Callable[[ir.Value, ir.Value], ir.Value], x: TensorLike, y: TensorLike) -> Tensor:
    """Apply an IR function of two operands to tensors, arrays or numbers."""
    if isinstance(x, Tensor) or isinstance(y, Tensor) or not (x is None or y is None):
        return Tensor(function(*promote(x, y)))
    raise DataTypeError(f"expected tensors or numbers, got {x!r} and {y!r}")


def compared(function: Callable[[ir.Value, ir.Value], ir.Value], x: Tensor, other: Any) -> Any:
    """``x == other`` or ``x != other``: elementwise for numbers of shapes that fit, else Python's answer."""
    if isinstance(other, Tensor):
        shape = other.value.shape
    elif isinstance(other, (bool, int, float, list, tuple, np.ndarray, np.generic)):
        try:
            array = np.asarray(other)
        except ValueError:  # lists of different lengths, or of tensors
            return NotImplemented
        if array.dtype.kind not in "biuf":
            return NotImplemented
        shape = array.shape
    else:
        return NotImplemented
    try:
        broadcast_shapes(x.value.shape, shape)
    except ir.IRError:
        return NotImplemented
    return binary(function, x, other)


def floor_divide(x: TensorLike, y: TensorLike) -> Tensor:
    a, b = promote(x, y)
    quotient = elementwise.div(a, b)
    if quotient.type.is_float:
        return Tensor(elementwise.floor(quotient))
    # Integer division truncates in ONNX, and rounds down in Python.
    remainder = elementwise.sub(a, elementwise.mul(quotient, b))
    opposite = comparison.less(elementwise.mul(elementwise.sign(remainder), elementwise.sign(b)), 0)
    return Tensor(elementwise.sub(quotient, elementwise.cast(opposite, quotient.dtype)))


def _index(key: Any) -> Any:
    """A part of what stands in ``x[...]``: the values of tensors and arrays, everything else as it is."""
    return as_tensor(key).value if isinstance(key, (Tensor, np.ndarray, list)) else key


def reduce_axes(axis: int | Sequence[int] | None) -> list[int] | None:
    """The axes of a reduction as a list, ``None`` for all."""
    if axis is None:
        return None
    return [int(a) for a in np.ravel(axis)]


__all__ = [
    "Tensor", "TensorLike", "TensorShape", "as_float", "as_tensor", "binary", "common_dtype", "floor_divide", "promote",
    "reduce_axes",
]  # fmt: skip
