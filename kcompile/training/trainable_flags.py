"""Whether what trains is still what ``compile`` saw."""

from __future__ import annotations

from collections.abc import Sequence

from kcompile.common.errors import warn
from kcompile.engine.network import Network
from kcompile.symbolic.variable import Variable

OFTEN = 64
"""Single batches beyond this many are looked at only so often: a walk over all layers takes as long as a small step."""


class FlagWatch:
    """Says once after each ``compile`` that ``trainable`` was changed, which has no effect until the next one.

    Attributes:
        told: whether it was said. checks: how often this was looked for.
    """

    def __init__(self, told: bool = False, checks: int = 0) -> None:
        self.told = told
        self.checks = checks

    def look(self, model: Network, trained: Sequence[Variable]) -> None:
        """Warn if the weights of ``model`` that train now are not ``trained``, those that ``compile`` saw."""
        if self.told:
            return
        self.checks += 1
        if self.checks > OFTEN and self.checks % OFTEN:
            return
        before, now = set(trained), set(model.trainable_weights)
        if before == now:
            return
        self.told = True
        changed = next(w for w in [*trained, *model.trainable_weights] if (w in before) != (w in now))
        verb = "frozen" if changed in before else "set to train"
        warn(
            f"model {model.name!r}: trainable was changed after compile ({changed.label} is {verb} now), which has no "
            f"effect: the {len(before)} weights that trained then go on, not the {len(now)} of now. Call compile again",
            UserWarning,
        )
