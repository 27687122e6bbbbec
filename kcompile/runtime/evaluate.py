"""The numbers that values of the IR have now."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from kcompile.ir.core import Graph, Value, Variable, toposort
from kcompile.ir.ops.elementwise.functions import add
from kcompile.ir.substitution import substitute
from kcompile.runtime.executable import Array, Executable
from kcompile.runtime.random_state import own_counter, shared_counter


def evaluate(values: Sequence[Value], updates: Mapping[Variable, Value] | None = None) -> list[Array]:
    """Compile and run what ``values`` depend on: variables and constants, and no inputs.

    Args:
        values: what is wanted.
        updates: the new values that variables have from now on. What runs again, an update, draws the next random
            numbers each time; a value has its random numbers.
    """
    from kcompile.passes.algebra.specialize import specialize_inference
    from kcompile.passes.pipelines import BOTH, TRAINING

    if not values:
        return []
    new = dict(updates or {})
    results = [*values, *new.values()]
    counter = own_counter(results)
    if counter is not None:
        results = substitute(results, {shared_counter(): counter})
        new = dict(zip(new, results[len(values) :], strict=True))
        count = counter.op
        if updates and isinstance(count, Variable) and any(node.op is count for node in toposort(results)):
            new[count] = add(counter, 1)
    outputs = {f"output_{i}": value for i, value in enumerate(results[: len(values)])}
    graph = specialize_inference(Graph([], outputs, new, "eval"))
    return Executable(graph, (*BOTH, *TRAINING), device="cpu")()
