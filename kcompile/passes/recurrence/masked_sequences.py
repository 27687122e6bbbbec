"""Masked sequences for operators that know lengths only: valid steps go to the front, results back to their places.

All is time-major: masks are bool ``[T, N]``, sequences ``[T, N, ...]``.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from kcompile.ir.core import Value, apply, constant_of
from kcompile.ir.ops.arrays.cumulative import cumsum
from kcompile.ir.ops.arrays.indexing import Gather, ScatterElementsAdd, gather
from kcompile.ir.ops.arrays.reduction import reduce_sum
from kcompile.ir.ops.arrays.slicing import Concat, concat
from kcompile.ir.ops.elementwise.arithmetic import Where, add, cast, mul, sub, where
from kcompile.ir.ops.elementwise.base import Elementwise
from kcompile.ir.ops.elementwise.comparison import LogicalAnd, LogicalOr, greater, less
from kcompile.ir.ops.shapes.reshaping import Expand, Reshape, Transpose, expand_dims, reshape
from kcompile.ir.ops.shapes.sizes import dims_vector, iota
from kcompile.ir.ops.spatial.normalization import BatchNormInference
from kcompile.passes.recurrence.trends import is_right_padded


@dataclass(frozen=True)
class MaskedSequences:
    """The valid steps of each sequence, for a recurrence that leaves its states alone at the others.

    ``padded`` says that no invalid step comes before a valid one, so that the sequences may stay as they are.
    """

    mask: Value
    padded: bool

    @cached_property
    def _ones(self) -> Value:
        """1 for a valid step, else 0: int32 ``[T, N]``."""
        return cast(self.mask, "int32")

    @cached_property
    def _before(self) -> Value:
        """How many valid steps precede each step. For a valid one this is its place among them."""
        return cumsum(self._ones, 0, exclusive=True)

    @cached_property
    def lengths(self) -> Value:
        """How many steps are valid: int32 ``[N]``."""
        return reduce_sum(self._ones, 0)

    @cached_property
    def empty(self) -> Value:
        """Which sequences have no valid step: bool ``[N, 1]``."""
        return less(expand_dims(self.lengths, -1), 1)

    def compacted(self, x: Value) -> Value:
        """``x`` ``[T, N, K]`` with the valid steps of each sequence in front, and then anything."""
        if self.padded:
            return x
        if isinstance(x.op, Gather) and x.op.axis == 0 and x.node.inputs[1].rank == 2:
            table, indices = x.node.inputs
            return gather(table, self._scattered(indices))
        places = reshape(iota(x.shape[0] * x.shape[1], "int32"), x.shape[:2])
        return gather(_rows(x), self._scattered(places))

    def _scattered(self, numbers: Value) -> Value:
        """The whole numbers ``[T, N]`` of valid steps in front, then zeros."""
        valid = mul(numbers, cast(self._ones, numbers.dtype))
        return apply(ScatterElementsAdd(self.mask.shape[0], 0), self._before, valid)

    def expanded(self, y: Value, initial: Value | None, final: Value, reverse: bool) -> Value:
        """The state after every step, valid or not, given those after compacted steps.

        Args:
            y: ``[T, N, H]``, zero after the valid steps.
            initial: the state before the first step, ``[N, H]``; ``None``: zeros.
            final: the state after the last step, ``[N, H]``.
            reverse: whether steps run from the last to the first.
        """
        if self.padded:
            kept = initial if reverse else final
            return y if kept is None else where(expand_dims(self.mask, -1), y, kept)
        # An invalid step shows the valid one before it (in reverse: after it). Where there is none, that is place -1
        # (the place after the last); both hold zeros, since a sequence with an invalid step does not fill y.
        until = add(self._before, self._ones)
        places = self._before if reverse else sub(until, 1)
        size = dims_vector((y.shape[1],))
        found = gather(_rows(y), add(mul(places, cast(size, "int32")), iota(y.shape[1], "int32")))
        if initial is None:
            return found
        started = greater(cumsum(self._ones, 0, reverse=True) if reverse else until, 0)
        return where(expand_dims(started, -1), found, initial)


class Packing:
    """Moves each sequence to the front once, and not again what was moved to its places by the same mask."""

    def __init__(self) -> None:
        self._sequences: dict[Value, MaskedSequences] = {}
        self._packed: dict[tuple[Value, Value], Value] = {}

    def pack(self, x: Value, mask: Value) -> tuple[MaskedSequences, Value]:
        """The valid steps of ``mask``, and ``x`` with them in front."""
        if mask not in self._sequences:
            self._sequences[mask] = MaskedSequences(mask, is_right_padded(mask))
        return self._sequences[mask], self._front(x, mask)

    def unpack(self, sequences: MaskedSequences, y: Value, initial: Value | None, final: Value, reverse: bool) -> Value:
        """As :meth:`MaskedSequences.expanded`; packing the result with the same mask gives ``y`` again."""
        result = sequences.expanded(y, initial, final, reverse)
        self._packed[result, sequences.mask] = y
        return result

    def _front(self, x: Value, mask: Value) -> Value:
        if (x, mask) not in self._packed:
            inner = self._packed_before(x, mask)
            self._packed[x, mask] = self._sequences[mask].compacted(x) if inner is None else inner
        return self._packed[x, mask]

    def _packed_before(self, x: Value, mask: Value) -> Value | None:
        """``x`` packed, if it was made step by step of what was packed before."""
        if (x, mask) in self._packed:
            return self._packed[x, mask]
        operands = x.node.inputs
        match x.op:
            case Concat(axis=2):
                parts = [self._packed_before(part, mask) for part in operands]
                known = [part for part in parts if part is not None]
                return concat(known, 2) if len(known) == len(parts) else None
            case Where() if isinstance(operands[0].op, Reshape) and operands[0].node.inputs[0] is mask:
                return self._packed_before(operands[1], mask)
            case Elementwise() | BatchNormInference(axis=2):
                same = [all(n == 1 for n in operand.shape[:-1]) for operand in operands]  # at all steps
                parts = [x if fixed else self._packed_before(x, mask) for x, fixed in zip(operands, same, strict=True)]
                known = [part for part in parts if part is not None]
                return apply(x.op, *known) if len(known) == len(parts) and not all(same) else None
        return None


def _rows(x: Value) -> Value:
    return reshape(x, (x.shape[0] * x.shape[1], x.shape[2]))


# ---- what is known of a mask


def is_all_true(mask: Value) -> bool:
    """Whether no step is masked, as far as the graph tells."""
    array = constant_of(mask)
    if array is not None:
        return bool(array.all())
    match mask.op:
        case Expand() | Reshape() | Transpose():
            return is_all_true(mask.node.inputs[0])
        case LogicalAnd():
            return all(map(is_all_true, mask.node.inputs))
        case LogicalOr():
            return any(map(is_all_true, mask.node.inputs))
    return False
