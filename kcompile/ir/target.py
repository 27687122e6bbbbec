"""For whom a graph is lowered."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Target:
    """For whom a graph is lowered.

    ``portable`` allows standard ONNX operators only (what export writes); otherwise ``com.microsoft`` kernels of
    stock ONNX Runtime on ``provider`` (``cpu`` or ``cuda``) may be used. ``block`` is the channel block of the CPU's
    blocked convolution kernels (16 with AVX-512, 8 with AVX2, 0: unknown, do not use them).
    """

    provider: str = "cpu"
    opset: int = 21
    portable: bool = True
    block: int = 0
