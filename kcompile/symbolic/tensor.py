"""The front end's tensor: a thin handle on an IR value, with Keras' history."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from kcompile import ir
from kcompile.common.errors import AbsentError, DataTypeError, NoNumberError, PlaceError
from kcompile.engine import advice
from kcompile.ir.ops.arrays import shaping
from kcompile.ir.ops.elementwise import comparison
from kcompile.ir.ops.elementwise import functions as elementwise
from kcompile.ir.ops.products import linalg
from kcompile.ir.types import broadcast_shapes

if TYPE_CHECKING:
    from kcompile.engine.layer import Layer

Array = NDArray[Any]
Numbers = "Tensor | ArrayLike"


class Tensor:
    """A symbolic tensor. Operators and indexing build IR; ``numpy()`` compiles and runs what it needs.

    Attributes:
        value: the IR value.
        keras_history: ``(layer, node_index, tensor_index)`` of the layer call that made it, or ``None``.
        keras_mask: the mask that travels with it, or ``None``.
    """

    __array_priority__ = 100  # ndarray + Tensor builds IR instead of an object array

    def __init__(self, value: ir.Value, name: str | None = None) -> None:
        self.value = value
        self._name = name
        self.keras_history: tuple[Layer, int, int] | None = None
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
    def _keras_history(self) -> tuple[Layer, int, int] | None:
        return self.keras_history

    @_keras_history.setter
    def _keras_history(self, history: tuple[Layer, int, int] | None) -> None:
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
        from kcompile.ir.ops.loops.control import LearningPhase

        return any(isinstance(node.op, LearningPhase) for node in ir.toposort([self.value]))

    def get_shape(self) -> TensorShape:
        return self.shape

    def __repr__(self) -> str:
        """Name, shape and type, and the value if it depends on no input."""
        from kcompile.symbolic.concrete import described

        return described(self)

    def __format__(self, spec: str) -> str:
        """Of one number as Python formats it; without ``spec`` as :meth:`__repr__`."""
        from kcompile.symbolic.concrete import number

        return format(number(self, "number to format").item(), spec) if spec else repr(self)

    def __len__(self) -> int:
        if not self.ndim:
            raise DataTypeError(f"{self!r} is a scalar, which has no length")
        size = self.shape[0]
        if size is None:
            raise DataTypeError(f"the length of {self!r} is known only when the model runs; use K.shape(x)[0]")
        return size

    def __bool__(self) -> bool:
        from kcompile.symbolic.concrete import has_value, is_traced

        if has_value(self) and not is_traced(self):
            return bool(self.numpy())
        raise DataTypeError(f"{self!r} has no truth value while the model is being built; use K.switch, K.any or K.all")

    def __iter__(self) -> Any:
        return (self[i] for i in range(len(self)))

    def __hash__(self) -> int:
        return id(self)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        raise AbsentError(f"a tensor has no attribute {name!r}", lambda: advice.on_tensor_attribute(name))

    def __reduce_ex__(self, protocol: Any) -> Any:
        from kcompile.engine.pickling import reduce_tensor

        return reduce_tensor(self)

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
        from kcompile.symbolic.functions import evaluate

        return evaluate([self])[0]

    def eval(self, session: object = None) -> Array:
        """As ``numpy()``; the session of TensorFlow 1 scripts is not needed."""
        return self.numpy()

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> Array:
        array = self._number()
        return array if dtype is None else array.astype(dtype)

    def __float__(self) -> float:
        from kcompile.symbolic.concrete import number

        return float(number(self, "number"))

    def __int__(self) -> int:
        from kcompile.symbolic.concrete import number

        return int(number(self, "number"))

    def __round__(self, digits: int | None = None) -> Any:
        return round(float(self), digits)

    def _number(self) -> Array:
        """As :meth:`numpy`, asked for by functions of NumPy or Python."""
        try:
            return self.numpy()
        except NoNumberError as error:
            from kcompile.engine.advice import on_numbers

            raise NoNumberError(f"{error}{on_numbers()}") from None

    # -- operators

    def __add__(self, other: Any) -> Tensor:
        return binary(elementwise.add, self, other)

    def __radd__(self, other: Any) -> Tensor:
        return binary(elementwise.add, other, self)

    def __sub__(self, other: Any) -> Tensor:
        return binary(elementwise.sub, self, other)

    def __rsub__(self, other: Any) -> Tensor:
        return binary(elementwise.sub, other, self)

    def __mul__(self, other: Any) -> Tensor:
        return binary(elementwise.mul, self, other)

    def __rmul__(self, other: Any) -> Tensor:
        return binary(elementwise.mul, other, self)

    def __truediv__(self, other: Any) -> Tensor:
        return binary(elementwise.div, as_float(self), other)

    def __rtruediv__(self, other: Any) -> Tensor:
        return binary(elementwise.div, other, as_float(self))

    def __floordiv__(self, other: Any) -> Tensor:
        return floor_divide(self, other)

    def __rfloordiv__(self, other: Any) -> Tensor:
        return floor_divide(other, self)

    def __mod__(self, other: Any) -> Tensor:
        return binary(elementwise.mod, self, other)

    def __pow__(self, other: Any) -> Tensor:
        return binary(elementwise.power, self, other)

    def __rpow__(self, other: Any) -> Tensor:
        return binary(elementwise.power, other, self)

    def __matmul__(self, other: Any) -> Tensor:
        return binary(linalg.matmul, self, other)

    def __neg__(self) -> Tensor:
        return Tensor(elementwise.neg(self.value))

    def __abs__(self) -> Tensor:
        return Tensor(elementwise.absolute(self.value))

    def __lt__(self, other: Any) -> Tensor:
        return binary(comparison.less, self, other)

    def __le__(self, other: Any) -> Tensor:
        return binary(comparison.less_equal, self, other)

    def __gt__(self, other: Any) -> Tensor:
        return binary(comparison.greater, self, other)

    def __ge__(self, other: Any) -> Tensor:
        return binary(comparison.greater_equal, self, other)

    def __and__(self, other: Any) -> Tensor:
        return binary(comparison.logical_and, self, other)

    def __or__(self, other: Any) -> Tensor:
        return binary(comparison.logical_or, self, other)

    def __xor__(self, other: Any) -> Tensor:
        """Of truth values: where they differ."""
        return binary(comparison.logical_xor, self, other)

    __rand__, __ror__, __rxor__ = __and__, __or__, __xor__

    def __rmod__(self, other: Any) -> Tensor:
        return binary(elementwise.mod, other, self)

    def __invert__(self) -> Tensor:
        return Tensor(comparison.logical_not(self.value))

    def __eq__(self, other: Any) -> Any:
        """Elementwise, as in tf.keras; ``False`` for what holds no numbers, or has a shape that does not fit."""
        return compared(comparison.equal, self, other)

    def __ne__(self, other: Any) -> Any:
        return compared(comparison.not_equal, self, other)

    def __getitem__(self, key: Any) -> Tensor:
        return Tensor(index(self.value, key))


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


# ---- operands


def as_tensor(x: Any, dtype: DTypeLike | None = None) -> Tensor:
    """``x`` itself, or the constant of a number, list or array (floating point numbers as ``floatx``)."""
    if isinstance(x, Tensor):
        return x
    array = np.asarray(x)
    if dtype is None and array.dtype.kind == "f":
        from kcompile.common.config import floatx

        dtype = floatx()
    elif dtype is None and array.dtype.kind in "iu" and not isinstance(x, (np.ndarray, np.generic)):
        dtype = "int32"
    return Tensor(ir.constant(array, dtype))


def promote(x: Any, y: Any) -> tuple[ir.Value, ir.Value]:
    """Both operands in one element type.

    Numbers and arrays take the type of the tensor that they meet, except that a fraction turns an integer tensor
    into ``floatx``; of two tensors, the floating point (or wider) type wins, as in NumPy and Keras 3.
    """
    if not isinstance(x, Tensor) and not isinstance(y, Tensor):
        x = as_tensor(x)
    if not isinstance(x, Tensor):
        other, self_first = x, False
        tensor = y
    else:
        other, self_first = y, True
        tensor = x
    if not isinstance(other, Tensor):
        array = np.asarray(other)
        if array.dtype.kind == "f" and not tensor.value.type.is_float:
            tensor, other = as_float(tensor), as_tensor(array)
        elif array.dtype.kind in "iufb" and tensor.dtype != "bool":
            other = Tensor(ir.constant(array, tensor.dtype))
        else:
            other = as_tensor(other)
    a, b = (tensor.value, other.value) if self_first else (other.value, tensor.value)
    return common_dtype(a, b)


def common_dtype(a: ir.Value, b: ir.Value) -> tuple[ir.Value, ir.Value]:
    """Both values in one element type; the floating point (or wider) one wins."""
    if a.dtype == b.dtype:
        return a, b
    if a.type.is_float != b.type.is_float:
        dtype = a.dtype if a.type.is_float else b.dtype
    else:
        dtype = np.promote_types(a.dtype, b.dtype).name
    return elementwise.cast(a, dtype), elementwise.cast(b, dtype)


def as_float(x: Any) -> Tensor:
    """``x`` as floating point numbers (``floatx`` if it is not yet)."""
    tensor = as_tensor(x)
    if tensor.value.type.is_float:
        return tensor
    from kcompile.common.config import floatx

    return Tensor(elementwise.cast(tensor.value, floatx()))


def binary(function: Callable[[ir.Value, ir.Value], ir.Value], x: Any, y: Any) -> Tensor:
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


def floor_divide(x: Any, y: Any) -> Tensor:
    a, b = promote(x, y)
    quotient = elementwise.div(a, b)
    if quotient.type.is_float:
        return Tensor(elementwise.floor(quotient))
    # Integer division truncates in ONNX, and rounds down in Python.
    remainder = elementwise.sub(a, elementwise.mul(quotient, b))
    opposite = comparison.less(elementwise.mul(elementwise.sign(remainder), elementwise.sign(b)), 0)
    return Tensor(elementwise.sub(quotient, elementwise.cast(opposite, quotient.dtype)))


def index(x: ir.Value, key: Any) -> ir.Value:
    """``x[key]`` for integers, slices, ``...``, ``None``, and one integer tensor or array (a gather).

    Raises:
        IndexError: too many indices, or an index out of range.
        TypeError: an index of another kind.
    """
    from kcompile.ir.ops.arrays import indexing

    keys = list(key) if isinstance(key, tuple) else [key]
    given = sum(1 for k in keys if k is not None and k is not Ellipsis)
    if given > x.rank:
        raise PlaceError(f"too many indices: {given} for a tensor of shape {x.shape}")
    fill = [slice(None)] * (x.rank - given)
    where = next((i for i, k in enumerate(keys) if k is Ellipsis), len(keys))
    keys[where : where + 1] = fill
    axis, dropped, added = 0, [], []
    axes: list[int] = []
    starts: list[int] = []
    ends: list[int | None] = []
    steps: list[int] = []
    gathers: list[tuple[int, ir.Value]] = []
    for position, k in enumerate(keys):
        if k is None:
            added.append(position - len(dropped))
            continue
        if isinstance(k, (int, np.integer)) and not isinstance(k, bool):
            size = x.shape[axis]
            if isinstance(size, int) and not -size <= k < size:
                raise PlaceError(f"index {k} is out of range for axis {axis} of size {size}")
            axes.append(axis)
            starts.append(int(k))
            ends.append(int(k) + 1 if k != -1 else None)
            steps.append(1)
            dropped.append(axis)
        elif isinstance(k, slice):
            if k != slice(None):
                axes.append(axis)
                step = int(k.step or 1)
                starts.append(int(k.start) if k.start is not None else (0 if step > 0 else -1))
                ends.append(None if k.stop is None else int(k.stop))
                steps.append(step)
        elif isinstance(k, (Tensor, np.ndarray, list)):
            indices = as_tensor(k).value
            gathers.append((axis, indices))
            if indices.rank == 0:
                dropped.append(axis)
        else:
            raise DataTypeError(f"a tensor cannot be indexed with {k!r}; use integers, slices, ... or None")
        axis += 1
    if len(gathers) > 1:
        raise DataTypeError("index a tensor with at most one array or tensor; use K.gather")
    for axis, indices in gathers:
        if indices.rank > 1:
            raise DataTypeError("index a tensor with an array of rank 0 or 1; use K.gather")
        x = indexing.gather(x, indices, axis)
        if indices.rank == 0:
            x = shaping.expand_dims(x, axis)
    if axes:
        x = shaping.slice_axes(x, axes, starts, ends, steps)
    if dropped:
        x = shaping.squeeze(x, sorted(dropped))
    for position in added:
        x = shaping.expand_dims(x, position)
    return x


def reduce_axes(axis: int | Sequence[int] | None) -> list[int] | None:
    """The axes of a reduction as a list, ``None`` for all."""
    if axis is None:
        return None
    return [int(a) for a in np.ravel(axis)]


__all__ = [
    "Tensor", "TensorShape", "as_float", "as_tensor", "binary", "common_dtype", "floor_divide", "index", "promote",
    "reduce_axes",
]  # fmt: skip
