"""Devices that models run on: which there are, which is taken, memory on them."""

from __future__ import annotations

import functools
import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kcompile.common.errors import KCompileError
from kcompile.runtime.options import options

Array = NDArray[Any]

CUDA_OPTIONS = {"cudnn_conv_algo_search": "HEURISTIC", "use_tf32": "0"}
"""The same convolution kernels in every run (the default times them and takes the fastest), in full float32."""


@functools.cache
def cuda_available() -> bool:
    """Whether ONNX Runtime has its CUDA provider and a device to run it on."""
    import onnxruntime

    if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
        return False
    try:
        onnxruntime.OrtValue.ortvalue_from_numpy(np.zeros(1, np.float32), "cuda", 0)
    except Exception:  # ONNX Runtime raises several unrelated types when a driver or library is missing
        return False
    return True


def resolve_device(device: str | None = None) -> str:
    """``cpu`` or ``cuda``, from a request that may be ``auto`` or ``None`` (the configured one).

    Raises:
        KCompileError: CUDA is asked for but cannot be used.
    """
    wanted = device or options().device
    if wanted == "cpu":
        return "cpu"
    if wanted == "cuda":
        if not cuda_available():
            raise KCompileError(
                "device 'cuda' was asked for, but ONNX Runtime cannot use a CUDA device here: install "
                "onnxruntime-gpu with its CUDA libraries, or use device='cpu'"
            )
        return "cuda"
    if wanted != "auto":
        raise KCompileError(f"device is {wanted!r}; use 'auto', 'cpu' or 'cuda'")
    return "cuda" if _has_nvidia_driver() and cuda_available() else "cpu"


def _has_nvidia_driver() -> bool:
    """Whether it is worth asking for CUDA, which takes long and prints errors where there is no driver."""
    library = Path(os.environ.get("SYSTEMROOT", "C:\\Windows"), "System32", "nvcuda.dll")
    devices = Path("/dev")  # a container may be given any of the GPUs, WSL has one device for all
    return library.exists() or (devices / "dxg").exists() or any(devices.glob("nvidia[0-9]*"))


def device_value(array: Array, device: str) -> Any:
    """An OrtValue on ``device`` with the contents and the shape of ``array``."""
    import onnxruntime

    return onnxruntime.OrtValue.ortvalue_from_numpy(np.asarray(array, order="C"), device, 0)
