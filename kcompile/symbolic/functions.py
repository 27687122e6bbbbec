"""K: compiling functions, evaluating tensors, gradients."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from kcompile import ir
from kcompile.backend.random import own_counter, random_counter
from kcompile.backend.updates import Update
from kcompile.common.errors import DataTypeError, KCompileError, NoNumberError, shown
from kcompile.common.tracebacks import short_traceback
from kcompile.ir.ops.elementwise import functions as e
from kcompile.ir.ops.loops.control import LearningPhase
from kcompile.passes.algebra.specialize import specialize_inference
from kcompile.passes.autodiff import gradients as differentiate
from kcompile.symbolic.tensor import Array, Tensor, as_tensor
from kcompile.symbolic.variable import Variable, current_trace


def gradients(loss: Any, variables: Any) -> list[Tensor | None]:
    """The gradients of the sum of ``loss`` with respect to ``variables`` (one or a list).

    Returns:
        a list of symbolic tensors, also for one variable, as in Keras 2; ``None`` where the loss does not depend on it.
    """
    wrt = list(variables) if isinstance(variables, (list, tuple)) else [variables]
    losses = list(loss) if isinstance(loss, (list, tuple)) else [loss]
    if (trace := current_trace()) is not None:
        return trace.gradients(losses, wrt)
    results = differentiate([x.value for x in losses], [x.value for x in wrt])
    return [None if g is None else Tensor(g) for g in results]


class Function:
    """A compiled function from arrays to arrays; see :func:`function`."""

    def __init__(
        self,
        inputs: Sequence[Any],
        outputs: Any,
        updates: Sequence[Any] = (),
        name: str = "function",
        device: str | None = None,
        drawing_on: bool = True,
    ) -> None:
        from kcompile.passes.pipelines import BOTH, TRAINING
        from kcompile.runtime.executable import Executable

        # Where the learning phase is not among the inputs, it is that of inference, as in Keras.
        given = [x for x in inputs if isinstance(x, Tensor)]
        self._single = not isinstance(outputs, (list, tuple)) or isinstance(outputs, Update)
        wanted = [outputs] if self._single else list(outputs)
        updates = [*updates, *(x for x in wanted if isinstance(x, Update))]
        results = [x.new if isinstance(x, Update) else x for x in wanted]
        graph = specialize_inference(build_graph(given, results, updates, name, counter=own_counter(results, updates)))
        if not drawing_on:
            kept = {variable: value for variable, value in graph.updates.items() if variable.role != "rng"}
            graph = ir.Graph(graph.inputs, graph.outputs, kept, graph.name)
        # A fixed learning phase, as K.learning_phase() then returns it, is fed nowhere.
        self._fed = [isinstance(x, Tensor) for x in inputs]
        self._executable = Executable(graph, (*BOTH, *TRAINING), device=device, keep_portable=True)

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_executable": self._executable.portable}

    def __setstate__(self, state: dict[str, Any]) -> None:
        from kcompile.runtime.executable import Executable

        vars(self).update(state, _executable=Executable(state["_executable"], (), keep_portable=True))

    @property
    def graph(self) -> ir.Graph:
        """The optimized graph."""
        return self._executable.graph

    def report(self) -> Any:
        """What each pass did."""
        return self._executable.report()

    def save(self, path: Any) -> None:
        """Write the compiled ONNX model."""
        self._executable.save(path)

    @short_traceback
    def __call__(self, inputs: Sequence[Any] = ()) -> Any:
        """The outputs for a list of arrays: a list, or one array if one tensor was asked for."""
        if not isinstance(inputs, (list, tuple)):
            raise DataTypeError(f"call a compiled function with a list of arrays, got {type(inputs).__name__}")
        if len(inputs) != len(self._fed):
            raise KCompileError(f"{self.graph.name!r} takes {len(self._fed)} inputs, got {len(inputs)}")
        results = self._executable(*(x for x, fed in zip(inputs, self._fed, strict=True) if fed))
        return results[0] if self._single else results


def function(
    inputs: Sequence[Any], outputs: Any, updates: Sequence[Any] | None = None, name: str = "function", **kwargs: Any
) -> Function:
    """Compile ``outputs`` as a function of ``inputs``; each call also applies ``updates``.

    Args:
        inputs: tensors, also intermediate ones and variables, for which the arrays stand; ``K.learning_phase()`` may be
            among them, also where it is fixed.
        outputs: tensors, a list or one; updates among them are applied too, and give the new value.
        updates: pairs ``(variable, new value)``.
        name: shown in reports.
        kwargs: ``device``.

    Returns:
        a callable on a list of arrays, which returns a list of arrays (one array if ``outputs`` is one tensor); its
        ``graph``, ``report()`` and ``save(path)`` show what was compiled.

    Raises:
        ValueError: an output depends on an input that is not given, or an unknown keyword.
    """
    device = kwargs.pop("device", None)
    if kwargs:
        raise KCompileError(f"K.function does not take {', '.join(sorted(kwargs))}; it takes device")
    return Function(inputs, outputs, updates or (), name, device=device)


def build_graph(
    inputs: Sequence[Any],
    outputs: Sequence[Any],
    updates: Sequence[Any] = (),
    name: str = "function",
    output_names: Sequence[str] | None = None,
    input_names: Sequence[str] | None = None,
    counter: Variable | None = None,
    fixed: Mapping[Variable, Any] | None = None,
) -> ir.Graph:
    """The IR graph of a function: intermediate tensors among ``inputs`` become inputs, ``updates`` state.

    A graph that draws random numbers also advances the random counter, ``counter`` in place of the global one.
    The variables in ``fixed`` become constants.

    Raises:
        ValueError: an output depends on an input that is not given.
    """
    replace: dict[ir.Value, ir.Value] = {}
    leaves: list[ir.Value] = []
    taken: set[str] = set()
    for position, x in enumerate(inputs):
        op = x.value.op
        label = input_names[position] if input_names else op.label if isinstance(op, ir.Input) else _label(x, position)
        while label in taken:
            label += "_"
        taken.add(label)
        if isinstance(op, ir.Input) and op.label == label:
            leaves.append(x.value)
        else:
            leaf = ir.input_value(label, x.dtype, x.value.shape)
            replace[x.value] = leaf
            leaves.append(leaf)
    pairs = [pair if isinstance(pair, tuple) else tuple(pair) for pair in updates]
    results = [as_tensor(x).value for x in outputs]
    new = {x.variable: e.cast(as_tensor(value).value, x.dtype) for x, value in pairs}
    values = [*results, *new.values()]
    if counter is None:
        counter = random_counter()
    else:
        replace[random_counter().value] = counter.value
    replace.update((x.value, ir.constant(value, x.dtype)) for x, value in (fixed or {}).items())
    if replace:
        values = substitute(values, replace)
        new = dict(zip(new, values[len(results) :], strict=True))
    if counter.variable not in new and any(node.op is counter.variable for node in ir.toposort(values)):
        new[counter.variable] = e.add(counter.value, 1)
        values.append(new[counter.variable])
    labels = output_names or [f"output_{i}" for i in range(len(results))]
    named = dict(zip(labels, values, strict=False))
    try:
        return ir.Graph(leaves, named, dict(zip(new, values[len(results) :], strict=True)), name)
    except ir.IRError as error:
        raise KCompileError(f"cannot compile {name!r}: {error}") from None


def substitute(values: Sequence[ir.Value], replace: dict[ir.Value, ir.Value]) -> list[ir.Value]:
    """``values`` with other values in the place of some that they depend on."""
    new: dict[ir.Value, ir.Value] = dict(replace)
    for node in ir.toposort(values):
        if all(output in new for output in node.outputs):
            continue
        inputs = tuple(new.get(value, value) for value in node.inputs)
        if inputs == node.inputs:
            made = node.outputs
        else:
            with ir.scope_of(node):
                made = ir.make_node(node.op, *inputs).outputs
        for old, value in zip(node.outputs, made, strict=True):
            new.setdefault(old, value)
    return [new[value] for value in values]


def _label(x: Tensor, position: int) -> str:
    if isinstance(x.value.op, LearningPhase):
        return "learning_phase"
    if x.keras_history is not None:
        return f"{x.keras_history[0].name}_output"
    return f"input_{position}"


def evaluate(tensors: Sequence[Tensor | Update]) -> list[Array]:
    """The values of tensors that depend on variables and constants only; updates change their variables.

    Raises:
        ValueError: one depends on a model input.
    """
    values = [t.new.value if isinstance(t, Update) else t.value for t in tensors]
    leaves = [node for node in ir.toposort(values) if not node.inputs]
    if current_trace() is not None and any(isinstance(node.op, (ir.Input, ir.Variable)) for node in leaves):
        raise NoNumberError(
            f"{tensors[0]!r} has no number while a step is being traced (once, for all batches), so NumPy, float(), if "
            "and the like cannot use it; compute with K functions, and choose with K.switch"
        )
    inputs = {node.op.label for node in leaves if isinstance(node.op, ir.Input)}
    if inputs:
        raise NoNumberError(
            f"{tensors[0]!r} depends on input {', '.join(sorted(inputs))}, which has no value here; "
            "use model.predict, or K.function to compute it from arrays"
        )
    # A tensor has its random numbers; what runs again, an update or a function, draws the next ones.
    again = any(isinstance(t, Update) for t in tensors)
    return Function([], tensors, name="eval", device="cpu", drawing_on=again)()


@contextlib.contextmanager
def name_scope(name: str) -> Iterator[str]:
    """Inside, operations are named below ``name``, as exported files show: ``with K.name_scope("loss"): ...``.

    Raises:
        TypeError: no string.
    """
    if not isinstance(name, str):
        raise DataTypeError(f"K.name_scope takes a name, got {shown(name)}")
    with ir.scope(name):
        yield f"{name}/"


def eval(x: Any) -> Any:
    """The value of a tensor as an array. An update (:func:`kcompile.backend.update`) changes its variable."""
    return x.numpy() if isinstance(x, (Tensor, Update)) else np.asarray(x)
