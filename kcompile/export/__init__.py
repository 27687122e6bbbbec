"""Writing models as ONNX files that any stock ONNX Runtime runs: for inference, and for training."""

from kcompile.export.inference import ExportReport, export_model, to_onnx
from kcompile.export.loading_state import load_state
from kcompile.export.training import export_training
from kcompile.export.training_report import TrainingReport

__all__ = ["ExportReport", "TrainingReport", "export_model", "export_training", "load_state", "to_onnx"]
