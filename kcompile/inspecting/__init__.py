"""``kcompile inspect``: what is in an ONNX file, and what the passes make of a model."""

from kcompile.inspecting.files import describe_file
from kcompile.inspecting.models import describe_model, load_model_function

__all__ = ["describe_file", "describe_model", "load_model_function"]
