"""User data -> native, C-contiguous NumPy arrays in the order of the model's inputs or outputs.

Accepted: NumPy arrays of every layout (big-endian, Fortran order, negative strides, broadcast views, memmap,
``np.matrix``), Python lists, pandas objects, SciPy sparse matrices, anything with ``__array__`` (PyTorch, JAX and
TensorFlow tensors), and arrays on disk with ``shape``, ``dtype`` and slicing (h5py, HDF5Matrix). Refused: object,
text, complex, date and structured dtypes, and masked arrays that hide values.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from kcompile.common import advice
from kcompile.common.errors import DataError, DataTypeError, ShapeError, did_you_mean, listed, shown, warn
from kcompile.common.lists import shapes_agree

# Above this size an array of small integers (images, token ids) stays as it is, and each chunk of batches is
# converted when it is gathered: float32 copies of uint8 images would take four times the memory.
DEFERRED_CAST_BYTES = 64 << 20


@dataclass(frozen=True)
class FeedSpec:
    """What one model input expects.

    Attributes:
        name: the input's name, used in messages and as key of a data dictionary.
        shape: the full shape, batch axis first; ``None`` is any size. ``None`` instead of a tuple: not checked.
        dtype: dtype of the arrays delivered ("float32", "int32", ...).
        index_limit: set when the values index a table of that many rows (an Embedding reads this input).
        index_owner: name of that layer, for messages.
    """

    name: str
    shape: tuple[int | None, ...] | None
    dtype: str = "float32"
    index_limit: int | None = None
    index_owner: str = ""


class LazyRows:
    """Rows ``start..stop`` of an array-like on disk, read by slices only (h5py.Dataset, HDF5Matrix)."""

    def __init__(self, source: Any, start: int = 0, stop: int | None = None, column: bool = False):
        self.source = source
        self.start = start
        self.stop = int(source.shape[0]) if stop is None else stop
        self.column = column
        self.shape: tuple[int, ...] = (self.stop - start, *source.shape[1:], *((1,) if column else ()))
        self.dtype = np.dtype(source.dtype)
        self.ndim = len(self.shape)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: slice) -> np.ndarray:
        start, stop, _ = rows.indices(len(self))
        read = np.asarray(self.source[self.start + start : self.start + stop])
        return read[:, None] if self.column else read

    def rows(self, start: int, stop: int) -> LazyRows:
        """The same source, narrowed."""
        return LazyRows(self.source, self.start + start, self.start + stop, self.column)

    def as_column(self) -> LazyRows:
        """``(n,)`` seen as ``(n, 1)``."""
        return LazyRows(self.source, self.start, self.stop, column=True)


Array = np.ndarray | LazyRows


def is_array_like(value: Any) -> bool:
    """Whether ``value`` counts as one array, rather than as a list of arrays or a nested Python list."""
    return not isinstance(value, (list, tuple, dict, str, bytes)) and (
        hasattr(value, "__array__")
        or hasattr(value, "toarray")
        or (hasattr(value, "shape") and hasattr(value, "dtype"))
    )


def rank_of(value: Any) -> int:
    """The number of axes of an array-like, without reading it."""
    rank = 0
    while isinstance(value, (list, tuple)) and value:
        value, rank = value[0], rank + 1
    own = getattr(value, "ndim", None)
    return rank + (len(getattr(value, "shape", ())) if own is None else int(own))


def to_array(value: Any, path: str, dtype: str = "float32", *, defer_cast: bool = False) -> Array:
    """Convert one array-like to a native C-contiguous array of ``dtype``.

    Args:
        value: anything the module's docstring names.
        path: what to call it in messages: "x", "x['image']", "y[1]", "sample_weight".
        dtype: the dtype wanted. Floats become an integer dtype only when they are whole numbers.
        defer_cast: large arrays of narrow integers keep their dtype (the feeder converts them by chunks).

    Returns:
        An array that shares memory with ``value`` where layout and dtype fit; ``LazyRows`` for data on disk.

    Raises:
        DataTypeError: dtype that is not numeric or would lose its meaning; the message names dtype and column.
        DataError: hidden values of a masked array; values outside an integer dtype.
        ShapeError: a ragged list, or a scalar where samples are needed.
    """
    wanted = np.dtype(dtype)
    if type(value) is np.ndarray and value.dtype == wanted and value.flags.c_contiguous and value.ndim:
        return value
    array = raw_array(value, path)
    if isinstance(array, LazyRows):
        return array
    if (
        defer_cast
        and array.dtype.kind in "iub"
        and array.dtype.itemsize < wanted.itemsize
        and array.size * wanted.itemsize > DEFERRED_CAST_BYTES
    ):
        return np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("="))
    return cast(array, wanted, path)


def raw_array(value: Any, path: str) -> Array:
    """An array-like as it is, in its own dtype and layout; raises where :func:`to_array` would refuse it."""
    lazy = _lazy_rows(value)
    if lazy is not None:
        _refuse_dtype(lazy.dtype, None, path)
        return lazy
    array = _as_ndarray(value, path)
    if array.ndim == 0:
        got = f"got the scalar {shown(value)}{advice.on_scalar(value)}"
        raise ShapeError(f"{path}: expected an array with one entry per sample, {got}.")
    _refuse_dtype(array.dtype, array, path)
    return array


def cast(array: np.ndarray, wanted: np.dtype, path: str) -> np.ndarray:
    """Convert to ``wanted`` in native byte order and C order, with a warning where finite values become inf."""
    if array.dtype == wanted:
        return np.ascontiguousarray(array, dtype=wanted)
    if wanted.kind in "iu" and array.dtype.kind not in "b":
        _check_fits_integer(array, wanted, path)
    if wanted.kind == "b" and array.size and not np.isin(array, (0, 1)).all():
        raise DataError(f"{path}: expected booleans (0 or 1), got other values of dtype {array.dtype}.")
    with np.errstate(over="ignore", invalid="ignore"):
        converted = np.ascontiguousarray(array, dtype=wanted)
    if wanted.kind == "f" and array.dtype.itemsize > wanted.itemsize and array.dtype.kind == "f":
        _warn_of_overflow(array, converted, path)
    return converted


def order_by_name(
    data: Any,
    names: Sequence[str],
    argument: str,
    kind: str,
    shapes: Sequence[tuple[int | None, ...] | None] | None = None,
) -> list[tuple[str, Any]]:
    """Match user data with the model's inputs or outputs: ``[(path for messages, value), ...]`` in their order.

    A dict is matched by name, a list or tuple by position; a single array or a nested Python list of numbers
    is the data of a model with one input.

    Args:
        data: the argument as the user gave it.
        names: names of the model's inputs ("input") or outputs ("output").
        argument: name of the argument: "x", "y".
        kind: "input" or "output".
        shapes: their expected shapes, used to tell ``[array]`` from a list of samples.

    Raises:
        DataError: missing or extra keys, another number of arrays, a list in place of a dict.
    """
    if not names:
        if data is None or (hasattr(data, "__len__") and len(data) == 0):
            return []
        raise DataError(f"{argument}: the model has no {kind}s, but data was given.")
    if data is None:
        raise DataError(f"{argument} is missing: the model needs data for {kind} {listed(names)}.")
    if isinstance(data, Mapping):
        return _order_mapping(data, names, argument, kind)
    if len(names) == 1:
        return [_single(data, argument, shapes[0] if shapes else None)]
    if not isinstance(data, (list, tuple)):
        raise DataError(
            f"{argument}: the model has {len(names)} {kind}s ({listed(names)}), got one {_describe(data)}; "
            f"pass a list or a dict of {len(names)} arrays."
        )
    if len(data) != len(names):
        raise DataError(
            f"{argument}: expected {len(names)} arrays (for {kind}s {listed(names)}), got a "
            f"{type(data).__name__} of {len(data)}."
        )
    return [(f"{argument}[{i}] ({name!r})", value) for i, (name, value) in enumerate(zip(names, data, strict=True))]


def _order_mapping(data: Mapping[str, Any], names: Sequence[str], argument: str, kind: str) -> list[tuple[str, Any]]:
    missing = [name for name in names if name not in data]
    extra = [key for key in data if key not in names]
    if missing or extra:
        problem = f"is missing {listed(missing)}" if missing else f"has the extra key {listed(extra)}"
        if missing and extra:
            problem += f" and has the extra key {listed(extra)}"
        hint = did_you_mean(extra[0], missing or names) if extra else ""
        raise DataError(f"{argument}: the dictionary {problem}; expected the {kind} names {listed(names)}{hint or '.'}")
    return [(f"{argument}[{name!r}]", data[name]) for name in names]


def _single(data: Any, argument: str, shape: tuple[int | None, ...] | None) -> tuple[str, Any]:
    """The one array of a model with one input: unwraps ``[array]``, keeps a list of samples together."""
    if not isinstance(data, (list, tuple)) or len(data) != 1 or not is_array_like(data[0]):
        return argument, data
    inner = data[0]
    inner_shape = tuple(getattr(inner, "shape", ()))
    if (
        shape is not None
        and len(inner_shape) == len(shape) - 1
        and not (len(shape) == 2 and shape[1] in (1, None))
        and shapes_agree(inner_shape, shape[1:])
    ):
        return argument, data  # one sample in a list, not one array in a list
    return f"{argument}[0]", inner


def _lazy_rows(value: Any) -> LazyRows | None:
    if isinstance(value, LazyRows):
        return value
    on_disk = type(value).__module__.split(".")[0] == "h5py" or getattr(type(value), "on_disk", False) is True
    return LazyRows(value) if on_disk and getattr(value, "shape", None) else None


def _as_ndarray(value: Any, path: str) -> np.ndarray:
    """Any array-like as a plain ndarray, dtype untouched."""
    if isinstance(value, np.ma.MaskedArray):
        hidden = int(np.ma.getmaskarray(value).sum())
        if hidden:
            raise DataError(
                f"{path}: a masked array hides {hidden} values; call .filled(value), or give the samples weight 0."
            )
        return np.asarray(value.data)
    if type(value) is np.ndarray:
        return value
    if isinstance(value, np.ndarray):  # np.matrix, np.memmap and other subclasses: the same memory, plainly
        return np.asarray(value)
    if hasattr(value, "iloc") and hasattr(value, "to_numpy"):
        return _pandas_array(value, path)
    if hasattr(value, "toarray") and not hasattr(value, "__array__"):
        return np.asarray(value.toarray())
    if hasattr(value, "detach"):  # a PyTorch tensor that needs gradients, or lives on another device
        value = value.detach()
        value = value.cpu() if hasattr(value, "cpu") else value
        if "bfloat16" in str(getattr(value, "dtype", "")):  # NumPy has no such dtype
            value = value.float()
    if isinstance(value, (str, bytes)) or value is None or isinstance(value, (dict, set)):
        raise DataTypeError(f"{path}: expected an array or a list of numbers, got {_describe(value)}.")
    try:
        if isinstance(value, (list, tuple)):
            value = [np.asarray(entry.detach()) if hasattr(entry, "detach") else entry for entry in value]
        return np.asarray(value)
    except (ValueError, TypeError) as error:
        lengths = _lengths(value)
        if len(set(lengths)) > 1:
            raise ShapeError(
                f"{path}: the samples have different lengths "
                f"({', '.join(map(str, lengths[:6]))}{', ...' if len(lengths) > 6 else ''}); pad them to one "
                "length first (np.pad)."
            ) from None
        arrays = isinstance(value, list) and any(is_array_like(entry) for entry in value)
        hint = f"; for the one input {path!r} pass one array, and targets as y" if arrays and path == "x" else ""
        reason = str(error).split(". ")[0].rstrip(".")
        raise DataTypeError(f"{path}: {_describe(value)} cannot be read as an array ({reason}){hint}.") from error


def _pandas_array(value: Any, path: str) -> np.ndarray:
    """Values of a pandas object; columns are checked one by one, as their dtypes differ."""
    numeric = getattr(getattr(value, "dtype", None), "kind", "O") in "biuf"
    if getattr(value, "ndim", 1) == 2:
        numeric = True
        for name, dtype in zip(list(value.columns), list(value.dtypes), strict=True):
            if getattr(dtype, "kind", "O") not in "biuf":
                raise DataTypeError(
                    f"{path}: column {name!r} has dtype {dtype}; expected numbers: drop, encode or convert."
                )
    own = str(getattr(value, "dtype", ""))
    array = np.asarray(value.to_numpy())
    if own == "category" or (array.dtype.kind == "O" and not numeric):
        first = next((repr(entry)[:40] for entry in array.tolist() if isinstance(entry, str)), None)
        if own == "category" or first is not None:
            codes = f"{path}.cat.codes" if own == "category" else f"{path}.astype('category').cat.codes"
            raise DataTypeError(
                f"{path}: a pandas {type(value).__name__} of dtype {own}{f' ({first}, ...)' if first else ''} holds "
                f"names, not numbers: give the number of each class, {codes}, or one column per class, "
                f"pandas.get_dummies({path}).astype('float32')."
            )
    if array.dtype.kind == "O" and numeric:  # bool beside float columns, or nullable integers
        return np.asarray(value.to_numpy(dtype="float64", na_value=np.nan))
    return array


def _lengths(value: Any) -> list[int]:
    if not isinstance(value, (list, tuple, np.ndarray)):
        return []
    return [len(entry) for entry in value if hasattr(entry, "__len__") and not isinstance(entry, str)]


def _refuse_dtype(dtype: np.dtype, array: np.ndarray | None, path: str) -> None:
    kind = dtype.kind
    if kind in "biuf" or (kind == "V" and dtype.names is None and "float" in dtype.name):
        return  # the second: bfloat16 and float8 of ml_dtypes
    if kind == "c":
        raise DataTypeError(
            f"{path}: dtype {dtype} has an imaginary part that would be lost; pass real and imaginary parts "
            "as separate features, or abs(x)."
        )
    if kind in "mM":
        raise DataTypeError(f"{path}: dtype {dtype} is a date or duration; convert it to numbers first.")
    if kind in "SU":
        raise DataTypeError(
            f"{path}: dtype {dtype} is text{_first_bad(array)}; encode it as numbers first "
            "(np.unique(..., return_inverse=True) for categories, astype('float32') for numbers in text)."
        )
    if kind == "O":
        lengths = _lengths(array.tolist()) if array is not None and array.ndim == 1 else []
        if len(set(lengths)) > 1:
            raise ShapeError(
                f"{path}: an object array of sequences with different lengths "
                f"({', '.join(map(str, lengths[:6]))}{', ...' if len(lengths) > 6 else ''}); pad them to one "
                "length first (np.pad)."
            )
        raise DataTypeError(
            f"{path}: dtype object{_first_bad(array)}; expected numbers: convert with astype('float32')."
        )
    raise DataTypeError(f"{path}: dtype {dtype} is not a number.")


def _first_bad(array: np.ndarray | None) -> str:
    """Where the first entry that is not a number is: ``, column 2 holds 'red' (str) at row 0``."""
    if array is None or array.size == 0:
        return ""
    columns = array.reshape(len(array), -1)
    for column in range(columns.shape[1]):
        for row in range(min(len(columns), 1000)):
            entry = columns[row, column]
            if not isinstance(entry, (int, float, np.number, np.bool_)):
                text = repr(entry)
                text = text if len(text) <= 40 else text[:37] + "..."
                return f", column {column} holds {text} ({type(entry).__name__}) at row {row}"
    return ""


def _check_fits_integer(array: np.ndarray, wanted: np.dtype, path: str) -> None:
    """Refuse fractions, NaN, and numbers outside the integer dtype, naming the first."""
    if array.size == 0:
        return
    if array.dtype.kind == "f":
        with np.errstate(invalid="ignore"):
            bad = ~(np.floor(array) == array) | np.isinf(array)
        if bad.any():
            position = _position(bad)
            raise DataTypeError(
                f"{path}: expected whole numbers ({wanted}), got {array[position]!s} at {_at(position)}."
            )
    limits = np.iinfo(wanted)
    low, high = array.min(), array.max()
    if low < limits.min or high > limits.max:
        worst = low if low < limits.min else high
        raise DataError(f"{path}: {worst} does not fit {wanted} ({limits.min}..{limits.max}).")


def _warn_of_overflow(before: np.ndarray, after: np.ndarray, path: str) -> None:
    if np.isfinite(after).all():
        return
    lost = np.isinf(after) & np.isfinite(before)
    count = int(lost.sum())
    if count:
        position = _position(lost)
        plural = "s" if count > 1 else ""
        warn(
            f"{path}: {count} value{plural} beyond the range of {after.dtype} became inf, the first "
            f"{before[position]:g} at {_at(position)}; rescale the data.",
        )


def _position(flags: np.ndarray) -> tuple[int, ...]:
    return tuple(int(index) for index in np.unravel_index(int(flags.argmax()), flags.shape))


def _at(position: Sequence[int]) -> str:
    return f"sample {position[0]}" + (f", position {tuple(position[1:])}" if len(position) > 1 else "")


def _describe(value: Any) -> str:
    if value is None:
        return "None"
    if hasattr(value, "shape"):
        return f"{type(value).__name__} of shape {tuple(value.shape)}"
    text = repr(value) if not isinstance(value, (list, tuple, dict)) else ""
    return f"{type(value).__name__} {text[:60]}".strip()
