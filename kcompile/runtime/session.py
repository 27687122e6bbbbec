"""ONNX Runtime sessions. Only this file and :mod:`kcompile.runtime.devices` import onnxruntime, and they do so late."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from kcompile.common.errors import KCompileError
from kcompile.runtime.cores import default_threads
from kcompile.runtime.devices import CUDA_OPTIONS
from kcompile.runtime.forks import forks, note
from kcompile.runtime.options import Options, options
from kcompile.runtime.storage import Buffer

if TYPE_CHECKING:
    import onnx

Array = NDArray[Any]


class Session:
    """A loaded ONNX model.

    Args:
        model: the model, or the file that it is in.
        device: where it runs, ``cpu`` or ``cuda``.
        opts: default: those in force.
        weights: the arrays of initializers that the model refers to as external data.
        threads: how many, where the options leave it open; 0: the cores that this process may use.
        one_block: whether the memory for all that a run computes is one block, laid out in the first run.

    Raises:
        KCompileError: ONNX Runtime refuses the model.
    """

    def __init__(
        self,
        model: onnx.ModelProto | Path,
        device: str = "cpu",
        opts: Options | None = None,
        weights: Mapping[str, Array] | None = None,
        threads: int = 0,
        one_block: bool = True,
    ) -> None:
        self.device = device
        self._one_block = one_block
        self._name = model.name if isinstance(model, Path) else model.graph.name
        chosen = opts or options()
        chosen = replace(chosen, threads=chosen.threads or threads)
        self._made_from = model, chosen, weights  # also by a process that is forked from this one
        self._open()
        self.input_names = [item.name for item in self._session.get_inputs()]
        self.output_names = [item.name for item in self._session.get_outputs()]

    def _open(self) -> None:
        import onnxruntime

        model, opts, weights = self._made_from
        # A number, so that ONNX Runtime does not bind threads to cores: they would wait there for whoever else is busy.
        opts = replace(opts, threads=opts.threads or default_threads())
        settings = onnxruntime.SessionOptions()
        settings.intra_op_num_threads = opts.threads
        settings.log_severity_level = opts.log_level
        settings.enable_mem_pattern = self._one_block
        # Averages of squares of dead units decay to denormal numbers, on which processors are thirty times slower. ONNX
        # Runtime heeds the first session of a thread only, so every session asks.
        settings.add_session_config_entry("session.set_denormal_as_zero", "1")
        for key, value in opts.spinning_settings.items():
            settings.add_session_config_entry(key, value)
        if opts.profile:
            settings.enable_profiling = True
            settings.profile_file_prefix = opts.profile
        if weights:
            values = [onnxruntime.OrtValue.ortvalue_from_numpy(np.ascontiguousarray(w)) for w in weights.values()]
            settings.add_external_initializers(list(weights), values)
        providers: list[Any] = [("CUDAExecutionProvider", CUDA_OPTIONS)] if self.device == "cuda" else []
        source = str(model) if isinstance(model, Path) else model.SerializeToString()
        try:
            self._session = onnxruntime.InferenceSession(
                source, settings, providers=[*providers, "CPUExecutionProvider"]
            )
        except Exception as error:
            raise KCompileError(f"ONNX Runtime refuses the compiled model {self._name!r}: {error}") from error
        self._forks = forks()
        note(getattr(self._session, "_sess", self._session))
        # Below the Python layer, which checks the names of the inputs once more (a microsecond for each run).
        self._run = getattr(self._session, "_sess", self._session).run

    def run(self, feeds: Mapping[str, Array], outputs: Sequence[str] | None = None) -> list[Array]:
        """Run on host arrays, with ONNX Runtime's own binding of inputs and outputs."""
        if self._forks != forks():
            self.reopen()
        try:
            results: list[Array] = self._run(outputs or self.output_names, feeds, None)
        except Exception as error:
            raise self._failure(error) from error
        return results

    def reopen(self) -> bool:
        """Make the session anew if this process was forked since; whether it was. Its bindings are of no use then.

        Raises:
            KCompileError: it runs on a CUDA device, which a forked process cannot use.
        """
        if self._forks == forks():
            return False
        if self.device == "cuda":
            raise KCompileError(
                f"{self._name!r} runs on a CUDA device, which a process that was forked cannot use; start processes "
                'with multiprocessing.get_context("spawn")'
            )
        self._open()
        return True

    def binding(self) -> Any:
        """A new IO binding."""
        return self._session.io_binding()

    def run_binding(self, binding: Any) -> None:
        """Run with what ``binding`` holds."""
        try:
            self._session.run_with_iobinding(binding)
        except Exception as error:
            raise self._failure(error) from error

    def _failure(self, error: Exception) -> KCompileError:
        """What went wrong in a run, on one line: the op, and what it says; the state is that from before the run."""
        reason = " ".join(str(error).split())
        if found := re.search(r"running (\w+) node\. Name:'(.*?)' Status Message: (.*)", reason):
            op, name, message = found.groups()
            reason = f"{op} {name!r}: {message.split(' was false. ')[-1]}"
            if op == "Scan" and "dim0_offset" in message:
                reason = f"{name!r} runs over sequences that have no steps; give it at least one"
        return KCompileError(f"running the compiled model {self._name!r} failed, its state is unchanged: {reason}")

    def end_profiling(self) -> Path:
        """Stop profiling; the file that was written."""
        return Path(self._session.end_profiling())


