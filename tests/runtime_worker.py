"""Runs ONNX files in whatever ONNX Runtime its interpreter has, with optimizations off and on.

    python runtime_worker.py FOLDER RESULT.json

FOLDER holds pairs ``NAME.onnx``, ``NAME.npz`` (see ``tests/runtime_cases.py``) with several sets of inputs each.
Only numpy and onnxruntime are imported: the interpreter may be another one, as old as the runtime is. Results are
appended line by line, so that a run that ends the process loses nothing, and the next one goes on behind it.
"""

import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime

LEVELS = {
    "off": onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL,
    "on": onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL,
}

SMALL = 0.1
"""Outputs whose largest number is smaller are compared as if it were this: inputs are about 1, and sums cancel."""


def differs(a, b, rtol):
    """What tells two arrays apart, or nothing."""
    if a.dtype != b.dtype or a.shape != b.shape:
        return f"{b.dtype}{b.shape} instead of {a.dtype}{a.shape}"
    if a.dtype.kind != "f":
        return "" if np.array_equal(a, b) else f"{np.sum(a != b)} of {a.size} elements differ"
    a, b = a.astype("float64"), b.astype("float64")
    finite = np.isfinite(a)
    if not np.array_equal(a[~finite], b[~finite], equal_nan=True):
        return "other infinite or undefined numbers"
    if not finite.any():
        return ""
    a, b = a[finite], b[finite]
    error = np.abs(a - b)
    allowed = rtol * np.abs(a) + rtol / 10 * max(np.abs(a).max(), SMALL)
    worst = np.argmax(error - allowed)
    return "" if error[worst] <= allowed[worst] else f"{b[worst]:g} instead of {a[worst]:g}"


def outcome(path):
    """For each optimization level what is wrong, a sentence each; an empty list is a case that passes."""
    arrays = np.load(path.with_suffix(".npz"))
    rtol = float(arrays["rtol"])
    found = []
    for level, value in LEVELS.items():
        settings = onnxruntime.SessionOptions()
        settings.log_severity_level = 4
        settings.intra_op_num_threads = 1
        settings.graph_optimization_level = value
        try:
            session = onnxruntime.InferenceSession(str(path), settings, providers=["CPUExecutionProvider"])
            for number in range(int(arrays["count"])):
                feeds = {item.name: arrays[f"{number}:in:{item.name}"] for item in session.get_inputs()}
                names = [item.name for item in session.get_outputs()]
                for name, array in zip(names, session.run(names, feeds)):  # noqa: B905 (no strict= in Python 3.8)
                    problem = differs(arrays[f"{number}:out:{name}"], array, rtol)
                    if problem:
                        found.append(f"{level}, inputs {arrays['kinds'][number]}, {name}: {problem}")
        except Exception as error:
            found.append(f"{level}: {type(error).__name__}: {' '.join(str(error).split())}")
    return found


def main():
    folder, result = Path(sys.argv[1]), Path(sys.argv[2])
    done = {json.loads(line)[0] for line in result.read_text().splitlines()} if result.exists() else set()
    with result.open("a") as file:
        print(json.dumps(["version", onnxruntime.__version__]), file=file, flush=True)
        for path in sorted(folder.glob("*.onnx")):
            if path.stem not in done:
                print(json.dumps([path.stem, None]), file=file, flush=True)  # in case that this one ends the process
                print(json.dumps([path.stem, outcome(path)]), file=file, flush=True)


if __name__ == "__main__":
    main()
