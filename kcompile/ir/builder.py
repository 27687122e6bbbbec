"""What ``Op.lower`` sees of the ONNX graph under construction (implemented by ``kcompile.passes.onnx.emit``)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from kcompile.ir.core import Array, Graph
from kcompile.ir.dims import Dim
from kcompile.ir.types import TensorType


@dataclass(frozen=True, slots=True)
class Target:
    """For whom a graph is lowered.

    ``portable`` allows standard ONNX operators only (what export writes); otherwise ``com.microsoft`` kernels of
    stock ONNX Runtime on ``provider`` (``cpu`` or ``cuda``) may be used. ``block`` is the channel block of the CPU's
    blocked convolution kernels (16 with AVX-512, 8 with AVX2, 0: unknown, don't use them).
    """

    provider: str = "cpu"
    opset: int = 21
    portable: bool = True
    block: int = 0


class Builder(Protocol):
    """The ONNX graph under construction. Tensors are named by strings."""

    target: Target

    def op(self, op_type: str, *inputs: str, domain: str = "", **attributes: Any) -> str:
        """Add a node with one output; an empty input name is an omitted optional input."""

    def multi(self, op_type: str, *inputs: str, outputs: int, domain: str = "", **attributes: Any) -> tuple[str, ...]:
        """Add a node with several outputs."""

    def constant(self, array: Any, dtype: str | None = None) -> str:
        """An initializer; equal ones are shared."""

    def dims(self, dims: Sequence[Dim]) -> str:
        """The int64 vector of these sizes: an initializer if all are known, else computed from the inputs."""

    def subgraph(self, graph: Graph, names: Sequence[str | None]) -> Any:
        """A GraphProto for a region.

        ``names`` binds each of the region's inputs to a tensor of the outer graph, or (``None``) makes it an input
        of the sub-graph.
        """

    def inline(self, graph: Graph, names: Sequence[str]) -> tuple[str, ...]:
        """Add the nodes of ``graph``, its inputs bound to ``names``; return the names of its outputs."""

    def reshape(self, name: str, source: TensorType, shape: Sequence[Dim]) -> str:
        """Reshape a tensor of type ``source``, without computing sizes at run time where possible."""


__all__ = ["Array", "Builder", "Target"]
