"""The format that ONNX Runtime's small builds load."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from kcompile.common.errors import KCompileError

if TYPE_CHECKING:
    import onnx

    from kcompile.ir.core import Array


def converted(proto: onnx.ModelProto, weights: Mapping[str, Array], name: str) -> bytes:
    """The model as ONNX Runtime has optimized it, for any processor.

    Args:
        proto: the model.
        weights: those that it does not hold.
        name: for the message.

    Raises:
        ValueError: ONNX Runtime cannot convert the model.
    """
    import onnxruntime

    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder, "model.ort")
        settings = onnxruntime.SessionOptions()
        settings.log_severity_level = 4
        settings.optimized_model_filepath = str(target)
        settings.add_session_config_entry("session.save_model_format", "ORT")
        # The last level would choose layouts of this machine's processor.
        settings.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
        if weights:
            values = [onnxruntime.OrtValue.ortvalue_from_numpy(np.ascontiguousarray(w)) for w in weights.values()]
            settings.add_external_initializers(list(weights), values)
        try:
            onnxruntime.InferenceSession(proto.SerializeToString(), settings, providers=["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime raises several unrelated types
            raise KCompileError(f"ONNX Runtime cannot convert {name!r} to its own format: {error}") from error
        return target.read_bytes()
