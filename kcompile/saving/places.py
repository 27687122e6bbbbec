"""What files are read from and written to, for annotations."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, BinaryIO, TypeAlias

if TYPE_CHECKING:
    import h5py

Path: TypeAlias = str | os.PathLike[str]
Contents: TypeAlias = Path | bytes | bytearray | BinaryIO
Source: TypeAlias = "Contents | memoryview | h5py.Group"
Target: TypeAlias = "Path | BinaryIO | h5py.Group"
