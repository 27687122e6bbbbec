"""Passes: functions from graph to graph. ``pipelines`` lists them in order; ``emit`` writes ONNX."""
