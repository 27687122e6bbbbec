"""``LambdaCallback``: a callback made of functions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kcompile.callbacks.base import HOOKS, Callback
from kcompile.common.checks import raise_unknown_argument
from kcompile.common.errors import DataTypeError

Hook = Callable[..., Any] | None


class LambdaCallback(Callback):
    """Calls the functions given, at the times that their names say (Keras 2.3).

    Args:
        on_epoch_begin, on_epoch_end: called with (epoch, logs). on_batch_begin, on_batch_end: with (batch,
            logs).
        on_train_begin, on_train_end: with (logs).
        **kwargs: any other hook of ``Callback`` by name; other names become attributes.

    Raises:
        DataTypeError: a hook that does not exist, or that is not callable.
    """

    def __init__(
        self,
        on_epoch_begin: Hook = None,
        on_epoch_end: Hook = None,
        on_batch_begin: Hook = None,
        on_batch_end: Hook = None,
        on_train_begin: Hook = None,
        on_train_end: Hook = None,
        **kwargs: Any,
    ):
        super().__init__()
        hooks = {
            "on_epoch_begin": on_epoch_begin,
            "on_epoch_end": on_epoch_end,
            "on_batch_begin": on_batch_begin,
            "on_batch_end": on_batch_end,
            "on_train_begin": on_train_begin,
            "on_train_end": on_train_end,
        }
        for name, value in kwargs.items():
            if name.startswith("on_") and name not in HOOKS:
                raise_unknown_argument("LambdaCallback", name, HOOKS)
            if name in HOOKS:
                hooks[name] = value
            else:
                setattr(self, name, value)
        for name, function in hooks.items():
            if function is None:
                continue
            if not callable(function):
                raise DataTypeError(f"LambdaCallback: {name} must be a function, got {type(function).__name__}.")
            setattr(self, name, function)
