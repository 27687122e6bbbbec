"""Metrics: quantities accumulated over batches, in the graph during training or at once on arrays."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from kcompile import ir
from kcompile.backend import math as tensor_math
from kcompile.backend.nn import switch
from kcompile.engine.added_metrics import MetricResult, Noted, note_result
from kcompile.engine.layer import Layer
from kcompile.engine.notes import caller, made_now
from kcompile.ir.ops.arrays import shaping
from kcompile.ir.ops.arrays.multiplied import reduce_prod
from kcompile.ir.ops.elementwise import functions as elementwise
from kcompile.ir.substitution import substitute
from kcompile.metrics.functions import target_kind
from kcompile.objects.lookup import lookup
from kcompile.objects.making import serialize_keras_object
from kcompile.symbolic.concrete import evaluated
from kcompile.symbolic.functions import Function
from kcompile.symbolic.target_shapes import matched
from kcompile.symbolic.tensor import Array, Tensor, TensorLike, as_float, as_tensor
from kcompile.symbolic.trace import current_trace, recorded_updates
from kcompile.symbolic.variable import Variable

Update = tuple[Variable, Tensor]


class Metric(Layer):
    """State, how a batch changes it, and the result.

    Subclasses make their state with ``add_weight``, change it in ``update_state`` with ``variable.assign`` or
    ``assign_add`` (or return pairs ``(variable, new value)``), and compute ``result`` from it.
    """

    counts_as_metric = True
    _hook_kinds = ("Layer", "Metric")

    def __init__(self, name: str | None = None, dtype: str | None = None, **kwargs: Any) -> None:
        super().__init__(name=name, dtype=dtype, **kwargs)
        self.stateful = True
        self.built = True
        self._compute: Function | None = None
        self._resetting = False

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        # Updates are the same code, traced for a graph or applied to arrays at once.
        if "update_state" in cls.__dict__:
            traced = cls.update_state

            def update_state(self: Any, *args: Any, **options: Any) -> Any:
                return self._update(traced, args, options)

            cls.update_state = functools.wraps(traced)(update_state)  # type: ignore[method-assign]  # the same one
        if "result" in cls.__dict__ and "value" not in cls.__dict__:
            cls.value = Metric.value  # type: ignore[method-assign]  # not the shortcut of a class above

    def add_weight(  # type: ignore[override]  # in Keras' order
        self, name: str | None = None, shape: Sequence[int] = (), initializer: Any = "zeros", **kwargs: Any
    ) -> Variable:
        """A variable of the metric's state, zero at first."""
        kwargs.setdefault("role", "metric")
        kwargs.setdefault("trainable", False)
        return super().add_weight(name, shape, initializer=initializer, **kwargs)

    def update_state(self, *args: Any, **kwargs: Any) -> Any:
        """Take a batch into account."""
        raise NotImplementedError(f"{type(self).__name__} must define update_state")

    def result(self) -> Any:
        """The metric, from the state."""
        raise NotImplementedError(f"{type(self).__name__} must define result")

    def reset_states(self) -> None:
        """Forget all batches; tf.keras' and Keras 3's name is :meth:`reset_state`, and subclasses define either."""
        self._reset("reset_state", "reset_states")

    def reset_state(self) -> None:
        """Forget all batches."""
        self._reset("reset_states", "reset_state")

    def _reset(self, other: str, called: str) -> None:
        # A subclass's method of the other name is the one that counts, unless it has both (or comes from there).
        own = {name for name in (other, called) if getattr(type(self), name) is not getattr(Metric, name)}
        if own == {other} and not self._resetting:
            self._resetting = True
            try:
                getattr(self, other)()
            finally:
                self._resetting = False
            return
        for weight in self.weights:
            weight.assign(np.zeros(weight.storage.shape))

    def _update(self, traced: Callable[..., Any], args: Any, options: Any) -> Any:
        if _tracing.active:  # called from an update_state that is being traced
            return traced(self, *args, **options)
        _tracing.active = True
        try:
            with recorded_updates() as pairs:
                returned = traced(self, *args, **options)
        finally:
            _tracing.active = False
        if isinstance(returned, list):
            pairs = [*pairs, *returned]
        elif isinstance(returned, tuple) and len(returned) == 2 and isinstance(returned[0], Variable):
            pairs = [*pairs, returned]
        merged = _chained(pairs)
        if current_trace() is not None and not _tracing.symbolic:
            for variable, value in merged.items():
                variable.assign(value)
            return None
        depends = [n for n in ir.toposort([v.value for v in merged.values()]) if isinstance(n.op, ir.Input)]
        if depends or _tracing.symbolic:
            if not _tracing.symbolic and (layer := caller()) is not None:
                noted = Noted(self.name, metric=self, updates=tuple(merged.items()))
                layer.call_notes = layer.call_notes.and_more(metrics=[noted])
                for value in merged.values():
                    made_now(value)
            return list(merged.items())
        for variable, array in zip(merged, evaluated(list(merged.values())), strict=True):
            variable.assign(array)
        return None

    def symbolic_update(self, *args: Any) -> list[Update]:
        """The updates for symbolic arguments, for the trainer."""
        _tracing.symbolic = True
        try:
            pairs: list[Update] = self.update_state(*args)
        finally:
            _tracing.symbolic = False
        return pairs

    def value(self) -> Any:
        """The result now: a number, or an array of them (one for each of several thresholds)."""
        if self._compute is None:
            self._compute = Function([], [self.result()], name=f"{self.name}_result", device="cpu")
        found = np.asarray(self._compute()[0])
        return float(found.reshape(())) if found.size == 1 else found

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Update with arrays or symbolic tensors, and return the result after that as a tensor.

        In the ``call`` of a layer, the metric becomes one of every model that contains the layer.
        """
        updates = dict(self.update_state(*args, **kwargs) or ())
        result = as_tensor(self.result())
        if updates:
            new = {variable.value: as_tensor(value).value for variable, value in updates.items()}
            result = Tensor(substitute([result.value], new)[0])
        mean_of = self._mean_of(*args) if len(args) == 1 and not kwargs else None
        note_result(result, MetricResult(self, mean_of))
        return result

    def _mean_of(self, values: Any) -> Any:
        """``values``, if this metric is nothing but their mean; else ``None``."""
        return None

    def get_config(self) -> dict[str, Any]:
        return {"name": self.name, "dtype": self.dtype or "float32"}


class _Tracing(threading.local):
    """What this thread is doing: models may be compiled and metrics used in several threads at once."""

    active = False
    symbolic = False


_tracing = _Tracing()


def _chained(pairs: Sequence[Update]) -> dict[Variable, Tensor]:
    """Updates by variable; a later one starts from the result of an earlier one."""
    merged: dict[Variable, Tensor] = {}
    for variable, value in pairs:
        new = as_tensor(value)
        if variable in merged:
            new = Tensor(substitute([new.value], {variable.value: merged[variable].value})[0])
        merged[variable] = new
    return merged


class Reduce(Metric):
    """A (weighted) sum of values, and how many they were."""

    counts = True

    def __init__(self, name: str | None = None, dtype: str | None = None) -> None:
        super().__init__(name=name, dtype=dtype)
        self.total = self.add_weight("total")
        self.count = self.add_weight("count") if self.counts else None

    def update_state(self, values: TensorLike, sample_weight: TensorLike | None = None) -> list[Update]:
        """Add values of any shape; weights broadcast from the left, as samples do."""
        return self._added(values, sample_weight)

    def _added(self, values: TensorLike, sample_weight: TensorLike | None) -> list[Update]:
        """The updates that add values; for the ``update_state`` of subclasses."""
        values = as_float(values)
        if sample_weight is not None:
            values, weights = weighted(values, sample_weight)
            number: Any = tensor_math.sum(weights)
        else:
            number = Tensor(_size_of(values))
        updates: list[Update] = [(self.total, self.total + tensor_math.sum(values))]
        if self.count is not None:
            updates.append((self.count, self.count + number))
        return updates

    def value(self) -> float:
        total = float(self.total.numpy())
        if self.count is None:
            return total
        count = float(self.count.numpy())
        return total / count if count else 0.0


class Mean(Reduce):
    """The weighted mean of all values so far; 0 before the first."""

    def __init__(self, name: str | None = "mean", dtype: str | None = None) -> None:
        super().__init__(name, dtype)

    value = Reduce.value

    def result(self) -> Tensor:
        assert self.count is not None
        return divide_no_nan(self.total, self.count)

    def _mean_of(self, values: Any) -> Any:
        return values if type(self) is Mean else None


class Sum(Reduce):
    """The weighted sum of all values so far."""

    counts = False

    def __init__(self, name: str | None = "sum", dtype: str | None = None) -> None:
        super().__init__(name, dtype)

    value = Reduce.value

    def result(self) -> Tensor:
        return Tensor(self.total.value)


class MeanMetricWrapper(Mean):
    """The mean over samples of a function ``fn(y_true, y_pred)``; keyword arguments go to the function."""

    def __init__(
        self, fn: Callable[..., Any], name: str | None = None, dtype: str | None = None, **kwargs: Any
    ) -> None:
        super().__init__(name or getattr(fn, "__name__", None), dtype)
        self._fn = fn
        self._fn_kwargs = kwargs

    def update_state(  # type: ignore[override]  # of targets and predictions, as in Keras
        self, y_true: TensorLike, y_pred: TensorLike, sample_weight: TensorLike | None = None
    ) -> list[Update]:
        """Add the function's values for a batch; ranks that differ by a last axis of size 1 are made equal.

        Raises:
            ShapeError: shapes that differ otherwise.
        """
        y_true, y_pred = self._matched(y_true, y_pred, sample_weight)
        return self._added(self._fn(y_true, y_pred, **self._fn_kwargs), sample_weight)

    @property
    def kind_of_targets(self) -> str:
        """What targets the function takes, in the words of :func:`kcompile.losses.target_kind`."""
        return target_kind(self._fn)

    def _matched(
        self, y_true: TensorLike, y_pred: TensorLike, sample_weight: TensorLike | None
    ) -> tuple[Tensor, Tensor]:
        kind = "any" if self._fn_kwargs.get("axis", -1) != -1 else self.kind_of_targets
        return matched(as_tensor(y_true), as_tensor(y_pred), kind, self.name, sample_weight is not None)

    def get_config(self) -> dict[str, Any]:
        """The arguments; those of subclasses do not name the function, which is theirs."""
        config = {**super().get_config(), **self._fn_kwargs}
        return {**config, "fn": serialize_keras_object(self._fn)} if type(self) is MeanMetricWrapper else config

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        """A new metric from :meth:`get_config`; a function given by name is a known or a custom one."""
        return cls(**{key: lookup(value, "metric") if key == "fn" else value for key, value in config.items()})


# ---- helpers


def weighted(values: Tensor, sample_weight: TensorLike) -> tuple[Tensor, Tensor]:
    """Values times weights, and the weights in the shape of the values.

    Weights of lower rank apply to whole samples; of higher rank (a last axis of size 1) they lose it.
    """
    w = as_float(sample_weight)
    value = w.value
    if value.rank == values.ndim + 1 and value.shape[-1] == 1:
        value = shaping.squeeze(value, [value.rank - 1])
    if value.rank > values.ndim:
        values = tensor_math.mean(values)
        return values * Tensor(value), Tensor(value)
    if value.rank < values.ndim:
        value = shaping.reshape(value, (*value.shape, *(1,) * (values.ndim - value.rank)))
    value = shaping.expand(value, values.value.shape)
    return values * Tensor(value), Tensor(value)


def divide_no_nan(x: TensorLike, y: TensorLike) -> Tensor:
    """x / y, and 0 where y is 0."""
    y = as_float(y)
    zero = tensor_math.equal(y, 0.0)
    return switch(zero, as_float(x) * 0.0, as_float(x) / switch(zero, y + 1.0, y))


def _size_of(values: Tensor) -> ir.Value:
    """How many values there are, as a floating point scalar."""
    sizes = shaping.dims_vector(values.value.shape)
    return elementwise.cast(reduce_prod(sizes), values.dtype)


__all__ = ["Array", "Mean", "MeanMetricWrapper", "Metric", "Reduce", "Sum", "divide_no_nan", "weighted"]
