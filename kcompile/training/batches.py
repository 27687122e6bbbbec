"""Batches of a model's data, each with the compiled step that takes it."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from kcompile.common import config
from kcompile.common.errors import warn
from kcompile.data.feeder import ArrayFeeder
from kcompile.data.fixed_batches import check_batch
from kcompile.data.origins import BatchOf, Origin, RowsOf, Source
from kcompile.data.standardize import BatchSource, ModelData, standardized_batches
from kcompile.symbolic.tensor import Array
from kcompile.training import custom_steps
from kcompile.training.step import Step

if TYPE_CHECKING:
    from kcompile.models.model import Model


class Batch(NamedTuple):
    """What a step takes.

    Attributes:
        step: the compiled step. arrays: inputs, targets, weights. size: samples per batch.
        count: how many batches the arrays hold along a leading axis; 0: they have no such axis.
        origins: where the batches come from, one for each; one for all of a feeder's.
    """

    step: Step
    arrays: Sequence[Array]
    size: int
    count: int
    origins: Sequence[Origin]


Batches = Iterator[Batch]


def source_batches(
    model: Model,
    source: BatchSource,
    steps: int | None,
    training: bool,
    class_weight: Any = None,
    afresh: bool = False,
) -> Batches:
    """The batches of one epoch of a generator or Sequence."""
    found = standardized_batches(
        source, steps, inputs=custom_steps.training_specs(model), targets=model._target_specs(),
        class_weight=class_weight, floatx=config.floatx(), afresh=afresh,
    )  # fmt: skip
    for data in found:
        yield as_step(model, data, training, source.place())


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
            stacked = [np.stack(parts) for parts in zip(*(w.arrays for w in waiting), strict=True)]
            origins = [origin for w in waiting for origin in w.origins]
            step, size = waiting[0].step, waiting[0].size
            yield Batch(step.many, stacked, size, len(waiting), origins)
            waiting.clear()

    for item in batches:
        group = model._steps_per_execution
        if group == 1:
            yield item
            continue
        if waiting and (item.step is not waiting[0].step or _shapes(item) != _shapes(waiting[0])):
            yield from joined()
        waiting.append(item)
        if len(waiting) == group:
            yield from joined()
    yield from joined()


def _shapes(batch: Batch) -> list[tuple[int, ...]]:
    return [array.shape for array in batch.arrays]


def as_step(model: Model, data: ModelData, training: bool, place: str | None = None) -> Batch:
    """One standardized batch with its step; ``place``: what it is called among others."""
    check_batch(custom_steps.training_specs(model), data.samples)
    arrays = [np.ascontiguousarray(a[:], dtype=t) for a, t in zip(data.arrays(), data.dtypes(), strict=True)]
    origin = Origin(data.sources) if place is None else BatchOf(data.sources, place)
    return Batch(custom_steps.step_for(model, training, data), arrays, data.samples, 0, [origin])


def feeder_batches(
    step: Step, feeder: ArrayFeeder, steps: int | None, group: int, sources: Sequence[Source]
) -> Batches:
    """The batches of one epoch of arrays, ``group`` of them together."""
    origins = [RowsOf(sources, feeder)]
    if group > 1:
        for count, arrays in feeder.groups(steps):
            yield Batch(step.many, arrays, arrays[0].shape[1], count, origins)
        return
    for arrays in feeder.epoch(steps):
        yield Batch(step, arrays, len(arrays[0]), 0, origins)


def array_batches(model: Model, data: ModelData, batch_size: int, steps: int | None = None) -> Batches:
    """Batches of arrays in their order, once, for evaluation; at most ``steps``."""
    step = custom_steps.step_for(model, False, data)
    feeder = data.feeder(batch_size)
    if steps is not None and steps > len(feeder):
        warn(
            f"the data ended after {len(feeder)} batches of {batch_size}, before the {steps} steps asked for; the "
            "result is that of all data, each sample counted once."
        )
        steps = None
    for batch in feeder_batches(step, feeder, steps, 1, data.sources):
        yield batch._replace(arrays=[np.ascontiguousarray(a) for a in batch.arrays])
