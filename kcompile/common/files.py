"""Writing files so that nothing is lost: beside the target, flushed to disk, then renamed; asking before that."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

Data = bytes | Iterable[bytes | memoryview]


def write_atomically(path: str | os.PathLike[str], data: Data) -> None:
    """Replace ``path`` with ``data`` (or its pieces, one after the other), or leave it as it was.

    A link is followed no further than the file system does for a rename: the link itself is replaced.

    Raises:
        OSError: the folder does not exist or cannot be written, or the disk is full; the message names the path.
    """
    write_together([(path, data)])


def write_together(files: Sequence[tuple[str | os.PathLike[str], Data]]) -> None:
    """Replace several files, in the given order, once all are written; or leave all as they were.

    Only who is killed between two renames leaves some of them new and some old.

    Raises:
        OSError: as :func:`write_atomically`.
    """
    prepared: list[tuple[str, Path]] = []
    try:
        for path, data in files:
            target = Path(path)
            _check_target(target)
            prepared.append((_written(target, data), target))
        while prepared:
            temporary, target = prepared[0]
            try:
                os.replace(temporary, target)
            except OSError as error:
                raise type(error)(error.errno, f"cannot replace it ({error.strerror})", str(target)) from error
            prepared.pop(0)
    finally:
        for temporary, _ in prepared:
            Path(temporary).unlink(missing_ok=True)
    for folder in {Path(path).parent for path, _ in files}:
        _sync_folder(folder)


def _check_target(target: Path) -> None:
    folder = target.parent
    if not folder.is_dir():
        raise FileNotFoundError(f"cannot write {str(target)!r}: there is no folder {str(folder)!r}; create it first")
    if target.is_dir():
        raise IsADirectoryError(f"cannot write {str(target)!r}: it is a folder; give the name of a file")
    if target.exists() and not target.is_file():
        raise OSError(f"cannot write {str(target)!r}: it is a device or a pipe, which a rename would replace")


def _written(target: Path, data: Data) -> str:
    """A file beside the target that holds the data, flushed to disk."""
    temporary = None
    count = 0
    prefix = f".{target.name[:100]}."
    _remove_leftovers(target.parent, prefix)
    try:
        handle, temporary = tempfile.mkstemp(prefix=prefix, suffix=_SUFFIX, dir=target.parent)
        with os.fdopen(handle, "wb") as file:
            _lock(file)
            for piece in [data] if isinstance(data, bytes) else data:
                count += len(piece)
                file.write(piece)
            file.flush()
            os.fsync(file.fileno())
        # mkstemp makes private files; a model file is as readable as any other file that the user writes.
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(temporary, 0o666 & ~mask)
    except BaseException as error:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)
        if isinstance(error, OSError):
            what = "cannot write to the folder" if temporary is None else f"cannot write {count} bytes"
            raise type(error)(error.errno, f"{what} ({error.strerror})", str(target)) from error
        raise
    return temporary


_SUFFIX = ".tmp"
_RANDOM_CHARACTERS = 8  # of mkstemp
_OLD_SECONDS = 60.0


def _remove_leftovers(folder: Path, prefix: str) -> None:
    """Delete what processes left that were killed while they wrote: old files of which nobody holds the lock."""
    with contextlib.suppress(OSError):
        for entry in os.scandir(folder):
            length = len(prefix) + _RANDOM_CHARACTERS + len(_SUFFIX)
            if len(entry.name) != length or not entry.name.startswith(prefix) or not entry.name.endswith(_SUFFIX):
                continue
            with contextlib.suppress(OSError):
                if entry.is_file(follow_symlinks=False) and time.time() - entry.stat().st_mtime > _OLD_SECONDS:
                    with open(entry.path, "rb") as file:
                        if _lock(file):
                            os.unlink(entry.path)


def _lock(file: Any) -> bool:
    """Whether the file could be locked, until it is closed; never where the system has no such locks."""
    try:
        import fcntl  # late: not every system has it

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (ImportError, OSError):
        return False
    return True


def _sync_folder(folder: Path) -> None:
    """Make the rename durable where the system can."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(descriptor)
    except OSError:
        pass  # some file systems do not sync folders
    finally:
        os.close(descriptor)


# ---- paths


def ask_to_proceed_with_overwrite(filepath: Any) -> bool:
    """Whether a file may be replaced, asked on the terminal; without a terminal it may not."""
    if not sys.stdin or not sys.stdin.isatty():
        return False
    answer = ""
    while answer not in ("y", "n"):
        answer = input(f"{os.fspath(filepath)!r} exists; replace it? [y/n] ").strip().lower()[:1]
    return answer == "y"


def path_to_string(path: Any) -> Any:
    """A path object as text; anything else as it is."""
    return os.fspath(path) if isinstance(path, os.PathLike) else path
