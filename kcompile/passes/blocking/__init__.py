"""Convolutions on tensors in the blocked order of ONNX Runtime's kernels."""
