"""The factors of losses: numbers or variables, which can change while a model trains."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, SupportsIndex

from kcompile.common import config
from kcompile.common.checks import check_number
from kcompile.common.errors import DataTypeError, KCompileError, shown
from kcompile.symbolic.tensor import Tensor
from kcompile.symbolic.variable import Variable


class Follower(Protocol):
    """Whom an entry that is assigned is told."""

    def weigh(self, key: int | str, value: object, old: object) -> object:
        """Give an output another factor than ``old``; what then stands there: the number, or its variable."""


class WeightList(list[Any]):
    """``loss_weights`` as a list, of which entries can be assigned while the model trains."""

    owner: Follower | None = None  # whoever follows

    def __setitem__(self, key: Any, value: Any) -> None:
        if isinstance(key, slice):
            for position, item in zip(range(len(self))[key], value, strict=True):
                self[position] = item
        else:
            position = range(len(self))[key]
            super().__setitem__(
                position, value if self.owner is None else self.owner.weigh(position, value, self[position])
            )

    def __reduce_ex__(self, protocol: SupportsIndex) -> Any:  # a copy waits for a model of its own
        return type(self), (list(self),)


class WeightDict(dict[str, Any]):
    """``loss_weights`` by output, of which entries can be assigned while the model trains."""

    owner: Follower | None = None  # whoever follows

    def __setitem__(self, key: Any, value: Any) -> None:
        super().__setitem__(key, value if self.owner is None else self.owner.weigh(key, value, self.get(key)))

    def update(self, *args: Any, **kwargs: Any) -> None:
        """As a dictionary's, entry by entry."""
        for key, value in dict(*args, **kwargs).items():
            self[key] = value

    def __reduce_ex__(self, protocol: SupportsIndex) -> Any:  # as of a list
        return type(self), (dict(self),)


def live(given: Any) -> WeightList | WeightDict | None:
    """A copy of ``loss_weights`` that a model can follow.

    Raises:
        TypeError: neither a list nor a dictionary.
    """
    if given is None:
        return None
    if isinstance(given, Mapping):
        return WeightDict(given)
    if isinstance(given, (list, tuple)):
        return WeightList(given)
    raise DataTypeError(f"loss_weights must be a list or a dictionary by output, got {shown(given)}")


def factor(value: Any, output: str) -> Tensor:
    """The factor of one output as the step graph reads it: a variable for a number, so that it can change.

    Raises:
        TypeError, ValueError: neither a finite number nor a scalar variable.
    """
    argument = f"loss_weights of output {output!r}"
    if isinstance(value, Tensor):
        if value.ndim:
            raise KCompileError(f"compile: {argument} must be one number, got a variable of shape {tuple(value.shape)}")
        return value
    number = check_number("compile", argument, 1.0 if value is None else value)
    return Variable(number, config.floatx(), f"loss_weights/{output}", role="hyper", trainable=False)


def checked_number(value: Any, output: str) -> float:
    """The number that an entry is, or that its variable holds.

    Raises:
        TypeError, ValueError: it is no finite number.
    """
    number = float(value.numpy()) if isinstance(value, Tensor) else 1.0 if value is None else value
    return check_number("loss_weights", f"the factor of output {output!r}", number)
