"""Losses and metrics over batches: the loop behind evaluate, and single batches."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from kcompile.backend import config
from kcompile.callbacks import BatchLogs, CallbackList
from kcompile.engine import blame, custom_steps
from kcompile.engine import data_checks as checks
from kcompile.engine.data import BatchSource, is_batch_source, refuse_array_arguments, standardize, steps_and_batch_size
from kcompile.engine.fixed_batches import batch_size_for
from kcompile.engine.model_batches import Batches, array_batches, as_step, source_batches, with_graph_built
from kcompile.engine.steps import Step, first_bad
from kcompile.engine.tensor import Array
from kcompile.engine.totals import Totals
from kcompile.errors import KCompileError

if TYPE_CHECKING:
    from kcompile.engine.training import Model


class NonFiniteLoss(KCompileError, ArithmeticError):
    """The loss of a training step is NaN or infinite; the weights are those before that step."""


def explain(
    model: Model, step: Step, batch: Sequence[Array], loss: float, epoch: int | None, index: int, kept: int
) -> str:
    """The sentence for a step that was refused: where, which tensor is to blame, what the weights are.

    Args:
        model: the model in training. step: what was run. batch: its arrays.
        loss: the loss of that batch; a finite one means that the new weights are no numbers.
        epoch: counted from 0, ``None`` outside of ``fit``. index: of the batch.
        kept: the batch before which the weights are: ``index``, or the first one that ran together with it.
    """
    culprit = first_bad(step.executable.inputs, batch)
    trained = model.trainable_weights
    names = [w.label for w in trained]
    if culprit is None and (bad := first_bad(names, [w.numpy() for w in trained])):
        culprit = f"weight {bad}"
    if culprit is None:
        bad = first_bad(names, [w.storage.spare_buffer().read() for w in trained])
        at_fault = f"the gradient of weight {bad.partition('[')[0]}, where " if bad and math.isfinite(loss) else ""
        found = blame.cause(model, step, batch)
        culprit = f"{at_fault}{blame.UNKNOWN if found is None else found}"
    where = "" if epoch is None else f" at epoch {epoch + 1}, batch {index}"
    what = f"the loss is {loss}{where}"
    if math.isfinite(loss):
        what += ", but the update of the weights is not a number"
    return (
        f"{what}: {culprit}; the weights are those before {'this batch' if epoch is None else f'batch {kept}'} "
        "(compile with on_nan='ignore' to go on, or use the callback TerminateOnNaN)"
    )


def run_evaluation(
    model: Model, batches: Batches, callbacks: CallbackList | None = None, progress: Any = None
) -> dict[str, float]:
    """Losses and metrics over the batches, by name."""
    totals = Totals(model)
    for index, (step, batch, size, _) in enumerate(batches):
        if callbacks is not None and callbacks.has_test_batch:
            callbacks.on_test_batch_begin(index, {"batch": index, "size": size})
        losses = [float(r) for r in step(batch, "always")]
        totals.add(losses, size, step.log_names)
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
            with_graph_built(model, x), argument="x", with_targets=custom_steps.wants_targets(model),
            workers=a["workers"],
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
        with custom_steps.ready(model, x):
            specs = custom_steps.training_specs(model)
            data = standardize(
                x, y, a["sample_weight"], inputs=specs, targets=model._target_specs(), floatx=config.floatx()
            )
        size = batch_size_for("evaluate", specs, size, data.samples)
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
    return as_returned(model, values, a["return_dict"])


def as_returned(model: Model, values: dict[str, float], return_dict: bool) -> Any:
    """Loss and metrics as evaluate and ``*_on_batch`` return them."""
    if return_dict:
        return values
    if custom_steps.own_steps(model):
        return custom_steps.ordered_logs(model, values)
    found = [values[name] for name in model.metrics_names]
    return found if len(found) > 1 else found[0]


def _callback_list(model: Model, given: Any, verbose: int) -> CallbackList:
    callbacks = CallbackList(given)
    callbacks.set_model(model)
    callbacks.set_params({"verbose": verbose, "metrics": model.metrics_names})
    return callbacks


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
        step, batch, _, _ = as_step(model, data, training)
    totals = model._totals
    if reset_metrics or totals is None:
        totals = Totals(model)
    losses = [float(r) for r in step(batch, "finite" if training and model.on_nan == "raise" else "always")]
    if step.refused:
        raise NonFiniteLoss(explain(model, step, batch, losses[0], None, 0, 0))
    totals.add(losses, data.samples, step.log_names)
    return totals.values()
