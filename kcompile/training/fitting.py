"""The loop behind fit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kcompile.callbacks import BatchLogs, CallbackList, History, ProgbarLogger, TerminateOnNaN
from kcompile.data import checks
from kcompile.training.bad_numbers import NonFiniteLoss, explain, first_refused
from kcompile.training.batches import Batch
from kcompile.training.run import TrainingRun
from kcompile.training.totals import Totals

if TYPE_CHECKING:
    from kcompile.models.model import Model

__all__ = ["NonFiniteLoss", "fit"]


def fit(model: Model, x: Any, y: Any, **arguments: Any) -> History:
    """See :meth:`kcompile.models.model.Model.fit`."""
    epochs, initial_epoch = checks.check_epochs(arguments["epochs"], arguments["initial_epoch"])
    verbose = checks.check_verbose("fit", arguments["verbose"])
    frequency = checks.check_validation_freq(arguments["validation_freq"])
    with TrainingRun(model, x, y, arguments) as run:
        callbacks, history = _callbacks(model, arguments["callbacks"], verbose)
        names = model.metrics_names
        validated = [f"val_{name}" for name in names] if run.validates else []
        params = {
            "batch_size": run.batch_size, "epochs": epochs, "steps": run.steps, "samples": run.samples,
            "verbose": verbose, "do_validation": run.validates, "metrics": [*names, *validated],
            "validation_samples": run.validation_samples,
        }  # fmt: skip
        callbacks.set_params(params)
        for callback in callbacks:
            callback.validation_data = run.validation_data
        model.history, model.stop_training = history, False
        # TerminateOnNaN decides by the loss, as in Keras; the weights stay those before it all the same.
        ends_itself = any(isinstance(c, TerminateOnNaN) for c in callbacks)
        keep = "always" if model.on_nan == "ignore" else "loss" if ends_itself else "finite"
        with callbacks.training():
            for epoch in range(initial_epoch, epochs):
                if not run.has_more(epoch):
                    break
                params["steps"] = run.steps
                callbacks.on_epoch_begin(epoch)
                totals = Totals(model)
                index = 0
                for batch in run.batches():
                    _train_batch(model, batch, index, epoch, totals, callbacks, keep)
                    index += batch.count or 1
                    if model.stop_training:
                        break
                if not totals.samples:
                    break  # there was no data: the epoch did not take place
                logs = totals.values()
                if run.validates and checks.should_run_validation(frequency, epoch):
                    logs.update({f"val_{name}": value for name, value in run.validate(callbacks).items()})
                callbacks.on_epoch_end(epoch, logs)
                if model.stop_training or run.exhausted:
                    break
    return history


def _callbacks(model: Model, given: Any, verbose: int) -> tuple[CallbackList, History]:
    """The user's callbacks, with a progress bar before them and a history after them, unless they hold their own."""
    theirs = given if given is None or isinstance(given, (list, tuple, CallbackList)) else [given]
    callbacks = CallbackList(theirs)
    if verbose and not any(isinstance(c, ProgbarLogger) for c in callbacks):
        callbacks = CallbackList([ProgbarLogger("steps"), *callbacks])
    history = next((c for c in callbacks if isinstance(c, History)), None)
    if history is None:
        history = History()
        callbacks.append(history)
    callbacks.set_model(model)
    return callbacks, history


def _train_batch(
    model: Model, batch: Batch, index: int, epoch: int, totals: Totals, callbacks: CallbackList, keep: str
) -> None:
    step, arrays, size, count, origins = batch
    last = index + max(count, 1) - 1
    if callbacks.has_train_batch_begin:
        callbacks.on_train_batch_begin(index, BatchLogs(index, size))
    results = step(arrays, keep)
    if step.refused and keep == "finite":
        bad = first_refused(step, results) if count else 0
        origin, offset = (origins[bad], 0) if len(origins) > 1 else (origins[0], bad * size)
        alone = [a[bad] for a in arrays] if count else arrays
        loss = float(results[0][bad]) if count else float(results[0])
        raise NonFiniteLoss(explain(model, step, alone, origin, loss, epoch, index + bad, index, offset))
    for position in range(max(count, 1)):
        losses = [float(r[position]) if count else float(r) for r in results]
        totals.add(losses, size, step.log_names)
    if callbacks.has_train_batch_end:
        logs = BatchLogs(last, size * max(count, 1), totals.names, lambda: totals.batch_values(losses), totals.values)
        callbacks.on_train_batch_end(last, logs)
