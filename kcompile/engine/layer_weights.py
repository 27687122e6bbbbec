"""What a layer keeps: its weights, and how they are read and replaced."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from kcompile import constraints, initializers, regularizers
from kcompile.common import loading
from kcompile.common.errors import DataTypeError, KCompileError, NotReadyError, ShapeError
from kcompile.common.meanings import as_meant_now
from kcompile.engine import weight_order
from kcompile.engine.layer_base import LayerBase
from kcompile.symbolic.tensor import Array, Tensor
from kcompile.symbolic.variable import Variable


class LayerWeights(LayerBase):
    """The weights of a layer and of the layers inside it; a part of :class:`~kcompile.engine.layer.Layer`."""

    def add_weight(
        self,
        name: Any = None,
        shape: Any = None,
        dtype: str | None = None,
        initializer: Any = None,
        regularizer: Any = None,
        trainable: bool | None = True,
        constraint: Any = None,
        **kwargs: Any,
    ) -> Variable:
        """A new weight.

        Args:
            name: its name inside the layer. (Keras 3's order, shape first, is understood too.)
            shape: its shape; default a scalar.
            dtype: element type, default the layer's.
            initializer: name or function; default ``glorot_uniform`` for floating point numbers, else zeros.
            regularizer, constraint: see the modules of those names.
            trainable: whether optimizers change it.
            kwargs: ``role``, see :class:`kcompile.ir.Variable`; default ``weight``, ``statistic`` if not trainable.

        Raises:
            TypeError: an unknown argument.
            ValueError: an unknown size, or an initializer that makes another shape.
        """
        unknown = sorted(set(kwargs) - {"role"})
        if unknown:
            raise DataTypeError(f"layer {self.name!r}: add_weight does not take {', '.join(unknown)}")
        if isinstance(name, (tuple, list)):
            name, shape = (shape if isinstance(shape, str) else None), name
        shape = tuple(() if shape is None else shape)
        if any(size is None for size in shape):
            raise ShapeError(f"layer {self.name!r}: weight {name!r} would have the unknown size in {shape}")
        dtype = dtype or self.dtype
        if initializer is None:
            initializer = "glorot_uniform" if dtype.startswith("float") else "zeros"
        initializer = initializers.get(initializer)
        if not dtype.startswith("float") and not initializers.makes_integers(initializer):
            raise DataTypeError(
                f"layer {self.name!r}: {type(initializer).__name__}, the initializer of weight {name!r}, makes "
                f"fractions but its dtype is {dtype}; give the layer a floating point dtype, or it another initializer"
            )
        role = kwargs.get("role", "weight" if trainable else "statistic")
        file = loading.current()
        value: Any = None
        if file is not None and role in ("weight", "statistic"):
            value = file.new_weight(f"{self.name}/{name}", shape, dtype)
        if value is None:
            value = initializer(shape, dtype=dtype)
        value = value.numpy() if isinstance(value, Tensor) else np.asarray(value)
        if value.shape != shape:
            raise ShapeError(f"layer {self.name!r}: the initializer of {name!r} made shape {value.shape}, not {shape}")
        name = name or f"weight_{len(self._trainable_weights) + len(self._non_trainable_weights)}"
        constraint = as_meant_now(constraints.get(constraint))
        weight = Variable(value, dtype, f"{self.name}/{name}", role, constraint, bool(trainable))
        regularizer = as_meant_now(regularizers.get(regularizer))
        if regularizer is not None:
            self._regularized.append((weight, regularizer))
        (self._trainable_weights if trainable else self._non_trainable_weights).append(weight)
        return weight

    @property
    def trainable_weights(self) -> list[Variable]:
        """The weights that train: none if ``trainable`` is false, here or where they lie."""
        return weight_order.training(self)

    @trainable_weights.setter
    def trainable_weights(self, weights: list[Variable]) -> None:
        self._trainable_weights = weights

    @property
    def non_trainable_weights(self) -> list[Variable]:
        """All other weights."""
        return weight_order.fixed(self)

    @non_trainable_weights.setter
    def non_trainable_weights(self, weights: list[Variable]) -> None:
        self._non_trainable_weights = weights

    @property
    def weights(self) -> list[Variable]:
        """All weights, in the order of tf.keras, which does not depend on ``trainable``."""
        return weight_order.all_weights(self)

    variables = weights

    @property
    def trainable_variables(self) -> list[Variable]:
        return self.trainable_weights

    @property
    def non_trainable_variables(self) -> list[Variable]:
        return self.non_trainable_weights

    def get_weights(self) -> list[Array]:
        """The values of all weights, in the order of :attr:`weights`."""
        return [w.numpy() for w in self.weights]

    def set_weights(self, weights: Sequence[Any]) -> None:
        """Replace all weights, in the order of :meth:`get_weights`; nothing is changed if one does not fit.

        Raises:
            ValueError: another number of arrays, or another shape.
        """
        params = self.weights
        if len(params) != len(weights):
            hint = "" if self.built else "; it has none before it is built, so call it on data (or a tensor) first"
            raise KCompileError(
                f"{self._kind} {self.name!r} has {len(params)} weights, got a list of {len(weights)} arrays{hint}"
            )
        assign_all(f"{self._kind} {self.name!r}", params, weights)

    def count_params(self) -> int:
        """The number of scalars in the weights.

        Raises:
            RuntimeError (also a ValueError): the layer is not built.
        """
        if not self.built and not self.weights:
            raise NotReadyError(
                f"layer {self.name!r} ({type(self).__name__}) is not built, so it has no weights to count; "
                "call it on a tensor, or give the first layer an input_shape"
            )
        return sum(int(np.prod(w.storage.shape, dtype=np.int64)) for w in self.weights)


def assign_all(owner: str, params: Sequence[Variable], values: Sequence[Any]) -> None:
    """Assign one value to each variable, or raise before any is changed.

    Raises:
        ValueError: shapes that differ, all of them named; values that are no numbers.
    """
    arrays = [np.asarray(value) for value in values]
    wrong = [
        f"{p.label} is {p.storage.shape}, got {a.shape}"
        for p, a in zip(params, arrays, strict=True)
        if p.storage.shape != a.shape
    ]
    if wrong:
        raise ShapeError(f"weights of {owner} do not fit: {'; '.join(wrong)}")
    wrong = [f"{p.label} got {a.dtype}" for p, a in zip(params, arrays, strict=True) if a.dtype.kind not in "biuf"]
    if wrong:
        raise DataTypeError(f"weights of {owner} must be numbers: {'; '.join(wrong)}")
    for p, a in zip(params, arrays, strict=True):
        p.assign(a)
