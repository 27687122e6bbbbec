"""The format that ONNX Runtime's small builds load."""

from __future__ import annotations

import tempfile
from pathlib import Path

from kcompile.errors import KCompileError
from kcompile.utils.files import write_atomically


def write_ort(model: Path) -> Path:
    """Write ``<model without .onnx>.ort``: the model as ONNX Runtime has optimized it, for any processor.

    Raises:
        ValueError: ONNX Runtime cannot convert the model.
        OSError: the file cannot be written.
    """
    import onnxruntime

    target = model.with_suffix(".ort")
    with tempfile.TemporaryDirectory() as folder:
        converted = Path(folder, "model.ort")
        settings = onnxruntime.SessionOptions()
        settings.log_severity_level = 4
        settings.optimized_model_filepath = str(converted)
        settings.add_session_config_entry("session.save_model_format", "ORT")
        # The last level would choose layouts of this machine's processor.
        settings.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
        try:
            onnxruntime.InferenceSession(str(model), settings, providers=["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime raises several unrelated types
            raise KCompileError(f"ONNX Runtime cannot convert {str(model)!r} to its own format: {error}") from error
        write_atomically(target, converted.read_bytes())
    return target
