"""What ops share that only move elements."""

from __future__ import annotations

from kcompile.ir.core import Node, Op
from kcompile.ir.dims import Size


class Moving(Op, abstract=True):
    """An op whose results are elements of its operands, unchanged, or one number."""

    half = True

    def flops(self, node: Node, size: Size) -> int:
        return 0
