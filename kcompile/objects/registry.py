"""The classes and functions that a configuration can name: tables, by kind. Nothing else is ever looked up."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

from kcompile.objects.lookup import in_any_case

KINDS = ("layer", "activation", "initializer", "regularizer", "constraint", "loss", "metric", "optimizer")


@functools.cache
def known(kind: str) -> Mapping[str, Any]:
    """What kcompile itself knows of one kind, by name."""
    from kcompile import activations, constraints, initializers, layers, losses, metrics, optimizers, regularizers

    modules = {
        "activation": activations, "initializer": initializers, "regularizer": regularizers,
        "constraint": constraints, "loss": losses, "metric": metrics, "optimizer": optimizers,
    }  # fmt: skip
    table: Mapping[str, Any] = layers.known_classes() if kind == "layer" else modules[kind]._KNOWN
    return table


def kind_of_key(key: str) -> str | None:
    """The kind of what a configuration holds under a key, as far as the key tells."""
    for kind in ("initializer", "regularizer", "constraint", "activation"):
        if key == kind or key.endswith(f"_{kind}"):
            return kind
    if key in ("layer", "layers", "forward_layer", "backward_layer", "cell", "cells"):
        return "layer"
    return {"optimizer": "optimizer", "optimizer_config": "optimizer"}.get(key)


def find(name: str, kind: str | None) -> Any:
    """The class or function of that name, or ``None``; without a kind, in all tables."""
    for each in KINDS if kind is None else (kind, "layer") if kind == "activation" else (kind,):
        if name in known(each):
            return known(each)[name]
        near = in_any_case(name, known(each)) if kind not in (None, "layer") and each != "layer" else None
        if near is not None:
            return known(each)[near]
    return None


def names(kind: str | None) -> list[str]:
    """The names that :func:`find` knows, for "did you mean"."""
    return [name for each in (KINDS if kind is None else (kind,)) for name in known(each)]
