"""Projections of weights, applied after each update of the optimizer.

A constraint is called with a weight and returns a tensor of the same shape. Any other callable that does so
serves too. In all of them ``axis`` names the axes over which a norm is taken: 0 for the (in, out) matrix of a
dense layer, ``[0, 1, 2]`` for the kernel of a 2-D convolution, so that it is the norm of one unit's weights.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kcompile import backend as K
from kcompile.backend.math import Axis
from kcompile.common.absent_names import absent
from kcompile.common.checks import check_no_extra_arguments, check_number
from kcompile.objects.legacy_arguments import understands_keras_1
from kcompile.objects.lookup import Config, Identifier, deserialized, lookup
from kcompile.objects.making import names_of, serialize_keras_object
from kcompile.objects.registry import register
from kcompile.symbolic.tensor import Tensor


class Constraint:
    """Base class. Subclasses define ``__call__(w)`` and, to be saved, ``get_config()``."""

    def __call__(self, w: Tensor) -> Any:
        raise NotImplementedError(f"{type(self).__name__} does not define __call__(w)")

    def get_config(self) -> dict[str, Any]:
        """The arguments from which :meth:`from_config` makes the same constraint."""
        return {}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Any:
        """A new constraint from :meth:`get_config`."""
        return cls(**config)


def _norm(w: Tensor, axis: Axis) -> Any:
    return K.sqrt(K.sum(K.square(w), axis=axis, keepdims=True))


class MaxNorm(Constraint):
    """Scales weights down to a norm of at most ``max_value``. Keras 1's name of the argument is ``m``."""

    @understands_keras_1
    def __init__(self, max_value: float = 2, axis: Axis = 0, **kwargs: Any) -> None:
        check_no_extra_arguments("MaxNorm", kwargs, ["max_value", "axis"])
        self.max_value = check_number("MaxNorm", "max_value", max_value, minimum=0)
        self.axis = axis

    def __call__(self, w: Tensor) -> Any:
        norm = _norm(w, self.axis)
        return w * (K.clip(norm, 0, self.max_value) / (K.epsilon() + norm))

    def get_config(self) -> dict[str, Any]:
        return {"max_value": self.max_value, "axis": self.axis}


class NonNeg(Constraint):
    """Replaces negative weights with 0."""

    def __call__(self, w: Tensor) -> Any:
        return w * K.cast(K.greater_equal(w, 0.0), K.dtype(w))


class UnitNorm(Constraint):
    """Scales weights to norm 1."""

    def __init__(self, axis: Axis = 0) -> None:
        self.axis = axis

    def __call__(self, w: Tensor) -> Any:
        return w / (K.epsilon() + _norm(w, self.axis))

    def get_config(self) -> dict[str, Any]:
        return {"axis": self.axis}


class MinMaxNorm(Constraint):
    """Moves the norm towards the range from ``min_value`` to ``max_value``.

    Args:
        min_value, max_value: the range; Keras 1 calls them ``low`` and ``high``.
        rate: the part of the way that one update goes; 1 enforces the range.
        axis: see the module.
    """

    @understands_keras_1
    def __init__(
        self, min_value: float = 0.0, max_value: float = 1.0, rate: float = 1.0, axis: Axis = 0, **kwargs: Any
    ) -> None:
        check_no_extra_arguments("MinMaxNorm", kwargs, ["min_value", "max_value", "rate", "axis"])
        self.min_value = check_number("MinMaxNorm", "min_value", min_value, minimum=0)
        self.max_value = check_number("MinMaxNorm", "max_value", max_value, minimum=self.min_value)
        self.rate = check_number("MinMaxNorm", "rate", rate)
        self.axis = axis

    def __call__(self, w: Tensor) -> Any:
        norm = _norm(w, self.axis)
        desired = self.rate * K.clip(norm, self.min_value, self.max_value) + (1 - self.rate) * norm
        return w * (desired / (K.epsilon() + norm))

    def get_config(self) -> dict[str, Any]:
        return {
            "min_value": self.min_value,
            "max_value": self.max_value,
            "rate": self.rate,
            "axis": self.axis,
        }


# ---- names

max_norm = maxnorm = MaxNorm
non_neg = nonneg = NonNeg
unit_norm = unitnorm = UnitNorm
min_max_norm = MinMaxNorm

register("constraint", names_of(globals(), Constraint))


def serialize(constraint: Any) -> Any:
    """The configuration of a constraint: ``{"class_name": ..., "config": ...}``, or a function's name."""
    return serialize_keras_object(constraint)


def deserialize(config: Config, custom_objects: Mapping[str, Any] | None = None) -> Any:
    """The constraint that a name or a configuration describes.

    Raises:
        ValueError: unknown.
    """
    return deserialized(config, "constraint", custom_objects)


def get(identifier: Identifier) -> Any:
    """A constraint from a name, a configuration, a class or a callable; ``None`` stays ``None``.

    Raises:
        ValueError: an unknown name. TypeError: something else.
    """
    return lookup(identifier, "constraint")


__getattr__ = absent(__name__)
