"""Writing models as ONNX files that any stock ONNX Runtime runs: for inference, and for training."""

from kcompile.export.inference import export_model, inference_model
from kcompile.export.training import export_training

__all__ = ["export_model", "export_training", "inference_model"]
