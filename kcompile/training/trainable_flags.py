"""Whether what trains is still what ``compile`` saw."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kcompile.common.errors import warn
from kcompile.training import custom_steps

if TYPE_CHECKING:
    from kcompile.models.model import Model

OFTEN = 64
"""Single batches beyond this many are looked at only so often: a walk over all layers takes as long as a small step."""


def warn_of_changed_flags(model: Model) -> None:
    """Say once after each ``compile`` that ``trainable`` was changed, which has no effect until the next one."""
    if model._told_of_flags or model._compiled is None or custom_steps.own_steps(model):
        return
    model._flag_checks += 1
    if model._flag_checks > OFTEN and model._flag_checks % OFTEN:
        return
    before, now = set(model._collected_trainable_weights), set(model.trainable_weights)
    if before == now:
        return
    model._told_of_flags = True
    both = [*model._collected_trainable_weights, *model.trainable_weights]
    changed = next(w for w in both if (w in before) != (w in now))
    verb = "frozen" if changed in before else "set to train"
    warn(
        f"model {model.name!r}: trainable was changed after compile ({changed.label} is {verb} now), which has no "
        f"effect: the {len(before)} weights that trained then go on, not the {len(now)} of now. Call compile again",
        UserWarning,
    )
