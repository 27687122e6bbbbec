"""Running a model's inference graph on data: the loop behind predict."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from kcompile import ir
from kcompile.callbacks import BatchLogs
from kcompile.common import config
from kcompile.common.errors import KCompileError
from kcompile.data import checks
from kcompile.data.fixed_batches import batch_size_for, check_batch, fixed_batch_size
from kcompile.data.standardize import (
    BatchSource,
    FeedSpec,
    ModelData,
    is_batch_source,
    refuse_array_arguments,
    standardize,
)
from kcompile.data.workers import refuse_endless
from kcompile.engine.inference_graph import predict_graph
from kcompile.runtime.guards import together
from kcompile.runtime.storage import changes, storage_of
from kcompile.symbolic.tensor import Array
from kcompile.training import custom_prediction as own
from kcompile.training.evaluation import loop_callbacks

if TYPE_CHECKING:
    from kcompile.models.model import Model
    from kcompile.runtime.executable import Executable

PREDICT_BATCH = 32


class Predictor:
    """Runs a model's inference graph: with the live weights while they change, frozen once they rest.

    Args:
        graph: outputs from inputs.
        specs: what the model takes, where it fixes the batch size.
    """

    def __init__(self, graph: ir.Graph, specs: Sequence[FeedSpec] | None = None) -> None:
        self.graph = graph
        self._specs = specs
        self._live: Executable | None = None
        self._frozen: tuple[Executable, int] | None = None
        """And up to which change of any variable its weights are known to be those of now."""
        self._seen_at = -1
        # Not only the weights: a Lambda may read a K.variable.
        self._storages = [
            storage_of(variable) for variable in self.graph.variables() if variable not in self.graph.updates
        ]
        self._exclusive = together(map(storage_of, self.graph.variables()))

    @classmethod
    def of(cls, model: Model) -> Predictor:
        """The predictor of a model that is built."""
        specs = model._feed_specs()
        return cls(predict_graph(model, counting=True), specs if fixed_batch_size(specs) is not None else None)

    def __call__(self, arrays: Sequence[Array]) -> list[Array]:
        if self._specs is not None:
            check_batch(self._specs, len(arrays[0]))
        now, frozen = changes(), self._frozen
        if frozen is not None and now == frozen[1] and not self.graph.updates:
            return frozen[0].run(arrays)
        with self._exclusive:
            chosen = self._choose(now)
        return chosen(*arrays)

    def _choose(self, now: int) -> Callable[..., list[Array]]:
        """The frozen model if the weights have not changed since the last prediction, else the live one."""
        from kcompile.runtime.executable import Executable

        version = max((s.version for s in self._storages), default=0)
        if self._frozen is not None and version <= self._frozen[1]:
            self._frozen = self._frozen[0], now
            return self._frozen[0]
        if self._seen_at < version and self._seen_at >= 0:
            self._frozen = None
            if self._live is None:
                self._live = Executable(self.graph)
            self._seen_at = now
            return self._live
        self._frozen = Executable(self.graph, frozen=True), now
        self._seen_at = now
        return self._frozen[0]


def predict(model: Model, x: Any, **a: Any) -> Any:
    """See :meth:`kcompile.models.model.Model.predict`."""
    steps = checks.check_steps("predict", "steps", a["steps"])
    verbose = checks.check_verbose("predict", a["verbose"])
    if is_batch_source(x):
        refuse_array_arguments("predict", batch_size=a["batch_size"])
        outputs = _predict_source(model, x, steps, verbose, a)
    else:
        size = checks.check_batch_size("predict", a["batch_size"])
        with own.ready(model, x):
            data = standardize(x, inputs=own.specs(model), allow_empty=True, floatx=config.floatx())
        size = batch_size_for("predict", own.specs(model), size, data.samples)
        outputs = _predict_data(model, data, size, steps, verbose, a["callbacks"])
    return own.packed(model, outputs)


class _Hooks:
    """The hooks of predict: batch hooks are called around every ``steps_per_execution`` batches."""

    def __init__(self, model: Model, given: Any, verbose: int, steps: int | None) -> None:
        self.model = model
        self.callbacks = loop_callbacks(model, given, verbose, steps)
        self.group = model._steps_per_execution
        self.index = -1
        self._size = 0
        self._outputs: list[Array] = []

    def run(self, size: int, arrays: Sequence[Array], form: Any) -> list[Array]:
        """The outputs for one batch."""
        self.index += 1
        observed = self.callbacks.has_predict_batch
        if observed and self.index % self.group == 0:
            self.callbacks.on_predict_batch_begin(self.index, BatchLogs(self.index, size))
        self._size, self._outputs = size, self.model._predict_arrays(arrays, form)
        if observed and self.index % self.group == self.group - 1:
            self._end_batch()
        return self._outputs

    def end(self) -> None:
        """After the last batch."""
        if self.callbacks.has_predict_batch and self.index % self.group != self.group - 1:
            self._end_batch()
        self.callbacks.on_predict_end()

    def _end_batch(self) -> None:
        outputs = {"outputs": own.packed(self.model, self._outputs)}
        self.callbacks.on_predict_batch_end(self.index, BatchLogs(self.index, self._size, outputs, lambda: outputs))


def _predict_data(
    model: Model, data: ModelData, size: int | None, steps: int | None, verbose: int, callbacks: Any
) -> list[Array]:
    samples = data.samples
    if size is None:
        size = PREDICT_BATCH if steps is None else max(1, -(-samples // steps))
    whole = [(a if isinstance(a, np.ndarray) else a[:]) for a in data.x]
    if samples <= size and steps is None and not callbacks and not verbose:
        return model._predict_arrays(_converted(whole, data, 0, samples), data.form)
    last = samples if steps is None else min(samples, steps * size)
    if not last:
        return model._predict_arrays(_converted(whole, data, 0, 0), data.form)
    outputs: list[Array] = []
    hooks = _Hooks(model, callbacks, verbose, -(-last // size))
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


def _predict_source(model: Model, x: Any, steps: int | None, verbose: int, a: Mapping[str, Any]) -> list[Array]:
    refuse_endless("x", x, steps, "steps")
    source = BatchSource(
        x, with_targets=False, argument="x", workers=a["workers"], use_multiprocessing=a["use_multiprocessing"],
        max_queue_size=a["max_queue_size"],
    )  # fmt: skip
    collected: list[list[Array]] = []
    try:
        source.check_length()
        hooks = _Hooks(model, a["callbacks"], verbose, source.steps if steps is None else steps)
        hooks.callbacks.on_predict_begin()
        for batch, *_ in source.epoch(steps):
            try:
                with own.ready(model, batch):
                    data = standardize(batch, inputs=own.specs(model), floatx=config.floatx())
            except Exception as error:
                error.add_note(source.position())
                raise
            arrays = _converted([q[:] for q in data.x], data, 0, data.samples)
            collected.append(hooks.run(data.samples, arrays, data.form))
        hooks.end()
    finally:
        source.close()
    return [np.concatenate(parts) for parts in zip(*collected, strict=True)]
