"""keras.models: models, from configurations and from files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kcompile.common.doors import door
from kcompile.engine.cloning import clone_model
from kcompile.engine.input_layer import Input
from kcompile.models.model import Model
from kcompile.models.sequential import Sequential
from kcompile.objects.configs import model_from_config
from kcompile.objects.registry import register

if TYPE_CHECKING:
    from kcompile.saving.architecture import model_from_json, model_from_yaml
    from kcompile.saving.models import load_model, save_model

register("layer", {"Model": Model, "Functional": Model, "Sequential": Sequential})

_OF_FILES = {
    "load_model": "kcompile.saving.models",
    "model_from_json": "kcompile.saving.architecture",
    "model_from_yaml": "kcompile.saving.architecture",
    "save_model": "kcompile.saving.models",
}
__getattr__, __dir__ = door(__name__, _OF_FILES)

__all__ = [
    "Input", "Model", "Sequential", "clone_model", "load_model", "model_from_config", "model_from_json",
    "model_from_yaml", "save_model",
]  # fmt: skip
