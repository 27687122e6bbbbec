"""The loops behind fit, evaluate and predict."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from kcompile.backend import config
from kcompile.callbacks import BatchLogs, CallbackList, History, ProgbarLogger, TerminateOnNaN
from kcompile.engine import data_checks as checks
from kcompile.engine.data import (
    BatchSource,
    ModelData,
    is_batch_source,
    refuse_array_arguments,
    standardize,
    standardized_batches,
    steps_and_batch_size,
    training_data,
    validation_arrays,
)
from kcompile.engine.steps import Step, first_bad
from kcompile.engine.tensor import Array
from kcompile.errors import KCompileError

if TYPE_CHECKING:
    from kcompile.engine.training import Model

Batches = Iterator[tuple[Step, Sequence[Array], int, int]]
"""The step, its arrays, samples per batch, and how many batches the arrays hold along a leading axis (0: no such axis)."""
PREDICT_BATCH = 32


class NonFiniteLoss(KCompileError, ArithmeticError):
    """The loss of a training step is NaN or infinite; the weights are those before that step."""


class Totals:
    """Losses summed over an epoch on the host, weighted by batch size; metrics live in the graph."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.names = list(model.metrics_names)
        self.metrics = model.metrics
        self.sums = [0.0] * (len(self.names) - len(self.metrics))
        self.samples = 0
        model.reset_metrics()

    def add(self, losses: Sequence[float], size: int) -> None:
        self.samples += size
        for i, loss in enumerate(losses):
            self.sums[i] += loss * size

    def values(self) -> dict[str, float]:
        """The averages so far by name."""
        count = max(self.samples, 1)
        losses = [total / count for total in self.sums]
        return dict(zip(self.names, [*losses, *(metric.value() for metric in self.metrics)], strict=True))

    def batch_values(self, results: Sequence[float]) -> dict[str, float]:
        """The losses of one batch, and the metrics so far."""
        return dict(zip(self.names, [*results, *(metric.value() for metric in self.metrics)], strict=True))


# ---- fit


def fit(model: Model, x: Any, y: Any, **arguments: Any) -> History:
    """See :meth:`kcompile.engine.training.Model.fit`."""
    epochs, initial_epoch = checks.check_epochs(arguments["epochs"], arguments["initial_epoch"])
    verbose = checks.check_verbose("fit", arguments["verbose"])
    checks.check_validation_freq(arguments["validation_freq"])
    run = _Run(model, arguments)
    with run.open(x, y) as steps:
        history = model.history = History()
        given = arguments["callbacks"]
        given = [] if given is None else list(given) if isinstance(given, (list, tuple, CallbackList)) else [given]
        ours: list[Any] = [ProgbarLogger("samples" if run.samples else "steps")] if verbose else []
        callbacks = CallbackList([*ours, *given, history])
        callbacks.set_model(model)
        names = model.metrics_names
        validated = [f"val_{name}" for name in names] if run.validates else []
        callbacks.set_params(
            {
                "batch_size": run.batch_size, "epochs": epochs, "steps": steps, "samples": run.samples,
                "verbose": verbose, "do_validation": run.validates, "metrics": [*names, *validated],
                "validation_samples": run.validation_samples,
            }
        )  # fmt: skip
        model.stop_training = False
        tolerant = model.on_nan == "ignore" or any(isinstance(c, TerminateOnNaN) for c in given)
        with callbacks.training():
            for epoch in range(initial_epoch, epochs):
                model.reset_states()
                callbacks.on_epoch_begin(epoch)
                totals = Totals(model)
                index = 0
                for step, batch, size, count in run.batches(steps):
                    _train_batch(model, step, batch, size, count, index, epoch, totals, callbacks, tolerant)
                    index += count or 1
                    if model.stop_training:
                        break
                logs = totals.values()
                if run.validates and checks.should_run_validation(arguments["validation_freq"], epoch):
                    logs.update({f"val_{name}": value for name, value in run.validate().items()})
                callbacks.on_epoch_end(epoch, logs)
                if model.stop_training or run.exhausted:
                    break
            if not tolerant and (bad := _bad_weight(model)):
                raise NonFiniteLoss(
                    f"weight {bad} after training, though every loss was finite: the last gradients overflowed; "
                    "lower the learning rate, or set clipnorm"
                )
    return history


