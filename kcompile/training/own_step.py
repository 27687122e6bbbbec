"""Steps of a user's own: ``train_step``, ``test_step`` and what they are made of, traced into a step graph."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from kcompile import ir
from kcompile.backend import math as tensor_math
from kcompile.common.errors import DataTypeError, KCompileError, shown
from kcompile.data.free_data import Form
from kcompile.engine.inference_graph import without_idle_counters
from kcompile.engine.traced_calls import calls_in
from kcompile.ir.ops.elementwise import functions as elementwise
from kcompile.ir.substitution import Resolver
from kcompile.symbolic.functions import build_graph
from kcompile.symbolic.step_trace import Assigned, StepTrace
from kcompile.symbolic.tensor import Tensor, as_tensor
from kcompile.symbolic.variable import placeholder, variables_made
from kcompile.training.compilation import switches
from kcompile.training.plan import TrainingPlan
from kcompile.training.step import Step
from kcompile.training.step_graph import with_update_sum

if TYPE_CHECKING:
    from kcompile.passes.machinery.report import Report


class OwnStep:
    """The graph of ``train_step`` or ``test_step`` for data of one form.

    Args:
        plan: that of the model whose step it is.
        training: whether it is ``train_step``.
        form: what the data look like.

    Attributes:
        names: of the logs, in their order.
    """

    def __init__(self, plan: TrainingPlan, training: bool, form: Form) -> None:
        self.plan = plan
        self.model = model = plan.model
        self.training = training
        self.name = "train_step" if training else "test_step"
        self.feeds = [placeholder(shape=leaf.shape, dtype=leaf.dtype, name=leaf.name) for leaf in form.leaves()]
        function = model.train_step if training else model.test_step
        self.trace, self.logs = settled(
            f"{self.name} of model {model.name!r}", lambda: self._run(function, form), lambda logs: list(logs.values())
        )
        self.names = tuple(self.logs)
        objectives = [tensor_math.mean(x) if x.ndim else x for x in self.trace.objectives]
        self.objective = functools.reduce(lambda a, b: a + b, objectives) if objectives else as_tensor(0.0)

    def _run(self, function: Callable[[Any], Any], form: Form) -> tuple[StepTrace, dict[str, Tensor]]:
        return traced(self.plan, self.name, function, form.filled(self.feeds), lambda found: self._checked(found, ""))

    def _checked(self, logs: Any, prefix: str) -> dict[str, Tensor]:
        owner = f"{self.name} of model {self.model.name!r}"
        if not isinstance(logs, Mapping):
            raise DataTypeError(f"{owner} must return a dictionary of logs, as {{'loss': loss}}, got {shown(logs)}")
        found: dict[str, Tensor] = {}
        for key, value in logs.items():
            if isinstance(value, Mapping):
                found.update(self._checked(value, f"{prefix}{key}_"))
                continue
            try:
                x = as_tensor(value)
            except (TypeError, ValueError) as error:
                raise DataTypeError(f"{owner}: log {key!r} must be a number or a tensor, got {shown(value)}") from error
            x = Tensor(elementwise.cast(x.value, "float32")) if x.value.type.is_float or x.dtype == "bool" else x
            found[f"{prefix}{key}"] = tensor_math.mean(x) if x.ndim else x
        return found

    def compile(self) -> Step:
        """The compiled step; its outputs are the sum of what was differentiated, and the logs."""
        from kcompile.passes.machinery.report import Report
        from kcompile.passes.pipelines import INFERENCE, TRAINING

        report = Report()
        graph = self._graph({"objective": self.objective, **self._outputs()}, report)
        if self.training and self.model.on_nan == "raise":
            weights = [v for v in self.trace.updates if v.variable.role == "weight"]
            graph = with_update_sum(graph, weights)
        step = Step(graph, TRAINING if self.training else INFERENCE, report, fixed=self.training)
        step.log_names = self.names
        return step

    def optimized(self) -> ir.Graph:
        """The step as an optimized graph whose outputs are the logs."""
        from kcompile.passes.pipelines import INFERENCE, TRAINING, run_pipeline

        return run_pipeline(self.whole(), TRAINING if self.training else INFERENCE)

    def whole(self, report: Report | None = None) -> ir.Graph:
        """The step with its gradients and updates, its forward part optimized; its outputs are the logs."""
        return self._graph(self._outputs(), report)

    def plain(self) -> ir.Graph:
        """The logs as they are computed, before any optimization."""
        final = self.trace.plain()
        outputs = self._outputs()
        values = [Tensor(value) for value in final.resolved([x.value for x in outputs.values()])]
        return build_graph(self.feeds, values, (), "forward", list(outputs), counter=self.plan.random_counter.value)

    def _outputs(self) -> dict[str, Tensor]:
        taken = {"objective", *(x.value.op.label for x in self.feeds if isinstance(x.value.op, ir.Input))}
        names: dict[str, Tensor] = {}
        for name, value in self.logs.items():
            while name in taken or name in names:
                name += "_log"
            names[name] = value
        return names

    def _graph(self, outputs: Mapping[str, Tensor], report: Report | None) -> ir.Graph:
        graph = closed_graph(self.plan, self.trace, self.feeds, outputs, self.training, self.name, report)
        return graph if self.training else without_idle_counters(graph)


def settled(
    owner: str, run: Callable[[], tuple[StepTrace, Any]], tensors: Callable[[Any], Sequence[Tensor]]
) -> tuple[StepTrace, Any]:
    """The trace once everything is built, and what the code returned; two runs must do the same, or steps would differ.

    Raises:
        ValueError: they do not: the code draws numbers from NumPy, or counts in Python.
    """
    made = variables_made()
    first = run()
    if variables_made() != made:  # layers, the state of optimizers: they are there from now on
        made = variables_made()
        first = run()
    if variables_made() != made:
        raise KCompileError(
            f"{owner} makes layers or other things with variables in every run of its code; make them in __init__"
        )
    second = run()
    if first[0].signature(tensors(first[1])) != second[0].signature(tensors(second[1])):
        raise KCompileError(
            f"{owner} is traced once for all batches, but its code does not do the same in every run: draw random "
            "numbers by K.random_normal and its kin (not np.random), count in a variable with assign_add (not in "
            "Python), and choose with K.switch"
        )
    return second


def traced(
    plan: TrainingPlan, name: str, function: Callable[[Any], Any], data: Any, finish: Callable[[Any], Any]
) -> tuple[StepTrace, Any]:
    """Run a step's code on symbolic data: what it did, and ``finish`` of what it returned."""
    model, trace = plan.model, StepTrace(plan)
    try:
        with trace.running():
            result = finish(function(data))
    except Exception as error:
        if isinstance(error, ir.IRError):
            raise KCompileError(f"{name} of model {model.name!r} cannot be computed: {error}") from error
        error.add_note(
            f"Raised in {name} of model {model.name!r}, which is traced once on symbolic tensors; it may use layers, "
            "K functions, GradientTape, optimizers and metrics."
        )
        raise
    return trace, result


