"""What the ops of batch normalization share: a channel axis, and vectors with an entry for each channel."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from kcompile.ir.core import Node, Op, Permutation, Value
from kcompile.ir.dims import Size
from kcompile.ir.errors import IRError
from kcompile.ir.ops.arrays.reduction import count_along
from kcompile.ir.types import TensorType, same_dim


@dataclass(frozen=True)
class Normalization(Op, abstract=True):
    """Ops along a channel ``axis``; the parameters of each channel are vectors."""

    axis: int
    epsilon: float

    def check(self, x: TensorType, *vectors: TensorType) -> None:
        """Raises IRError unless each of ``vectors`` has one entry per channel of ``x``."""
        if not 0 <= self.axis < x.rank:
            raise IRError(f"axis {self.axis} is not an axis of {x}")
        if not x.is_float:
            raise IRError(f"needs a floating point tensor, got {x}")
        for vector in vectors:
            if vector.dtype != x.dtype or vector.rank != 1 or not same_dim(vector.shape[0], x.shape[self.axis]):
                wanted = x.with_shape((x.shape[self.axis],))
                raise IRError(f"scale, offset, mean and variance of {x} on axis {self.axis} are {wanted}, got {vector}")

    def others(self, rank: int) -> tuple[int, ...]:
        """The axes that the statistics are taken over."""
        return tuple(axis for axis in range(rank) if axis != self.axis)

    def count(self, x: Value) -> Value:
        """How many elements the statistics of each channel are taken over, as a scalar like ``x``."""
        return count_along(x, self.others(x.rank))

    def flops(self, node: Node, size: Size) -> int:
        return 4 * node.outputs[0].type.elements(size)

    def permuted(self, node: Node, permutation: Permutation) -> tuple[Op, tuple[Permutation | None, ...]] | None:
        """The same op along the moved axis; ``permutation`` is that of the first output, vectors stay."""
        changed = dataclasses.replace(self, axis=permutation.index(self.axis))
        rank = node.outputs[0].rank
        tensors = self.tensors if rank > 1 else 0
        return changed, tuple(permutation if i < tensors else None for i in range(len(node.inputs)))

    @property
    def tensors(self) -> int:
        """How many of the inputs have the shape of ``x``; they come first."""
        return 1
