"""Batches of a model's data, each with the compiled step that takes it."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from kcompile.common import config
from kcompile.common.errors import warn
from kcompile.data.feeder import ArrayFeeder
from kcompile.data.fixed_batches import check_batch
from kcompile.data.origins import BatchOf, Origin, RowsOf, Source
from kcompile.data.standardize import BatchSource, ModelData, standardized_batches
from kcompile.symbolic.tensor import Array
from kcompile.training.step import Step
from kcompile.training.trainer import Trainer


@dataclass(frozen=True)
class Batch:
    """What a step takes: one batch, or several that run together.

    Attributes:
        step: the compiled step.
        arrays: inputs, targets, weights.
        size: samples per batch.
        origins: where the batches come from, one for each; one for all of a feeder's.
        stacked: whether the arrays hold several batches along a leading axis.
    """

    step: Step
    arrays: Sequence[Array]
    size: int
    origins: Sequence[Origin]
    stacked: bool = False

    @property
    def count(self) -> int:
        """How many batches there are."""
        return len(self.arrays[0]) if self.stacked else 1

    def one(self, position: int) -> Sequence[Array]:
        """The arrays of one of the batches."""
        return [array[position] for array in self.arrays] if self.stacked else self.arrays

    def origin(self, position: int) -> tuple[Origin, int]:
        """Where one of the batches comes from, and how many samples of that come before it."""
        return (self.origins[position], 0) if len(self.origins) > 1 else (self.origins[0], position * self.size)

    def losses(self, results: Sequence[Array]) -> list[list[float]]:
        """What the step returned, for each of the batches."""
        if not self.stacked:
            return [[float(result) for result in results]]
        return [[float(result[position]) for result in results] for position in range(self.count)]


Batches = Iterator[Batch]


def source_batches(
    trainer: Trainer,
    source: BatchSource,
    steps: int | None,
    training: bool,
    class_weight: Any = None,
    afresh: bool = False,
) -> Batches:
    """The batches of one epoch of a generator or Sequence."""
    found = standardized_batches(
        source, steps, inputs=trainer.training_feeds, targets=trainer.targets, class_weight=class_weight,
        floatx=config.floatx(), afresh=afresh,
    )  # fmt: skip
    for data in found:
        yield as_step(trainer, data, training, source.place())


def with_graph_built(trainer: Trainer, source: Any) -> Any:
    """The source of batches, after a model without a graph was built from the first one (which is put back)."""
    if trainer.model.has_layer_graph or trainer.has_own_steps:
        return source
    drawn: list[Any] = [source[0]] if hasattr(source, "__getitem__") else list(itertools.islice(iter(source), 1))
    if drawn and drawn[0] is not None:
        x = drawn[0][0] if isinstance(drawn[0], (tuple, list)) and drawn[0] else drawn[0]
        with trainer.built_for(x):
            pass
    # What can be started again is; a generator gets its first batch back.
    return itertools.chain(drawn, source) if hasattr(source, "__next__") else source


def grouped(batches: Batches, group: int) -> Batches:
    """Batches of equal shapes joined for ``steps_per_execution``."""
    waiting: list[Batch] = []

    def joined() -> Batches:
        if waiting:
            stacked = [np.stack(parts) for parts in zip(*(w.arrays for w in waiting), strict=True)]
            origins = [origin for w in waiting for origin in w.origins]
            yield Batch(waiting[0].step.many, stacked, waiting[0].size, origins, stacked=True)
            waiting.clear()

    for item in batches:
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


def as_step(trainer: Trainer, data: ModelData, training: bool, place: str | None = None) -> Batch:
    """One standardized batch with its step; ``place``: what it is called among others."""
    check_batch(trainer.training_feeds, data.samples)
    arrays = [np.ascontiguousarray(a[:], dtype=t) for a, t in zip(data.arrays(), data.dtypes(), strict=True)]
    origin = Origin(data.sources) if place is None else BatchOf(data.sources, place)
    return Batch(trainer.step_for(data, training), arrays, data.samples, [origin])


def feeder_batches(
    step: Step, feeder: ArrayFeeder, steps: int | None, group: int, sources: Sequence[Source]
) -> Batches:
    """The batches of one epoch of arrays, ``group`` of them together."""
    origins = [RowsOf(sources, feeder)]
    if group > 1:
        for _, arrays in feeder.groups(steps):
            yield Batch(step.many, arrays, arrays[0].shape[1], origins, stacked=True)
        return
    for arrays in feeder.epoch(steps):
        yield Batch(step, arrays, len(arrays[0]), origins)


def array_batches(trainer: Trainer, data: ModelData, batch_size: int, steps: int | None = None) -> Batches:
    """Batches of arrays in their order, once, for evaluation; at most ``steps``."""
    step = trainer.step_for(data, training=False)
    feeder = data.feeder(batch_size)
    if steps is not None and steps > len(feeder):
        warn(
            f"the data ended after {len(feeder)} batches of {batch_size}, before the {steps} steps asked for; the "
            "result is that of all data, each sample counted once."
        )
        steps = None
    for batch in feeder_batches(step, feeder, steps, 1, data.sources):
        yield replace(batch, arrays=[np.ascontiguousarray(a) for a in batch.arrays])