def _train_batch(
    model: Model, step: Step, batch: Sequence[Array], size: int, count: int, index: int, epoch: int,
    totals: Totals, callbacks: CallbackList, tolerant: bool,
) -> None:  # fmt: skip
    last = index + max(count, 1) - 1
    if callbacks.has_train_batch_begin:
        callbacks.on_train_batch_begin(index, {"batch": index, "size": size})
    results = step(batch, keep_non_finite=model.on_nan == "ignore")
    for position in range(max(count, 1)):
        losses = [float(r[position]) if count else float(r) for r in results]
        if not math.isfinite(losses[0]) and not tolerant:
            arrays = [a[position] for a in batch] if count else batch
            raise NonFiniteLoss(_explain(model, step, arrays, losses[0], epoch, index + position, index))
        totals.add(losses, size)
    if callbacks.has_train_batch_end:
        logs = BatchLogs(last, size * max(count, 1), totals.names, lambda: totals.batch_values(losses), totals.values)
        callbacks.on_train_batch_end(last, logs)


def _explain(
    model: Model, step: Step, batch: Sequence[Array], loss: float, epoch: int | None, index: int, kept: int
) -> str:
    """The sentence for a loss that is not a number: where, which tensor is to blame, what the weights are."""
    culprit = first_bad(step.executable.inputs, batch)
    if culprit is None and (bad := _bad_weight(model)):
        culprit = f"weight {bad}, since an earlier gradient overflowed: lower the learning rate, or set clipnorm"
    if culprit is None:
        culprit = (
            "inputs, targets and weights are finite, so the model overflows: lower the learning rate, or set clipnorm"
        )
    where = "" if epoch is None else f" at epoch {epoch + 1}, batch {index}"
    return (
        f"the loss is {loss}{where}: {culprit}; the weights are those before "
        f"{'this batch' if epoch is None else f'batch {kept}'} (compile with on_nan='ignore' to go on, or use the "
        "callback TerminateOnNaN)"
    )


def _bad_weight(model: Model) -> str | None:
    weights = model.trainable_weights
    return first_bad([w.label for w in weights], [w.numpy() for w in weights])


