"""Variables, placeholders and constants."""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from typing import Any, Self, SupportsIndex

import numpy as np
from numpy.typing import ArrayLike

from kcompile import ir
from kcompile.common import config
from kcompile.common.errors import KCompileError, ShapeError
from kcompile.common.meanings import as_it_is, as_meant_now
from kcompile.ir.dims import as_integers
from kcompile.ir.ops.arrays import shaping
from kcompile.ir.ops.loops.control import learning_phase as learning_phase_leaf
from kcompile.ir.pickling import leaf_of
from kcompile.runtime.storage import Storage, attach, storage_of
from kcompile.symbolic.sizes import Sizes, as_dims
from kcompile.symbolic.tensor import Array, Tensor, as_tensor
from kcompile.symbolic.trace import current_recorder, current_trace

_made = threading.local()


def variables_made() -> int:
    """How many variables this thread has made."""
    return getattr(_made, "count", 0)


class Variable(Tensor):
    """A tensor with state.

    Args:
        value: the initial value.
        dtype: element type (default: that of the value, fractions as ``floatx``).
        name: shown in summaries and used in exported files.
        role: see :class:`kcompile.ir.Variable`.
        constraint: a function applied to the value after each optimizer update.
        trainable: whether optimizers change it.

    Raises:
        ValueError: in the code of a step that is being traced.
    """

    def __init__(
        self,
        value: ArrayLike,
        dtype: str | None = None,
        name: str | None = None,
        role: str = "weight",
        constraint: Any = None,
        trainable: bool = True,
    ) -> None:
        if current_trace() is not None:
            raise KCompileError(
                f"variable {name or 'without a name'} would be made while a step is being traced, once for all "
                "batches; make variables, layers and metrics in __init__ (or in a layer's build)"
            )
        array = np.asarray(value)
        if dtype is None:
            dtype = config.floatx() if array.dtype.kind == "f" else array.dtype.name
        _made.count = variables_made() + 1
        label = name or f"variable_{config.get_uid('variable')}"
        self._stand_for(ir.variable_value(label, dtype, array.shape, role))
        self.storage = Storage(array, self.leaf.dtype)
        attach(self.variable, self.storage)
        self.constraint = constraint
        self.trainable = trainable
        """Whether optimizers change it; ``leaf`` and ``variable`` are its IR value and the variable itself."""

    def _stand_for(self, leaf: ir.Value) -> None:
        assert isinstance(leaf.op, ir.Variable)
        self.leaf, self.variable, self.label = leaf, leaf.op, leaf.op.label
        Tensor.__init__(self, leaf, f"{self.label}:0")

    @classmethod
    def standing_for(cls, leaf: ir.Value, constraint: Any = None, trainable: bool = False) -> Self:
        """What stands for a variable of the IR that has its storage, without ``__init__``."""
        made = cls.__new__(cls)
        made._stand_for(leaf)
        made.storage = storage_of(made.variable)
        made.constraint, made.trainable = constraint, trainable
        return made

    def __eq__(self, other: Any) -> Any:
        """Of two variables, whether they are the same one: ``w in model.weights``. Else elementwise."""
        return self is other if isinstance(other, Variable) else super().__eq__(other)

    def __ne__(self, other: Any) -> Any:
        return self is not other if isinstance(other, Variable) else super().__ne__(other)

    __hash__ = Tensor.__hash__

    @property
    def value(self) -> ir.Value:
        """The IR value that reading gives: the variable, or what a step that is being traced assigned to it."""
        trace = current_trace()
        return self.leaf if trace is None else trace.read(self) or self.leaf

    @value.setter
    def value(self, value: ir.Value) -> None:
        assert value is self.leaf

    def numpy(self) -> Array:
        """The value now, as an array.

        Raises:
            ValueError: inside a step that is being traced, which would take the value for a constant.
        """
        if current_trace() is not None:
            raise KCompileError(
                f"variable {self.label!r} has no number while a step is being traced (once, for all batches); compute "
                "with the variable itself, by K functions"
            )
        return self.storage.read()

    def assign(self, value: Any) -> Variable:
        """Replace the value: now, or, inside a layer's or metric's code that is being traced, at each step.

        Raises:
            ValueError: another shape.
        """
        recorded = current_recorder()
        if recorded is not None:
            recorded.append((self, as_tensor(value)))
            return self
        array = np.asarray(value)
        if array.shape != self.storage.shape:
            raise KCompileError(
                f"variable {self.label!r} has shape {self.storage.shape}; got a value of shape {array.shape}"
            )
        self.storage.write(array)
        return self

    set_value = assign

    def get_value(self) -> Array:
        return self.numpy()

    def read_value(self) -> Tensor:
        return Tensor(self.value)

    def assign_add(self, delta: Any) -> Variable:
        """Add to the value; see :meth:`assign`."""
        return self.assign(self + delta if current_recorder() is not None else self.numpy() + np.asarray(delta))

    def assign_sub(self, delta: Any) -> Variable:
        """Subtract from the value; see :meth:`assign`."""
        return self.assign(self - delta if current_recorder() is not None else self.numpy() - np.asarray(delta))

    def __reduce_ex__(self, protocol: SupportsIndex) -> Any:
        constraint = as_it_is(self.constraint)
        return _variable_of, (type(self), self.variable, self.label, constraint, self.trainable)

    def __repr__(self) -> str:
        value = "" if self.storage.shape else f" value={self.numpy()}"
        return f"<Variable {self.label!r} shape={self.storage.shape} dtype={self.dtype}{value}>"


