"""`predict` and compiled models, timed. Runs in the peer's environment.

Every peer gets the same rows: one for the latency, `ROWS` in batches of 32 for the throughput. A peer that
can batch (`model.predict`) does it itself; the others are called once per batch.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from importlib import import_module
from typing import Any

import numpy as np

from benchmarks import models
from benchmarks.peers import KINDS

BATCH_SIZE = 32
ROWS = 16 * BATCH_SIZE
BLOCK_SECONDS = 0.05

Call = Callable[[np.ndarray], Any]


def timed_calls(function: Callable[[], Any], seconds: float) -> list[float]:
    """Seconds per call of each block, at least three blocks, each of as many calls as fill about 0.05 s."""
    start = time.perf_counter()
    function()
    calls = max(1, round(BLOCK_SECONDS / max(time.perf_counter() - start, 1e-7)))
    blocks: list[float] = []
    while len(blocks) < 3 or time.perf_counter() - start < seconds:
        begin = time.perf_counter()
        for _ in range(calls):
            function()
        blocks.append((time.perf_counter() - begin) / calls)
    return blocks


class Inference:
    """One model that predicts. `load` returns the function to call; `batches` says it batches by itself."""

    def __init__(self, name: str, load: Callable[[], Call], batches: bool = False) -> None:
        self.load = load
        self.batches = batches
        self.x = models.data(name, ROWS)[0]
        self.parts = np.split(self.x, ROWS // BATCH_SIZE)
        self.row = self.x[:1]

    def prepare(self) -> dict[str, float]:
        """Time from nothing to the first answer; then each shape once as warm-up."""
        start = time.perf_counter()
        self.call = self.load()
        built = time.perf_counter()
        self.call(self.row)
        first = time.perf_counter()
        self.call_all()
        self.call(self.row)
        return {"build": built - start, "first step": first - start}

    def call_all(self) -> None:
        if self.batches:
            self.call(self.x)
        else:
            for part in self.parts:
                self.call(part)

    def round(self, seconds: float) -> dict[str, list[float]]:
        return {
            "batch 1": timed_calls(lambda: self.call(self.row), seconds / 2),
            "batch 32": [block / len(self.parts) for block in timed_calls(self.call_all, seconds / 2)],
        }


def keras_predict(name: str, keras: Any) -> Call:
    """`model.predict` of any Keras-style package."""
    model = models.build(name, keras)
    return lambda x: model.predict(x, batch_size=BATCH_SIZE, verbose=0)


def kcompile_compiled(name: str, kcompile: Any) -> Call:
    """The frozen, fully optimized model."""
    return kcompile.compile(models.build(name, kcompile))


def onnxruntime_session(file: str, threads: int) -> Call:
    """A bare session on an ONNX file, as its documentation shows it."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda x: session.run(None, {name: x})


def openvino_model(file: str, threads: int) -> Call:
    """OpenVINO on an ONNX file, in its low-latency mode and, like all others, in float32."""
    import openvino

    settings = {
        "INFERENCE_NUM_THREADS": threads,
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": "f32",
    }
    compiled = openvino.Core().compile_model(file, "CPU", settings)
    return lambda x: compiled([x])


def make(peer: str, name: str, threads: int, file: str | None) -> Inference:
    """The inference task of a peer; `file` is the ONNX file for those that read one."""
    match peer:
        case "bare" | "tf2onnx":
            return Inference(name, lambda: onnxruntime_session(str(file), threads))
        case "openvino":
            return Inference(name, lambda: openvino_model(str(file), threads))
        case "pytorch":
            from benchmarks import pytorch

            return Inference(name, lambda: pytorch.predictor(name))
        case "kcompile-compiled":
            return Inference(name, lambda: kcompile_compiled(name, import_module("kcompile")))
        case _:
            keras = import_module(KINDS[peer].module)
            return Inference(name, lambda: keras_predict(name, keras), batches=True)


def export(peer: str, name: str, file: str) -> dict[str, str]:
    """Write `file` for the peers that read one: kcompile's own export, or tf2onnx's of the Keras model."""
    if peer == "kcompile":
        models.build(name, import_module("kcompile")).export(file)
        return {"file": file}
    keras, tensorflow, tf2onnx = (import_module(module) for module in ("keras", "tensorflow", "tf2onnx"))
    model = models.build(name, keras)
    benchmark = models.find(name)
    signature = [tensorflow.TensorSpec((None, *benchmark.input_shape), benchmark.input_dtype, name="x")]
    function = tensorflow.function(lambda x: model(x, training=False), input_signature=signature)
    tf2onnx.convert.from_function(function, input_signature=signature, opset=18, output_path=file)
    return {"file": file}
