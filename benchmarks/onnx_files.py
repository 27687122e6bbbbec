"""Keras files to ONNX files, by kcompile and by tf2onnx, and both files timed. Runs in the peers' environments."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from importlib import import_module
from typing import Any

import numpy as np

LENGTHS = (64, 256, 1024, 10240)
"""Values for sizes that a model leaves free (time, height, width); the first is taken for which there is an output."""

BLOCK_SECONDS = 0.02

SMALL = 1e-3
"""Outputs that are all smaller than this, such as probabilities that have vanished, are compared as if they had it."""

LONGEST_SECONDS = 2
"""A larger batch is left out if it would take longer than this."""

Arrays = list[np.ndarray]


def convert(peer: str, source: str, target: str, batches: list[int]) -> dict[str, Any]:
    """Write the ONNX file `target`. kcompile also writes inputs for each batch size, as `target` + `.<batch>.npz`."""
    if peer != "kcompile":
        return by_tf2onnx(source, target)
    samples = import_module("kcompile.export.samples")
    model = import_module("kcompile").models.load_model(source, compile=False)
    model.export(target)
    session = Session(target, 1)
    free = samples.free_sizes(model)
    for number, length in enumerate(LENGTHS):
        sizes = dict.fromkeys(free, length)
        feeds = {batch: list(samples.random_feeds(model, batch, sizes).values()) for batch in batches}
        try:
            found = session(session.feeds(feeds[batches[0]]))
        except Exception:
            if number == len(LENGTHS) - 1 or not free:
                raise
            continue
        if all(array.size for array in found):
            break
    for batch, arrays in feeds.items():
        np.savez(f"{target}.{batch}.npz", *arrays)
    return {"file": target}


def by_tf2onnx(source: str, target: str) -> dict[str, Any]:
    """tf2onnx's conversion of the model, as loaded by tf_keras or, if that does not know the file, by Keras 3."""
    tensorflow, tf2onnx = import_module("tensorflow"), import_module("tf2onnx")
    refusals = []
    for name in ("tf_keras", "keras"):
        try:
            model = import_module(name).models.load_model(source, compile=False)
        except Exception as error:  # whatever it is, the other one may read the file
            refusals.append(f"{name}: {type(error).__name__}: {error}".splitlines()[0][:200])
            continue
        signature = [
            tensorflow.TensorSpec((None, *x.shape[1:]), x.dtype, name=f"x{number}")
            for number, x in enumerate(model.inputs)
        ]

        def call(*arrays: Any, model: Any = model) -> Any:
            return model(list(arrays) if len(arrays) > 1 else arrays[0], training=False)

        function = tensorflow.function(call, input_signature=signature)
        tf2onnx.convert.from_function(function, input_signature=signature, opset=18, output_path=target)
        return {"file": target}
    raise ValueError("; ".join(refusals))


class Session:
    """A bare session on an ONNX file."""

    def __init__(self, file: str, threads: int) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self.session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])

    def feeds(self, arrays: Arrays) -> dict[str, np.ndarray]:
        """The inputs by name, from those by position, in the types that they must have."""
        types = {"tensor(float)": "float32", "tensor(double)": "float64"}
        found = {}
        for x, array in zip(self.session.get_inputs(), arrays, strict=True):
            found[x.name] = array.astype(types.get(x.type, x.type.removeprefix("tensor(").rstrip(")")))
        return found

    def __call__(self, feeds: dict[str, np.ndarray]) -> Arrays:
        return self.session.run(None, feeds)


def nodes(file: str) -> int:
    """How many nodes an ONNX file has, those of loop bodies included."""
    import onnx

    def counted(graph: Any) -> int:
        bodies = [attribute.g for node in graph.node for attribute in node.attribute if attribute.HasField("g")]
        return len(graph.node) + sum(map(counted, bodies))

    return counted(onnx.load(file, load_external_data=False).graph)


def compare(files: list[str], batches: list[int], threads: int, rounds: int, seconds: float) -> dict[str, Any]:
    """Time the files in turn, block by block, on the inputs that lie beside the first one.

    Returns for each file its nodes, and by batch size the seconds per call of each block of each round; and the
    largest difference of their outputs, relative to the largest number. Batches that would take longer than
    `LONGEST_SECONDS` are left out. With one thread the time is that of the processor, which other programs on the
    machine lengthen less.
    """
    clock = time.process_time if threads == 1 else time.perf_counter
    sessions = [Session(file, threads) for file in files]
    times: dict[str, list[list[list[float]]]] = {}
    apart = 0.0
    sample = 0.0
    for batch in batches:
        if sample * batch > LONGEST_SECONDS:
            continue
        with np.load(f"{files[0]}.{batch}.npz") as stored:
            arrays = [stored[name] for name in stored.files]
        calls = [partial(session, session.feeds(arrays)) for session in sessions]
        apart = max(apart, difference(*(call() for call in calls)))
        repeats = [repetitions(call) for call in calls]
        rows: list[list[list[float]]] = [[] for _ in calls]
        for _ in range(rounds):
            blocks: list[list[float]] = [[] for _ in calls]
            end = time.perf_counter() + seconds
            while time.perf_counter() < end or len(blocks[0]) < 3:
                for call, count, found in zip(calls, repeats, blocks, strict=True):
                    begin = clock()
                    for _ in range(count):
                        call()
                    found.append((clock() - begin) / count)
            for row, found in zip(rows, blocks, strict=True):
                row.append(found)
        sample = sample or max(min(row[0]) for row in rows)
        times[str(batch)] = rows
    return {"nodes": [nodes(file) for file in files], "times": times, "difference": apart}


def repetitions(function: Callable[[], Any]) -> int:
    """How many calls fill a block; called twice before, since first calls are slow."""
    for _ in range(2):
        begin = time.perf_counter()
        function()
    return max(1, round(BLOCK_SECONDS / max(time.perf_counter() - begin, 1e-7)))


def difference(ours: Arrays, theirs: Arrays) -> float:
    """The largest difference relative to the largest number of an output, or to `SMALL` if that is larger.

    Raises ValueError if shapes differ.
    """
    worst = 0.0
    for a, b in zip(ours, theirs, strict=True):
        if a.shape != b.shape:
            raise ValueError(f"the outputs have shapes {a.shape} and {b.shape}")
        scale = max(float(np.abs(a).max(initial=0)), SMALL)
        worst = max(worst, float(np.abs(a.astype("float64") - b).max(initial=0)) / scale)
    return worst
