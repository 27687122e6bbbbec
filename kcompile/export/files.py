"""Writing ONNX models to disk: in one file, or with their weights beside them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from kcompile.passes.initializers import little_endian, place
from kcompile.utils.files import write_atomically

if TYPE_CHECKING:
    import onnx

    from kcompile.ir.core import Array

ALIGNMENT = 4096
"""Weights in external files start at multiples of this, so that they can be mapped into memory."""


def write_model(proto: onnx.ModelProto, weights: Mapping[str, Array], target: Path) -> list[Path]:
    """Write an ONNX model, with ``weights`` (those that it does not hold) beside it; returns the files.

    The file of the weights is called ``<target>.<digest>.data``: it never replaces the weights of a model that is
    there, so that whoever is killed in between keeps the old model whole. The old weights go last.

    Raises:
        OSError: a file cannot be written; the old model is intact.
    """
    old = _data_files(target)
    files = [target]
    if weights:
        files.append(_write_weights(proto, weights, target))
    write_atomically(target, proto.SerializeToString(deterministic=True))
    for path in old - set(files):
        path.unlink(missing_ok=True)
    return files


def _write_weights(proto: onnx.ModelProto, weights: Mapping[str, Array], target: Path) -> Path:
    """Write the arrays one after the other, and tell the model where each is."""
    digest = hashlib.blake2b(digest_size=8)
    for array in weights.values():
        digest.update(_bytes(array))
    path = target.with_name(f"{target.name}.{digest.hexdigest()}.data")
    tensors = {tensor.name: tensor for tensor in proto.graph.initializer}
    offset = 0
    for name, array in weights.items():
        place(tensors[name], path.name, offset, array.nbytes)
        offset += array.nbytes + -array.nbytes % ALIGNMENT
    write_atomically(path, _pieces(weights))
    return path


def _pieces(weights: Mapping[str, Array]) -> Iterator[bytes | memoryview]:
    for array in weights.values():
        yield _bytes(array)
        yield bytes(-array.nbytes % ALIGNMENT)


def _bytes(array: Array) -> memoryview:
    return little_endian(array).reshape(-1).view(np.uint8).data


def _data_files(target: Path) -> set[Path]:
    """The files with weights that this function's earlier calls wrote beside ``target``."""
    if not target.is_file():
        return set()
    pattern = re.compile(re.escape(target.name) + r"\.[0-9a-f]{16}\.data")
    return {path for path in target.parent.iterdir() if pattern.fullmatch(path.name)}
