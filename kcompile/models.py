"""keras.models: models, and models from configurations."""

from kcompile.engine.cloning import clone_model
from kcompile.engine.input_layer import Input
from kcompile.engine.sequential import Sequential
from kcompile.engine.training import Model
from kcompile.saving.configs import model_from_config
from kcompile.saving.json_yaml import model_from_json, model_from_yaml

__all__ = ["Input", "Model", "Sequential", "clone_model", "model_from_config", "model_from_json", "model_from_yaml"]
