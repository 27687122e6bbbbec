"""HDF5 files that nobody vouches for: opened, looked through, and only then read.

An HDF5 file can name other files (external links, external storage, virtual datasets), declare terabytes that it does
not store, contain itself, or ask for filters that are loaded as plugins. Opening one here walks once over all of it,
reads metadata only, and refuses such things wherever they are. Arrays and attributes are then read by
:class:`StoredArray` and :class:`StoredGroup`, which check sizes and types before any memory is allocated.

What this cannot promise: that the HDF5 library itself has no faults in its own parser.
"""

from __future__ import annotations

import contextlib
import io
import math
import os
import stat
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from kcompile.common.errors import DataTypeError, KCompileError, shown
from kcompile.common.limits import (
    ATTRIBUTE_BYTES,
    HDF5_DEPTH,
    HDF5_OBJECTS,
    DamagedFileError,
    UnsafeFileError,
    check_declared_size,
    check_size,
    size_text,
)
from kcompile.saving.hdf5.heaps import check_heaps
from kcompile.saving.places import Contents, Path
from kcompile.symbolic.tensor import Array

if TYPE_CHECKING:
    import h5py

MAGIC = b"\x89HDF\r\n\x1a\n"
"""The first bytes of an HDF5 file."""

_FILTERS = {1: "deflate", 2: "shuffle", 3: "fletcher32", 32000: "lzf"}
"""Filters that h5py itself brings; all others are loaded from plugins."""

_VARIABLE_TEXTS = 4096
"""As many texts of variable length fit into an attribute of 64 kB. Their lengths cannot be asked for in advance, and
a file made by hand can store one long text and refer to it that often."""


_FAULTS = (
    ArithmeticError, AssertionError, LookupError, MemoryError, RuntimeError, SystemError, TypeError, ValueError,
)  # fmt: skip
"""What h5py raises where a file is broken, besides OSError."""


@contextlib.contextmanager
def open_hdf5(source: Contents | h5py.Group) -> Iterator[StoredGroup]:
    """The root of an HDF5 file, looked through; closed at the end.

    Args:
        source: a path, bytes, a binary file object, or an open ``h5py.File`` or ``h5py.Group`` (which stays open).

    Raises:
        UnsafeFileError: links or storage outside the file, cycles, unknown filters, sizes that no file can hold.
        KCompileError: it is no HDF5 file, or a damaged one.
        OSError: it cannot be opened.
    """
    import h5py

    if isinstance(source, h5py.Group):
        label = _label(source.file.filename)
        yield StoredGroup(source, label, "/", _look_through(source, label))
        return
    label = _label(getattr(source, "name", source) if hasattr(source, "read") else source)
    found: str | bytes | bytearray
    if isinstance(source, (str, os.PathLike)):
        check_regular(source)
        found = os.fspath(source)
    elif isinstance(source, (bytes, bytearray)):
        found = source
    elif hasattr(source, "read"):
        source.seek(0)
        found = source.read()
    else:
        raise DataTypeError(f"a path or a binary file object is needed, got {shown(source)}")
    check_heaps(found, label)
    with _reported(label):
        if isinstance(found, str):
            file = h5py.File(found, "r", locking=False)
        else:
            file = h5py.File(io.BytesIO(found), "r")
    with file:
        yield StoredGroup(file, label, "/", _look_through(file, label))


def check_regular(path: Path) -> None:
    """Refuse what is no file: a folder, a pipe, a device.

    Raises:
        OSError: there is nothing there (FileNotFoundError), or a folder (IsADirectoryError).
        UnsafeFileError: a pipe, a socket or a device, whose reading might never end.
    """
    mode = os.stat(path).st_mode
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(f"{os.fspath(path)!r} is a folder, not a file")
    if not stat.S_ISREG(mode):
        raise UnsafeFileError(f"{os.fspath(path)!r} is not a regular file but a pipe, a socket or a device")


