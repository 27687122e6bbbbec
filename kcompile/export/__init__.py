"""Writing models as ONNX files that any stock ONNX Runtime runs: for inference, and for training."""

from kcompile.export.inference import ExportReport, export_model, to_onnx
from kcompile.export.training import export_training

__all__ = ["ExportReport", "export_model", "export_training", "to_onnx"]
