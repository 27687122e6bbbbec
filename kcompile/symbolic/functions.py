"""K: compiling functions, evaluating tensors, gradients."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from kcompile import ir
from kcompile.common.errors import DataTypeError, KCompileError, shown
from kcompile.common.tracebacks import short_traceback
from kcompile.ir.ops.elementwise import functions as elementwise
from kcompile.ir.ops.loops.control import LearningPhase
from kcompile.ir.substitution import substitute
from kcompile.passes.algebra.specialize import specialize_inference
from kcompile.passes.autodiff import gradients as differentiate
from kcompile.runtime.executable import Executable
from kcompile.runtime.random_state import own_counter, shared_counter
from kcompile.symbolic.tensor import Tensor, as_tensor
from kcompile.symbolic.trace import current_trace
from kcompile.symbolic.updates import Update
from kcompile.symbolic.variable import Variable


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
    ) -> None:
        from kcompile.passes.pipelines import BOTH, TRAINING

        # Where the learning phase is not among the inputs, it is that of inference, as in Keras.
        given = [x for x in inputs if isinstance(x, Tensor)]
        self._single = not isinstance(outputs, (list, tuple)) or isinstance(outputs, Update)
        wanted = [outputs] if self._single else list(outputs)
        updates = [*updates, *(x for x in wanted if isinstance(x, Update))]
        results = [x.new if isinstance(x, Update) else x for x in wanted]
        drawing = [x.value for x in (*results, *(new for _, new in updates)) if isinstance(x, Tensor)]
        graph = specialize_inference(build_graph(given, results, updates, name, counter=own_counter(drawing)))
        # A fixed learning phase, as K.learning_phase() then returns it, is fed nowhere.
        self._fed = [isinstance(x, Tensor) for x in inputs]
        self._executable = Executable(graph, (*BOTH, *TRAINING), device=device, keep_portable=True)

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_executable": self._executable.portable}

    def __setstate__(self, state: dict[str, Any]) -> None:
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
    counter: ir.Value | None = None,
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
    new = {x.variable: elementwise.cast(as_tensor(value).value, x.dtype) for x, value in pairs}
    values = [*results, *new.values()]
    if counter is None:
        counter = shared_counter()
    else:
        replace[shared_counter()] = counter
    replace.update((x.value, ir.constant(value, x.dtype)) for x, value in (fixed or {}).items())
    if replace:
        values = substitute(values, replace)
        new = dict(zip(new, values[len(results) :], strict=True))
    count = counter.op
    assert isinstance(count, ir.Variable)
    if count not in new and any(node.op is count for node in ir.toposort(values)):
        new[count] = elementwise.add(counter, 1)
        values.append(new[count])
    labels = output_names or [f"output_{i}" for i in range(len(results))]
    named = dict(zip(labels, values, strict=False))
    try:
        return ir.Graph(leaves, named, dict(zip(new, values[len(results) :], strict=True)), name)
    except ir.IRError as error:
        raise KCompileError(f"cannot compile {name!r}: {error}") from None


def _label(x: Tensor, position: int) -> str:
    if isinstance(x.value.op, LearningPhase):
        return "learning_phase"
    if x.keras_history is not None:
        return f"{x.keras_history[0].name}_output"
    return f"input_{position}"


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
