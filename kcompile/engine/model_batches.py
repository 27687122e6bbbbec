"""Batches of a model's data, each with the compiled step that takes it."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from kcompile.backend import config
from kcompile.engine import custom_steps
from kcompile.engine.data import BatchSource, ModelData, standardized_batches
from kcompile.engine.fixed_batches import check_batch
from kcompile.engine.steps import Step
from kcompile.engine.tensor import Array

if TYPE_CHECKING:
    from kcompile.engine.training import Model

Batch = tuple[Step, Sequence[Array], int, int]
"""The step, its arrays, samples per batch, and how many batches the arrays hold along a leading axis (0: none)."""
Batches = Iterator[Batch]


def source_batches(
    model: Model, source: BatchSource, steps: int | None, training: bool, class_weight: Any = None
) -> Batches:
    """The batches of one epoch of a generator or Sequence."""
    found = standardized_batches(
        source, steps, inputs=custom_steps.training_specs(model), targets=model._target_specs(),
        class_weight=class_weight, floatx=config.floatx(),
    )  # fmt: skip
    for data in found:
        yield as_step(model, data, training)


def with_graph_built(model: Model, source: Any) -> Any:
    """The source of batches, after a model without a graph was built from the first one (which is put back)."""
    if model._functional or custom_steps.own_steps(model):
        return source
    drawn: list[Any] = [source[0]] if hasattr(source, "__getitem__") else list(itertools.islice(iter(source), 1))
    if drawn and drawn[0] is not None:
        x = drawn[0][0] if isinstance(drawn[0], (tuple, list)) and drawn[0] else drawn[0]
        with model._built_for(x):
            pass
    # What can be started again is; a generator gets its first batch back.
    return itertools.chain(drawn, source) if hasattr(source, "__next__") else source


def grouped(batches: Batches, model: Model) -> Batches:
    """Batches of equal shapes joined for ``steps_per_execution``."""
    waiting: list[Batch] = []

    def joined() -> Batches:
        if waiting:
            step, _, size, _ = waiting[0]
            stacked = [np.stack(parts) for parts in zip(*(w[1] for w in waiting), strict=True)]
            yield step.many, stacked, size, len(waiting)
            waiting.clear()

    for item in batches:
        group = model._steps_per_execution
        if group == 1:
            yield item
            continue
        if waiting and (item[0] is not waiting[0][0] or _shapes(item) != _shapes(waiting[0])):
            yield from joined()
        waiting.append(item)
        if len(waiting) == group:
            yield from joined()
    yield from joined()


def _shapes(batch: Batch) -> list[tuple[int, ...]]:
    return [array.shape for array in batch[1]]


def as_step(model: Model, data: ModelData, training: bool) -> Batch:
    """One standardized batch with its step."""
    check_batch(custom_steps.training_specs(model), data.samples)
    arrays = [np.ascontiguousarray(a[:], dtype=t) for a, t in zip(data.arrays(), data.dtypes(), strict=True)]
    return custom_steps.step_for(model, training, data), arrays, data.samples, 0


def array_batches(model: Model, data: ModelData, batch_size: int, steps: int | None = None) -> Batches:
    """Batches of arrays in their order, for evaluation."""
    step = custom_steps.step_for(model, False, data)
    for batch in data.feeder(batch_size).epoch(steps):
        yield step, [np.ascontiguousarray(a) for a in batch], len(batch[0]), 0
