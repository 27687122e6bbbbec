"""The process that runs one peer: `python -m benchmarks.worker`, JSON requests on stdin, answers on stdout.

It runs in the peer's environment, so nothing outside the standard library is imported before the peer itself:
import time and peak memory are those of the peer. Requests, in this order:

    {"do": "prepare", "task": "fit", "model": "mlp", ...}   import, build, first step, warm-up
    {"do": "round", "seconds": 3}                           time blocks for about so long; any number of times
    {"do": "release"}                                       free what was prepared, to prepare something else
    {"do": "finish"}                                        peak memory, installed size, versions
"""

from __future__ import annotations

import json
import os
import sys
import time
import traceback
import warnings
from contextlib import suppress
from importlib import import_module
from typing import Any, Protocol, TextIO

from benchmarks.installed import installed_bytes, needed
from benchmarks.peers import KINDS

SHORT = 6
"""The part of an epoch that a short one has, for a machine on which each takes many times as long."""


class Task(Protocol):
    """What a peer does for a benchmark: prepare once, then as many rounds as asked."""

    def prepare(self) -> dict[str, Any]:
        """Build and run once; figures by name, in seconds."""

    def round(self, seconds: float) -> dict[str, list[float]]:
        """Measure for about so long; per figure, the seconds per step (or call) of each block."""


def make_task(request: dict[str, Any]) -> Task:
    """The task that a `prepare` request asks for. Imports the peer (its module is imported already)."""
    name, model, threads = request["peer"], request["model"], request["threads"]
    if request["task"] == "predict":
        from benchmarks import inference

        return inference.make(name, model, threads, request.get("file"))
    if request["task"] == "grid":
        from benchmarks.grid_task import GridTask

        return GridTask(name, model, request["part"])
    if name == "pytorch":
        from benchmarks import pytorch

        return pytorch.Training(model, threads)
    if request["task"] == "threads":
        from benchmarks import threads as pairs

        return pairs.TwoModels(model, import_module(KINDS[name].module))
    from benchmarks import training

    if request["task"] == "short fit":
        return training.KerasTraining(model, import_module(KINDS[name].module), parts=SHORT)
    return training.KerasTraining(model, import_module(KINDS[name].module))


def import_peer(name: str, threads: int) -> float:
    """Import the peer as a user does, with NumPy; the seconds it took (of the first import in this process)."""
    start = time.perf_counter()
    import numpy  # noqa: F401, every script has it; some peers load it only when they are used

    import_module(KINDS[name].module)
    seconds = time.perf_counter() - start
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(threads)
        sys.modules["torch"].set_num_interop_threads(1)
    return seconds


def use_peer(name: str) -> dict[str, float]:
    """The seconds until a model of one layer has predicted one row, in a process that imported the peer before.

    Lazy imports are paid here. Nothing for peers that have no layers.
    """
    import numpy

    start = time.perf_counter()
    module = import_module(KINDS[name].module)
    if hasattr(module, "Sequential"):
        model = module.Sequential([module.layers.Input((4,)), module.layers.Dense(2)])
        model.predict(numpy.zeros((1, 4), "float32"), verbose=0)
    elif hasattr(module, "nn"):
        module.nn.Linear(4, 2)(module.zeros(1, 4)).detach().numpy()
    else:
        return {}
    return {"first use": time.perf_counter() - start}


def timed_round(task: Task, seconds: float) -> dict[str, Any]:
    """The blocks of one round, and how many processor cores it kept busy on average.

    More than the process is pinned to would mean that pinning failed; less than one, that others interfered.
    """
    wall, processor = time.perf_counter(), time.process_time()
    blocks = task.round(seconds)
    wall, processor = time.perf_counter() - wall, time.process_time() - processor
    return {"blocks": blocks, "cores": processor / wall}


def peak_bytes() -> int:
    """The most memory this process has held at a time (ru_maxrss)."""
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def finish(name: str) -> dict[str, Any]:
    """Peak memory first: adding up file sizes takes memory too."""
    peak = peak_bytes()
    roots = KINDS[name].distributions
    return {
        "peak_bytes": peak,
        "installed_bytes": installed_bytes(roots),
        "versions": {key: distribution.version for key, distribution in needed(roots).items()},
        "python": sys.version.split()[0],
    }


class Worker:
    """Answers requests; holds the task between them."""

    def __init__(self) -> None:
        self.task: Task | None = None
        self.peer = ""

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        match request["do"]:
            case "prepare":
                figures: dict[str, Any] = {}
                if not self.peer:
                    self.peer = request["peer"]
                    figures["import"] = import_peer(self.peer, request["threads"])
                if request["task"] == "import":
                    figures |= use_peer(self.peer)
                else:
                    self.task = make_task(request)
                    figures |= self.task.prepare()
                return figures
            case "export":
                from benchmarks import inference

                return inference.export(request["peer"], request["model"], request["file"])
            case "convert":
                from benchmarks import onnx_files

                return onnx_files.convert(*(request[key] for key in ("peer", "source", "target", "batches")))
            case "compare":
                from benchmarks import onnx_files

                keys = ("files", "batches", "threads", "rounds", "seconds")
                return onnx_files.compare(*(request[key] for key in keys))
            case "round":
                assert self.task is not None, "prepare comes first"
                return timed_round(self.task, request["seconds"])
            case "release":
                self.task = None
                return {}
            case "finish":
                return finish(self.peer)
        raise ValueError(f"unknown request {request['do']!r}")


def serve(requests: TextIO, answers: TextIO) -> None:
    """Answer one JSON line with one JSON line until the requests end. A failure is an answer too."""
    worker = Worker()
    for line in requests:
        try:
            answer = worker.answer(json.loads(line))
        except Exception as error:  # the driver reports it and goes on with the other peers
            traceback.print_exc()
            answer = {"error": f"{type(error).__name__}: {error}".splitlines()[0]}
        print(json.dumps(answer), file=answers, flush=True)


def main() -> None:
    """Pin the process, keep stdout for answers (what libraries print goes to stderr), serve."""
    cores = [int(core) for core in sys.argv[1:]]
    if cores and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, cores)
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    warnings.simplefilter("ignore")
    with suppress(KeyboardInterrupt):
        serve(sys.stdin, answers)


if __name__ == "__main__":
    main()
