"""Activations that ONNX has an operator for, which older opsets and some element types lack."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from kcompile.ir.core import Builder, Graph, Node, Value, input_value
from kcompile.ir.ops.elementwise.arithmetic import Unary
from kcompile.ir.target import Target

KERNELS = ("float16", "float32")
"""Element types of which ONNX Runtime computes these operators; of float16 by way of float32."""


class Activation(Unary, abstract=True):
    """A function of one number: ONNX's operator ``onnx``, or the same in plain ops where it would not run.

    ``since`` is the first opset that has the operator.
    """

    since: ClassVar[int] = 1

    def in_parts(self, x: Value) -> Value:
        """The function of ``x`` in plain ops."""
        raise NotImplementedError(type(self).__name__)

    def attributes(self) -> dict[str, Any]:
        """Those of the operator."""
        return {}

    def has_operator(self, target: Target, dtype: str) -> bool:
        """Whether the operator is there, and the best way to compute the function."""
        return target.opset >= self.since and dtype in KERNELS

    def lower(self, b: Builder, node: Node, *names: str) -> str:
        if self.has_operator(b.target, node.outputs[0].dtype):
            return b.op(self.onnx, names[0], **self.attributes())
        return in_parts(b, node.inputs[0], names[0], self.in_parts)


def in_parts(b: Builder, x: Value, name: str, function: Callable[[Value], Value]) -> str:
    """Lower ``function(x)`` for the tensor ``name`` of the type of ``x``."""
    inner = input_value("x", x.dtype, x.shape)
    (result,) = b.inline(Graph([inner], [function(inner)]), [name])
    return result


def runs_here(b: Builder, dtype: str) -> bool:
    """Whether the graph is for ONNX Runtime's float32 kernels on this CPU, whose speeds are known."""
    return b.target.provider == "cpu" and not b.target.portable and dtype == "float32"
