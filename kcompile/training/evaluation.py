"""Losses and metrics over batches: the loop behind evaluate, and single batches."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from typing import Any

from kcompile.callbacks import BatchLogs, CallbackList, ProgbarLogger
from kcompile.common import config
from kcompile.common.errors import KCompileError
from kcompile.data import checks
from kcompile.data.fixed_batches import batch_size_for
from kcompile.data.standardize import (
    is_batch_source,
    refuse_array_arguments,
    standardize,
    steps_and_batch_size,
)
from kcompile.data.workers import refuse_endless
from kcompile.training.bad_numbers import NonFiniteLoss, explain
from kcompile.training.batches import Batches, array_batches, as_step, source_batches, with_graph_built
from kcompile.training.options import EvaluateOptions
from kcompile.training.trained_network import TrainedNetwork
from kcompile.training.trainer import Trainer


def run_evaluation(trainer: Trainer, batches: Batches, callbacks: CallbackList) -> dict[str, float]:
    """Losses and metrics over the batches, by name; empty if there were none.

    Batch hooks are called around every ``steps_per_execution`` batches, as in training.
    """
    before = trainer.totals
    totals = trainer.new_totals()
    group = trainer.steps_per_execution
    observed = callbacks.has_test_batch
    callbacks.on_test_begin()

    def end(index: int, size: int, losses: list[float]) -> None:
        logs = BatchLogs(index, size, totals.names, lambda: totals.batch_values(losses), totals.values)
        callbacks.on_test_batch_end(index, logs)

    index = -1
    for index, batch in enumerate(batches):
        size = batch.size
        if observed and index % group == 0:
            callbacks.on_test_batch_begin(index, BatchLogs(index, size))
        (losses,) = batch.losses(batch.step(batch.arrays, "always"))
        totals.add(losses, size, batch.step.log_names)
        if observed and index % group == group - 1:
            end(index, size, losses)
    if observed and index % group != group - 1:
        end(index, size, losses)
    values = totals.values()
    callbacks.on_test_end(dict(values))
    trainer.totals = before
    return values


def evaluate(trainer: Trainer, x: Any, y: Any, options: EvaluateOptions) -> Any:
    """See :meth:`kcompile.models.model.Model.evaluate`."""
    verbose = checks.check_verbose("evaluate", options.verbose)
    steps = checks.check_steps("evaluate", "steps", options.steps)
    if is_batch_source(x):
        refuse_array_arguments("evaluate", y=y, sample_weight=options.sample_weight, batch_size=options.batch_size)
        refuse_endless("x", x, steps, "steps")
        source = options.source(with_graph_built(trainer, x), "x", with_targets=trainer.wants_targets)
        with contextlib.closing(source):
            source.check_length()
            callbacks = loop_callbacks(
                trainer.model, options.callbacks, verbose, source.steps if steps is None else steps
            )
            values = run_evaluation(trainer, source_batches(trainer, source, steps, False), callbacks)
        return as_returned(trainer, values, options.return_dict)
    given = checks.check_batch_size("evaluate", options.batch_size)
    with trainer.ready_to_train(x):
        specs = trainer.training_feeds
        data = standardize(x, y, options.sample_weight, inputs=specs, targets=trainer.targets, floatx=config.floatx())
    given = batch_size_for("evaluate", specs, given, data.samples)
    target, size = steps_and_batch_size(data.samples, given, steps)
    target = min(target, -(-data.samples // size))
    callbacks = loop_callbacks(trainer.model, options.callbacks, verbose, target)
    values = run_evaluation(trainer, array_batches(trainer, data, size, steps), callbacks)
    return as_returned(trainer, values, options.return_dict)


def loop_callbacks(model: TrainedNetwork, given: Any, verbose: int, steps: int | None) -> CallbackList:
    """The user's callbacks and a progress bar, for evaluate and predict."""
    callbacks = CallbackList(given)
    if verbose and not any(isinstance(c, ProgbarLogger) for c in callbacks):
        callbacks.append(ProgbarLogger("steps"))
    callbacks.set_model(model)
    callbacks.set_params({"verbose": verbose, "epochs": 1, "steps": steps, "metrics": model.metrics_names})
    return callbacks


def as_returned(trainer: Trainer, values: dict[str, float], return_dict: bool) -> Any:
    """Loss and metrics as evaluate and ``*_on_batch`` return them."""
    if return_dict:
        return values
    names = trainer.model.metrics_names
    if trainer.has_own_steps:
        return _ordered_logs(trainer.model.name, names, values)
    found = [values[name] for name in names if name in values]
    return found if len(found) > 1 else found[0]


def _ordered_logs(model: str, names: Sequence[str], logs: Mapping[str, float]) -> Any:
    """Logs of a step of the user's own: those of ``names``, then others sorted; one alone as it is."""
    if not logs:
        raise KCompileError(
            f"test_step of model {model!r} measures nothing: compile with a loss or metrics, or define test_step"
        )
    names = [name for name in names if name in logs]
    found = [logs[name] for name in [*names, *sorted(set(logs) - set(names))]]
    return found[0] if len(found) == 1 else found


def logs_on_batch(
    trainer: Trainer,
    training: bool,
    x: Any,
    y: Any,
    sample_weight: Any = None,
    class_weight: Any = None,
    reset_metrics: bool = True,
) -> dict[str, float]:
    """Losses and metrics of one step on one batch, by name; see ``train_on_batch`` and ``test_on_batch``."""
    with trainer.ready_to_train(x):
        data = standardize(
            x, y, sample_weight, class_weight, inputs=trainer.training_feeds, targets=trainer.targets,
            whole_data=False, floatx=config.floatx(),
        )  # fmt: skip
        batch = as_step(trainer, data, training)
    totals = trainer.totals
    if reset_metrics or totals is None:
        totals = trainer.new_totals()
    step = batch.step
    checked = training and trainer.model.on_nan == "raise"
    (losses,) = batch.losses(step(batch.arrays, "finite" if checked else "always"))
    if step.refused:
        raise NonFiniteLoss(explain(trainer, step, batch.arrays, batch.origins[0], losses[0], None, 0, 0))
    totals.add(losses, data.samples, step.log_names)
    return totals.values()
