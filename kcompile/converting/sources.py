"""The model in a file: architecture and weights together, or from two places."""

from __future__ import annotations

import re
import types
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kcompile import models
from kcompile.common.errors import KCompileError, listed
from kcompile.common.limits import CONFIG_BYTES, check_size
from kcompile.common.ways import of_a_command
from kcompile.inspecting import load_model_function
from kcompile.inspecting.models import run_file
from kcompile.models.model import Model
from kcompile.saving import load_model
from kcompile.saving.text import read_json

CONFIGS = (".json", ".yaml", ".yml")
MODELS = (".h5", ".hdf5", ".keras")


OTHERS = {
    ".onnx": "an ONNX file already; kcompile inspect shows what is in it",
    ".py": "Python code; call model.export(...) there, or give its weights as the file, and the code with --arch "
    "FILE.py:FUNCTION",
}


def load(path: Path, *arguments: Any, **options: Any) -> Model:
    """As :func:`_load`; messages name the options of the command."""
    with of_a_command():
        return _load(path, *arguments, **options)


def _load(
    path: Path,
    arch: str | None = None,
    weights: str | None = None,
    custom_objects: Mapping[str, Any] | None = None,
    safe_mode: bool = True,
    compile: bool = False,
) -> Model:
    """The model in ``path``.

    Args:
        path: a whole model (``.h5``, ``.hdf5``, ``.keras``), weights only if ``arch`` is given, or an architecture
            (``.json``, ``.yaml``) if ``weights`` is.
        arch: ``file.py:function``, or a file with an architecture; ``path`` then holds its weights.
        weights: a file with the weights of the architecture in ``path``.
        custom_objects: classes and functions that the file may name.
        safe_mode: whether code in files is refused.
        compile: whether losses and metrics in the file are wanted.

    Raises:
        OSError: a file cannot be read.
        ValueError: it is not what it should be.
    """
    suffix = path.suffix.lower()
    if path.is_dir():
        if (path / "manifest.json").exists():
            raise IsADirectoryError(
                f"{str(path)!r} is a folder of export_training; its manifest.json names the ONNX files, which kcompile "
                "inspect shows, and model.load_state takes what was trained there back"
            )
        load_model(path)  # says what kind of folder it is
    for ending, what in OTHERS.items():
        if re.search(rf"\{ending}(:\w+)?$", str(path), re.IGNORECASE):
            raise KCompileError(f"{str(path)!r} is {what}")
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {str(path)!r}")
    if suffix in CONFIGS:
        if weights is None:
            raise KCompileError(f"{str(path)!r} is an architecture without weights; give them with --weights FILE")
        if arch is not None:
            raise KCompileError(
                f"{str(path)!r} is an architecture, and --arch gives another one; give the weights instead"
            )
        model: Model = architecture(str(path), custom_objects, safe_mode)
        model.load_weights(weights)
        return model
    if weights is not None:
        raise KCompileError(
            f"--weights is for architectures ({listed(CONFIGS)}); {str(path)!r} is read as a whole model"
        )
    if arch is not None:
        model = architecture(arch, custom_objects, safe_mode)
        model.load_weights(str(path))
        return model
    if suffix not in MODELS:
        raise KCompileError(f"{str(path)!r} is none of the kinds {listed([*MODELS, *CONFIGS])}")
    loaded: Model = load_model(path, custom_objects=custom_objects, compile=compile, safe_mode=safe_mode)
    return loaded


def architecture(place: str, custom_objects: Mapping[str, Any] | None = None, safe_mode: bool = True) -> Model:
    """A model with initial weights, from ``file.py:function`` or from a JSON or YAML file.

    Raises:
        OSError: the file cannot be read.
        ValueError: it holds no architecture, or the function gives no model.
    """
    file, separator, function = place.rpartition(":")
    if separator and file.endswith(".py"):
        return load_model_function(file, function)
    path = Path(place)
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {place!r}")
    if path.suffix == ".py":
        raise KCompileError(f"--arch {place}: name the function that returns the model, as in {place}:FUNCTION")
    if path.suffix.lower() not in CONFIGS:
        raise KCompileError(f"--arch {place}: expected FILE.py:FUNCTION or one of the kinds {listed(CONFIGS)}")
    read = models.model_from_json if path.suffix.lower() == ".json" else models.model_from_yaml
    text = text_of(path)
    if path.suffix.lower() == ".json" and text.startswith('"'):
        text = read_json(text, repr(place))  # json.dump(model.to_json(), file): a string that holds JSON
    model: Model = read(text, custom_objects, safe_mode)
    return model


def text_of(path: Path) -> str:
    """The text of a configuration, if it is not too large to be one.

    Raises:
        OSError: it cannot be read.
        ValueError: it is too large, or not UTF-8.
    """
    check_size(repr(str(path)), path.stat().st_size, CONFIG_BYTES)
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise KCompileError(f"{str(path)!r} is not text in UTF-8: {error.reason} at byte {error.start}") from None


def custom_objects_of(path: str) -> dict[str, Any]:
    """The classes and functions that a Python file defines, or its dictionary ``custom_objects``.

    Raises:
        OSError: the file cannot be read.
        ValueError: it fails.
    """
    module = run_file(path)
    listed_there = getattr(module, "custom_objects", None)
    if isinstance(listed_there, dict):
        return listed_there
    kinds = (type, types.FunctionType)
    own = {k: v for k, v in vars(module).items() if isinstance(v, kinds) and v.__module__ == module.__name__}
    return {name: item for name, item in own.items() if not name.startswith("_")}
