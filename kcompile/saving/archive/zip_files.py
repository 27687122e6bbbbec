"""Zip archives that nobody vouches for: members are read in memory by their exact names, and nothing is extracted."""

from __future__ import annotations

import contextlib
import io
import os
import stat
import zipfile
import zlib
from collections.abc import Iterator

from kcompile.common.errors import KCompileError, shown
from kcompile.common.limits import (
    ZIP_MEMBERS,
    ZIP_RATIO,
    ZIP_SLACK_BYTES,
    DamagedFileError,
    UnsafeFileError,
    check_size,
    size_text,
)
from kcompile.saving.hdf5.files import check_regular
from kcompile.saving.places import Contents


class StoredZip:
    """An archive that was looked through.

    Attributes:
        file: what messages call it.
        names: the names of its members. sizes: what they take unpacked, by name.
    """

    def __init__(self, archive: zipfile.ZipFile, file: str) -> None:
        self._archive = archive
        self.file = file
        self.names = [info.filename for info in archive.infolist()]
        self.sizes = {info.filename: info.file_size for info in archive.infolist()}

    def __contains__(self, name: str) -> bool:
        return name in self.names

    def read(self, name: str, limit: int) -> bytes:
        """The bytes of one member, of which no more than ``limit`` are ever unpacked.

        Raises:
            ValueError: there is none, it is damaged, or larger than it says or than ``limit``.
        """
        if name not in self.names:
            raise DamagedFileError(f"{self.file} has no {name!r}; it is not complete")
        info = self._archive.getinfo(name)
        check_size(f"{self.file}: {name}", info.file_size, limit)
        with _reported(self.file), self._archive.open(info) as member:
            data = member.read(info.file_size + 1)
        if len(data) != info.file_size:
            raise DamagedFileError(f"{self.file}: {name} has {len(data)} bytes, where {info.file_size} were announced")
        return data


@contextlib.contextmanager
def open_zip(source: Contents) -> Iterator[StoredZip]:
    """An archive, looked through before anything of it is unpacked.

    Args:
        source: a path, bytes, or a binary file object.

    Raises:
        UnsafeFileError: names that leave a folder, links, members that overlap or occur twice, sizes beyond the limits.
        KCompileError: it is no zip archive, or a damaged one.
        OSError: it cannot be opened.
    """
    label = "the file"
    if isinstance(source, (str, os.PathLike)):
        check_regular(source)
        label = os.path.basename(os.fspath(source))
    if isinstance(source, (bytes, bytearray)):
        source = io.BytesIO(source)
    with contextlib.ExitStack() as stack:
        with _reported(label):
            archive = stack.enter_context(zipfile.ZipFile(source))
            size = _size(archive)
        _look_through(archive, size, label)
        yield StoredZip(archive, label)


def _size(archive: zipfile.ZipFile) -> int:
    assert archive.fp is not None
    return archive.fp.seek(0, io.SEEK_END)


def _look_through(archive: zipfile.ZipFile, size: int, label: str) -> None:
    members = archive.infolist()
    if len(members) > ZIP_MEMBERS:
        raise UnsafeFileError(f"{label} has {len(members)} members, more than the {ZIP_MEMBERS} that are allowed")
    names: set[str] = set()
    for info in members:
        reason = _fault(info)
        if reason:
            raise UnsafeFileError(f"{label}: member {shown(info.filename)} {reason}")
        if info.filename in names:
            raise UnsafeFileError(f"{label} has the member {shown(info.filename)} twice")
        names.add(info.filename)
    declared = sum(info.file_size for info in members)
    if declared > ZIP_RATIO * size + ZIP_SLACK_BYTES:
        raise UnsafeFileError(
            f"{label} has {size_text(size)}, but its members declare {size_text(declared)}: no weights pack so well"
        )
    end = 0
    for info in sorted(members, key=lambda info: info.header_offset):
        if info.header_offset < end:
            raise UnsafeFileError(f"{label}: member {shown(info.filename)} overlaps the one before it")
        end = info.header_offset + 30 + len(info.filename.encode("utf-8", "replace")) + info.compress_size
    if end > size:
        raise DamagedFileError(f"{label} is cut off: its members end {end - size} bytes after its end")


def _fault(info: zipfile.ZipInfo) -> str | None:
    """What is wrong with a member, judged by its entry alone."""
    name = info.orig_filename
    if "\0" in name:
        return "has a NUL in its name"
    if "\\" in name or name.startswith("/") or (len(name) > 1 and name[1] == ":"):
        return "has an absolute path, or one of Windows"
    if ".." in name.split("/"):
        return "leaves the archive's folder"
    kind = stat.S_IFMT(info.external_attr >> 16)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        return "is a link or device, not a file"
    if info.flag_bits & 0x1:
        return "is encrypted"
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        return "is packed in a way that .keras archives do not use"
    return None


@contextlib.contextmanager
def _reported(label: str) -> Iterator[None]:
    """Faults that the zip reader finds, as ours."""
    try:
        yield
    except KCompileError:
        raise
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError) as error:
        raise DamagedFileError(f"{label} is a damaged zip archive: {' '.join(str(error).split())}") from None
