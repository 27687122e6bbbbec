"""Masks that end at a layer."""

from __future__ import annotations

from kcompile.common import loading
from kcompile.common.errors import warn
from kcompile.engine.layer_base import LayerBase
from kcompile.engine.replay import is_replayed


def tell_of_dropped_mask(layer: LayerBase) -> None:
    """Say once that a mask ends there: not for files, whose authors saw what it does."""
    if is_replayed() or loading.current() is not None or not layer.not_yet_told("mask"):
        return
    warn(
        f"layer {layer.name!r} ({type(layer).__name__}) does not support masks, so the mask that it got ends there: "
        "later layers and the loss count masked steps too, as in tf.keras (Keras 2.3 refuses such a model)"
    )
