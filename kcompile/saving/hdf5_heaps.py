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
from collections.abc import Iterator
from typing import Any

from kcompile.saving.limits import UnsafeFileError

_SIGNATURE = b"GCOL\x01\x00\x00\x00"
_HEADER = struct.Struct("<HHIQ")  # index (0: free space), references, nothing, size


def check_heaps(source: Any, label: str) -> None:
    """Look at every global heap in a file.

    Args:
        source: a path or bytes.

    Raises:
        UnsafeFileError: a heap whose sizes lead nowhere.
    """
    with _bytes_of(source) as content:
        if _sizes(content) != (8, 8):
            raise UnsafeFileError(f"{label} is damaged: its addresses and sizes do not have 8 bytes")
        start = content.find(_SIGNATURE)
        while start >= 0:
            _check_heap(content, start, label)
            start = content.find(_SIGNATURE, start + 8)


@contextlib.contextmanager
def _bytes_of(source: Any) -> Iterator[Any]:
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


def _sizes(content: Any) -> tuple[int, int]:
    """How many bytes addresses and sizes have, which the superblock tells."""
    start = bytes(content[:16])
    if len(start) < 16:
        return 0, 0
    return (start[13], start[14]) if start[8] < 2 else (start[9], start[10])


def _check_heap(content: Any, start: int, label: str) -> None:
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
        place += step
