"""Which of the methods that training calls a user's class defines anew."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from kcompile.common.errors import KCompileError
from kcompile.engine.network import Network

TRAINING_HOOKS = ("train_step", "test_step", "compute_loss", "compute_metrics", "get_metrics_result")
REFUSED = {
    "make_train_function": "train_step",
    "make_test_function": "test_step",
    "make_predict_function": "predict_step",
}
"""Functions on iterators, which have no place here, with what to define instead."""

_DEFAULTS: dict[str, Any] = {}

Hook = TypeVar("Hook", bound=Callable[..., Any])


def hook(default: Hook) -> Hook:
    """Note the method that a model has unless its class, or the instance, defines another one of that name."""
    _DEFAULTS[default.__name__] = default
    return default


def overridden(model: Network, name: str) -> bool:
    """Whether a subclass (or the instance) defines a method of Model anew."""
    return getattr(getattr(model, name), "__func__", None) is not _DEFAULTS[name]


def own_steps(model: Network) -> bool:
    """Whether training and evaluation run code of the user's own, or show metrics that it lists."""
    if getattr(getattr(type(model), "metrics", None), "fget", None) is not _DEFAULTS["metrics"]:
        return True
    return any(overridden(model, name) for name in TRAINING_HOOKS)


def refuse_functions(model: Network) -> None:
    """Refuse functions on iterators, which would be skipped.

    Raises:
        ValueError: one of :data:`REFUSED` is overridden.
    """
    for name, step in REFUSED.items():
        if overridden(model, name):
            raise KCompileError(
                f"model {model.name!r} ({type(model).__name__}) overrides {name}, which nothing calls here: the loop "
                f"over batches is kcompile's own; define {step}(self, data) instead"
            )
