"""Checks of arguments, which raise errors that name the argument, what was expected, and what was given."""

from __future__ import annotations

import math
import numbers
from collections.abc import Iterable, Sequence
from typing import Any, NoReturn

import numpy as np

from kcompile.common.errors import (
    DataTypeError,
    KCompileError,
    UnknownNameError,
    did_you_mean,
    listed,
    shown,
)


def check_one_of(owner: str, argument: str, value: Any, options: Sequence[Any]) -> Any:
    """Return ``value`` if it is one of ``options``, else raise ``UnknownNameError``.

    ``check_one_of("Conv2D", "padding", "smae", ("same", "valid"))``.
    """
    for option in options:
        if type(option) is type(value) and option == value:
            return value
    close = did_you_mean(value, [option for option in options if option is not None])
    raise UnknownNameError(f"{owner}: {argument} must be one of {listed(options)}, got {value!r}{close or '.'}")


def check_int(owner: str, argument: str, value: Any, minimum: int | None = None, maximum: int | None = None) -> int:
    """Return ``value`` as a Python int; accepts NumPy integers, refuses bools and floats.

    Raises:
        DataTypeError: ``value`` is not an integer.
        KCompileError: it lies outside ``minimum..maximum``.
    """
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, numbers.Integral):
        if isinstance(value, np.ndarray) and value.ndim == 0 and value.dtype.kind in "iu":
            value = value.item()
        else:
            expected = _range_text("an integer", minimum, maximum)
            raise DataTypeError(f"{owner}: {argument} must be {expected}, got {shown(value)}.")
    number = int(value)
    if (minimum is not None and number < minimum) or (maximum is not None and number > maximum):
        raise KCompileError(f"{owner}: {argument} must be {_range_text('an integer', minimum, maximum)}, got {number}.")
    return number


def check_positive_int(owner: str, argument: str, value: Any) -> int:
    """Return ``value`` as an int of at least 1: ``check_positive_int("Dense", "units", units)``."""
    return check_int(owner, argument, value, minimum=1)


def check_number(
    owner: str,
    argument: str,
    value: Any,
    minimum: float | None = None,
    maximum: float | None = None,
    *,
    above: float | None = None,
    below: float | None = None,
) -> float:
    """Return ``value`` as a finite Python float within the closed (``minimum``, ``maximum``) and open bounds.

    Raises:
        DataTypeError: ``value`` is not a real number.
        KCompileError: it is NaN, infinite or out of bounds.
    """
    expected = _range_text("a number", minimum, maximum, above, below)
    if isinstance(value, np.ndarray) and value.ndim == 0 and value.dtype.kind in "iuf":
        value = value.item()
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, numbers.Real):
        raise DataTypeError(f"{owner}: {argument} must be {expected}, got {shown(value)}.")
    number = float(value)
    inside = (
        math.isfinite(number)
        and (minimum is None or number >= minimum)
        and (maximum is None or number <= maximum)
        and (above is None or number > above)
        and (below is None or number < below)
    )
    if not inside:
        raise KCompileError(f"{owner}: {argument} must be {expected}, got {number:g}.")
    return number


def check_fraction(owner: str, argument: str, value: Any, *, below_one: bool = True) -> float:
    """Return ``value`` as a float in [0, 1), or in [0, 1] with ``below_one=False``."""
    if below_one:
        return check_number(owner, argument, value, 0.0, below=1.0)
    return check_number(owner, argument, value, 0.0, 1.0)


def check_flag(owner: str, argument: str, value: Any) -> bool:
    """Return ``value`` as a bool; accepts True, False, 0, 1 and their NumPy forms."""
    if isinstance(value, (bool, np.bool_)) or (isinstance(value, numbers.Integral) and value in (0, 1)):
        return bool(value)
    raise DataTypeError(f"{owner}: {argument} must be True or False, got {shown(value)}.")


def check_int_tuple(owner: str, argument: str, value: Any, length: int, minimum: int = 1) -> tuple[int, ...]:
    """Return ``value`` as a tuple of ``length`` ints; a single int is repeated.

    ``check_int_tuple("Conv2D", "kernel_size", 3, 2)`` is ``(3, 3)``.
    """
    if not isinstance(value, (bool, np.bool_)) and isinstance(value, numbers.Integral):
        return (check_int(owner, argument, value, minimum),) * length
    expected = f"an integer or {length} integers, each at least {minimum}"
    if isinstance(value, (str, bytes)) or not isinstance(value, Iterable):
        raise DataTypeError(f"{owner}: {argument} must be {expected}, got {shown(value)}.")
    entries = tuple(value)
    if len(entries) != length:
        raise KCompileError(f"{owner}: {argument} must be {expected}, got {len(entries)} entries: {shown(value)}.")
    return tuple(check_int(owner, f"{argument}[{i}]", entry, minimum) for i, entry in enumerate(entries))


def check_shape(owner: str, argument: str, value: Any) -> tuple[int | None, ...]:
    """Return ``value`` as a tuple of sizes, each an int of at least 1 or None; an int is a shape of one axis.

    ``check_shape("Input", "shape", (28, 28, 1))``.
    """
    if not isinstance(value, (bool, np.bool_)) and isinstance(value, numbers.Integral):
        return (check_int(owner, argument, value, 1),)
    if isinstance(value, (str, bytes, dict)) or not isinstance(value, Iterable):
        raise DataTypeError(f"{owner}: {argument} must be a tuple of integers (None: any size), got {shown(value)}.")
    return tuple(
        None if size is None else check_int(owner, f"{argument}[{axis}]", size, 1) for axis, size in enumerate(value)
    )


def check_dtype(owner: str, value: Any) -> str | None:
    """Return the name of an element type, or None for None."""
    from kcompile.ir.types import SHORT_NAMES  # late: it is the only check that needs the IR

    if value is None:
        return None
    if not isinstance(value, str):
        try:
            value = np.dtype(value).name
        except TypeError:
            raise DataTypeError(f"{owner}: dtype must be a name such as 'float32', got {shown(value)}.") from None
    return str(check_one_of(owner, "dtype", value, list(SHORT_NAMES)))


def check_no_extra_arguments(owner: str, given: Iterable[str], allowed: Iterable[str]) -> None:
    """Refuse keyword arguments that the callee does not have: ``Dense(activaton=...)``."""
    options = list(allowed)
    for name in given:
        if name not in options:
            raise_unknown_argument(owner, name, options)


def raise_unknown_argument(owner: str, name: str, options: Sequence[str]) -> NoReturn:
    """Raise for one unknown keyword argument; a ``KCompileError`` that is also a ``TypeError``."""
    hint = did_you_mean(name, options)
    known = f" Known: {listed(sorted(options))}." if options else ""
    raise DataTypeError(f"{owner} has no argument {name!r}{hint or '.'}{known}")


def _range_text(
    noun: str,
    minimum: float | None = None,
    maximum: float | None = None,
    above: float | None = None,
    below: float | None = None,
) -> str:
    bounds = []
    if minimum is not None and maximum is not None:
        bounds.append(f"between {minimum:g} and {maximum:g}")
    elif minimum is not None:
        bounds.append(f"of at least {minimum:g}")
    elif maximum is not None:
        bounds.append(f"of at most {maximum:g}")
    if above is not None:
        bounds.append(f"above {above:g}")
    if below is not None:
        bounds.append(f"below {below:g}")
    return " ".join([noun, " and ".join(bounds)]).strip()