def _variable_of(cls: type[Variable], leaf: ir.Variable, label: str, constraint: Any, trainable: bool) -> Variable:
    """The variable that was pickled, or copied."""
    made = cls.standing_for(leaf_of(leaf), as_meant_now(constraint), trainable)
    made.label = label
    return made


def variable(value: Any, dtype: str | None = None, name: str | None = None, constraint: Any = None) -> Variable:
    """A variable with that initial value; fractions are ``floatx`` unless ``dtype`` says otherwise."""
    if isinstance(value, Tensor):
        value = value.numpy()
    return Variable(value, dtype or config.floatx(), name, constraint=constraint)


def constant(
    value: Any, dtype: str | None = None, shape: Sequence[int] | None = None, name: str | None = None
) -> Tensor:
    """A constant tensor, ``floatx`` by default.

    Args:
        value: a number or array.
        dtype: element type.
        shape: as which the elements of ``value``, in their order, are taken; a single one fills it.
        name: for messages.

    Raises:
        ValueError: ``shape`` has another number of elements.
    """
    array = np.asarray(value, dtype=dtype or config.floatx())
    if shape is not None:
        sizes = tuple(int(size) for size in shape)
        if array.size not in (1, math.prod(sizes)):
            raise ShapeError(f"K.constant: a value of shape {array.shape} does not fill shape {sizes}")
        array = np.full(sizes, array.reshape(-1)[0]) if array.size == 1 else array.reshape(sizes)
    return Tensor(ir.constant(array), name)


def placeholder(
    shape: Sequence[int | None] | None = None,
    ndim: int | None = None,
    dtype: str | None = None,
    sparse: bool = False,
    name: str | None = None,
) -> Tensor:
    """An input. The first unknown size is the symbolic size ``batch``, others are named after the input.

    Raises:
        ValueError: neither ``shape`` nor ``ndim`` is given, or ``sparse`` is asked for.
    """
    if sparse:
        raise KCompileError("sparse placeholders are not supported: ONNX Runtime computes on dense tensors")
    if shape is None:
        if ndim is None:
            raise KCompileError("placeholder needs shape or ndim")
        shape = (None,) * ndim
    label = name or f"placeholder_{config.get_uid('placeholder')}"
    return Tensor(input_value(label, shape, dtype or config.floatx()), name=f"{label}:0")


def input_value(label: str, shape: Sequence[int | None], dtype: str) -> ir.Value:
    """An IR input whose unknown sizes have names."""
    stem = "".join(c if c.isalnum() else "_" for c in label)
    stem = stem if stem and not stem[0].isdigit() else f"input_{stem}"
    dims: list[ir.Dim] = [
        int(size) if size is not None else ir.named("batch" if axis == 0 else f"{stem}_dim{axis}")
        for axis, size in enumerate(shape)
    ]
    return ir.input_value(label, dtype, dims)


def is_placeholder(x: Any) -> bool:
    """Whether ``x`` is a graph input."""
    return isinstance(x, Tensor) and isinstance(x.value.op, ir.Input)


def is_tensor(x: Any) -> bool:
    """Whether ``x`` is a symbolic tensor or a variable."""
    return isinstance(x, Tensor)


