"""Penalties on weights and on what layers give out, added to the training loss.

A regularizer is called with a tensor and returns a scalar tensor. Any other callable that does so serves too.
"""

# ruff: noqa: E741 - Keras calls the factor of l1 and l2 "l"

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from kcompile import backend as K
from kcompile.common.absent_names import absent
from kcompile.common.checks import check_number, check_one_of, raise_unknown_argument
from kcompile.common.errors import ShapeError
from kcompile.objects.lookup import Config, Identifier, deserialized, lookup
from kcompile.objects.making import names_of, serialize_keras_object
from kcompile.objects.registry import register
from kcompile.symbolic.tensor import Tensor


class Regularizer:
    """Base class. Subclasses define ``__call__(x)`` and, to be saved, ``get_config()``."""

    def __call__(self, x: Tensor) -> Any:
        raise NotImplementedError(f"{type(self).__name__} does not define __call__(x)")

    def get_config(self) -> dict[str, Any]:
        """The arguments from which :meth:`from_config` makes the same regularizer."""
        return {}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Any:
        """A new regularizer from :meth:`get_config`."""
        return cls(**config)


class L1L2(Regularizer):
    """``l1 * sum(|x|) + l2 * sum(x**2)``, as in Keras 2.3.1 (without a factor of one half)."""

    def __init__(self, l1: float = 0.0, l2: float = 0.0) -> None:
        self.l1 = check_number(type(self).__name__, "l1", 0.0 if l1 is None else l1)
        self.l2 = check_number(type(self).__name__, "l2", 0.0 if l2 is None else l2)

    def __call__(self, x: Tensor) -> Any:
        penalties = []
        if self.l1:
            penalties.append(self.l1 * K.sum(K.abs(x)))
        if self.l2:
            penalties.append(self.l2 * K.sum(K.square(x)))
        return sum(penalties[1:], penalties[0]) if penalties else K.constant(0.0, dtype=K.dtype(x))

    def get_config(self) -> dict[str, Any]:
        return {"l1": self.l1, "l2": self.l2}


class L1(L1L2):
    """``l1 * sum(|x|)`` (Keras 3's class)."""

    def __init__(self, l1: float = 0.01) -> None:
        super().__init__(l1=l1)

    def get_config(self) -> dict[str, Any]:
        return {"l1": self.l1}


class L2(L1L2):
    """``l2 * sum(x**2)`` (Keras 3's class)."""

    def __init__(self, l2: float = 0.01) -> None:
        super().__init__(l2=l2)

    def get_config(self) -> dict[str, Any]:
        return {"l2": self.l2}


class OrthogonalRegularizer(Regularizer):
    """``factor`` times the mean of the absolute cosines between pairs of rows (or columns) of a matrix.

    Source: Keras 3. With less than two rows there are no pairs, and no penalty.

    Raises:
        ValueError: when called with something else than a matrix.
    """

    def __init__(self, factor: float = 0.01, mode: str = "rows") -> None:
        self.factor = check_number("OrthogonalRegularizer", "factor", factor)
        self.mode = check_one_of("OrthogonalRegularizer", "mode", mode, ("rows", "columns"))

    def __call__(self, x: Tensor) -> Any:
        if K.ndim(x) != 2:
            raise ShapeError(f"OrthogonalRegularizer works on matrices, got shape {K.int_shape(x)}")
        rows = x if self.mode == "rows" else K.transpose(x)
        count = K.int_shape(rows)[0]
        if count is None or count < 2:
            return K.constant(0.0, dtype=K.dtype(x))
        rows = K.l2_normalize(rows, axis=1)
        others = K.constant(1 - np.eye(count), dtype=K.dtype(x))
        cosines = K.abs(K.dot(rows, K.transpose(rows))) * others
        return self.factor * K.sum(cosines) / (count * (count - 1))

    def get_config(self) -> dict[str, Any]:
        return {"factor": self.factor, "mode": self.mode}


def l1(l: float = 0.01, **kwargs: float) -> L1L2:
    """``l * sum(|x|)``. Keras 3's name of the factor, ``l1``, is understood."""
    return L1L2(l1=_factor("l1", l, kwargs))


def l2(l: float = 0.01, **kwargs: float) -> L1L2:
    """``l * sum(x**2)``. Keras 3's name of the factor, ``l2``, is understood."""
    return L1L2(l2=_factor("l2", l, kwargs))


def l1_l2(l1: float = 0.01, l2: float = 0.01) -> L1L2:
    """Both penalties."""
    return L1L2(l1=l1, l2=l2)


def _factor(name: str, factor: float, given: dict[str, float]) -> float:
    for key in given:
        if key != name:
            raise_unknown_argument(name, key, ["l", name])
    return given.get(name, factor)


# ---- names: Keras 1 had classes for weights and for activities, which did the same

WeightRegularizer = ActivityRegularizer = L1L2Regularizer = L1L2
activity_l1, activity_l2 = l1, l2
l1l2 = activity_l1l2 = l1_l2
orthogonal_regularizer = OrthogonalRegularizer

_FUNCTIONS: dict[str, Callable[..., L1L2]] = {
    "l1": l1,
    "l2": l2,
    "l1_l2": l1_l2,
    "l1l2": l1_l2,
    "activity_l1": l1,
    "activity_l2": l2,
    "activity_l1l2": l1_l2,
}
register("regularizer", {**names_of(globals(), Regularizer), **_FUNCTIONS})


def serialize(regularizer: Any) -> Any:
    """The configuration of a regularizer: ``{"class_name": ..., "config": ...}``, or a function's name."""
    return serialize_keras_object(regularizer)


def deserialize(config: Config, custom_objects: Mapping[str, Any] | None = None) -> Any:
    """The regularizer that a name or a configuration describes.

    Raises:
        ValueError: unknown.
    """
    found = deserialized(config, "regularizer", custom_objects)
    return found() if found in _FUNCTIONS.values() else found


def get(identifier: Identifier) -> Any:
    """A regularizer from a name, a configuration, a class or a callable; ``None`` stays ``None``.

    Raises:
        ValueError: an unknown name. TypeError: something else.
    """
    found = lookup(identifier, "regularizer")
    return found() if found in _FUNCTIONS.values() else found


__getattr__ = absent(__name__)
