"""Where models are written to: a path, a file object, or a group of an open HDF5 file."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, BinaryIO

from kcompile.common.errors import DataTypeError, KCompileError, shown
from kcompile.common.files import ask_to_proceed_with_overwrite, write_atomically
from kcompile.saving.places import Target

if TYPE_CHECKING:
    import h5py


def write_file(target: Target, data: bytes, overwrite: bool = True) -> None:
    """Write to a path, atomically, or to a binary file object.

    Raises:
        FileExistsError: the file exists, and must not be replaced.
        OSError: it cannot be written; of a file object it is told how much of it is lost.
        TypeError: neither a path nor a binary file object.
    """
    if isinstance(target, (str, os.PathLike)):
        if not overwrite and os.path.exists(target) and not ask_to_proceed_with_overwrite(target):
            raise FileExistsError(f"{os.fspath(target)!r} exists and is not replaced; use overwrite=True")
        write_atomically(target, data)
    elif hasattr(target, "write"):
        _write_to_object(target, data)
    else:
        raise DataTypeError(f"a path or a binary file object is needed, got {shown(target)}")


_PIECE = 2**20


def _write_to_object(target: BinaryIO, data: bytes) -> None:
    """All of it, also where ``write`` takes less than it is given; flushed, so that a full disk is noticed here."""
    done, view = 0, memoryview(data)
    try:
        while done < len(data):
            count = target.write(view[done : done + _PIECE])
            done += count if isinstance(count, int) else len(view[done : done + _PIECE])
        if hasattr(target, "flush"):
            target.flush()
    except TypeError as error:
        raise DataTypeError(f"a binary file object is needed, got {shown(target)}; open it with mode 'wb'") from error
    except (OSError, ValueError) as error:
        if done == 0 and isinstance(error, ValueError):
            problem = f"nothing can be written to {shown(target)}: {error}; open it with mode 'wb'"
            raise KCompileError(problem) from error
        kind = type(error) if isinstance(error, OSError) else OSError
        raise kind(
            getattr(error, "errno", None) or 0,
            f"at least {done} of {len(data)} bytes went to the file object before this: {error}. What it holds now is "
            "no whole file, and what they were written over is lost; save to a path, whose old file stays until the "
            "new one is complete",
        ) from error


def check_group(group: h5py.Group, *names: str) -> None:
    """Refuse a group of an HDF5 file that cannot be written to, before anything is.

    Args:
        group: an ``h5py.Group``. names: what will be written into it.

    Raises:
        ValueError: its file is closed, or open for reading only, or there are members of these names.
    """
    check_open(group)
    where = f"group {group.name!r} of {group.file.filename!r}"
    if group.file.mode == "r":
        raise KCompileError(f"{where} is open for reading only; open the file with mode 'w' or 'a'")
    taken = [name for name in names if name in group]
    if taken:
        raise KCompileError(f"{where} has {taken[0]!r} already; give an empty group: file.create_group('model')")


def check_open(group: h5py.Group) -> None:
    """Refuse a group whose file was closed.

    Raises:
        ValueError: it was.
    """
    if not group:
        raise KCompileError("the HDF5 file of the given group is closed; open it again, or give its path")