def is_variable(x: Any) -> bool:
    """Whether ``x`` is a variable."""
    return isinstance(x, Variable)


def is_keras_tensor(x: Any) -> bool:
    """Whether ``x`` was made by a layer (or ``Input``).

    Raises:
        ValueError: ``x`` is not a tensor at all.
    """
    if not isinstance(x, Tensor):
        raise KCompileError(f"expected a tensor, got {type(x).__name__}: {x!r}")
    return x.keras_history is not None


def is_sparse(tensor: Any) -> bool:
    """False: tensors are dense here."""
    return False


def to_dense(tensor: Tensor) -> Tensor:
    """``tensor``: tensors are dense here."""
    return tensor


def identity(x: Any, name: str | None = None) -> Tensor:
    """A tensor with the contents of ``x`` and no history."""
    return Tensor(as_tensor(x).value, name)


def zeros(shape: Sizes, dtype: str | None = None, name: str | None = None) -> Tensor:
    """A variable filled with zeros; a tensor if a size is symbolic (``K.shape(x)[0]``), and in a step's code."""
    return _filled(0, shape, dtype, name)


def ones(shape: Sizes, dtype: str | None = None, name: str | None = None) -> Tensor:
    """A variable filled with ones; a tensor if a size is symbolic (``K.shape(x)[0]``), and in a step's code."""
    return _filled(1, shape, dtype, name)


def _filled(number: int, shape: Sizes, dtype: str | None, name: str | None) -> Tensor:
    dims = as_dims(shape)
    dtype = dtype or config.floatx()
    if any(isinstance(dim, int) and dim < 0 for dim in dims):
        raise ShapeError(f"a tensor cannot be filled in shape {tuple(shape)}; use sizes, or K.shape(x)[0]")
    if all(isinstance(dim, int) for dim in dims) and current_trace() is None:
        return Variable(np.full(as_integers(dims), number), dtype, name)
    return Tensor(shaping.expand(ir.constant(number, dtype), dims), name)


def eye(size: int | tuple[int, int], dtype: str | None = None, name: str | None = None) -> Tensor:
    """A variable that holds an identity matrix; a constant in the code of a step."""
    n, m = size if isinstance(size, tuple) else (size, size)
    if current_trace() is not None:
        return Tensor(ir.constant(np.eye(n, m), dtype or config.floatx()), name)
    return Variable(np.eye(n, m), dtype or config.floatx(), name)


def learning_phase() -> Tensor | int:
    """The learning phase: a bool scalar that is true in training graphs, or the fixed 0 or 1."""
    fixed = config.fixed_learning_phase()
    return fixed if fixed is not None else Tensor(learning_phase_leaf(), "learning_phase")


def get_value(x: Any) -> Any:
    """The present value of a variable (or of anything that can be computed) as an array or a number."""
    if isinstance(x, Tensor) or hasattr(x, "numpy"):  # an update too
        array = x.numpy()
        return array[()] if array.ndim == 0 else array
    return x


def set_value(x: Variable, value: ArrayLike) -> None:
    """Replace the value of a variable.

    Raises:
        ValueError: another shape, or not a variable.
    """
    if not isinstance(x, Variable):
        raise KCompileError(f"set_value needs a variable, got {x!r}")
    x.assign(value)


def batch_get_value(tensors: Sequence[Any]) -> list[Any]:
    """The values of several variables."""
    return [get_value(x) for x in tensors]


def batch_set_value(tuples: Sequence[tuple[Variable, ArrayLike]]) -> None:
    """Set several variables; nothing is changed if a shape is wrong.

    Raises:
        ValueError: a value has another shape than its variable.
    """
    for x, value in tuples:
        if np.shape(value) != x.storage.shape:
            raise KCompileError(
                f"variable {x.label!r} has shape {x.storage.shape}; got a value of shape {np.shape(value)}"
            )
    for x, value in tuples:
        x.assign(value)


def count_params(x: Tensor) -> int:
    """The number of elements of a tensor of known shape."""
    return int(np.prod(x.value.type.static_shape, dtype=np.int64))


def dtype(x: Tensor) -> str:
    """The element type."""
    return x.dtype


def ndim(x: Tensor) -> int:
    """The number of axes."""
    return x.ndim


def int_shape(x: Any) -> tuple[int | None, ...]:
    """The static shape; ``None`` where a size is known only at run time."""
    return tuple(x.shape) if isinstance(x, Tensor) else tuple(np.shape(x))
