"""Global heaps of HDF5 files, checked before the HDF5 library walks them.

Texts of variable length lie in global heaps ("GCOL"): objects behind each other, each with a header of 16 bytes. The
library goes from one to the next by the sizes in the headers, and goes on for ever where one is 0.

Source: HDF5 File Format Specification 3.0, III.E.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import struct
from collections.abc import Iterator, Mapping
from typing import TypeAlias

from kcompile.common.limits import ATTRIBUTE_BYTES, GIB, MIB, UnsafeFileError

Bytes: TypeAlias = bytes | bytearray | mmap.mmap

_SIGNATURE = b"GCOL\x01\x00\x00\x00"
_HEADER = struct.Struct("<HHIQ")  # index (0: free space), references, nothing, size
_REFERENCE = struct.Struct("<IQI")  # length, address of the heap, index

SEARCHED_BYTES = 64 * MIB
"""The largest file that is searched for references. In a larger one, 4 GB are no more than compression can do."""

SEARCH_WORK = 4 * GIB
"""The most bytes that are looked at, files of a few heaps being searched once for each."""


def check_heaps(source: str | bytes | bytearray, label: str) -> None:
    """Look at every global heap in a file.

    Args:
        source: a path or bytes.

    Raises:
        UnsafeFileError: a heap whose sizes lead nowhere.
    """
    with _bytes_of(source) as content:
        if _sizes(content) != (8, 8):
            raise UnsafeFileError(f"{label} is damaged: its addresses and sizes do not have 8 bytes")
        heaps: dict[int, dict[int, int]] = {}
        start = content.find(_SIGNATURE)
        while start >= 0:
            heaps[start] = _objects_of_heap(content, start, label)
            start = content.find(_SIGNATURE, start + 8)
        if len(content) <= SEARCHED_BYTES:
            _check_references(content, heaps, label)


@contextlib.contextmanager
def _bytes_of(source: str | bytes | bytearray) -> Iterator[Bytes]:
    """The bytes, or those of the file, of which only the pages that are looked at are read."""
    if isinstance(source, (bytes, bytearray)):
        yield source
        return
    with open(source, "rb") as file:
        if os.fstat(file.fileno()).st_size == 0:
            yield b""
            return
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            yield content


def _sizes(content: Bytes) -> tuple[int, int]:
    """How many bytes addresses and sizes have, which the superblock tells."""
    start = bytes(content[:16])
    if len(start) < 16:
        return 0, 0
    return (start[13], start[14]) if start[8] < 2 else (start[9], start[10])


def _objects_of_heap(content: Bytes, start: int, label: str) -> dict[int, int]:
    """The bytes of each object, by its number."""
    objects: dict[int, int] = {}
    size = int.from_bytes(content[start + 8 : start + 16], "little")
    end, place = start + size, start + 16
    if size < 16 or end > len(content):
        raise UnsafeFileError(f"{label} is damaged: a global heap at {start} has {size} bytes")
    while place + _HEADER.size <= end:
        index, _, _, length = _HEADER.unpack(content[place : place + _HEADER.size])
        # The size of free space counts its header, that of an object does not, and is rounded up.
        step = length if index == 0 else _HEADER.size + -(-length // 8) * 8
        if step < _HEADER.size or place + step > end:
            raise UnsafeFileError(f"{label} is damaged: object {index} of a global heap at {start} has {length} bytes")
        if index:
            objects[index] = length
        place += step
    return objects


def _check_references(content: Bytes, heaps: Mapping[int, Mapping[int, int]], label: str) -> None:
    """Refuse long texts that claim more bytes than the file has: the library makes room for them before it looks.

    What refers to an object of a heap is 16 bytes: a length, the address of the heap, the number of the object. It lies
    anywhere in the file, so they are searched for.
    """
    if len(heaps) * len(content) > SEARCH_WORK:
        raise UnsafeFileError(f"{label} has {len(heaps)} global heaps, more than a model needs")
    most = max(len(content), ATTRIBUTE_BYTES)
    for start, objects in heaps.items():
        address = struct.pack("<Q", start)
        place = content.find(address, 4)
        while place >= 0:
            length, _, index = _REFERENCE.unpack(content[place - 4 : place + 12].ljust(16, b"\0"))
            if index in objects and length > most:
                raise UnsafeFileError(f"{label} is damaged: a text at {place - 4} claims {length} bytes")
            place = content.find(address, place + 1)