class _Run:
    """Where the batches of one ``fit`` come from, and how it validates."""

    def __init__(self, model: Model, arguments: dict[str, Any]) -> None:
        self.model = model
        self.arguments = arguments
        self.samples: int | None = None
        self.validation_samples: int | None = None
        self.batch_size: int | None = None
        self.exhausted = False
        self._source: BatchSource | None = None
        self._validation_source: BatchSource | None = None
        self._validation: ModelData | None = None
        self._feeder: Any = None
        self._validation_steps: int | None = None

    def open(self, x: Any, y: Any) -> _Opened:
        a = self.arguments
        self._steps = checks.check_steps("fit", "steps_per_epoch", a["steps_per_epoch"])
        self._validation_steps = checks.check_steps("fit", "validation_steps", a["validation_steps"])
        try:
            self._open(x, y)
        except BaseException:
            self.close()
            raise
        return _Opened(self)

    def _open(self, x: Any, y: Any) -> None:
        a = self.arguments
        if is_batch_source(x):
            refuse_array_arguments(
                "fit", y=y, sample_weight=a["sample_weight"], batch_size=a["batch_size"],
                validation_split=a["validation_split"],
            )  # fmt: skip
            self._open_source(x)
        else:
            with self.model._built_for(x):
                self._open_arrays(x, y)

    def _open_arrays(self, x: Any, y: Any) -> None:
        a, model = self.arguments, self.model
        size = checks.check_batch_size("fit", a["batch_size"])
        shuffle = checks.check_shuffle(a["shuffle"])
        data, validation = training_data(
            x, y, a["sample_weight"], a["class_weight"], validation_split=a["validation_split"],
            validation_data=a["validation_data"], inputs=model._feed_specs(), targets=model._target_specs(),
            floatx=config.floatx(),
        )  # fmt: skip
        self.batch_size, steps = None, self._steps
        self.batch_size = size or (32 if steps is None else max(1, -(-data.samples // steps)))
        self.samples = data.samples if steps is None else None
        self._steps = steps
        self._step = model._step(True, data.y, data.weights)
        group = model._compiled.steps_per_execution
        self._feeder = data.feeder(self.batch_size, shuffle, steps_per_execution=group)
        self._open_validation(a["validation_data"], validation)

    def _open_source(self, x: Any) -> None:
        a = self.arguments
        x = with_graph_built(self.model, x)
        self._source = BatchSource(
            x, argument="x", workers=a["workers"], use_multiprocessing=a["use_multiprocessing"],
            max_queue_size=a["max_queue_size"], shuffle=bool(checks.check_shuffle(a["shuffle"])),
        )  # fmt: skip
        self._source.wanted(self._steps, "steps_per_epoch")
        self._open_validation(a["validation_data"], None)

    def _open_validation(self, given: Any, prepared: ModelData | None) -> None:
        a = self.arguments
        if is_batch_source(given):
            self._validation_source = BatchSource(
                given, argument="validation_data", workers=a["workers"],
                use_multiprocessing=a["use_multiprocessing"], max_queue_size=a["max_queue_size"],
            )  # fmt: skip
            self._validation_source.wanted(self._validation_steps, "validation_steps")
        elif prepared is not None:
            self._validation = prepared
        elif given is not None and self.model._functional:
            self._validation = validation_arrays(
                given, inputs=self.model._feed_specs(), targets=self.model._target_specs(), floatx=config.floatx()
            )
        self._pending_validation = given if self._validation is None and self._validation_source is None else None
        if self._validation is not None:
            self.validation_samples = self._validation.samples

    @property
    def validates(self) -> bool:
        return any(v is not None for v in (self._validation, self._validation_source, self._pending_validation))

    def steps_per_epoch(self) -> int | None:
        if self._feeder is not None:
            return self._steps if self._steps is not None else len(self._feeder)
        assert self._source is not None
        return self._steps if self._steps is not None else self._source.steps

    def batches(self, steps: int | None) -> Batches:
        """The batches of one epoch, each with the step that takes it."""
        group = self.model._compiled.steps_per_execution if self.model._compiled else 1
        if self._feeder is not None:
            step = self._step
            if group > 1:
                for count, batch in self._feeder.groups(self._steps):
                    yield step.many, batch, batch[0].shape[1], count
                return
            for batch in self._feeder.epoch(self._steps):
                yield step, batch, len(batch[0]), 0
            return
        assert self._source is not None
        found = source_batches(self.model, self._source, steps, True, self.arguments["class_weight"])
        yield from grouped(found, self.model)
        self.exhausted = self._source.exhausted

    def validate(self) -> dict[str, float]:
        if self._validation is None and self._validation_source is None:
            self._validation = validation_arrays(
                self._pending_validation, inputs=self.model._feed_specs(), targets=self.model._target_specs(),
                floatx=config.floatx(),
            )  # fmt: skip
        if self._validation_source is not None:
            steps = self._validation_steps or self._validation_source.steps
            return run_evaluation(self.model, source_batches(self.model, self._validation_source, steps, False))
        assert self._validation is not None
        return run_evaluation(
            self.model, array_batches(self.model, self._validation, self.batch_size or 32, self._validation_steps)
        )

    def close(self) -> None:
        for source in (self._source, self._validation_source):
            if source is not None:
                source.close()


class _Opened:
    """Context manager that stops the workers of generators; enters to the number of steps per epoch."""

    def __init__(self, run: _Run) -> None:
        self.run = run

    def __enter__(self) -> int | None:
        return self.run.steps_per_epoch()

    def __exit__(self, *error: object) -> None:
        self.run.close()


def source_batches(
    model: Model, source: BatchSource, steps: int | None, training: bool, class_weight: Any = None
) -> Batches:
    """The batches of one epoch of a generator or Sequence."""
    found = standardized_batches(
        source, steps, inputs=model._feed_specs(), targets=model._target_specs(), class_weight=class_weight,
        floatx=config.floatx(),
    )  # fmt: skip
    for data in found:
        yield _as_step(model, data, training)


def with_graph_built(model: Model, source: Any) -> Any:
    """The source of batches, after a model without a graph was built from the first one (which is put back)."""
    if model._functional:
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
    waiting: list[tuple[Step, Sequence[Array], int, int]] = []

    def joined() -> Iterator[tuple[Step, Sequence[Array], int, int]]:
        if waiting:
            step, _, size, _ = waiting[0]
            yield step.many, [np.stack(parts) for parts in zip(*(w[1] for w in waiting), strict=True)], size, len(waiting)
            waiting.clear()

    for item in batches:
        group = model._compiled.steps_per_execution
        if group == 1:
            yield item
            continue
        if waiting and (item[0] is not waiting[0][0] or [a.shape for a in item[1]] != [a.shape for a in waiting[0][1]]):
            yield from joined()
        waiting.append(item)
        if len(waiting) == group:
            yield from joined()
    yield from joined()


def _as_step(model: Model, data: ModelData, training: bool) -> tuple[Step, list[Array], int, int]:
    arrays = [np.ascontiguousarray(a[:], dtype=t) for a, t in zip(data.arrays(), data.dtypes(), strict=True)]
    return model._step(training, data.y, data.weights), arrays, data.samples, 0


def array_batches(model: Model, data: ModelData, batch_size: int, steps: int | None = None) -> Batches:
    """Batches of arrays in their order, for evaluation."""
    step = model._step(False, data.y, data.weights)
    for batch in data.feeder(batch_size).epoch(steps):
        yield step, [np.ascontiguousarray(a) for a in batch], len(batch[0]), 0


# ---- evaluate


def run_evaluation(model: Model, batches: Batches, callbacks: CallbackList | None = None, progress: Any = None) -> dict[str, float]:
    """Losses and metrics over the batches, by name."""
    totals = Totals(model)
    for index, (step, batch, size, _) in enumerate(batches):
        if callbacks is not None and callbacks.has_test_batch:
            callbacks.on_test_batch_begin(index, {"batch": index, "size": size})
        losses = [float(r) for r in step(batch, keep_non_finite=True)]
        totals.add(losses, size)
        if callbacks is not None and callbacks.has_test_batch:
            values = BatchLogs(index, size, totals.names, lambda found=losses: totals.batch_values(found))
            callbacks.on_test_batch_end(index, values)
        if progress is not None:
            progress(size, totals)
    return totals.values()


def evaluate(model: Model, x: Any, y: Any, **a: Any) -> Any:
    """See :meth:`kcompile.engine.training.Model.evaluate`."""
    from kcompile.utils.progbar import Progbar

    verbose = checks.check_verbose("evaluate", a["verbose"])
    steps = checks.check_steps("evaluate", "steps", a["steps"])
    callbacks = _callback_list(model, a["callbacks"], verbose)
    source: BatchSource | None = None
    if is_batch_source(x):
        refuse_array_arguments("evaluate", y=y, sample_weight=a["sample_weight"], batch_size=a["batch_size"])
        source = BatchSource(
            with_graph_built(model, x), argument="x", workers=a["workers"],
            use_multiprocessing=a["use_multiprocessing"], max_queue_size=a["max_queue_size"],
        )  # fmt: skip
        try:
            target = source.wanted(steps, "steps")
        except BaseException:
            source.close()
            raise
        batches, unit = source_batches(model, source, target, False), "steps"
    else:
        size = checks.check_batch_size("evaluate", a["batch_size"])
        with model._built_for(x):
            data = standardize(
                x, y, a["sample_weight"], inputs=model._feed_specs(), targets=model._target_specs(),
                floatx=config.floatx(),
            )  # fmt: skip
        count, size = steps_and_batch_size(data.samples, size, steps)
        batches, unit = array_batches(model, data, size, steps), "samples"
        target = data.samples if steps is None else count
        unit = unit if steps is None else "steps"
    bar = Progbar(target, verbose=verbose) if verbose else None

    def progress(batch_size: int, totals: Totals) -> None:
        if bar is not None:
            bar.add(batch_size if unit == "samples" else 1)

    try:
        callbacks.on_test_begin()
        values = run_evaluation(model, batches, callbacks, progress)
        callbacks.on_test_end()
    finally:
        if source is not None:
            source.close()
    found = [values[name] for name in model.metrics_names]
    return found if len(found) > 1 else found[0]


def _callback_list(model: Model, given: Any, verbose: int) -> CallbackList:
    callbacks = CallbackList(given)
    callbacks.set_model(model)
    callbacks.set_params({"verbose": verbose, "metrics": model.metrics_names})
    return callbacks


def on_batch(
    model: Model, training: bool, x: Any, y: Any, sample_weight: Any, class_weight: Any, reset_metrics: bool
) -> Any:
    """One step on one batch; see ``train_on_batch`` and ``test_on_batch``."""
    with model._built_for(x):
        data = standardize(
            x, y, sample_weight, class_weight, inputs=model._feed_specs(), targets=model._target_specs(),
            whole_data=False, floatx=config.floatx(),
        )  # fmt: skip
        step, batch, _, _ = _as_step(model, data, training)
    if reset_metrics:
        model.reset_metrics()
    losses = [float(r) for r in step(batch, keep_non_finite=not training or model.on_nan == "ignore")]
    if training and model.on_nan != "ignore" and not math.isfinite(losses[0]):
        raise NonFiniteLoss(_explain(model, step, batch, losses[0], None, 0, 0))
    values = [*losses, *(metric.value() for metric in model.metrics)]
    return values if len(values) > 1 else values[0]


# ---- predict


def predict(model: Model, x: Any, **a: Any) -> Any:
    """See :meth:`kcompile.engine.training.Model.predict`."""
    steps = checks.check_steps("predict", "steps", a["steps"])
    verbose = checks.check_verbose("predict", a["verbose"])
    callbacks = CallbackList(a["callbacks"]) if a["callbacks"] else None
    if callbacks is not None:
        callbacks.set_model(model)
        callbacks.set_params({"verbose": verbose, "metrics": model.metrics_names})
    if is_batch_source(x):
        refuse_array_arguments("predict", batch_size=a["batch_size"])
        outputs = _predict_source(model, x, steps, verbose, callbacks, a)
    else:
        size = checks.check_batch_size("predict", a["batch_size"])
        with model._built_for(x):
            data = standardize(x, inputs=model._feed_specs(), allow_empty=True, floatx=config.floatx())
        if callbacks is not None:
            callbacks.on_predict_begin()
        outputs = _predict_data(model, data, size, steps, verbose, callbacks)
    if callbacks is not None:
        callbacks.on_predict_end()
    return outputs if model._nested_output or len(outputs) > 1 else outputs[0]


def _predict_data(
    model: Model, data: ModelData, size: int | None, steps: int | None, verbose: int, callbacks: CallbackList | None
) -> list[Array]:
    samples = data.samples
    if size is None:
        size = PREDICT_BATCH if steps is None else max(1, -(-samples // steps))
    whole = [(a if isinstance(a, np.ndarray) else a[:]) for a in data.x]
    if samples <= size and steps is None and callbacks is None:
        return model._predict_arrays(_converted(whole, data, 0, samples))
    last = samples if steps is None else min(samples, steps * size)
    outputs: list[Array] = []
    bar = _progress(last, verbose)
    for index, start in enumerate(range(0, last, size)):
        stop = min(start + size, last)
        if callbacks is not None and callbacks.has_predict_batch:
            callbacks.on_predict_batch_begin(index, {"batch": index, "size": stop - start})
        results = model._predict_arrays(_converted(whole, data, start, stop))
        if not outputs:
            outputs = [np.empty((last, *r.shape[1:]), r.dtype) for r in results]
        for output, result in zip(outputs, results, strict=True):
            if result.shape[1:] != output.shape[1:] or len(result) != stop - start:
                raise KCompileError(
                    f"predict: batch {index} gives shape {result.shape}, earlier ones {output.shape[1:]} per sample; "
                    "use a batch_size that takes all samples at once, or predict_on_batch"
                )
            output[start:stop] = result
        if callbacks is not None and callbacks.has_predict_batch:
            callbacks.on_predict_batch_end(index, {"batch": index, "size": stop - start, "outputs": results})
        if bar is not None:
            bar.update(stop)
    return outputs


def _converted(whole: Sequence[Array], data: ModelData, start: int, stop: int) -> list[Array]:
    return [np.ascontiguousarray(a[start:stop], dtype=t) for a, t in zip(whole, data.input_dtypes, strict=True)]


def _predict_source(
    model: Model, x: Any, steps: int | None, verbose: int, callbacks: CallbackList | None, a: Mapping[str, Any]
) -> list[Array]:
    source = BatchSource(
        x, with_targets=False, argument="x", workers=a["workers"], use_multiprocessing=a["use_multiprocessing"],
        max_queue_size=a["max_queue_size"],
    )  # fmt: skip
    collected: list[list[Array]] = []
    try:
        count = source.wanted(steps, "steps")
        if callbacks is not None:
            callbacks.on_predict_begin()
        bar = _progress(count, verbose)
        for index, (batch, *_) in enumerate(source.epoch(count)):
            try:
                with model._built_for(batch):
                    data = standardize(batch, inputs=model._feed_specs(), floatx=config.floatx())
            except Exception as error:
                error.add_note(source.position())
                raise
            if callbacks is not None and callbacks.has_predict_batch:
                callbacks.on_predict_batch_begin(index, {"batch": index, "size": data.samples})
            collected.append(model._predict_arrays(_converted([q[:] for q in data.x], data, 0, data.samples)))
            if callbacks is not None and callbacks.has_predict_batch:
                logs = {"batch": index, "size": data.samples, "outputs": collected[-1]}
                callbacks.on_predict_batch_end(index, logs)
            if bar is not None:
                bar.add(1)
    finally:
        source.close()
    return [np.concatenate(parts) for parts in zip(*collected, strict=True)]


def _progress(target: int | None, verbose: int) -> Any:
    from kcompile.utils.progbar import Progbar

    return Progbar(target, verbose=verbose) if verbose else None


__all__ = ["NonFiniteLoss", "Totals", "evaluate", "fit", "on_batch", "predict"]
