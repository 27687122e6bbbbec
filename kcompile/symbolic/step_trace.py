"""A step of a user's own (``train_step``), run once on symbolic tensors: what it reads, assigns and differentiates.

Eager code sees a variable's new value as soon as it is assigned. Here an assignment makes a leaf that stands for the
new value in everything that is read later; the leaves are replaced by what they stand for when the step is finished.
So a step may train one network, and then another through it. Gradients are leaves too: they are taken of the optimized
forward graph, as those of the built-in step are.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from kcompile import ir
from kcompile.common import config
from kcompile.common.errors import ShapeError
from kcompile.ir.ops.elementwise import functions as elementwise
from kcompile.ir.substitution import Resolver
from kcompile.passes.autodiff import gradients as differentiate
from kcompile.symbolic.choice import chosen
from kcompile.symbolic.tensor import Tensor, as_tensor
from kcompile.symbolic.trace import current_trace, tracing
from kcompile.symbolic.variable import Variable


class Seeded(Protocol):
    """Whose step it is: a model, which keeps the first seed that its step drew."""

    step_seed: int | None


@dataclass(frozen=True)
class Assigned:
    """``leaf`` stands for ``value``, but is a constant to gradients."""

    leaf: ir.Value
    value: ir.Value


@dataclass(frozen=True)
class Differentiated:
    """Each of ``leaves`` stands for the gradient of ``targets`` with respect to one of ``wrt``."""

    targets: list[ir.Value]
    seeds: list[ir.Value] | None
    leaves: list[ir.Value]
    wrt: list[ir.Value]


Recorded = Callable[[ir.Node], bool]


@dataclass
class StepTrace:
    """What one run of a step's code did, in order.

    Attributes:
        owner: the model whose step it is, if it is one's.
        definitions: what its leaves stand for.
        objectives: what gradients were taken of.
        calls: the calls of layers, for those who note them (:mod:`kcompile.engine.notes`).
    """

    owner: Seeded | None = None
    definitions: list[Assigned | Differentiated] = field(default_factory=list)
    objectives: list[Tensor] = field(default_factory=list)
    calls: Any = None

    def __post_init__(self) -> None:
        self._now: dict[Variable, ir.Value] = {}
        self._earlier: dict[Variable, list[ir.Value]] = {}
        self._gradients = Resolver()  # what gradients' leaves stand for, before any optimization
        self._count = 0
        self._drawn: dict[Any, int] = {}  # how many seeds of each stream
        self.at_end = contextlib.ExitStack()
        """What to do when :meth:`running` ends."""

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Inside, code is traced."""
        with self.at_end, tracing(self), config.phase_of_context(0):
            yield

    # -- variables

    def read(self, variable: Variable) -> ir.Value | None:
        """What stands for the variable now; ``None``: nothing was assigned to it."""
        return self._now.get(variable)

    def append(self, pair: tuple[Variable, Any], /) -> None:
        """Assign: from now on, the variable is that value."""
        variable, value = pair
        new = elementwise.cast(as_tensor(value).value, variable.dtype)
        if new is variable.value:
            return
        if new.shape != variable.leaf.shape:
            raise ShapeError(
                f"variable {variable.label!r} has shape {tuple(variable.shape)}; got a value of shape "
                f"{tuple(Tensor(new).shape)}"
            )
        self._earlier.setdefault(variable, [variable.leaf])
        leaf = self._leaf(f"{variable.label}_assigned", new)
        self.definitions.append(Assigned(leaf, new))
        self._earlier[variable].append(leaf)
        self._now[variable] = leaf

    @property
    def updates(self) -> dict[Variable, ir.Value]:
        """The last value of each variable that was assigned."""
        return dict(self._now)

    def expressions(self, leaves: Sequence[ir.Value]) -> list[ir.Value]:
        """What gradients' leaves stand for, before any optimization."""
        return self._gradients.resolved(leaves)

    def plain(self) -> Resolver:
        """Replaces all leaves by what they stand for, without any optimization."""
        final = Resolver()
        for definition in self.definitions:
            if isinstance(definition, Assigned):
                final.define(definition.leaf, final.resolved([definition.value])[0])
            else:
                for leaf, expression in zip(definition.leaves, self.expressions(definition.leaves), strict=True):
                    final.define(leaf, final.resolved([expression])[0])
        return final

    def signature(self, results: Sequence[Tensor]) -> list[Any]:
        """What two runs of the same code have in common: its operations, and the numbers in them."""
        values = [x.value for x in results]
        for definition in self.definitions:
            values += [definition.value] if isinstance(definition, Assigned) else definition.targets
        found: list[Any] = []
        for node in ir.toposort(values):
            array = ir.constant_of(node.outputs[0])
            found.append(node.op.name if array is None else (array.dtype.str, array.shape, array.tobytes()))
        return [*found, *(variable.label for variable in self._now)]

    def branch(self, condition: Any, then: Callable[[], Any], otherwise: Callable[[], Any]) -> Any:
        """Run both; what they return and assign is joined by the condition."""
        before = dict(self._now)
        results, ends = [], []
        for function in (then, otherwise):
            self._now = dict(before)
            results.append(function())
            ends.append(self._now)
        self._now = before
        for variable in dict.fromkeys([*ends[0], *ends[1]]):
            first, second = (end.get(variable, variable.leaf) for end in ends)
            if first is not second:
                self.append((variable, chosen(condition, Tensor(first), Tensor(second))))
        if any(result is None or isinstance(result, (list, tuple, dict)) for result in results):
            return None
        return chosen(condition, *results)

    def seed(self, of: Any = None) -> int:
        """The next seed: the same in every run of the code, in this process and in the one that reads a file."""
        first = self.owner.step_seed if of is None and self.owner is not None else getattr(of, "first", None)
        if first is None:
            first = config.draw_seed()
            if self.owner is not None:
                self.owner.step_seed = first
        count = self._drawn.get(of, 0)
        self._drawn[of] = count + 1
        return config.seed_after(first, count)

    # -- gradients

    def gradients(
        self,
        targets: Sequence[Tensor],
        sources: Sequence[Tensor],
        output_gradients: Sequence[Tensor] | None = None,
        recorded: Recorded | None = None,
    ) -> list[Tensor | None]:
        """The gradients of the sum of ``targets``; ``None`` where they do not depend on a source.

        Args:
            targets: floating point tensors.
            sources: variables or other tensors.
            output_gradients: the gradient of each target, default ones.
            recorded: which nodes gradients go through, default all.
        """
        stands_for = [self._earlier.get(x, [x.leaf]) if isinstance(x, Variable) else [x.value] for x in sources]
        wrt = [value for values in stands_for for value in values]
        losses = [x.value for x in targets]
        if recorded is not None:
            losses = self._without_unrecorded(losses, set(wrt), recorded)
        seeds = None if output_gradients is None else [x.value for x in output_gradients]
        plain = self._gradients.resolved([*losses, *(seeds or [])])
        found = differentiate(plain[: len(losses)], wrt, plain[len(losses) :] if seeds is not None else None)
        request = Differentiated(losses, seeds, [], [])
        results: list[Tensor | None] = []
        expressions = iter(found)
        for x, values in zip(sources, stands_for, strict=True):
            total: Tensor | None = None
            for value, expression in zip(values, expressions, strict=False):
                if expression is None:
                    continue
                part = Tensor(expression)
                if isinstance(x, Variable):
                    part = Tensor(self._leaf(f"{x.label}_gradient", expression))
                    self._gradients.define(part.value, expression)
                    request.leaves.append(part.value)
                    request.wrt.append(value)
                total = part if total is None else total + part
            results.append(total)
        if request.leaves:
            self.definitions.append(request)
        self.objectives += targets
        return results

    def _without_unrecorded(self, losses: list[ir.Value], wrt: set[ir.Value], recorded: Recorded) -> list[ir.Value]:
        """The losses as functions of what was computed outside of the recording, which is taken for constant."""
        frontier: dict[ir.Value, None] = {}
        seen: set[ir.Value] = set()
        waiting = list(losses)
        while waiting:
            value = waiting.pop()
            if value in seen or value in wrt:
                continue
            seen.add(value)
            if recorded(value.node):
                waiting += value.node.inputs
            elif value.node.inputs:
                frontier[value] = None
        reached = set(wrt)
        for node in ir.toposort(self._gradients.resolved(list(frontier))):
            if any(value in reached for value in node.inputs):
                reached.update(node.outputs)
        cut = Resolver()
        for value in frontier:
            if self._gradients.resolved([value])[0] in reached:
                leaf = self._leaf("not_recorded", value)
                self.definitions.append(Assigned(leaf, value))
                cut.define(value, leaf)
        return cut.resolved(losses)

    def _leaf(self, label: str, like: ir.Value) -> ir.Value:
        self._count += 1
        return ir.input_value(f"{label}_{self._count}", like.dtype, like.shape)


def current_step() -> StepTrace | None:
    """The step that is being traced in this context, if any."""
    trace = current_trace()
    return trace if isinstance(trace, StepTrace) else None


def updates_of(function: Callable[[], Any]) -> list[tuple[Variable, Tensor]]:
    """What code assigns to variables, as functions of the values before."""
    trace = StepTrace()
    with trace.running():
        function()
    final = trace.plain()
    return [(v, Tensor(final.resolved([value])[0])) for v, value in trace.updates.items()]
