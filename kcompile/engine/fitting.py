"""The loop behind fit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from kcompile.backend import config
from kcompile.callbacks import BatchLogs, CallbackList, History, ProgbarLogger, TerminateOnNaN
from kcompile.engine import custom_steps
from kcompile.engine import data_checks as checks
from kcompile.engine.data import (
    BatchSource,
    ModelData,
    is_batch_source,
    refuse_array_arguments,
    training_data,
    validation_arrays,
)
from kcompile.engine.evaluation import NonFiniteLoss, explain, run_evaluation
from kcompile.engine.fixed_batches import batch_size_for
from kcompile.engine.model_batches import Batches, array_batches, grouped, source_batches, with_graph_built
from kcompile.engine.steps import Step, first_bad
from kcompile.engine.tensor import Array
from kcompile.engine.totals import Totals
from kcompile.errors import DataError

if TYPE_CHECKING:
    from kcompile.engine.training import Model


def fit(model: Model, x: Any, y: Any, **arguments: Any) -> History:
    """See :meth:`kcompile.engine.training.Model.fit`."""
    epochs, initial_epoch = checks.check_epochs(arguments["epochs"], arguments["initial_epoch"])
    verbose = checks.check_verbose("fit", arguments["verbose"])
    checks.check_validation_freq(arguments["validation_freq"])
    run = _Run(model, arguments)
    with run.open(x, y) as steps:
        history = History()
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
        for callback in callbacks:
            callback.validation_data = run.validation_data
        model.history, model.stop_training = history, False
        # TerminateOnNaN decides by the loss, as in Keras; the weights stay those before it all the same.
        ends_itself = any(isinstance(c, TerminateOnNaN) for c in given)
        keep = "always" if model.on_nan == "ignore" else "loss" if ends_itself else "finite"
        with callbacks.training():
            for epoch in range(initial_epoch, epochs):
                callbacks.on_epoch_begin(epoch)
                totals = Totals(model)
                index = 0
                for step, batch, size, count in run.batches(steps):
                    try:
                        _train_batch(model, step, batch, size, count, index, epoch, totals, callbacks, keep)
                    except NonFiniteLoss as error:
                        run.note_bad_sample(error)
                        raise
                    index += count or 1
                    if model.stop_training:
                        break
                logs = totals.values()
                if run.validates and checks.should_run_validation(arguments["validation_freq"], epoch):
                    logs.update({f"val_{name}": value for name, value in run.validate().items()})
                callbacks.on_epoch_end(epoch, logs)
                if model.stop_training or run.exhausted:
                    break
    return history


def _train_batch(
    model: Model, step: Step, batch: Sequence[Array], size: int, count: int, index: int, epoch: int,
    totals: Totals, callbacks: CallbackList, keep: str,
) -> None:  # fmt: skip
    last = index + max(count, 1) - 1
    if callbacks.has_train_batch_begin:
        callbacks.on_train_batch_begin(index, {"batch": index, "size": size})
    results = step(batch, keep)
    if step.refused and keep == "finite":
        bad = _first_refused(step, results) if count else 0
        arrays = [a[bad] for a in batch] if count else batch
        loss = float(results[0][bad]) if count else float(results[0])
        raise NonFiniteLoss(explain(model, step, arrays, loss, epoch, index + bad, index))
    for position in range(max(count, 1)):
        losses = [float(r[position]) if count else float(r) for r in results]
        totals.add(losses, size, step.log_names)
    if callbacks.has_train_batch_end:
        logs = BatchLogs(last, size * max(count, 1), totals.names, lambda: totals.batch_values(losses), totals.values)
        callbacks.on_train_batch_end(last, logs)


def _first_refused(step: Step, losses: Sequence[Array]) -> int:
    """The first of several batches run together whose loss, or else whose update, is not a number."""
    bad = ~np.isfinite(losses[0])
    if step.update_sums is not None:
        bad |= ~np.isfinite(step.update_sums)
    return int(np.argmax(bad))


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
        self._validation_size = checks.check_batch_size("fit", a["validation_batch_size"], "validation_batch_size")
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
            with custom_steps.ready(self.model, x):
                self._open_arrays(x, y)

    def _open_arrays(self, x: Any, y: Any) -> None:
        a, model = self.arguments, self.model
        size = checks.check_batch_size("fit", a["batch_size"])
        shuffle = checks.check_shuffle(a["shuffle"])
        data, validation = training_data(
            x, y, a["sample_weight"], a["class_weight"], validation_split=a["validation_split"],
            validation_data=a["validation_data"], inputs=custom_steps.training_specs(model),
            targets=model._target_specs(), floatx=config.floatx(),
        )  # fmt: skip
        size = batch_size_for("fit", custom_steps.training_specs(model), size, data.samples)
        self.batch_size, steps = None, self._steps
        self.batch_size = size or (32 if steps is None else max(1, -(-data.samples // steps)))
        self.samples = data.samples if steps is None else None
        self._steps = steps
        self._step = custom_steps.step_for(model, True, data)
        group = model._steps_per_execution
        self._feeder = data.feeder(self.batch_size, shuffle, steps_per_execution=group)
        self._open_validation(a["validation_data"], validation)

    def _open_source(self, x: Any) -> None:
        a = self.arguments
        x = with_graph_built(self.model, x)
        self._source = BatchSource(
            x, argument="x", with_targets=custom_steps.wants_targets(self.model), workers=a["workers"],
            use_multiprocessing=a["use_multiprocessing"],
            max_queue_size=a["max_queue_size"], shuffle=bool(checks.check_shuffle(a["shuffle"])),
        )  # fmt: skip
        self._source.wanted(self._steps, "steps_per_epoch")
        self._open_validation(a["validation_data"], None)

    def _open_validation(self, given: Any, prepared: ModelData | None) -> None:
        a = self.arguments
        if is_batch_source(given):
            if self._validation_size is not None:
                raise DataError("fit: validation_batch_size can't be given when validation_data yields batches.")
            self._validation_source = BatchSource(
                given, argument="validation_data", with_targets=custom_steps.wants_targets(self.model),
                workers=a["workers"], use_multiprocessing=a["use_multiprocessing"], max_queue_size=a["max_queue_size"],
            )  # fmt: skip
            self._validation_source.wanted(self._validation_steps, "validation_steps")
        elif prepared is not None:
            self._validation = prepared
        elif given is not None and (self.model._functional or custom_steps.own_steps(self.model)):
            self._validation = validation_arrays(
                given, inputs=custom_steps.training_specs(self.model), targets=self.model._target_specs(),
                floatx=config.floatx(),
            )
        self._pending_validation = given if self._validation is None and self._validation_source is None else None
        if self._validation is not None:
            self.validation_samples = self._validation.samples
            size, specs = self._validation_size or self.batch_size, custom_steps.training_specs(self.model)
            batch_size_for("fit: validation data", specs, size, self.validation_samples)

    @property
    def validates(self) -> bool:
        return any(v is not None for v in (self._validation, self._validation_source, self._pending_validation))

    @property
    def validation_data(self) -> list[Any] | None:
        """What Keras 2 gives to callbacks: inputs, targets and sample weights in one list; ``None`` for generators."""
        data = self._validation
        if data is None:
            return None
        ones = np.ones(data.samples, config.floatx())
        return [*data.x, *data.y, *(ones if weights is None else weights for weights in data.weights)]

    def steps_per_epoch(self) -> int | None:
        if self._feeder is not None:
            return self._steps if self._steps is not None else len(self._feeder)
        assert self._source is not None
        return self._steps if self._steps is not None else self._source.steps

    def batches(self, steps: int | None) -> Batches:
        """The batches of one epoch, each with the step that takes it."""
        group = self.model._steps_per_execution
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
                self._pending_validation, inputs=custom_steps.training_specs(self.model),
                targets=self.model._target_specs(),
                floatx=config.floatx(),
            )  # fmt: skip
        if self._validation_source is not None:
            steps = self._validation_steps or self._validation_source.steps
            return run_evaluation(self.model, source_batches(self.model, self._validation_source, steps, False))
        assert self._validation is not None
        size = self._validation_size or self.batch_size or 32
        return run_evaluation(self.model, array_batches(self.model, self._validation, size, self._validation_steps))

    def note_bad_sample(self, error: NonFiniteLoss) -> None:
        """Say where the user's arrays hold a number that is none: a batch's rows are shuffled."""
        if self._feeder is None:
            return
        pairs = zip(self._step.executable.inputs, self._feeder.arrays, strict=True)
        held = {name: array for name, array in pairs if isinstance(array, np.ndarray)}
        if bad := first_bad(list(held), list(held.values())):
            error.add_note(f"In the data given to fit, {bad}.")

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
