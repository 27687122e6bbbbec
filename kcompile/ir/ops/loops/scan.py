"""Iteration over axis 0, with states: ``scan``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from kcompile.ir.core import (
    Array,
    Builder,
    Gradients,
    Graph,
    Node,
    Op,
    Value,
    apply_multi,
)
from kcompile.ir.dims import Dim
from kcompile.ir.errors import IRError
from kcompile.ir.ops.elementwise.functions import add
from kcompile.ir.ops.loops.regions import (
    Differentiate,
    RegionOp,
    close_region,
    listed_types,
    needed_by,
    region_input,
    region_types,
    run_region,
    zeros_of,
)
from kcompile.ir.ops.shapes.sizes import iota
from kcompile.ir.rebuilding import inline
from kcompile.ir.types import TensorType, same_dim, tensor_type


@dataclass(frozen=True)
class Scan(RegionOp):
    """A loop over axis 0 of some operands.

    The operands are the initial ``states``, the ``sequences``, and values that every step uses. The inputs of
    ``body`` are the states, one slice of each sequence, and those values; its outputs are the next states and
    what is stacked along a new axis 0. Results: the last states, the stacked values. With ``reverse`` the
    steps run from the last slice to the first; stacked values stay at the place of their slice.

    The states are also stacked as they come in: from them the gradient recomputes each step. The pass
    ``prune`` drops them again where no gradient asks for them. ONNX Runtime needs at least one step.
    """

    body: Graph
    states: int
    sequences: int
    reverse: bool

    @property
    def regions(self) -> tuple[Graph, ...]:
        return (self.body,)

    def infer(self, *types: TensorType) -> tuple[TensorType, ...]:
        if len(types) != len(self.body.inputs):
            raise IRError(f"the body takes {len(self.body.inputs)} values, got {len(types)}")
        sequences = types[self.states : self.states + self.sequences]
        if not sequences or any(type.rank == 0 for type in sequences):
            raise IRError(f"needs sequences with an axis to iterate over, got {listed_types(sequences)}")
        length = sequences[0].shape[0]
        for type in sequences:
            if not same_dim(type.shape[0], length):
                raise IRError(f"the sequences have different lengths: {listed_types(sequences)}")
            length = length if isinstance(length, int) else type.shape[0]
        slices = [type.with_shape(type.shape[1:]) for type in sequences]
        initial, rest = types[: self.states], types[self.states + self.sequences :]
        results = region_types(self.body, [*initial, *slices, *rest])
        for index, (before, after) in enumerate(zip(initial, results, strict=False)):
            if not after.may_be(before):
                raise IRError(f"state {index} is {before} before a step and {after} after it; its type must stay")
        stacked = [type.with_shape((length, *type.shape)) for type in results[self.states :]]
        return (*initial, *stacked)

    def evaluate(self, *arrays: Array) -> tuple[Array, ...]:
        first, end = self.states, self.states + self.sequences
        states, sequences, rest = arrays[:first], arrays[first:end], arrays[end:]
        types = self.infer(*(tensor_type(array.dtype, array.shape) for array in arrays))
        stacked = [np.empty(type.static_shape, type.dtype) for type in types[first:]]
        steps = range(len(sequences[0]))
        for step in reversed(steps) if self.reverse else steps:
            results = run_region(self.body, (*states, *(sequence[step] for sequence in sequences), *rest))
            states = results[:first]
            for collected, array in zip(stacked, results[first:], strict=True):
                collected[step] = array
        return (*states, *stacked)

    def lower(self, b: Builder, node: Node, *names: str) -> tuple[str, ...]:
        own = self.states + self.sequences
        body = b.subgraph(self.body, [None] * own + list(names[own:]))
        stacked = len(node.outputs) - self.states
        return b.multi(
            "Scan",
            *names[:own],
            outputs=len(node.outputs),
            body=body,
            num_scan_inputs=self.sequences,
            scan_input_directions=[1] * self.sequences if self.reverse else None,
            scan_output_directions=[1] * stacked if self.reverse and stacked else None,
        )

    def region_vjp(
        self,
        differentiate: Differentiate,
        inputs: Sequence[Value],
        outputs: Sequence[Value],
        grads: Gradients,
    ) -> Gradients:
        own = self.states + self.sequences
        results = list(self.body.outputs.values())
        # The step again, on the states that came in; its inputs are those of the backward step.
        again = [region_input(f"forward_{i}", value.type) for i, value in enumerate(self.body.inputs)]
        primal = inline(self.body, again)
        loops = [Loop(again[self.states + i], inputs[self.states + i]) for i in range(self.sequences)]
        for i in range(self.states):
            if self.body.inputs[i] not in results[self.states :]:
                raise IRError("scan: the states of each step were pruned; differentiate before that pass")
            saved = results.index(self.body.inputs[i], self.states)
            loops.append(Loop(again[i], outputs[saved]))

        reached, seeds, states = [], [], []
        for i, (value, g) in enumerate(zip(primal, grads, strict=True)):
            if i < self.states and value.type.is_float:
                total = region_input(f"gradient_{i}", again[i].type)
                initial = g if g is not None else zeros_of(inputs[i].type)
                states.append(State(total, initial, total))
                reached.append(value)
                seeds.append(total)
            elif i >= self.states and g is not None:
                slice_type = g.type.with_shape(g.shape[1:])
                seed = region_input(f"gradient_{i}", slice_type)
                loops.append(Loop(seed, g))
                reached.append(value)
                seeds.append(seed)
        smooth = [i for i, value in enumerate(again) if value.type.is_float]
        found = dict(zip(smooth, differentiate(reached, [again[i] for i in smooth], seeds), strict=True))

        moving = [i for i in range(self.states) if again[i].type.is_float]
        for state, i in zip(states, moving, strict=True):
            g = found[i]
            state.after = zeros_of(again[i].type) if g is None else g
        sequences = [i for i in range(self.states, own) if found.get(i) is not None]
        shared = [i for i in range(own, len(inputs)) if found.get(i) is not None]
        for i in shared:
            total = region_input(f"total_{i}", again[i].type)
            g = found[i]
            assert g is not None
            states.append(State(total, zeros_of(inputs[i].type), add(total, g)))
        stacked = [g for i in sequences if (g := found[i]) is not None]
        finals, slices = close_scan(
            states, loops, stacked, not self.reverse, dict(zip(again[own:], inputs[own:], strict=True))
        )
        result: list[Value | None] = [None] * len(inputs)
        for i, g in zip([*moving, *shared], finals, strict=True):
            result[i] = g
        for i, g in zip(sequences, slices, strict=True):
            result[i] = g
        return result

    def pruned(self, used: Sequence[bool]) -> tuple[Op, list[int], list[int]]:
        results = list(self.body.outputs.values())
        outputs = [i for i, wanted in enumerate(used) if wanted]
        while True:
            needed = needed_by([results[i] for i in outputs])
            more = [i for i in range(self.states) if i not in outputs and self.body.inputs[i] in needed]
            if not more:
                break
            outputs = sorted(outputs + more)
        states = [i for i in outputs if i < self.states]
        own = self.states + self.sequences
        sequences = [i for i in range(self.states, own) if self.body.inputs[i] in needed] or [self.states]
        shared = [i for i in range(own, len(self.body.inputs)) if self.body.inputs[i] in needed]
        inputs = [*states, *sequences, *shared]
        names = list(self.body.outputs)
        body = Graph(
            [self.body.inputs[i] for i in inputs],
            {names[i]: results[i] for i in outputs},
            name=self.body.name,
        )
        return Scan(body, len(states), len(sequences), self.reverse), inputs, outputs


def scan(
    body_fn: Callable[..., tuple[Sequence[Value], Sequence[Value]]],
    init: Sequence[Value],
    xs: Sequence[Value] = (),
    consts: Sequence[Value] = (),
    reverse: bool = False,
    length: Dim | None = None,
) -> tuple[tuple[Value, ...], tuple[Value, ...]]:
    """Iterate over axis 0 of ``xs``, carrying states.

    Args:
        body_fn: called once, with the states, one slice of each of ``xs``, and ``consts``, as separate
            arguments; returns the next states and the values to stack. It may use any value from outside.
        init: the initial states; a state keeps its type.
        xs: values of the same size along axis 0, possibly symbolic.
        consts: values that each step sees whole.
        reverse: from the last slice to the first; stacked values stay at the place of their slice.
        length: the number of steps, needed if ``xs`` is empty.

    Returns:
        the last states and the stacked values.

    Raises:
        IRError: a state changes its type, lengths differ, or there is nothing to iterate over.
    """
    if not xs:
        if length is None:
            raise IRError("scan has no sequence to iterate over; give xs or a length")
        loops = [Loop(region_input("step", TensorType("int64", ())), iota(length))]
        slices: list[Value] = []
    else:
        loops = [Loop(_slice_input(f"slice_{i}", value), value) for i, value in enumerate(xs)]
        slices = [loop.slice for loop in loops]
    before = [region_input(f"state_{i}", value.type) for i, value in enumerate(init)]
    shared = [region_input(f"constant_{i}", value.type) for i, value in enumerate(consts)]
    after, stacked = body_fn(*before, *slices, *shared)
    if len(after) != len(init):
        raise IRError(f"scan starts with {len(init)} states, but its body returns {len(after)}")
    states = [State(*parts) for parts in zip(before, init, after, strict=True)]
    captured = dict(zip(shared, consts, strict=True))
    return close_scan(states, loops, stacked, reverse, captured)


@dataclass
class State:
    """A state of a loop to be made: inside before and after a step, and outside what it starts with."""

    before: Value
    initial: Value
    after: Value


@dataclass
class Loop:
    """A sequence that a loop to be made goes through, and its slice inside."""

    slice: Value
    sequence: Value


def close_scan(
    states: Sequence[State],
    loops: Sequence[Loop],
    stacked: Sequence[Value],
    reverse: bool,
    shared: dict[Value, Value],
) -> tuple[tuple[Value, ...], tuple[Value, ...]]:
    """The last states and the stacked values; ``shared`` maps inputs of the body to values from outside."""
    kept = [*stacked, *(state.before for state in states)]
    own = [*(state.before for state in states), *(loop.slice for loop in loops)]
    captured, (after, collected) = close_region([*own, *shared], [state.after for state in states], kept)
    outputs = {f"next_{i}": value for i, value in enumerate(after)}
    outputs |= {f"stacked_{i}": value for i, value in enumerate(collected)}
    body = Graph([*own, *shared, *captured.values()], outputs, name="body")
    op = Scan(body, len(states), len(loops), reverse)
    operands = [
        *(state.initial for state in states),
        *(loop.sequence for loop in loops),
        *shared.values(),
        *captured,
    ]
    results = apply_multi(op, *operands)
    return results[: len(states)], results[len(states) : len(states) + len(stacked)]


def _slice_input(label: str, sequence: Value) -> Value:
    if sequence.rank == 0:
        raise IRError(f"scan iterates over axis 0, but {sequence} has no axes")
    return region_input(label, sequence.type.with_shape(sequence.shape[1:]))
