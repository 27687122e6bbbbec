"""Weights whose initializer, regularizer and constraint are arguments of their layer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kcompile import constraints, initializers, regularizers
from kcompile.engine.layer import Layer


class WeightOptions(Layer):
    """Adds weights whose initializer, regularizer and constraint are the attributes ``<prefix>_initializer``..."""

    def _set_weight_options(self, prefix: str, initializer: Any, regularizer: Any, constraint: Any) -> None:
        """Resolve and keep the three arguments of one weight."""
        setattr(self, f"{prefix}_initializer", initializers.get(initializer))
        setattr(self, f"{prefix}_regularizer", regularizers.get(regularizer))
        setattr(self, f"{prefix}_constraint", constraints.get(constraint))

    def _add_weight_of(self, prefix: str, name: str, shape: Sequence[int], initializer: Any = None) -> Any:
        """A weight with the options kept under ``prefix``; ``initializer`` stands in for the one there."""
        return self.add_weight(
            name=name,
            shape=tuple(shape),
            initializer=initializer or getattr(self, f"{prefix}_initializer"),
            regularizer=getattr(self, f"{prefix}_regularizer"),
            constraint=getattr(self, f"{prefix}_constraint"),
        )

    def _weight_config(self, *prefixes: str) -> dict[str, Any]:
        """The options of these weights, serialized."""
        modules = {"initializer": initializers, "regularizer": regularizers, "constraint": constraints}
        return {
            f"{prefix}_{option}": module.serialize(getattr(self, f"{prefix}_{option}"))
            for option, module in modules.items()
            for prefix in prefixes
        }
