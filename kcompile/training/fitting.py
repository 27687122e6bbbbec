"""The loop behind fit."""

from __future__ import annotations

from typing import Any

from kcompile.callbacks import BatchLogs, CallbackList, History, ProgbarLogger, TerminateOnNaN
from kcompile.data import checks
from kcompile.training.bad_numbers import NonFiniteLoss, explain, first_refused
from kcompile.training.batches import Batch
from kcompile.training.options import FitOptions
from kcompile.training.run import TrainingRun
from kcompile.training.totals import Totals
from kcompile.training.trained_network import TrainedNetwork
from kcompile.training.trainer import Trainer

__all__ = ["NonFiniteLoss", "fit"]


def fit(trainer: Trainer, x: Any, y: Any, options: FitOptions) -> History:
    """See :meth:`kcompile.models.model.Model.fit`."""
    model = trainer.model
    epochs, initial_epoch = checks.check_epochs(options.epochs, options.initial_epoch)
    verbose = checks.check_verbose("fit", options.verbose)
    frequency = checks.check_validation_freq(options.validation_freq)
    with TrainingRun(trainer, x, y, options) as run:
        callbacks, history = _callbacks(model, options.callbacks, verbose)
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
                totals = trainer.new_totals()
                index = 0
                for batch in run.batches():
                    _train_batch(trainer, batch, index, epoch, totals, callbacks, keep)
                    index += batch.count
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


def _callbacks(model: TrainedNetwork, given: Any, verbose: int) -> tuple[CallbackList, History]:
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
    trainer: Trainer, batch: Batch, index: int, epoch: int, totals: Totals, callbacks: CallbackList, keep: str
) -> None:
    step, size = batch.step, batch.size
    if callbacks.has_train_batch_begin:
        callbacks.on_train_batch_begin(index, BatchLogs(index, size))
    results = step(batch.arrays, keep)
    found = batch.losses(results)
    if step.refused and keep == "finite":
        bad = first_refused(step, results) if batch.stacked else 0
        origin, offset = batch.origin(bad)
        loss = found[bad][0]
        message = explain(trainer, step, batch.one(bad), origin, loss, epoch, index + bad, index, offset)
        raise NonFiniteLoss(message)
    for losses in found:
        totals.add(losses, size, step.log_names)
    if callbacks.has_train_batch_end:
        last, count = index + len(found) - 1, len(found)
        logs = BatchLogs(last, size * count, totals.names, lambda: totals.batch_values(losses), totals.values)
        callbacks.on_train_batch_end(last, logs)
