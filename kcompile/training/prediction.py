"""Running a model's inference graph on data: the loop behind predict."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from kcompile.callbacks import BatchLogs
from kcompile.common import config
from kcompile.common.errors import KCompileError
from kcompile.data import checks
from kcompile.data.fixed_batches import batch_size_for
from kcompile.data.free_data import Form
from kcompile.data.standardize import (
    ModelData,
    is_batch_source,
    refuse_array_arguments,
    standardize,
)
from kcompile.data.workers import refuse_endless
from kcompile.symbolic.tensor import Array
from kcompile.training.evaluation import loop_callbacks
from kcompile.training.options import PredictOptions
from kcompile.training.trainer import Trainer

PREDICT_BATCH = 32


def predict(trainer: Trainer, x: Any, options: PredictOptions) -> Any:
    """See :meth:`kcompile.models.model.Model.predict`."""
    steps = checks.check_steps("predict", "steps", options.steps)
    verbose = checks.check_verbose("predict", options.verbose)
    if is_batch_source(x):
        refuse_array_arguments("predict", batch_size=options.batch_size)
        outputs = _predict_source(trainer, x, steps, verbose, options)
    else:
        size = checks.check_batch_size("predict", options.batch_size)
        with trainer.ready_to_predict(x):
            data = standardize(x, inputs=trainer.prediction_feeds, allow_empty=True, floatx=config.floatx())
        size = batch_size_for("predict", trainer.prediction_feeds, size, data.samples)
        outputs = _predict_data(trainer, data, size, steps, verbose, options.callbacks)
    return trainer.packed(outputs)


def predict_on_batch(trainer: Trainer, x: Any) -> Any:
    """See :meth:`kcompile.models.model.Model.predict_on_batch`."""
    with trainer.ready_to_predict(x):
        data = standardize(x, inputs=trainer.prediction_feeds, allow_empty=True, floatx=config.floatx())
    arrays = [np.ascontiguousarray(np.asarray(a[:], t)) for a, t in zip(data.x, data.input_dtypes, strict=True)]
    return trainer.packed(trainer.predict_arrays(arrays, data.form))


class _Hooks:
    """The hooks of predict: batch hooks are called around every ``steps_per_execution`` batches."""

    def __init__(self, trainer: Trainer, given: Any, verbose: int, steps: int | None) -> None:
        self.trainer = trainer
        self.callbacks = loop_callbacks(trainer.model, given, verbose, steps)
        self.group = trainer.steps_per_execution
        self.index = -1
        self._size = 0
        self._outputs: list[Array] = []

    def run(self, size: int, arrays: Sequence[Array], form: Form | None) -> list[Array]:
        """The outputs for one batch."""
        self.index += 1
        observed = self.callbacks.has_predict_batch
        if observed and self.index % self.group == 0:
            self.callbacks.on_predict_batch_begin(self.index, BatchLogs(self.index, size))
        self._size, self._outputs = size, self.trainer.predict_arrays(arrays, form)
        if observed and self.index % self.group == self.group - 1:
            self._end_batch()
        return self._outputs

    def end(self) -> None:
        """After the last batch."""
        if self.callbacks.has_predict_batch and self.index % self.group != self.group - 1:
            self._end_batch()
        self.callbacks.on_predict_end()

    def _end_batch(self) -> None:
        outputs = {"outputs": self.trainer.packed(self._outputs)}
        self.callbacks.on_predict_batch_end(self.index, BatchLogs(self.index, self._size, outputs, lambda: outputs))


def _predict_data(
    trainer: Trainer, data: ModelData, size: int | None, steps: int | None, verbose: int, callbacks: Any
) -> list[Array]:
    samples = data.samples
    if size is None:
        size = PREDICT_BATCH if steps is None else max(1, -(-samples // steps))
    whole = [(a if isinstance(a, np.ndarray) else a[:]) for a in data.x]
    if samples <= size and steps is None and not callbacks and not verbose:
        return trainer.predict_arrays(_converted(whole, data, 0, samples), data.form)
    last = samples if steps is None else min(samples, steps * size)
    if not last:
        return trainer.predict_arrays(_converted(whole, data, 0, 0), data.form)
    outputs: list[Array] = []
    hooks = _Hooks(trainer, callbacks, verbose, -(-last // size))
    hooks.callbacks.on_predict_begin()
    for index, start in enumerate(range(0, last, size)):
        stop = min(start + size, last)
        results = hooks.run(stop - start, _converted(whole, data, start, stop), data.form)
        if not outputs:
            outputs = [np.empty((last, *r.shape[1:]), r.dtype) for r in results]
        for output, result in zip(outputs, results, strict=True):
            if result.shape[1:] != output.shape[1:] or len(result) != stop - start:
                raise KCompileError(
                    f"predict: batch {index} gives shape {result.shape}, earlier ones {output.shape[1:]} per sample; "
                    "use a batch_size that takes all samples at once, or predict_on_batch"
                )
            output[start:stop] = result
    hooks.end()
    return outputs


def _converted(whole: Sequence[Array], data: ModelData, start: int, stop: int) -> list[Array]:
    return [np.ascontiguousarray(a[start:stop], dtype=t) for a, t in zip(whole, data.input_dtypes, strict=True)]


def _predict_source(trainer: Trainer, x: Any, steps: int | None, verbose: int, options: PredictOptions) -> list[Array]:
    refuse_endless("x", x, steps, "steps")
    source = options.source(x, "x", with_targets=False)
    collected: list[list[Array]] = []
    try:
        source.check_length()
        hooks = _Hooks(trainer, options.callbacks, verbose, source.steps if steps is None else steps)
        hooks.callbacks.on_predict_begin()
        for batch, *_ in source.epoch(steps):
            try:
                with trainer.ready_to_predict(batch):
                    data = standardize(batch, inputs=trainer.prediction_feeds, floatx=config.floatx())
            except Exception as error:
                error.add_note(source.position())
                raise
            arrays = _converted([q[:] for q in data.x], data, 0, data.samples)
            collected.append(hooks.run(data.samples, arrays, data.form))
        hooks.end()
    finally:
        source.close()
    return [np.concatenate(parts) for parts in zip(*collected, strict=True)]
