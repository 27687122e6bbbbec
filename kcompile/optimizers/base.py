"""The base class of optimizers: gradients, clipping, decay, slots."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, SupportsFloat

import numpy as np

from kcompile.backend import math as tensor_math
from kcompile.backend.nn import switch
from kcompile.common import config
from kcompile.common.checks import check_number
from kcompile.common.errors import DataTypeError, KCompileError, did_you_mean
from kcompile.objects.refused_hooks import refuse_hooks
from kcompile.optimizers.applying import ApplyingMethods, Update
from kcompile.symbolic.functions import gradients
from kcompile.symbolic.tensor import Array, Tensor
from kcompile.symbolic.trace import at_once
from kcompile.symbolic.variable import Variable


class Optimizer(ApplyingMethods):
    """Turns a loss into updates of weights.

    Args:
        lr: the learning rate; Keras 3 calls it ``learning_rate``.
        decay: the rate of step ``t`` (from 0) is ``lr / (1 + decay * t)``.
        clipnorm: gradients are scaled so that their common norm is at most this, as in Keras 2.3.
        global_clipnorm: the same, tf.keras' and Keras 3's name (whose ``clipnorm`` is for each gradient alone).
        clipnorm_each: each gradient alone is scaled to at most this norm; tf.keras and Keras 3 call this ``clipnorm``,
            and files of theirs are read so.
        clipvalue: each element of a gradient is limited to ``[-clipvalue, clipvalue]``.
        name: shown in configurations.

    Raises:
        TypeError: an unknown argument.
        ValueError: a number out of range.
    """

    names_of_slots_in_files: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    """The kinds of slots, in the order of HDF5 files, with their names in files; ours is written first."""

    groups_of_slots_in_files: ClassVar[tuple[tuple[str, ...], ...]] = ()
    """The groups in which Keras 3 makes slots, one group after the other; inside one, weight by weight."""

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        refuse_hooks(cls, "Optimizer")
        return super().__new__(cls)

    def __init__(self, lr: float | Variable, decay: float = 0.0, **kwargs: Any) -> None:
        owner = type(self).__name__
        self.name = kwargs.pop("name", owner)
        lr = kwargs.pop("learning_rate", lr)
        clips = ("clipnorm", "global_clipnorm", "clipnorm_each", "clipvalue")
        for key in kwargs:
            if key not in clips:
                known = ["lr", "learning_rate", "decay", *clips, *self._hyper_names()]
                raise DataTypeError(f"{owner} got an unknown argument {key!r}{did_you_mean(key, known)}")
        self.clipnorm = _positive(owner, "clipnorm", kwargs.get("clipnorm"))
        self.global_clipnorm = _positive(owner, "global_clipnorm", kwargs.get("global_clipnorm"))
        self.clipnorm_each = _positive(owner, "clipnorm_each", kwargs.get("clipnorm_each"))
        self.clipvalue = _positive(owner, "clipvalue", kwargs.get("clipvalue"))
        rate = float(lr.numpy()) if isinstance(lr, Variable) else lr
        check_number(owner, "lr", rate, minimum=0)
        self._lr = Variable(np.float32(rate), config.floatx(), f"{owner}/lr", role="hyper", trainable=False)
        self._decay = Variable(
            np.float32(check_number(owner, "decay", decay or 0.0, minimum=0)), config.floatx(), f"{owner}/decay",
            role="hyper", trainable=False,
        )  # fmt: skip
        self.initial_decay = float(decay or 0.0)
        self.iterations = Variable(np.int64(0), "int64", f"{owner}/iterations", role="counter", trainable=False)
        self._slots: dict[tuple[str, Variable | None], Variable] = {}
        self._scales: dict[Variable, float] = {}

    @classmethod
    def _hyper_names(cls) -> list[str]:
        return [n for n in inspect.signature(cls.__init__).parameters if n not in ("self", "kwargs")]

    # -- numbers that can be changed while training goes on

    @property
    def lr(self) -> Variable:
        """The learning rate: assign a number, or use ``K.set_value``; training uses it from the next step on."""
        return self._lr

    @lr.setter
    def lr(self, value: SupportsFloat) -> None:
        self._lr.assign(check_number(type(self).__name__, "lr", float(value), minimum=0))

    learning_rate = lr

    @property
    def decay(self) -> Variable:
        return self._decay

    @decay.setter
    def decay(self, value: SupportsFloat) -> None:
        owner = type(self).__name__
        number = check_number(owner, "decay", float(value), minimum=0)
        # The graph contains the decay only if it was positive from the start.
        if self.initial_decay == 0 and number != 0:
            raise KCompileError(f"{owner} was made without decay, so none can be set; make it with {owner}(decay=...)")
        self._decay.assign(number)

    def rate(self) -> Tensor:
        """The learning rate of this step, decayed."""
        if self.initial_decay == 0:
            return self._lr
        return self._lr / (1.0 + self._decay * tensor_math.cast(self.iterations, self._decay.dtype))

    # -- gradients

    def get_gradients(self, loss: Tensor, params: Sequence[Variable]) -> list[Tensor]:
        """The gradients of the loss, clipped.

        Raises:
            ValueError: the loss does not depend on a weight.
        """
        grads = gradients(loss, list(params))
        missing = [p.label for p, g in zip(params, grads, strict=True) if g is None]
        if missing:
            raise KCompileError(
                f"the loss does not depend on {', '.join(missing)} in a differentiable way, so it cannot be trained; "
                "set trainable=False on that layer, or check for K.argmax, K.round and K.stop_gradient"
            )
        return self.clipped([g for g in grads if g is not None])

    def clipped(self, grads: list[Tensor]) -> list[Tensor]:
        """Gradients within the limits of ``clipnorm`` and its kin."""
        limit = self.clipnorm or self.global_clipnorm
        if limit:
            total = tensor_math.sum(tensor_math.square(grads[0]))
            for g in grads[1:]:
                total = total + tensor_math.sum(tensor_math.square(g))
            norm = tensor_math.sqrt(total)
            grads = [switch(norm >= limit, g * (limit / norm), g) for g in grads]
        if self.clipnorm_each:
            norms = [tensor_math.sqrt(tensor_math.sum(tensor_math.square(g))) for g in grads]
            limit = self.clipnorm_each
            grads = [switch(norm >= limit, g * (limit / norm), g) for g, norm in zip(grads, norms, strict=True)]
        if self.clipvalue:
            grads = [tensor_math.clip(g, -self.clipvalue, self.clipvalue) for g in grads]
        return grads

    def get_updates(self, loss: Any, params: Any, *more: Any) -> list[Update]:
        """The updates of one step: weights (constrained), slots, iterations.

        Keras 1's order, ``get_updates(params, constraints, loss)``, is understood too; its constraints must be empty,
        since variables have theirs.

        Raises:
            ValueError: the loss does not depend on a weight.
            TypeError: other arguments.
        """
        if more:
            if len(more) > 1 or params or not isinstance(more[0], Tensor):
                owner = type(self).__name__
                raise DataTypeError(f"{owner}.get_updates takes (loss, params), or Keras 1's (params, [], loss)")
            loss, params = more[0], loss
        if self.steps_by_hooks():
            return self.updates_by_hooks(loss, params)
        return self.updates_for(self.get_gradients(loss, params) if params else [], params)

    def updates_for(self, grads: Sequence[Tensor], params: Sequence[Variable]) -> list[Update]:
        """The updates of one step from the (clipped) gradients: iterations, weights (constrained), slots."""
        updates: list[Update] = [(self.iterations, self.iterations + 1)]
        step = self.prepare(updates)
        for p, g in zip(params, grads, strict=True):
            new, slots = step(p, g)
            if p.constraint is not None:
                new = p.constraint(new)
            updates.append((p, new))
            updates += slots
        return updates

    def prepare(self, updates: list[Update]) -> Callable[[Variable, Tensor], tuple[Tensor, list[Update]]]:
        """What all weights share in a step (the rate, corrections); the function that updates one of them."""
        raise NotImplementedError(f"{type(self).__name__} must define prepare(updates) or get_updates(loss, params)")

    # -- state

    def slot(self, name: str, param: Variable, scale: float = 1.0) -> Variable:
        """The state ``name`` of ``param``, zero at first.

        The variable holds the textbook's quantity divided by ``scale``; :meth:`get_weights` multiplies it in. That
        saves an elementwise pass over memory per step.
        """
        key = (name, param)
        if key not in self._slots:
            value = np.zeros(param.storage.shape, np.float32)
            label = f"{param.label}/{name}"
            with at_once():
                self._slots[key] = Variable(value, param.dtype, label, role="slot", trainable=False)
            self._scales[self._slots[key]] = scale
        return self._slots[key]

    def scalar(self, name: str, value: float) -> Variable:
        """A number that the optimizer keeps, such as a product over steps."""
        key = (name, None)
        if key not in self._slots:
            label = f"{type(self).__name__}/{name}"
            with at_once():
                self._slots[key] = Variable(np.float32(value), config.floatx(), label, role="slot", trainable=False)
        return self._slots[key]

    @property
    def weights(self) -> list[Variable]:
        """The state: iterations, then the slots, all of one kind together (empty before the first step)."""
        by_name: dict[str, list[Variable]] = {}
        for (name, _), variable in self._slots.items():
            by_name.setdefault(name, []).append(variable)
        return [self.iterations, *(v for group in by_name.values() for v in group)]

    def get_weights(self) -> list[Array]:
        """The values of :attr:`weights`."""
        return [w.numpy() * np.asarray(self._scales.get(w, 1), w.dtype) for w in self.weights]

    def set_weights(self, weights: Sequence[Any]) -> None:
        """Replace the state.

        Raises:
            ValueError: another number of arrays or other shapes.
        """
        params = self.weights
        if len(params) != len(weights):
            raise KCompileError(
                f"{type(self).__name__} has {len(params)} state arrays, got {len(weights)}"
                + ("" if self._slots else "; it has its state once the model has been trained for a step")
            )
        for p, w in zip(params, weights, strict=True):
            if np.shape(w) != p.storage.shape:
                raise KCompileError(f"optimizer state {p.label!r} has shape {p.storage.shape}, got {np.shape(w)}")
        for p, w in zip(params, weights, strict=True):
            p.assign(np.asarray(w) / np.asarray(self._scales.get(p, 1), p.dtype))

    # -- configuration

    def get_config(self) -> dict[str, Any]:
        """The arguments from which ``from_config`` makes the same optimizer."""
        found: dict[str, Any] = {"name": self.name, "learning_rate": float(self._lr.numpy())}
        clips = {key: getattr(self, key) for key in ("clipnorm", "global_clipnorm", "clipnorm_each", "clipvalue")}
        return {**found, **{key: value for key, value in clips.items() if value is not None}}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        """A new optimizer from :meth:`get_config`."""
        return cls(**config)


def _positive(owner: str, argument: str, value: Any) -> float | None:
    return None if value is None else check_number(owner, argument, value, above=0)
