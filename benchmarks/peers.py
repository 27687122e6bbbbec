"""Who takes part: the peers' names, the environment variables that each needs, and what each must install."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Kind:
    """What a peer's name stands for.

    `module` is what a user imports; `distributions` are the packages a user asks pip for (their dependencies
    are followed when sizes are added up); `variables` are set in the peer's process; `tasks` are the commands that
    it can take part in.
    """

    module: str
    distributions: tuple[str, ...]
    variables: dict[str, str] = field(default_factory=dict)
    tasks: tuple[str, ...] = ("fit", "predict")


KINDS = {
    "kcompile": Kind("kcompile", ("kcompile",), tasks=("fit", "predict", "grid", "files")),
    "kcompile-compiled": Kind("kcompile", ("kcompile",), tasks=("predict",)),
    "bare": Kind("onnxruntime", ("onnxruntime",), tasks=("predict",)),
    "keras-tensorflow": Kind("keras", ("keras", "tensorflow-cpu"), {"KERAS_BACKEND": "tensorflow"}),
    "keras-jax": Kind("keras", ("keras", "jax"), {"KERAS_BACKEND": "jax"}),
    "keras-torch": Kind("keras", ("keras", "torch"), {"KERAS_BACKEND": "torch"}),
    "pytorch": Kind("torch", ("torch", "numpy"), tasks=("fit", "predict", "grid")),
    "tensorflow": Kind("tensorflow", ("tensorflow-cpu",), tasks=("grid",)),
    "tf2onnx": Kind("onnxruntime", ("onnxruntime",), tasks=("predict", "files")),
    "openvino": Kind("openvino", ("openvino",), tasks=("predict",)),
}
REFERENCE = "kcompile"


@dataclass(frozen=True)
class Peer:
    """A peer and the Python interpreter of the environment it runs in."""

    name: str
    python: str

    @property
    def kind(self) -> Kind:
        return KINDS[self.name]

    @property
    def missing(self) -> str | None:
        """Why this peer cannot even be started, or None."""
        if not Path(self.python).exists():
            return f"{self.python} does not exist"
        return None


def parse(text: str | None, task: str) -> list[Peer]:
    """The peers of `--peers name=python,...`; a name without `=python` runs in this interpreter.

    `task` is what they are to do: `fit`, `predict`, `grid` or `files`. For `predict`, naming `kcompile` brings in its
    frozen compiled model and the bare session on its exported file as well: they share its environment, and the
    targets compare them.
    Raises ValueError for an unknown name, a repeated one, or one that cannot do the task.
    """
    peers: dict[str, Peer] = {}
    for item in (text or REFERENCE).split(","):
        name, _, python = (part.strip() for part in item.partition("="))
        if name not in KINDS:
            raise ValueError(f"--peers: unknown peer {name!r}; choose from {', '.join(KINDS)}")
        if name in peers:
            raise ValueError(f"--peers: {name!r} is given twice")
        if task not in KINDS[name].tasks:
            able = ", ".join(other for other, kind in KINDS.items() if task in kind.tasks)
            raise ValueError(f"--peers: {name!r} does not take part in `{task}`; choose from {able}")
        peers[name] = Peer(name, os.path.expanduser(python) or sys.executable)
    if task == "predict" and REFERENCE in peers:
        python = peers[REFERENCE].python
        companions = {name: Peer(name, python) for name in ("kcompile", "kcompile-compiled", "bare")}
        peers = {**companions, **peers}
    return list(peers.values())


def cores(threads: int) -> list[int]:
    """The processor cores that every peer is pinned to: the first `threads` of those we may use.

    Raises ValueError when fewer are there.
    """
    available = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    if available and threads > len(available):
        raise ValueError(f"--threads {threads}: only {len(available)} processor cores are available")
    return available[:threads]


def variables(peer: Peer, threads: int | None, folder: str) -> dict[str, str]:
    """The environment of the peer's process: `threads` for every thread pool, no GPU, no user configuration.

    With `threads` None no pool is limited. `folder` is a scratch folder; Keras writes its keras.json there instead of
    reading the user's.
    """
    count = str(threads)
    unwanted = ("PYTHON", "KCOMPILE_", "KERAS_", "TF_", "XLA_", "JAX_")
    pools = (
        "OMP_NUM_THREADS",
        "MKL_NUM_THREADS",
        "OPENBLAS_NUM_THREADS",
        "TF_NUM_INTRAOP_THREADS",
        "TF_NUM_INTEROP_THREADS",
        "KCOMPILE_THREADS",
        "NPROC",  # the size of XLA's thread pool on the CPU
    )
    inherited = {key: value for key, value in os.environ.items() if not key.startswith(unwanted) and key not in pools}
    return {
        **inherited,
        **(dict.fromkeys(pools, count) if threads else {}),
        "XLA_FLAGS": f"--xla_cpu_multi_thread_eigen={'false' if threads == 1 else 'true'}",
        "JAX_PLATFORMS": "cpu",
        "CUDA_VISIBLE_DEVICES": "-1",
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "KERAS_HOME": folder,
        "PYTHONHASHSEED": "0",
        **peer.kind.variables,
    }
