"""A training step whose loss or weights are no numbers: the error, and the sentence that says where they come from."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from kcompile.common.errors import KCompileError
from kcompile.symbolic.tensor import Array
from kcompile.training import blame
from kcompile.training.plan import TrainingPlan
from kcompile.training.step import Step, first_bad

if TYPE_CHECKING:
    from kcompile.data.origins import Origin


class NonFiniteLoss(KCompileError, ArithmeticError):
    """The loss of a training step is NaN or infinite; the weights are those before that step."""


def explain(
    plan: TrainingPlan,
    step: Step,
    batch: Sequence[Array],
    origin: Origin,
    loss: float,
    epoch: int | None,
    index: int,
    kept: int,
    offset: int = 0,
) -> str:
    """The sentence for a step that was refused: where, which number is to blame, what the weights are.

    Args:
        plan: that of the model in training. step: what was run. batch: its arrays. origin: where they come from.
        loss: the loss of that batch; a finite one means that the new weights are no numbers.
        epoch: counted from 0, ``None`` outside of ``fit``. index: of the batch.
        kept: the batch before which the weights are: ``index``, or the first one that ran together with it.
        offset: samples that ran before the batch in the same call.
    """
    culprit = _bad_data(batch, origin, offset)
    trained = plan.model.trainable_weights
    names = [w.label for w in trained]
    if culprit is None and (bad := first_bad(names, [w.numpy() for w in trained])):
        culprit = f"weight {bad}"
    if culprit is None:
        bad = first_bad(names, [w.storage.spare_buffer().read() for w in trained])
        at_fault = f"the gradient of weight {bad.partition('[')[0]}, where " if bad and math.isfinite(loss) else ""
        found = blame.cause(plan.outputs, step, batch)
        culprit = f"{at_fault}{blame.UNKNOWN if found is None else found}"
    where = "" if epoch is None else f" at epoch {epoch + 1}, batch {index}"
    what = f"the loss is {loss}{where}"
    if math.isfinite(loss):
        what += ", but the update of the weights is not a number"
    return (
        f"{what}: {culprit}; the weights are those before {'this batch' if epoch is None else f'batch {kept}'} "
        "(compile with on_nan='ignore' to go on, or use the callback TerminateOnNaN)"
    )


def _bad_data(batch: Sequence[Array], origin: Origin, offset: int) -> str | None:
    """The first number of the batch that is none, by its place in what the user gave."""
    for i, array in enumerate(batch):
        if array.dtype.kind != "f":
            continue
        bad = ~np.isfinite(array)
        if bad.any():
            position = [int(n) for n in np.argwhere(bad)[0]]
            value = array[tuple(position)]
            return f"{origin.name(i, [position[0] + offset, *position[1:]])} is {value}"
    return None


def first_refused(step: Step, losses: Sequence[Array]) -> int:
    """The first of several batches run together whose loss, or else whose update, is not a number."""
    bad = ~np.isfinite(losses[0])
    if step.update_sums is not None:
        bad |= ~np.isfinite(step.update_sums)
    return int(np.argmax(bad))