class StoredGroup:
    """A group of a file that was looked through.

    Attributes:
        file: the file's name, for messages.
        path: where the group is in the file.
        declared: bytes of all arrays of the file, once they are read.
    """

    def __init__(self, group: h5py.Group, file: str, path: str, declared: int) -> None:
        self._group = group
        self.file = file
        self.path = path
        self.declared = declared

    def __contains__(self, name: str) -> bool:
        with _reported(self.file):
            return name in self._group

    def __iter__(self) -> Iterator[str]:
        """The names of groups and arrays in this group."""
        with _reported(self.file):
            return iter(list(self._group))

    def group(self, name: str) -> StoredGroup:
        """The group of that name (a path below this one).

        Raises:
            KCompileError: there is none.
        """
        import h5py

        found = self._found(name)
        if not isinstance(found, h5py.Group):
            raise DamagedFileError(f"{self.file}: {self._join(name)} is not a group")
        return StoredGroup(found, self.file, self._join(name), self.declared)

    def array(self, name: str) -> StoredArray:
        """The array of that name (a path below this one), not read yet.

        Raises:
            KCompileError: there is none, or its elements are no numbers.
        """
        import h5py

        found = self._found(name)
        if not isinstance(found, h5py.Dataset):
            raise DamagedFileError(f"{self.file}: {self._join(name)} is not an array")
        return StoredArray(found, self.file, self._join(name))

    def _found(self, name: str) -> Any:
        if not name or any(part in ("", ".", "..") for part in name.split("/")) or "\0" in name:
            raise UnsafeFileError(f"{self.file}: {self.path} refers to {name!r}, which is no name inside it")
        with _reported(self.file):
            if name not in self._group:
                raise DamagedFileError(f"{self.file}: there is no {self._join(name)}")
            return self._group[name]

    def _join(self, name: str) -> str:
        return f"{self.path.rstrip('/')}/{name}"

    # -- attributes

    def attributes(self) -> list[str]:
        """The names of all attributes."""
        with _reported(self.file):
            return list(self._group.attrs)

    def text(self, name: str) -> str | None:
        """A text attribute; ``None`` if there is none.

        Raises:
            KCompileError: it is not text, or too long.
        """
        if not self._has_attribute(name):
            return None
        values = self._texts(name)
        if len(values) != 1:
            raise DamagedFileError(f"{self.file}: attribute {name!r} of {self.path} should be one text")
        return values[0]

    def texts(self, name: str) -> list[str]:
        """A list of names, which Keras spreads over attributes ``name0``, ``name1``... above 64 kB.

        Raises:
            KCompileError: there is none, or it does not hold text.
        """
        if self._has_attribute(name):
            return self._texts(name)
        found: list[str] = []
        number = 0
        while self._has_attribute(f"{name}{number}"):
            found += self._texts(f"{name}{number}")
            number += 1
        if number == 0:
            raise DamagedFileError(f"{self.file}: {self.path} has no attribute {name!r}; Keras writes one")
        return found

    def _has_attribute(self, name: str) -> bool:
        with _reported(self.file):
            return name in self._group.attrs

    def _texts(self, name: str) -> list[str]:
        where = f"{self.file}: attribute {name!r} of {self.path}"
        with _reported(self.file):
            items = self._attribute(name, where)
        try:
            texts = [item.decode() if isinstance(item, bytes) else str(item) for item in items]
            for text in texts:
                text.encode()  # h5py reads bytes that are no UTF-8 as lone surrogates
        except UnicodeError:
            raise DamagedFileError(f"{where} is not UTF-8 text") from None
        return texts

    def _attribute(self, name: str, where: str) -> list[Any]:
        import h5py

        attribute = h5py.h5a.open(self._group.id, name.encode())
        kind, count = attribute.get_type(), math.prod(attribute.shape)
        if attribute.get_space().get_simple_extent_type() == h5py.h5s.NULL or count == 0:
            return []  # h5py's way to write an empty list
        if kind.get_class() != h5py.h5t.STRING:
            raise DamagedFileError(f"{where} should be text")
        if kind.is_variable_str() and count > _VARIABLE_TEXTS:
            raise UnsafeFileError(f"{where} has {count} texts of variable length, more than {_VARIABLE_TEXTS}")
        check_size(where, kind.get_size() * count, ATTRIBUTE_BYTES)
        value = self._group.attrs[name]
        return value.ravel().tolist() if isinstance(value, np.ndarray) else [value]


