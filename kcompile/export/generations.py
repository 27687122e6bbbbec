"""A folder of files that belong together, replaced in one step while others read it.

Files are called by their contents, as in ``state.0123456789abcdef.bin``, so that new ones never replace old ones; and
``manifest.json``, which names them with their SHA-256, is replaced last. Whoever reads the manifest first finds a
whole set, old or new. The files of the set before stay for readers that are in the middle; older ones go with the
next switch, and so does what killed writers left, once it is old. Writers wait for each other where the system has
locks on folders.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from kcompile.common.errors import KCompileError
from kcompile.common.files import write_atomically

MANIFEST = "manifest.json"
DIGITS = 16
"""So many hexadecimal digits of the SHA-256 are part of a file's name."""

OLD_SECONDS = 60.0
"""Files that no manifest names are left alone until they are older: somebody may be writing a set."""

ATTEMPTS = 5
"""So often readers start again when the set is replaced under their hands."""

_NAMED = re.compile(rf"\w+\.[0-9a-f]{{{DIGITS}}}\.(onnx|bin|data)")

Pieces = bytes | Iterable[bytes | memoryview]


class Folder:
    """One set of files being written.

    Attributes:
        root: the folder; made if it does not exist.
        files: of the new set: size and digest by name.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.files: dict[str, dict[str, Any]] = {}
        self._made: list[Path] = []

    def add(self, stem: str, ending: str, pieces: Pieces) -> str:
        """Write a file of the new set; returns its name. One that is there already, whole, is kept.

        Raises:
            OSError: it cannot be written.
        """
        parts = [pieces] if isinstance(pieces, bytes) else list(pieces)
        digest, size = hashlib.sha256(), 0
        for part in parts:
            digest.update(part)
            size += memoryview(part).nbytes
        name = f"{stem}.{digest.hexdigest()[:DIGITS]}.{ending}"
        self.files[name] = {"bytes": size, "sha256": digest.hexdigest()}
        path = self.root / name
        if path.is_file() and _digest(path) == digest.hexdigest():
            os.utime(path)  # young again, so that no other writer takes it for a leftover
        else:
            write_atomically(path, parts)
            self._made.append(path)
        return name

    def switch(self, manifest: Mapping[str, Any]) -> None:
        """Replace the manifest by one that names the new files, and tidy up.

        Raises:
            OSError: it cannot be written; the old set is whole.
        """
        before = _listed(_manifest_of(self.root))
        kept = sorted(before[0] - set(self.files))
        text = json.dumps({**manifest, "files": self.files, "previous_files": kept}, indent=2)
        write_atomically(self.root / MANIFEST, text.encode())
        self._made = []
        for name in before[1] - before[0] - set(self.files):  # of the set before the one before
            (self.root / name).unlink(missing_ok=True)
        self._remove_leftovers({*self.files, *kept})

    def drop(self) -> None:
        """Remove what was written of a set that will not be finished."""
        for path in self._made:
            with contextlib.suppress(OSError):
                path.unlink()

    def _remove_leftovers(self, named: set[str]) -> None:
        with contextlib.suppress(OSError):
            for entry in os.scandir(self.root):
                if entry.name in named or not _NAMED.fullmatch(entry.name):
                    continue
                with contextlib.suppress(OSError):
                    if entry.is_file(follow_symlinks=False) and time.time() - entry.stat().st_mtime > OLD_SECONDS:
                        os.unlink(entry.path)


@contextlib.contextmanager
def writing(root: Path) -> Iterator[Folder]:
    """A new set for ``root``; without :meth:`Folder.switch` nothing changes.

    Raises:
        OSError: the folder cannot be made.
    """
    root.mkdir(parents=True, exist_ok=True)
    with _locked(root):
        folder = Folder(root)
        try:
            yield folder
        except BaseException:
            folder.drop()
            raise


def read_set(root: Path, wanted: Iterable[str]) -> tuple[dict[str, Any], dict[str, bytes]]:
    """The manifest, and the contents of those of its files that the given entries name, of one set, checked.

    Args:
        root: the folder.
        wanted: keys of the manifest under which names of files stand.

    Raises:
        OSError: there is no manifest.
        ValueError: it is none, or files are missing or have other contents than it says.
    """
    keys, problem = list(wanted), ""
    for attempt in range(ATTEMPTS):
        manifest = json_of(root / MANIFEST)
        try:
            names = {key: _plain(root, manifest[key]) for key in keys}
            found = {key: (root / name).read_bytes() for key, name in names.items()}
        except KeyError as error:
            raise KCompileError(f"{str(root / MANIFEST)!r} has no entry {error}") from None
        except FileNotFoundError as error:
            problem = f"{error.filename!r} is missing"
        else:
            sums = manifest.get("files", {})
            wrong = [
                name
                for key, name in names.items()
                if name in sums and hashlib.sha256(found[key]).hexdigest() != sums[name].get("sha256")
            ]
            if not wrong:
                return manifest, found
            problem = f"{str(root / wrong[0])!r} has other contents than the manifest says"
        time.sleep(0.05 * attempt)
    raise KCompileError(f"{problem}; the folder {str(root)!r} is incomplete: export it again")


def json_of(path: Path) -> dict[str, Any]:
    """The object in a JSON file.

    Raises:
        OSError: it cannot be read.
        ValueError: it is something else.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise KCompileError(f"{str(path)!r} is no JSON: {error}") from None
    if not isinstance(found, dict):
        raise KCompileError(f"{str(path)!r} is no manifest")
    return found


def _plain(root: Path, name: Any) -> str:
    """The name, if it is one of a file in the folder itself."""
    if not isinstance(name, str) or Path(name).name != name or "\\" in name or name in ("", ".", ".."):
        raise KCompileError(f"{str(root / MANIFEST)!r} names {name!r}, which is no file in its folder")
    return name


def _manifest_of(root: Path) -> dict[str, Any]:
    """The manifest that is there; empty if it cannot be read."""
    try:
        return json_of(root / MANIFEST)
    except (OSError, ValueError):
        return {}


def _listed(manifest: Mapping[str, Any]) -> tuple[set[str], set[str]]:
    """The names of the files of a manifest's set, and of the set before it; only names that we give."""

    def ours(names: Any) -> set[str]:
        return {name for name in names if isinstance(name, str) and _NAMED.fullmatch(name)}

    files, previous = manifest.get("files"), manifest.get("previous_files")
    return ours(files if isinstance(files, dict) else ()), ours(previous if isinstance(previous, list) else ())


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextlib.contextmanager
def _locked(root: Path) -> Iterator[None]:
    """Inside, no other process writes a set here; never where the system has no such locks."""
    try:
        import fcntl  # late: not every system has it

        descriptor = os.open(root, os.O_RDONLY)
    except (ImportError, OSError):
        yield
        return
    try:
        with contextlib.suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
