"""The factors of losses: numbers or variables, which can change while a model trains."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kcompile.common import config
from kcompile.common.errors import DataTypeError, KCompileError, check_number, shown, unknown_name
from kcompile.common.lists import per_output
from kcompile.symbolic.tensor import Tensor
from kcompile.symbolic.variable import Variable


class WeightList(list[Any]):
    """``loss_weights`` as a list, of which entries can be assigned while the model trains."""

    owner: LossWeighting | None = None  # the model that follows

    def __setitem__(self, key: Any, value: Any) -> None:
        if isinstance(key, slice):
            for position, item in zip(range(len(self))[key], value, strict=True):
                self[position] = item
        else:
            position = range(len(self))[key]
            super().__setitem__(position, value if self.owner is None else self.owner._weigh(position, value))

    def __reduce_ex__(self, protocol: Any) -> Any:  # a copy waits for a model of its own
        return type(self), (list(self),)


class WeightDict(dict[str, Any]):
    """``loss_weights`` by output, of which entries can be assigned while the model trains."""

    owner: LossWeighting | None = None  # the model that follows

    def __setitem__(self, key: Any, value: Any) -> None:
        super().__setitem__(key, value if self.owner is None else self.owner._weigh(key, value))

    def update(self, *args: Any, **kwargs: Any) -> None:
        """As a dictionary's, entry by entry."""
        for key, value in dict(*args, **kwargs).items():
            self[key] = value

    def __reduce_ex__(self, protocol: Any) -> Any:  # as of a list
        return type(self), (dict(self),)


def live(given: Any) -> Any:
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


def factor(value: Any, output: str) -> Any:
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


class LossWeighting:
    """The part of a model that lets ``loss_weights`` change without ``compile``."""

    _compiled: Any
    _compile_arguments: dict[str, Any] | None

    @property
    def loss_weights(self) -> Any:
        """What ``compile`` was given; assigning to it, or to one of its entries, counts from the next step on.

        Raises:
            ValueError: a name that is no output, or no number.
        """
        return None if self._compile_arguments is None else self._compile_arguments["loss_weights"]

    @loss_weights.setter
    def loss_weights(self, value: Any) -> None:
        given = self.loss_weights
        if given is None or self._compiled is None:
            raise KCompileError("loss_weights can be assigned once compile was given some, for a model that is built")
        names = self._compiled.output_names
        entries = per_output(live(value), names, "loss_weights", 1.0)
        numbers = [_checked(entry, name) for entry, name in zip(entries, names, strict=True)]
        for key, number in zip(names if isinstance(given, dict) else range(len(names)), numbers, strict=True):
            given[key] = number

    def _follow_loss_weights(self) -> None:
        """Let entries that are assigned reach the variables of the graph."""
        if self.loss_weights is not None:
            self.loss_weights.owner = self

    def _weigh(self, key: Any, value: Any) -> Any:
        """Give an output another factor; what then stands in :attr:`loss_weights`: the number, or its variable."""
        given, names = self.loss_weights, self._compiled.output_names
        name = names[key] if isinstance(key, int) else key
        if name not in names:
            raise unknown_name("output in loss_weights:", name, names)
        number = _checked(value, name)
        now = next((plan.weight for plan in self._compiled.outputs if plan.name == name), None)
        if isinstance(now, Tensor) and not isinstance(now, Variable):
            raise KCompileError(f"loss_weights of output {name!r} is computed; assign to the variables it is made of")
        if now is not None:
            now.assign(number)
        old = given.get(name) if isinstance(given, dict) else given[key]
        return old if isinstance(old, Tensor) else number


def _checked(value: Any, output: str) -> float:
    number = float(value.numpy()) if isinstance(value, Tensor) else 1.0 if value is None else value
    return check_number("loss_weights", f"the factor of output {output!r}", number)
