"""How models run: what is in force, and how it is changed."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from kcompile.common.errors import KCompileError

BRIEF_SPINNING = 20
"""Microseconds for which idle threads wait busily if nothing else is said.

Most pauses between two parallel kernels are shorter, so that it wins what long spinning wins. Threads that spin for
longer, as those of ONNX Runtime do by themselves, use up what a busy machine grants them, and have nothing left when
there is work; all others wait for them then.
"""


@dataclass(frozen=True)
class Options:
    """How models run.

    Attributes:
        device: ``cpu``, ``cuda``, or ``auto`` (cuda where a CUDA device and ONNX Runtime's provider are there).
        threads: threads inside one operator; 0 takes the cores that this process may use
            (:func:`kcompile.runtime.cores.default_threads`), and one thread for small programs.
        spinning: for how many microseconds idle threads wait busily before they sleep; ``False`` is 0, ``True`` as
            long as ONNX Runtime does by itself (many milliseconds, in which they occupy their cores).
        profile: a file prefix for ONNX Runtime's profile (a Chrome trace), or ``None``.
        log_level: ONNX Runtime's severity, 0 (verbose) to 4 (fatal); its errors are raised here anyway.
    """

    device: str = "auto"
    threads: int = 0
    spinning: bool | int = BRIEF_SPINNING
    profile: str | None = None
    log_level: int = 4

    @property
    def spinning_settings(self) -> dict[str, str]:
        """ONNX Runtime's settings for :attr:`spinning`."""
        if self.spinning is True:
            return {}
        if not self.spinning or self.threads == 1:
            return {"session.intra_op.allow_spinning": "0"}
        return {"session.intra_op.spin_duration_us": str(self.spinning)}


def from_environment(environment: Mapping[str, str]) -> Options:
    """The options that environment variables set: KCOMPILE_DEVICE, KCOMPILE_THREADS and KCOMPILE_SPINNING.

    Raises:
        KCompileError: a value out of range.
    """
    threads = environment.get("KCOMPILE_THREADS", "0")
    if not threads.isdecimal():
        raise KCompileError(f"KCOMPILE_THREADS is {threads!r}; set it to a whole number of threads, 0 for all")
    spinning = environment.get("KCOMPILE_SPINNING", str(BRIEF_SPINNING))
    if not spinning.isdecimal():
        raise KCompileError(f"KCOMPILE_SPINNING is {spinning!r}; set it to a whole number of microseconds, 0 for none")
    return Options(device=environment.get("KCOMPILE_DEVICE", "auto"), threads=int(threads), spinning=int(spinning))


_options: Options | None = None


def options() -> Options:
    """The options in force: set by :func:`configure`, at first by environment variables."""
    global _options
    if _options is None:
        _options = from_environment(os.environ)
    return _options


def configure(**changes: Any) -> Options:
    """Change the options for models compiled from now on; the arguments are the fields of :class:`Options`.

    Raises:
        KCompileError: an unknown option, or a value out of range.
    """
    global _options
    try:
        changed = replace(options(), **changes)
    except TypeError:
        known = ", ".join(Options.__dataclass_fields__)
        raise KCompileError(f"unknown option in {sorted(changes)}; options are {known}") from None
    if changed.device not in ("auto", "cpu", "cuda"):
        raise KCompileError(f"device is {changed.device!r}; use 'auto', 'cpu' or 'cuda'")
    if not isinstance(changed.threads, int) or isinstance(changed.threads, bool) or changed.threads < 0:
        raise KCompileError(f"threads is {changed.threads!r}; use a whole number, 0 for all cores")
    if not isinstance(changed.spinning, int) or changed.spinning < 0:
        raise KCompileError(f"spinning is {changed.spinning!r}; use True, False or a whole number of microseconds")
    _options = changed
    return changed