class StoredArray:
    """An array in a file, of which only shape and type are known until it is read.

    Attributes:
        shape, dtype: what is stored. where: file and path, for messages.

    Raises:
        UnsafeFileError: its elements are no numbers: texts, references, objects of variable length.
    """

    def __init__(self, dataset: h5py.Dataset, file: str, path: str) -> None:
        self._dataset = dataset
        self._complete = False
        self.where = f"{file}: {path}"
        if dataset.shape is None:
            raise DamagedFileError(f"{self.where} holds no array")
        self.shape: tuple[int, ...] = dataset.shape
        try:
            self.dtype = np.dtype(dataset.dtype)
        except (TypeError, ValueError, RuntimeError):  # the last: a number format that means nothing
            raise UnsafeFileError(f"{self.where} has elements of an unknown type; weights are numbers") from None
        if self.dtype.kind not in "biuf" or self.dtype.itemsize > 8:
            raise UnsafeFileError(f"{self.where} has elements of type {self.dtype}; weights are numbers")

    @property
    def nbytes(self) -> int:
        """Bytes in memory."""
        return int(math.prod(self.shape) * self.dtype.itemsize)

    def read(self) -> Array:
        """The values, in this machine's byte order.

        Raises:
            KCompileError: less is stored than the shape declares.
        """
        with _reported(self.where):
            self._check_stored()
            values = np.empty(self.shape, self.dtype.newbyteorder("="))
            if self.nbytes:
                self._dataset.read_direct(values)
        return values

    def rows(self, which: slice | Array) -> Array:
        """Some rows: a slice of positive step, or growing row numbers.

        Raises:
            KCompileError: less is stored than the shape declares.
        """
        with _reported(self.where):
            self._check_stored()
            values: Array = self._dataset[which]
        return values.astype(values.dtype.newbyteorder("="), copy=False)

    def _check_stored(self) -> None:
        if not self.nbytes or self._complete:
            return
        stored = self._dataset.id.get_storage_size()
        chunks = self._dataset.chunks
        if chunks is None:
            complete = stored >= self.nbytes
        else:
            wanted = math.prod(-(-size // chunk) for size, chunk in zip(self.shape, chunks, strict=True))
            complete = self._dataset.id.get_num_chunks() == wanted
        if not complete:
            raise UnsafeFileError(
                f"{self.where} declares shape {self.shape}, {size_text(self.nbytes)}, of which only "
                f"{size_text(stored)} are stored"
            )
        self._complete = True


# ---- looking through a file


def _look_through(root: h5py.Group, label: str) -> int:
    """Visit every link and the description of every array, reading nothing that arrays hold; the bytes of them all."""
    with _reported(label):
        return _visit(root, label, int(root.file.id.get_filesize()))


def _visit(root: h5py.Group, label: str, size: int) -> int:
    import h5py

    declared = 0
    seen = {_address(root.id)}
    on_the_way: list[tuple[Any, str, Iterator[bytes]]] = [(root, "", iter(list(root.id)))]
    addresses = [_address(root.id)]
    count = 0
    while on_the_way:
        group, path, names = on_the_way[-1]
        name = next(names, None)
        if name is None:
            on_the_way.pop()
            addresses.pop()
            continue
        count += 1
        if count > HDF5_OBJECTS:
            raise UnsafeFileError(f"{label} has more than {HDF5_OBJECTS} groups and arrays")
        inner = f"{path}/{name.decode(errors='replace')}"
        if (kind := group.id.links.get_info(name).type) != h5py.h5l.TYPE_HARD:
            raise UnsafeFileError(f"{label}: {inner} is {_link(kind)}, which no model needs; it is not followed")
        address = _address(group.id, name)
        if address in addresses:
            raise UnsafeFileError(f"{label}: {inner} is a group that contains it: groups in a circle")
        if address in seen:
            continue
        seen.add(address)
        item = h5py.h5o.open(group.id, name)
        if isinstance(item, h5py.h5d.DatasetID):
            declared += _check_dataset(item, f"{label}: {inner}")
            check_declared_size(label, declared, size)
        elif isinstance(item, h5py.h5g.GroupID):
            if len(on_the_way) >= HDF5_DEPTH:
                raise UnsafeFileError(f"{label}: groups are nested deeper than {HDF5_DEPTH} at {inner[:80]!r}...")
            on_the_way.append((h5py.Group(item), inner, iter(list(item))))
            addresses.append(address)
    return declared


def _link(kind: int) -> str:
    import h5py

    kinds = {h5py.h5l.TYPE_EXTERNAL: "an external link to another file", h5py.h5l.TYPE_SOFT: "a soft link"}
    return kinds.get(kind, "a link of an unknown kind")


def _check_dataset(dataset: h5py.h5d.DatasetID, where: str) -> int:
    """Refuse a dataset that lies outside, is built of others, or cannot be decoded; the bytes that it declares."""
    import h5py

    plist = dataset.get_create_plist()
    if plist.get_external_count():
        raise UnsafeFileError(f"{where} is stored outside, in {plist.get_external(0)[0]!r}; it is not read")
    layout = plist.get_layout()
    if layout == h5py.h5d.VIRTUAL:
        raise UnsafeFileError(f"{where} is a virtual dataset, made of parts of other files; it is not read")
    filters = [plist.get_filter(i)[0] for i in range(plist.get_nfilters())]
    if unknown := [f for f in filters if f not in _FILTERS]:
        raise UnsafeFileError(
            f"{where} is stored with filter number {unknown[0]}; known are {', '.join(_FILTERS.values())}"
        )
    if len(set(filters)) < len(filters):
        raise UnsafeFileError(f"{where} is stored with the same filter twice")
    space = dataset.get_space()
    if space.get_simple_extent_type() == h5py.h5s.NULL:
        return 0
    itemsize = dataset.get_type().get_size()
    elements = math.prod(dataset.shape)
    if layout == h5py.h5d.CHUNKED:
        # A whole chunk is decoded, also where the array covers only a part of it.
        chunk = math.prod(plist.get_chunk())
        elements = max(elements, chunk)
    declared: int = elements * itemsize
    check_declared_size(where, declared, dataset.get_storage_size())
    return declared


def _address(group: h5py.h5g.GroupID, name: bytes | None = None) -> Any:
    import h5py

    info = h5py.h5o.get_info(group) if name is None else h5py.h5o.get_info(group, name)
    return info.addr


def _label(path: Any) -> str:
    """A file's name as messages show it."""
    return repr(os.path.basename(os.fspath(path))) if isinstance(path, (str, os.PathLike)) else "the file"


@contextlib.contextmanager
def _reported(label: str) -> Iterator[None]:
    """What the HDF5 library says about a broken file, as our error; errors of the system stay what they are."""
    try:
        yield
    except KCompileError:
        raise
    except OSError as error:
        if error.errno is not None:
            raise
        raise DamagedFileError(f"{label} is no HDF5 file, or a damaged one ({error})") from error
    except _FAULTS as error:
        reason = " ".join(str(error).split())
        raise DamagedFileError(f"{label} is damaged: {type(error).__name__} while reading it ({reason})") from error
