"""Weights whose initializer, regularizer and constraint are arguments of their layer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kcompile import constraints, initializers, regularizers
from kcompile.engine.layer import Layer, Shape
from kcompile.objects.lookup import Identifier


class WeightOptions(Layer):
    """Adds weights whose initializer, regularizer and constraint are the attributes ``<prefix>_initializer``..."""

    def _set_weight_options(
        self, prefix: str, initializer: Identifier, regularizer: Identifier = None, constraint: Identifier = None
    ) -> None:
        """Resolve and keep the three arguments of one weight."""
        setattr(self, f"{prefix}_initializer", initializers.get(initializer))
        setattr(self, f"{prefix}_regularizer", regularizers.get(regularizer))
        setattr(self, f"{prefix}_constraint", constraints.get(constraint))

    def _add_weight_of(
        self, prefix: str, shape: Shape, name: str | None = None, initializer: Identifier = None, **options: Any
    ) -> Any:
        """A weight with the options kept under ``prefix``, which is its name if it has no other.

        Args:
            initializer: stands in for the one there.
            options: others of ``add_weight``.
        """
        return self.add_weight(
            name=name or prefix,
            shape=tuple(shape),
            initializer=initializer or getattr(self, f"{prefix}_initializer"),
            regularizer=getattr(self, f"{prefix}_regularizer"),
            constraint=getattr(self, f"{prefix}_constraint"),
            **options,
        )

    def _weight_config(
        self, *prefixes: str, activity_regularizer: bool = False, only_initialized: Sequence[str] = ()
    ) -> dict[str, Any]:
        """The options of these weights, serialized, in Keras' order.

        Args:
            activity_regularizer: whether that of the output is among them.
            only_initialized: weights that have an initializer, but no other option.
        """
        regularized = [*prefixes, "activity"] if activity_regularizer else prefixes
        found = {f"{prefix}_initializer": initializers for prefix in (*prefixes, *only_initialized)}
        found |= {f"{prefix}_regularizer": regularizers for prefix in regularized}
        found |= {f"{prefix}_constraint": constraints for prefix in prefixes}
        return {name: module.serialize(getattr(self, name)) for name, module in found.items()}
