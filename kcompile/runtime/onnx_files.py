"""Writing ONNX models to disk: in one file, or with their weights beside them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from kcompile.common.files import write_atomically, write_together
from kcompile.passes.onnx.initializers import little_endian, place
from kcompile.runtime import ort_format

if TYPE_CHECKING:
    import onnx

    from kcompile.ir.core import Array

ALIGNMENT = 4096
"""Weights in external files start at multiples of this, so that they can be mapped into memory."""


ORT_DIGEST = "kcompile.ort.sha256"
"""The entry of a model's metadata that tells the SHA-256 of its twin in ONNX Runtime's own format."""


def write_model(proto: onnx.ModelProto, weights: Mapping[str, Array], target: Path, ort: bool = False) -> list[Path]:
    """Write an ONNX model, with ``weights`` (those that it does not hold) beside it; returns the files.

    The file of the weights is called ``<target>.<digest>.data``: it never replaces the weights of a model that is
    there, so that whoever is killed in between keeps the old model whole. The weights of the model that is replaced
    stay until the next export, for those who are just loading it.

    With ``ort`` also ``<target without .onnx>.ort``, whose digest stands in the model's metadata. Both are written
    before one is replaced; the model is replaced last, so that it tells whether its twin belongs to it.

    Raises:
        ValueError: ONNX Runtime cannot convert the model; nothing has changed.
        OSError: a file cannot be written; the old model is intact.
    """
    old, in_use = _data_files(target), _external_files(target)
    files, contents = [target], []
    if ort:
        twin = target.with_suffix(".ort")
        data = ort_format.converted(proto, weights, str(target))
        proto.metadata_props.add(key=ORT_DIGEST, value=hashlib.sha256(data).hexdigest())
        contents.append((twin, data))
    if weights:
        files.append(_write_weights(proto, weights, target))
    write_together([*contents, (target, proto.SerializeToString(deterministic=True))])
    for path in old - in_use - set(files):
        path.unlink(missing_ok=True)
    return [*files, *(path for path, _ in contents)]


def _external_files(target: Path) -> set[Path]:
    """The files beside the model that it refers to."""
    import onnx

    if not target.is_file() or not _data_files(target):
        return set()
    try:
        proto = onnx.load(str(target), load_external_data=False)
    except Exception:  # not a model; protobuf raises types of its own
        return set()
    entries = (entry for tensor in proto.graph.initializer for entry in tensor.external_data)
    return {target.with_name(Path(entry.value).name) for entry in entries if entry.key == "location"}


def _write_weights(proto: onnx.ModelProto, weights: Mapping[str, Array], target: Path) -> Path:
    """Write the arrays one after the other, and tell the model where each is."""
    digest = hashlib.blake2b(digest_size=8)
    for array in weights.values():
        digest.update(_bytes(array))
    path = target.with_name(f"{target.name}.{digest.hexdigest()}.data")
    place_weights(proto, weights, path.name)
    write_atomically(path, pieces_of(weights))
    return path


def place_weights(proto: onnx.ModelProto, weights: Mapping[str, Array], file: str) -> None:
    """Tell the model that ``file``, beside it, holds the weights as :func:`pieces_of` gives them."""
    tensors = {tensor.name: tensor for tensor in proto.graph.initializer}
    offset = 0
    for name, array in weights.items():
        place(tensors[name], file, offset, array.nbytes)
        offset += array.nbytes + -array.nbytes % ALIGNMENT


def pieces_of(weights: Mapping[str, Array]) -> Iterator[bytes | memoryview]:
    """The arrays one after the other, with zeros in between."""
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
