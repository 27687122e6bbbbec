"""``save_model`` and ``load_model``: files of every kind, told apart by what is in them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from kcompile.common import ways
from kcompile.common.errors import DataTypeError, KCompileError, shown
from kcompile.common.tracebacks import short_traceback
from kcompile.engine.network import Network
from kcompile.saving.hdf5.files import MAGIC, check_regular
from kcompile.saving.places import Contents, Source, Target
from kcompile.saving.targets import check_group, check_open, write_file
from kcompile.saving.training_config import training_config

_ZIP = b"PK\x03\x04"
_KINDS: dict[bytes, str] = {
    b"": "an empty file",
    b"\x80": "a Python pickle, which can run code and is never opened",
    _ZIP: "a zip archive",
    b"\x08": "a protocol buffer: an ONNX model, or a SavedModel of TensorFlow",
    b"\x1f\x8b": "gzip-compressed data; unpack it first",
    b"{": "JSON: read it with model_from_json, which gives a model without weights",
    b"\x93NUMPY": "a NumPy array",
    b"<": "a web page or XML, perhaps the error page of a download",
}
_SUPPORTED = "Supported are HDF5 (.h5, .hdf5) and .keras files."


# ---- saving


@short_traceback
def save_model(
    model: Network,
    filepath: Target,
    overwrite: bool = True,
    include_optimizer: bool = True,
    save_format: str | None = None,
) -> None:
    """Write a model: architecture, weights, training configuration, state of the optimizer.

    The file appears complete or not at all; one that is there stays as it is until then.

    Args:
        model: the model.
        filepath: ``.keras``: the archive of Keras 3; any other name: HDF5, which all versions of Keras read. Also an
            ``h5py.Group`` or a binary file object.
        overwrite: whether a file of that name is replaced; if not, the terminal is asked.
        include_optimizer: with the training configuration and the optimizer's state.
        save_format: ``h5`` or ``keras``, in place of the name's ending; ``tf_keras``: an archive for tf.keras 2.13 and
            later, where ``keras`` is that of Keras 3.

    Raises:
        OSError: the folder does not exist, the disk is full, a file exists and must not be replaced.
        ValueError: a model that no configuration can describe (one that computes with variables outside of layers).
    """
    from kcompile.saving.hdf5.memory import hdf5_bytes
    from kcompile.saving.hdf5.models import write_model

    if not isinstance(model, Network) or not hasattr(model, "fit_trainer"):
        raise DataTypeError(f"save_model takes a model and a path, got {shown(model)}")
    if _is_group(filepath):
        check_group(filepath, "model_weights", "optimizer_weights")
        write_model(filepath, model, include_optimizer)
        return
    if save_format is None:
        _check_ending(filepath, "save")
    kind = _format(filepath, save_format)
    if kind != "h5":
        from kcompile.saving.archive.archives import archive_bytes
        from kcompile.saving.archive.configs import TF_KERAS

        data = archive_bytes(model, include_optimizer, TF_KERAS if kind == "tf_keras" else None)
    else:
        data = hdf5_bytes(lambda group: write_model(group, model, include_optimizer))
    write_file(filepath, data, overwrite)


def check_saving_to(model: Network, filepath: Target) -> None:
    """Raise what :func:`save_model` would, as far as it is known before there is anything to write.

    Raises:
        ValueError, NotImplementedError: as :func:`save_model`.
    """
    from kcompile.saving.hdf5.models import model_config

    _check_ending(filepath, "save")
    if _format(filepath, None) == "h5":
        model_config(model)
    else:
        from kcompile.saving.archive.configs import archive_config, dialect_for

        archive_config(model, dialect_for(model)[0])
    training_config(model)


def _format(path: Target, chosen: str | None) -> str:
    if chosen is not None:
        known = {"h5": "h5", "hdf5": "h5", "keras": "keras", "tf_keras": "tf_keras"}
        if chosen not in known:
            hint = "; TensorFlow's SavedModel is not written" if chosen in ("tf", "tensorflow") else ""
            raise KCompileError(f"save: save_format must be 'h5', 'keras' or 'tf_keras', got {chosen!r}{hint}")
        return known[chosen]
    return "keras" if isinstance(path, (str, os.PathLike)) and os.fspath(path).endswith(".keras") else "h5"


_OTHER_FORMATS = {
    ".onnx": "an ONNX file is written by export",
    ".ort": "a file for ONNX Runtime is written by export(..., ort=True)",
    ".npz": "an archive of arrays is written by save_weights",
    ".json": "the architecture alone is given by to_json",
    ".yaml": "the architecture alone is given by to_yaml",
    ".pb": "TensorFlow's SavedModel is not written; use .keras or .h5",
    ".tflite": "TensorFlow Lite is not written; use export for ONNX",
}
"""What names promise that neither ``save`` nor ``save_weights`` writes."""


def _check_ending(path: Target, verb: str, allowed: str = "") -> None:
    """Refuse a name that promises another format, unless the format was chosen.

    Raises:
        ValueError: it does.
    """
    if isinstance(path, (str, os.PathLike)):
        ending = os.path.splitext(os.fspath(path))[1]
        if ending in _OTHER_FORMATS and ending != allowed:
            raise KCompileError(
                f"{verb}: {os.fspath(path)!r} would not be what its name says; {_OTHER_FORMATS[ending]}"
            )


# ---- loading


@short_traceback
def load_model(
    filepath: Source, custom_objects: Mapping[str, Any] | None = None, compile: bool = True, safe_mode: bool = True
) -> Any:
    """The model in a file that any version of Keras, or :func:`save_model`, wrote.

    Nothing in the file is run or imported, and no other file is read.

    Args:
        filepath: a path, a binary file object, or an ``h5py.File`` or ``h5py.Group``.
        custom_objects: the user's own classes and functions by name.
        compile: compile the model as the file says, with the state of its optimizer.
        safe_mode: refuse functions (of Lambda layers) that are stored as Python bytecode.

    Returns:
        the model; its attribute ``loaded`` tells where it comes from.

    Raises:
        OSError: it cannot be opened.
        ValueError: it is of no supported kind, is damaged, names unknown classes, or asks for what no model needs.
    """
    source = bytes(filepath) if isinstance(filepath, memoryview) else filepath
    if _is_group(source):
        check_open(source)
    elif _is_zip(source):
        from kcompile.saving.archive.archives import read_archive

        _check_not_npz(source)
        return read_archive(source, custom_objects, compile, safe_mode)
    from kcompile.saving.hdf5.models import read_model

    return read_model(source, custom_objects, compile, safe_mode)


def _check_not_npz(source: Contents) -> None:
    from kcompile.saving.archive.zip_files import open_zip

    with open_zip(source) as archive:
        if archive.names and all(name.endswith(".npy") for name in archive.names):
            raise KCompileError(
                f"{archive.file} holds arrays only, without an architecture: {ways.to_add_an_architecture()}"
            )


def _is_zip(source: Contents) -> bool:
    """Whether it is a zip archive, not HDF5, by its first bytes.

    Raises:
        ValueError: anything else, said what it is.
    """
    label, start = opening(source)
    if start.startswith((MAGIC, _ZIP)):
        return start.startswith(_ZIP)
    raise KCompileError(f"{label} is no model of Keras but {describe(start)}. {_SUPPORTED}")


def opening(source: Contents) -> tuple[str, bytes]:
    """What messages call a path or file object, and its first bytes.

    Raises:
        OSError: it cannot be opened; a folder. TypeError: neither a path nor a file object.
    """
    if isinstance(source, (str, os.PathLike)):
        path = os.fspath(source)
        if os.path.isdir(path) and os.path.exists(os.path.join(path, "saved_model.pb")):
            raise IsADirectoryError(
                f"{path!r} is a SavedModel of TensorFlow, which is not read; save it as .h5 or .keras"
            )
        if not os.path.exists(path):
            if os.path.exists(f"{path}.index"):
                raise FileNotFoundError(
                    f"{path!r} is a checkpoint of TensorFlow ({os.path.basename(path)}.index and others), which is not "
                    "read; load it in TensorFlow, and save the weights as .h5"
                )
            raise FileNotFoundError(f"there is no file {path!r}")
        check_regular(path)
        with open(path, "rb") as file:
            return repr(os.path.basename(path)), file.read(16)
    if isinstance(source, (bytes, bytearray)):
        return "the data", bytes(source[:16])
    if hasattr(source, "read") and hasattr(source, "seek"):
        source.seek(0)
        start = source.read(16)
        source.seek(0)
        if not isinstance(start, bytes):
            raise DataTypeError(f"a binary file is needed, got {shown(source)}; open it with mode 'rb'")
        return "the file", start
    raise DataTypeError(f"a path or a binary file object is needed, got {shown(source)}")


def describe(start: bytes) -> str:
    """What a file is, by its first bytes."""
    if not start:
        return _KINDS[b""]
    if start[4:8] == b"TFL3":
        return "a model of TensorFlow Lite"
    for magic, text in _KINDS.items():
        if magic and start.lstrip().startswith(magic):
            return text
    if all(byte in b"\t\n\r" or 32 <= byte < 127 for byte in start):
        return "text"
    return f"a file that begins with {start[:8]!r}"


def _is_group(source: Source | Target) -> bool:
    """Whether it is an open ``h5py.File`` or ``h5py.Group``; h5py is not imported to find out."""
    return any(cls.__module__.startswith("h5py.") and cls.__name__ == "Group" for cls in type(source).__mro__)


# ---- weights only


def save_weights(model: Network, filepath: Target, overwrite: bool = True, save_format: str | None = None) -> None:
    """Write all weights; see :meth:`kcompile.models.saving_methods.SavingMethods.save_weights`."""
    from kcompile.saving.hdf5.memory import hdf5_bytes
    from kcompile.saving.hdf5.weights import write_weights

    if not model.built:
        raise KCompileError(f"model {model.name!r} is not built, so it has no weights: call it on data, or build it")
    if _is_group(filepath):
        check_group(filepath, *(layer.name for layer in model.layers))
        write_weights(filepath, model)
        return
    path = os.fspath(filepath) if isinstance(filepath, (str, os.PathLike)) else ""
    if save_format is None:
        _check_ending(filepath, "save_weights", ".npz")
    if path.endswith(".npz"):
        from kcompile.saving.npz_files import npz_bytes

        data = npz_bytes(model)
    elif path.endswith(".weights.h5") and save_format is None:
        from kcompile.saving.archive.archives import weights_bytes

        data = weights_bytes(model)
    elif _format(filepath, save_format) != "h5":
        raise KCompileError(f"{path!r}: a .keras file is a whole model; write it with save, weights as .h5 or .npz")
    else:
        data = hdf5_bytes(lambda group: write_weights(group, model))
    write_file(filepath, data, overwrite)


def load_weights(
    model: Network, filepath: Source, by_name: bool = False, skip_mismatch: bool = False, reshape: bool = False
) -> None:
    """Load weights; see :meth:`kcompile.models.saving_methods.SavingMethods.load_weights`."""
    from kcompile.saving.hdf5.files import open_hdf5
    from kcompile.saving.hdf5.weights import read_weights

    source = bytes(filepath) if isinstance(filepath, memoryview) else filepath
    if _is_group(source):
        check_open(source)
    else:
        label, start = opening(source)
        if start.startswith(_ZIP):
            _check_layout(label, "an archive", by_name=by_name, reshape=reshape)
            _load_zip(model, source, skip_mismatch)
            return
        if not start.startswith(MAGIC):
            raise KCompileError(
                f"{label} holds no weights of Keras but is {describe(start)}. Supported: HDF5, .keras, .npz."
            )
    with open_hdf5(source) as root:
        group = root.group("model_weights") if "model_weights" in root else root
        if "layer_names" in group.attributes() or "layer_names0" in group.attributes():
            read_weights(group, model, by_name, skip_mismatch, reshape)
            return
        _check_layout(root.file, "in the layout of Keras 3", by_name=by_name, reshape=reshape)
    from kcompile.saving.archive.archives import read_weights_file

    read_weights_file(source, model, skip_mismatch)


def _check_layout(label: str, layout: str, **options: bool) -> None:
    for name, value in options.items():
        if value:
            raise KCompileError(f"load_weights: {label} is {layout}, for which {name}=True has no meaning")


def _load_zip(model: Network, source: Contents, skip_mismatch: bool) -> None:
    from kcompile.saving.archive.zip_files import open_zip

    with open_zip(source) as archive:
        names = archive.names
    if names and all(name.endswith(".npy") for name in names):
        from kcompile.saving.npz_files import read_npz

        _check_layout("the file", "an archive of NumPy arrays", skip_mismatch=skip_mismatch)
        read_npz(source, model)
        return
    from kcompile.saving.archive.archives import read_archive_weights

    read_archive_weights(source, model, skip_mismatch)
