"""From the IR to ONNX models, in memory and on disk."""