def bind_input(binding: Any, name: str, buffer: Buffer) -> None:
    """Let the model read ``buffer`` (which must outlive the run)."""
    if buffer.array is None:
        binding.bind_ortvalue_input(name, buffer.ortvalue)
    else:
        binding.bind_input(name, "cpu", 0, buffer.array.dtype.type, buffer.array.shape, buffer.pointer)


def bind_output(binding: Any, name: str, buffer: Buffer) -> None:
    """Let the model write to ``buffer``."""
    if buffer.array is None:
        binding.bind_ortvalue_output(name, buffer.ortvalue)
    else:
        binding.bind_output(name, "cpu", 0, buffer.array.dtype.type, buffer.array.shape, buffer.pointer)


def bind_array(binding: Any, name: str, array: Array) -> None:
    """Let the model read a C-contiguous host array (which must outlive the run)."""
    binding.bind_input(name, "cpu", 0, array.dtype.type, array.shape, array.ctypes.data)


@functools.cache
def channel_block() -> int:
    """The channel block of this CPU's blocked convolution kernels, 0 if ONNX Runtime has none here.

    Found by asking: a 1x1 convolution written for block sizes 16 and 8 gives the right numbers for one of them only.
    """
    import onnx
    from onnx import TensorProto, helper

    domain = "com.microsoft.nchwc"
    for block in (16, 8):
        x = np.random.default_rng(0).standard_normal((1, block * 2, 1, 4)).astype(np.float32)
        w = np.random.default_rng(1).standard_normal((block * 2, block * 2, 1, 1)).astype(np.float32)
        blocked = w.reshape(2, block, 2, block, 1, 1).transpose(0, 2, 4, 5, 3, 1).reshape(w.shape)
        nodes = [
            helper.make_node("ReorderInput", ["x"], ["xb"], domain=domain),
            helper.make_node("Conv", ["xb", "w"], ["yb"], domain=domain, kernel_shape=[1, 1]),
            helper.make_node("ReorderOutput", ["yb"], ["y"], domain=domain, channels=block * 2),
        ]
        graph = helper.make_graph(
            nodes,
            "probe",
            [helper.make_tensor_value_info(n, TensorProto.FLOAT, a.shape) for n, a in (("x", x), ("w", w))],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, x.shape)],
        )
        opsets = [helper.make_opsetid("", 21), helper.make_opsetid(domain, 1)]
        model = onnx.helper.make_model(graph, opset_imports=opsets, ir_version=10)
        try:
            (y,) = Session(model, "cpu", Options(device="cpu", threads=1, log_level=4)).run({"x": x, "w": blocked})
        except Exception:  # no such kernels in this build
            return 0
        if np.allclose(y[0, :, 0], w[:, :, 0, 0] @ x[0, :, 0], atol=1e-4):
            return block
    return 0
