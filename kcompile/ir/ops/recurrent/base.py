"""What recurrent ops share: their operands, and loops over time.

All are time-major. A value may have further axes between time and batch, which stand for independent recurrences that
run side by side (the pass ``merge_directions`` makes such): ``projected`` is then ``[T, ..., N, K]``, a state
``[..., N, H]``, ``recurrent`` ``[..., H, K]``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Generic, NamedTuple, TypeVar

from kcompile.ir.core import Builder, Gradients, Graph, Node, Op, Value, apply, input_value, make_node
from kcompile.ir.dims import Size
from kcompile.ir.errors import IRError
from kcompile.ir.ops.arrays.reduction import reduce_sum
from kcompile.ir.ops.arrays.slicing import split, stack
from kcompile.ir.ops.elementwise.arithmetic import add, cast, mul, sub, where
from kcompile.ir.ops.loops.regions import zeros_of
from kcompile.ir.ops.loops.scan import Scan, scan
from kcompile.ir.ops.products.linalg import MatMul, dot_general
from kcompile.ir.ops.recurrent.activations import activation_named
from kcompile.ir.ops.shapes.reshaping import expand_dims, squeeze
from kcompile.ir.types import TensorType

T = TypeVar("T")


class Operands(NamedTuple, Generic[T]):
    """The operands of a recurrent op (values, arrays or types); those that it does not have are ``None``."""

    projected: T
    recurrent: T
    bias: T | None
    initial: tuple[T, ...]
    mask: T | None
    scale: T | None


@dataclass(frozen=True, kw_only=True)
class Recurrence(Op, abstract=True):
    """A recurrence over axis 0.

    Operands: ``projected`` ``[T, N, gates * H]``, ``recurrent`` ``[H, gates * H]``, if it ``has_bias`` what is added to
    ``h @ recurrent``, ``[gates * H]``, the initial states ``[N, H]``, ``mask`` (bool ``[T, N]``) if ``masked``, and
    ``scale`` ``[N, H]`` if ``scaled``. Where the mask is false the states stay. With a scale, each step starts with
    ``h * scale`` instead of ``h``.

    With ``reverse`` the steps run from the last slice to the first; results stay at the place of their slice. With
    ``unroll`` they are lowered one after the other, without a loop.

    Results: with ``sequence`` ``h`` after each step, the last states, and with ``stash`` what only gradients read. The
    pass ``prune`` takes away the stash where no gradient asks for it, or else the sequence.
    """

    activation: str
    reverse: bool = False
    unroll: bool = False
    masked: bool = False
    scaled: bool = False
    has_bias: bool = False
    stash: bool = True
    sequence: bool = True

    gates: ClassVar[int]
    states: ClassVar[int]

    def activations(self) -> tuple[str, ...]:
        """The names of the activations."""
        return (self.activation,)

    def operands(self, items: Sequence[T]) -> Operands[T]:
        """The operands by name."""
        given = iter(items)
        projected, recurrent = next(given), next(given)
        bias = next(given) if self.has_bias else None
        initial = tuple(next(given) for _ in range(self.states))
        mask = next(given) if self.masked else None
        return Operands(projected, recurrent, bias, initial, mask, next(given) if self.scaled else None)

    def infer(self, *types: TensorType) -> tuple[TensorType, ...]:
        wanted = 2 + self.has_bias + self.states + self.masked + self.scaled
        if len(types) != wanted:
            raise IRError(f"takes {wanted} operands, got {len(types)}")
        for name in self.activations():
            activation_named(name)
        x, recurrent, bias, initial, mask, scale = self.operands(types)
        units = recurrent.shape[-2] if recurrent.rank > 1 else 0
        if x.rank < 3 or not x.is_float or not isinstance(units, int) or x.shape[-1] != self.gates * units:
            raise IRError(f"the projected input must be [time, batch, {self.gates} * {units}], got {x}")
        length, *groups, batch, width = x.shape
        if self.unroll and not isinstance(length, int):
            raise IRError(f"cannot unroll over the symbolic number of steps {length}")
        state = (*groups, batch, units)
        shapes = {"recurrent": (*groups, units, width), "bias": (*groups, width), "scale": state}
        given = {"recurrent": recurrent, "bias": bias, "scale": scale}
        for index, type in enumerate(initial):
            shapes[f"state {index}"], given[f"state {index}"] = state, type
        for name, operand in given.items():
            if operand is not None and not operand.may_be(x.with_shape(shapes[name])):
                raise IRError(f"{name} must be {x.with_shape(shapes[name])}, got {operand}")
        if mask is not None and not mask.may_be(TensorType("bool", (length, *groups, batch))):
            raise IRError(f"the mask must be {TensorType('bool', (length, *groups, batch))}, got {mask}")
        sequence = x.with_shape((length, *state))
        return self.chosen((sequence, *initial, *([sequence] * len(self.stashed()))))

    def chosen(self, results: Sequence[T]) -> tuple[T, ...]:
        """Those of all possible results that the op has."""
        count = 1 + self.states if not self.stash else len(results)
        return tuple(results[0 if self.sequence else 1 : count])

    def stashed(self) -> tuple[str, ...]:
        """The names of what is kept of each step for its gradient, each ``[T, N, H]``: first ``h`` before the step."""
        return ("h",)

    def pruned(self, used: Sequence[bool]) -> tuple[Op, list[int], list[int]]:
        """As :meth:`RegionOp.pruned`."""
        inputs = 2 + self.has_bias + self.states + self.masked + self.scaled
        first, end = int(self.sequence), self.sequence + self.states
        stash = any(used[end:])
        sequence = self.sequence and (any(used[:first]) or not stash)
        outputs = range(first if not sequence else 0, len(used) if stash else end)
        return replace(self, stash=stash, sequence=sequence), list(range(inputs)), list(outputs)

    # ---- lowering: the loop written as values

    def step(
        self, operands: Operands[Value], states: Sequence[Value], x: Value
    ) -> tuple[Sequence[Value], Sequence[Value]]:
        """The next states, and the stash without ``h``, given the (scaled) states and a slice of ``projected``."""
        raise NotImplementedError(type(self).__name__)

    def expanded(self, inputs: Sequence[Value]) -> tuple[Value, ...]:
        """The results as values of other ops: a scan, or straight-line code."""
        operands = self.operands(inputs)
        sequences = [operands.projected]
        if operands.mask is not None:
            sequences.append(expand_dims(operands.mask, -1))

        def step(states: Sequence[Value], slices: Sequence[Value]) -> Step:
            after, stash = self.step(operands, [scaled(operands, states[0]), *states[1:]], slices[0])
            if operands.mask is not None:
                after = [where(slices[1], new, old) for new, old in zip(after, states, strict=True)]
            stacked = [*after[:1], *([states[0], *stash] if self.stash else [])]
            return after, stacked if self.sequence else stacked[1:]

        finals, stacked = loop(step, operands.initial, sequences, self.reverse, self.unroll)
        return (*stacked[: self.sequence], *finals, *stacked[self.sequence :])

    def flops(self, node: Node, size: Size) -> int:
        """Each step multiplies the states with the recurrent kernel, and does some work on the gates."""
        return (2 * size(node.inputs[1].shape[-2]) + 4) * node.inputs[0].type.elements(size)

    def lower(self, b: Builder, node: Node, *names: str) -> tuple[str, ...]:
        inputs = [input_value(f"operand_{i}", value.dtype, value.shape) for i, value in enumerate(node.inputs)]
        return b.inline(Graph(inputs, self.expanded(inputs)), names)


Step = tuple[Sequence[Value], Sequence[Value]]


def loop(
    step: Callable[[Sequence[Value], Sequence[Value]], Step],
    states: Sequence[Value],
    sequences: Sequence[Value],
    reverse: bool,
    unroll: bool,
    differentiable: bool = False,
) -> tuple[tuple[Value, ...], tuple[Value, ...]]:
    """The last states, and the stacked values that ``step(states, slices)`` gives after the next states.

    Unless ``differentiable``, a scan does not store the states for its own gradient.
    """
    if not unroll:
        count = len(states)
        finals, stacked = scan(lambda *args: step(args[:count], args[count:]), states, sequences, reverse=reverse)
        if differentiable:
            return finals, stacked
        node = finals[0].node
        assert isinstance(node.op, Scan)
        op, kept, results = node.op.pruned([i < count + len(stacked) for i in range(len(node.outputs))])
        assert results == list(range(count + len(stacked)))
        outputs = make_node(op, *(node.inputs[i] for i in kept)).outputs
        return outputs[:count], outputs[count:]
    length = sequences[0].shape[0]
    assert isinstance(length, int)
    parts = [[squeeze(part, 0) for part in split(value, [1] * length, 0)] for value in sequences]
    collected: list[Sequence[Value]] = [()] * length
    for t in reversed(range(length)) if reverse else range(length):
        states, collected[t] = step(states, [slices[t] for slices in parts])
    return tuple(states), tuple(stack(values, 0) for values in zip(*collected, strict=True))


# ---- parts of gradients


def product(x: Value, y: Value, transpose_x: bool = False, transpose_y: bool = False) -> Value:
    """The product of the matrices on the last axes; leading axes are a batch."""
    return apply(MatMul(transpose_x, transpose_y), x, y)


def weight_gradient(x: Value, g: Value) -> Value:
    """The gradient of ``w`` in ``x[t] @ w`` for all t: one product over time and batch."""
    groups = list(range(1, x.rank - 2))
    axes = [0, x.rank - 2]
    return dot_general(x, g, (axes, axes), (groups, groups))


BackwardStep = Callable[[Value, Sequence[Value], Mapping[str, Value]], tuple[Value, Sequence[Value], Sequence[Value]]]


def backward(
    op: Recurrence,
    operands: Operands[Value],
    outputs: Sequence[Value],
    grads: Gradients,
    step: BackwardStep,
) -> tuple[list[Value | None], tuple[Value, ...], Value]:
    """The loop of a gradient.

    The elementwise work on the stash stays in the loop: slices are in the cache there.

    Args:
        op: what is differentiated.
        operands: its operands.
        outputs: its results.
        grads: their gradients.
        step: given the gradient of ``h`` after a step (0 where the mask is false), those of the other states, and by
            name slices of ``ys``, the stash, of the gradients of the stash (``"i'"`` of ``"i"``) and of ``mask`` (1 or
            0, with an axis for the units); returns the gradient of the (scaled) ``h`` with which the step starts, the
            gradients of the other states before it, and values to stack.

    Returns:
        The gradients of the operands from the initial states on; the stacked values; the ``h`` with which the steps
        started.

    Raises:
        IRError: what was stashed has been pruned.
    """
    if not (op.stash and op.sequence):
        raise IRError(f"{op.name}: what the gradient needs was pruned; differentiate before that pass")
    count = 1 + op.states
    given: dict[str, Value | None] = {"ys": outputs[0], "ys'": grads[0]}
    for name, value, g in zip(op.stashed(), outputs[count:], grads[count:], strict=True):
        given |= {name: value, f"{name}'": g}
    if operands.mask is not None:
        given["mask"] = expand_dims(cast(operands.mask, outputs[0].dtype), -1)
    there = {name: value for name, value in given.items() if value is not None}

    def whole(states: Sequence[Value], slices: Sequence[Value]) -> Step:
        at = dict(zip(there, slices, strict=True))
        total = plus(states[0], at.get("ys'"))
        g_h = mul(total, at["mask"]) if "mask" in at else total
        started, others, stacked = step(g_h, states[1:], {**at, "h": scaled(operands, at["h"])})
        back = plus(scaled(operands, started), at.get("h'"))
        if "mask" in at:
            back = add(back, sub(total, g_h))
        return (back, *others), stacked if operands.scale is None else (*stacked, started)

    last = [zeros_of(x.type) if g is None else g for x, g in zip(operands.initial, grads[1:], strict=False)]
    finals, stacked = loop(whole, last, list(there.values()), not op.reverse, op.unroll, differentiable=True)
    result: list[Value | None] = [*finals]
    if operands.mask is not None:
        result.append(None)
    if operands.scale is not None:
        result.append(reduce_sum(mul(there["h"], stacked[-1]), 0))
        stacked = stacked[:-1]
    return result, stacked, scaled(operands, there["h"])


def parameter_gradients(operands: Operands[Value], h: Value, g: Value) -> list[Value]:
    """The gradients of the recurrent kernel and bias, given those of all ``h @ recurrent + bias``."""
    bias = [] if operands.bias is None else [reduce_sum(g, [0, g.rank - 2])]
    return [weight_gradient(h, g), *bias]


def with_bias(operands: Operands[Value], products: Value) -> Value:
    """``products`` plus the recurrent bias, if there is one."""
    return products if operands.bias is None else add(products, expand_dims(operands.bias, -2))


def scaled(operands: Operands[Value], h: Value) -> Value:
    """``h`` times the scale, if there is one."""
    return h if operands.scale is None else mul(h, operands.scale)


def plus(x: Value, y: Value | None) -> Value:
    """``x + y``; ``x`` if there is no ``y``."""
    return x if y is None else add(x, y)


__all__ = [
    "BackwardStep", "Operands", "Recurrence", "Step", "backward", "loop", "parameter_gradients", "plus", "product",
    "weight_gradient", "with_bias",
]  # fmt: skip
