"""The constant tensors of an ONNX model: inside it, or beside it where they are too large together."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from kcompile.ir.core import Array

if TYPE_CHECKING:
    import onnx

INLINE_BYTES = 1_500_000_000
"""Models with more bytes of constants than this keep them beside them: protobuf messages end at 2 GB."""

SMALL_BYTES = 1024
"""Constants below this size stay inside in any case: sizes and axes, which shape inference looks at."""


def tensors_of(arrays: Mapping[str, Array]) -> tuple[list[onnx.TensorProto], dict[str, Array]]:
    """The initializers with these names, and the arrays that they refer to instead of holding them.

    An initializer whose array stays outside says so with ``data_location``; where it is, says who writes the model.
    """
    import onnx

    total = sum(array.nbytes for array in arrays.values())
    outside = {
        name: array for name, array in arrays.items() if total > INLINE_BYTES and array.nbytes >= SMALL_BYTES
    }  # fmt: skip
    tensors = []
    for name, array in arrays.items():
        if name not in outside:
            tensors.append(onnx.numpy_helper.from_array(array, name))
            continue
        kind = onnx.helper.np_dtype_to_tensor_dtype(array.dtype)
        location = onnx.TensorProto.EXTERNAL
        tensor = onnx.TensorProto(name=name, data_type=kind, dims=array.shape, data_location=location)
        place(tensor, "weights", 0, array.nbytes)
        tensors.append(tensor)
    return tensors, outside


def place(tensor: onnx.TensorProto, file: str, offset: int, length: int) -> None:
    """Say where the bytes of an external tensor are."""
    del tensor.external_data[:]
    for key, value in (("location", file), ("offset", offset), ("length", length)):
        tensor.external_data.add(key=key, value=str(value))


def little_endian(array: Array) -> Array:
    """The array in the byte order of ONNX files, C-contiguous."""
    return np.ascontiguousarray(array, array.dtype.newbyteorder("<"))


def fingerprint(array: Array) -> tuple[str, tuple[int, ...], bytes]:
    """What equal arrays have in common; of large ones a digest."""
    if array.nbytes <= SMALL_BYTES:
        return array.dtype.str, array.shape, array.tobytes()
    contiguous = np.ascontiguousarray(array)
    return array.dtype.str, array.shape, hashlib.blake2b(contiguous.view(np.uint8).data, digest_size=32).digest()
