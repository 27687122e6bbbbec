"""Losses and metrics over batches: the loop behind evaluate, and single batches."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kcompile.callbacks import BatchLogs, CallbackList, ProgbarLogger
from kcompile.common import config
from kcompile.data import checks
from kcompile.data.fixed_batches import batch_size_for
from kcompile.data.standardize import (
    BatchSource,
    is_batch_source,
    refuse_array_arguments,
    standardize,
    steps_and_batch_size,
)
from kcompile.data.workers import refuse_endless
from kcompile.training import custom_steps
from kcompile.training.bad_numbers import NonFiniteLoss, explain
from kcompile.training.batches import Batches, array_batches, as_step, source_batches, with_graph_built
from kcompile.training.totals import Totals

if TYPE_CHECKING:
    from kcompile.models.model import Model

__all__ = ["NonFiniteLoss", "as_returned", "evaluate", "loop_callbacks", "on_batch", "run_evaluation"]


def run_evaluation(model: Model, batches: Batches, callbacks: CallbackList) -> dict[str, float]:
    """Losses and metrics over the batches, by name; empty if there were none.

    Batch hooks are called around every ``steps_per_execution`` batches, as in training.
    """
    before = model._totals
    totals = Totals(model)
    group = model._steps_per_execution
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
        losses = [float(r) for r in batch.step(batch.arrays, "always")]
        totals.add(losses, size, batch.step.log_names)
        if observed and index % group == group - 1:
            end(index, size, losses)
    if observed and index % group != group - 1:
        end(index, size, losses)
    values = totals.values()
    callbacks.on_test_end(dict(values))
    model._totals = before
    return values


def evaluate(model: Model, x: Any, y: Any, **a: Any) -> Any:
    """See :meth:`kcompile.models.model.Model.evaluate`."""
    verbose = checks.check_verbose("evaluate", a["verbose"])
    steps = checks.check_steps("evaluate", "steps", a["steps"])
    source: BatchSource | None = None
    target: int | None
    if is_batch_source(x):
        refuse_array_arguments("evaluate", y=y, sample_weight=a["sample_weight"], batch_size=a["batch_size"])
        refuse_endless("x", x, steps, "steps")
        source = BatchSource(
            with_graph_built(model, x), argument="x", workers=a["workers"],
            use_multiprocessing=a["use_multiprocessing"], max_queue_size=a["max_queue_size"],
            with_targets=custom_steps.wants_targets(model),
        )  # fmt: skip
    else:
        size = checks.check_batch_size("evaluate", a["batch_size"])
        with custom_steps.ready(model, x):
            specs = custom_steps.training_specs(model)
            data = standardize(
                x, y, a["sample_weight"], inputs=specs, targets=model._target_specs(), floatx=config.floatx()
            )
        size = batch_size_for("evaluate", specs, size, data.samples)
        target, size = steps_and_batch_size(data.samples, size, steps)
        target = min(target, -(-data.samples // size))
    try:
        if source is not None:
            source.check_length()
            target = source.steps if steps is None else steps
            batches = source_batches(model, source, steps, False)
        else:
            batches = array_batches(model, data, size, steps)
        values = run_evaluation(model, batches, loop_callbacks(model, a["callbacks"], verbose, target))
    finally:
        if source is not None:
            source.close()
    return as_returned(model, values, a["return_dict"])


def loop_callbacks(model: Model, given: Any, verbose: int, steps: int | None) -> CallbackList:
    """The user's callbacks and a progress bar, for evaluate and predict."""
    callbacks = CallbackList(given)
    if verbose and not any(isinstance(c, ProgbarLogger) for c in callbacks):
        callbacks.append(ProgbarLogger("steps"))
    callbacks.set_model(model)
    callbacks.set_params({"verbose": verbose, "epochs": 1, "steps": steps, "metrics": model.metrics_names})
    return callbacks


def as_returned(model: Model, values: dict[str, float], return_dict: bool) -> Any:
    """Loss and metrics as evaluate and ``*_on_batch`` return them."""
    if return_dict:
        return values
    if custom_steps.own_steps(model):
        return custom_steps.ordered_logs(model, values)
    found = [values[name] for name in model.metrics_names if name in values]
    return found if len(found) > 1 else found[0]


def on_batch(
    model: Model,
    training: bool,
    x: Any,
    y: Any,
    sample_weight: Any,
    class_weight: Any,
    reset_metrics: bool,
    return_dict: bool,
) -> Any:
    """One step on one batch; see ``train_on_batch`` and ``test_on_batch``."""
    logs = logs_on_batch(model, training, x, y, sample_weight, class_weight, reset_metrics)
    return as_returned(model, logs, return_dict)


def logs_on_batch(
    model: Model, training: bool, x: Any, y: Any, sample_weight: Any, class_weight: Any, reset_metrics: bool
) -> dict[str, float]:
    """Losses and metrics of one step on one batch, by name."""
    with custom_steps.ready(model, x):
        data = standardize(
            x, y, sample_weight, class_weight, inputs=custom_steps.training_specs(model),
            targets=model._target_specs(), whole_data=False, floatx=config.floatx(),
        )  # fmt: skip
        batch = as_step(model, data, training)
    totals = model._totals
    if reset_metrics or totals is None:
        totals = Totals(model)
    step = batch.step
    losses = [float(r) for r in step(batch.arrays, "finite" if training and model.on_nan == "raise" else "always")]
    if step.refused:
        raise NonFiniteLoss(explain(model, step, batch.arrays, batch.origins[0], losses[0], None, 0, 0))
    totals.add(losses, data.samples, step.log_names)
    return totals.values()
