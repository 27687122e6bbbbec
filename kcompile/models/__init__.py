"""keras.models: models, from configurations and from files."""

from kcompile.common.absent_names import absent
from kcompile.engine.cloning import clone_model
from kcompile.engine.input_layer import Input
from kcompile.models.model import Model
from kcompile.models.sequential import Sequential
from kcompile.objects.configs import model_from_config
from kcompile.objects.registry import register
from kcompile.saving.architecture import model_from_json, model_from_yaml
from kcompile.saving.models import load_model, save_model

register("layer", {"Model": Model, "Functional": Model, "Sequential": Sequential})

__getattr__ = absent(__name__)

__all__ = [
    "Input", "Model", "Sequential", "clone_model", "load_model", "model_from_config", "model_from_json",
    "model_from_yaml", "save_model",
]  # fmt: skip
