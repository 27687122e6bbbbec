"""HDF5 files in memory, where no disk can be full, and in file objects."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, BinaryIO


def hdf5_bytes(write: Callable[[Any], object]) -> bytes:
    """The bytes of an HDF5 file that ``write(group)`` filled, an ``h5py.File``."""
    import h5py

    with h5py.File("in memory", "w", driver="core", backing_store=False) as file:
        write(file)
        file.flush()
        image: bytes = file.id.get_file_image()
    return image


def save_to_binary_h5py(save_function: Callable[[Any], None], stream: BinaryIO) -> None:
    """Write what ``save_function`` puts into an ``h5py.File`` to a binary file object."""
    stream.write(hdf5_bytes(save_function))


def load_from_binary_h5py(load_function: Callable[[Any], Any], stream: BinaryIO) -> Any:
    """The result of ``load_function`` on the HDF5 file in a binary file object."""
    import h5py

    with h5py.File(stream, "r") as file:
        return load_function(file)
