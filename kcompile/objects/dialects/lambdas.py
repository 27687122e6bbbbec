"""Functions that users wrote, stored as bytecode: they run only if the caller says so.

Bytecode is code. Whoever can change a file with bytecode in it decides what runs when it is used, so that it is read
only with ``safe_mode=False``, given by the caller and never by the file.
"""

from __future__ import annotations

import base64
import binascii
import marshal
import sys
import traceback
import types
from collections.abc import Mapping
from typing import Any

from kcompile.common import ways
from kcompile.common.errors import KCompileError, listed, warn
from kcompile.common.limits import UnsafeFileError
from kcompile.objects.dialects.lambda_names import with_numbers
from kcompile.objects.registry import find

_THIS_PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"


def is_bytecode(item: Any) -> bool:
    """Whether a configuration holds a function as bytecode, in the form of Keras 2 or of Keras 3."""
    if isinstance(item, Mapping):
        return item.get("class_name") == "__lambda__"
    return isinstance(item, (list, tuple)) and len(item) == 3 and isinstance(item[0], str)


def read_bytecode(
    item: Any, safe_mode: bool, owner: str, custom: Mapping[str, Any] | None = None, advice: str = ""
) -> Any:
    """The function.

    Args:
        item: ``{"class_name": "__lambda__", "config": {...}}`` or ``[code, defaults, closure]``.
        safe_mode: whether it is refused.
        owner: what holds the function, for messages.
        custom: the custom objects, which the function can read by name.
        advice: how the caller can give the function, for messages.

    Raises:
        UnsafeFileError: ``safe_mode`` is true.
        ValueError: it is no bytecode, or that of another version of Python.
    """
    if safe_mode:
        raise UnsafeFileError(
            f"{owner} is stored as Python bytecode, which would run with your rights; if you trust who made it, "
            f"load with {ways.to_trust()}{advice and f', or else {advice}'}"
        )
    if isinstance(item, Mapping):
        config = item.get("config")
        config = config if isinstance(config, Mapping) else {"value": config}
        code, defaults, closure = config.get("value"), config.get("defaults"), config.get("closure")
        if config.get("python", _THIS_PYTHON) != _THIS_PYTHON:
            raise KCompileError(
                f"{owner} is stored as bytecode of Python {config['python']}, which Python {_THIS_PYTHON} cannot run"
                f"{advice and f'; {advice}'}"
            )
    else:
        code, defaults, closure = item
    try:
        # Keras before 2.0 wrote the bytes as characters, later versions write base64.
        raw = base64.b64decode(code, validate=False) if isinstance(code, str) else b""
        loaded = marshal.loads(raw)
    except (ValueError, EOFError, TypeError, binascii.Error) as error:
        raise KCompileError(
            f"{owner} is stored as bytecode that Python {_THIS_PYTHON} cannot read ({error}){advice and f'; {advice}'}"
        ) from error
    if not isinstance(loaded, types.CodeType):
        raise KCompileError(f"{owner} is stored as bytecode, but holds {type(loaded).__name__}")
    cells = tuple(types.CellType(value) for value in closure or ())
    if len(cells) != len(loaded.co_freevars):
        raise KCompileError(f"{owner} is stored as bytecode without the variables {', '.join(loaded.co_freevars)}")
    loaded = loaded.replace(co_filename=STORED)
    names = {
        "K": find("K", "backend"),
        "keras": sys.modules["kcompile"],
        **(custom or {}),
        "__builtins__": __builtins__,
    }
    return types.FunctionType(loaded, names, loaded.co_name, tuple(defaults) if defaults else None, cells or None)


STORED = "<a function stored in a file>"
"""What tracebacks show as the place of such a function."""


def of_stored_code(error: BaseException) -> bool:
    """Whether the code of a function that a file holds raised an error."""
    place = ""
    for frame, _ in traceback.walk_tb(error.__traceback__):
        place = frame.f_code.co_filename
    return place == STORED


def written(function: Any, owner: str) -> dict[str, Any]:
    """A function without a name as bytecode, as Keras writes it, with a warning.

    Raises:
        ValueError: it has no bytecode (a callable object, or a built-in function).
    """
    if not isinstance(function, types.FunctionType):
        raise KCompileError(f"{owner} cannot be saved: {function!r} is no Python function; give it a name")
    code, missing = with_numbers(function)
    warn(
        f"{owner} is a lambda, which is saved as bytecode: only Python {_THIS_PYTHON} can load it, with "
        "safe_mode=False; a function with a name, passed in custom_objects, is safer and lasts"
        + (f"; it reads {listed(missing)}, which the file does not hold" if missing else "")
    )
    closure = [cell.cell_contents for cell in function.__closure__ or ()]
    config = {
        "value": base64.b64encode(marshal.dumps(code)).decode("ascii"),
        "defaults": list(function.__defaults__) if function.__defaults__ else None,
        "closure": closure or None,
        "python": _THIS_PYTHON,
    }
    return {"class_name": "__lambda__", "config": config}
