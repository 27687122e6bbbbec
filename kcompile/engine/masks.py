"""Masks that end at a layer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kcompile.common import loading
from kcompile.common.errors import warn
from kcompile.engine.replay import is_replayed

if TYPE_CHECKING:
    from kcompile.engine.layer import Layer


def tell_of_dropped_mask(layer: Layer) -> None:
    """Say once that a mask ends there: not for files, whose authors saw what it does."""
    if layer._dropped_mask or is_replayed() or loading.current() is not None:
        return
    layer._dropped_mask = True
    warn(
        f"layer {layer.name!r} ({type(layer).__name__}) does not support masks, so the mask that it got ends there: "
        "later layers and the loss count masked steps too, as in tf.keras (Keras 2.3 refuses such a model)"
    )
