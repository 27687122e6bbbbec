"""Weights as NumPy's archive of arrays, ``.npz``: one member for each weight, named as it is in the model."""

from __future__ import annotations

import io
import math
import tokenize
from typing import Any

import numpy as np

from kcompile.common.errors import KCompileError
from kcompile.common.limits import DamagedFileError, UnsafeFileError, size_text
from kcompile.engine.network import Network
from kcompile.saving.archive.zip_files import StoredZip, open_zip
from kcompile.saving.places import Contents
from kcompile.saving.weight_names import order_by_names
from kcompile.symbolic.tensor import Array

_HEADER_BYTES = 10_000
"""The largest header that NumPy reads by itself."""


def npz_bytes(model: Network) -> bytes:
    """All weights of ``model`` in the order of ``get_weights``; equal names are told apart by a number."""
    arrays: dict[str, Any] = {}
    for weight in model.weights:
        name, number = weight.label, 0
        while name in arrays:
            number += 1
            name = f"{weight.label}_{number}"
        arrays[name] = weight.numpy()
    if not arrays:
        raise KCompileError(f"model {model.name!r} has no weights to write")
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def read_npz(source: Contents, model: Network) -> None:
    """Load weights into ``model``: all of them, or none if something does not fit.

    Arrays are taken by name where the file has the names of the model's weights, else in order; ``np.savez`` of a
    list of arrays names them ``arr_0``, ``arr_1``...

    Raises:
        UnsafeFileError: arrays of Python objects, which would be pickles; sizes that the file does not hold.
        ValueError: another number of arrays, or other shapes.
    """
    with open_zip(source) as archive:
        arrays = {name.removesuffix(".npy"): _array(archive, name) for name in archive.names}
        where = archive.file
    weights = model.weights
    order = order_by_names(model, list(arrays), [array.shape for array in arrays.values()], weights)
    values: list[Array] = list(arrays.values())
    if len(order) == len(values):
        places = dict(zip(order, values, strict=True))
        values = [places[weight] for weight in weights]
    try:
        model.set_weights(values)
    except KCompileError as error:
        raise KCompileError(f"{where} does not fit: {error}") from error


def _array(archive: StoredZip, name: str) -> Array:
    where = f"{archive.file}: {name}"
    data = archive.read(name, archive.sizes[name])
    shape, fortran_order, dtype, start = _header(data, where)
    if dtype.kind not in "biuf" or dtype.itemsize > 8:
        raise UnsafeFileError(f"{where} has elements of type {dtype}; weights are numbers")
    if math.prod(shape) * dtype.itemsize != len(data) - start:
        raise UnsafeFileError(
            f"{where} declares shape {shape}, {size_text(math.prod(shape) * dtype.itemsize)}, but stores "
            f"{size_text(len(data) - start)}"
        )
    values = np.frombuffer(data, dtype, offset=start).reshape(shape, order="F" if fortran_order else "C")
    return values.astype(dtype.newbyteorder("="))


def _header(data: bytes, where: str) -> tuple[tuple[int, ...], bool, np.dtype[Any], int]:
    """Shape, order, element type, and where the elements begin."""
    file = io.BytesIO(data)
    readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    try:
        version = np.lib.format.read_magic(file)
        if version not in readers:
            raise ValueError(f"version {version}")
        shape, fortran_order, dtype = readers[version](file, max_header_size=_HEADER_BYTES)
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError, tokenize.TokenError) as error:
        raise DamagedFileError(f"{where} is not an array of NumPy ({' '.join(str(error).split())[:200]})") from None
    if any(size < 0 for size in shape):
        raise DamagedFileError(f"{where} has the shape {shape}")
    return shape, fortran_order, dtype, file.tell()