def closed_graph(
    plan: TrainingPlan,
    trace: StepTrace,
    feeds: Sequence[Tensor],
    outputs: Mapping[str, Tensor],
    training: bool,
    name: str,
    report: Report | None = None,
) -> ir.Graph:
    """The graph of a trace: its forward part optimized, gradients taken of that, assignments put in place."""
    from kcompile.passes.pipelines import FORWARD_INFERENCE, FORWARD_TRAINING, run_pipeline

    # 1. Everything that the definitions need becomes an output, their leaves inputs.
    wanted: list[ir.Value] = []
    leaves: list[ir.Value] = []
    for definition in trace.definitions:
        if isinstance(definition, Assigned):
            wanted.append(definition.value)
            leaves.append(definition.leaf)
        else:
            wanted += [*definition.targets, *(definition.seeds or [])]
            leaves += definition.leaves
    fixed = switches(plan.model)
    for layer in calls_in(trace).called:
        fixed.update(switches(layer))
    results = [*outputs.values(), *map(Tensor, wanted)]
    graph = build_graph(
        [*feeds, *map(Tensor, leaves)], results, (), name, [f"result_{i}" for i in range(len(results))],
        [_label(value) for value in (*(x.value for x in feeds), *leaves)],
        counter=plan.random_counter.value, fixed=fixed,
    )  # fmt: skip
    graph = run_pipeline(graph, FORWARD_TRAINING if training else FORWARD_INFERENCE, report=report)
    found = iter(graph.outputs.values())
    values = [next(found) for _ in outputs]
    inputs = dict(zip([*(x.value for x in feeds), *leaves], graph.inputs, strict=True))
    # 2. Gradients, with what was assigned still standing for itself: gradients stop there.
    gradients = _gradients(trace, list(found), inputs)
    # 3. What was assigned, in order.
    final = gradients.then()
    for definition, parts in zip(trace.definitions, gradients.parts, strict=True):
        if isinstance(definition, Assigned):
            final.define(inputs[definition.leaf], final.resolved(parts)[0])
    updates = {v.variable: final.resolved([inputs[leaf]])[0] for v, leaf in trace.updates.items()}
    results_now = final.resolved(gradients.resolver.resolved(values))
    counters = dict(zip(graph.updates, final.resolved(list(graph.updates.values())), strict=True))
    return ir.Graph(
        graph.inputs[: len(feeds)], dict(zip(outputs, results_now, strict=True)), {**counters, **updates}, name
    )


def _label(value: ir.Value) -> str:
    assert isinstance(value.op, ir.Input)
    return value.op.label


class _Taken:
    """Gradients that were taken: ``parts`` of each definition, with gradients in the place of their leaves."""

    def __init__(self) -> None:
        self.resolver = Resolver()
        self.parts: list[list[ir.Value]] = []

    def then(self) -> Resolver:
        """A resolver for what comes after."""
        return Resolver()


def _gradients(trace: StepTrace, found: list[ir.Value], inputs: dict[ir.Value, ir.Value]) -> _Taken:
    from kcompile.passes.autodiff import gradients as differentiate

    taken = _Taken()
    waiting = iter(found)
    for definition in trace.definitions:
        if isinstance(definition, Assigned):
            taken.parts.append(taken.resolver.resolved([next(waiting)]))
            continue
        taken.parts.append([])
        targets = taken.resolver.resolved([next(waiting) for _ in definition.targets])
        seeds = None
        if definition.seeds is not None:
            seeds = taken.resolver.resolved([next(waiting) for _ in definition.seeds])
        wrt = [inputs.get(value, value) for value in definition.wrt]
        with ir.scope("gradients"):
            for leaf, g in zip(definition.leaves, differentiate(targets, wrt, seeds), strict=True):
                zero = ir.constant(np.zeros(leaf.type.static_shape), leaf.dtype)  # what folding showed to be constant
                taken.resolver.define(inputs[leaf], zero if g is None else g)
    return taken
