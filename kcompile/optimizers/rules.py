"""The seven optimizers, with the formulas of Keras 2.3.1."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from kcompile.backend import math as tensor_math
from kcompile.common import config
from kcompile.common.checks import check_number
from kcompile.ir.ops.elementwise import functions as elementwise
from kcompile.optimizers.applying import Update
from kcompile.optimizers.base import Optimizer
from kcompile.symbolic.tensor import Tensor
from kcompile.symbolic.variable import Variable

Rule = Callable[[Variable, Tensor], tuple[Tensor, list[Update]]]


def _fraction(owner: object, name: str, value: float) -> float:
    return check_number(type(owner).__name__, name, value, minimum=0, below=1)


def _root(x: Tensor) -> Tensor:
    """The square root of averages of squares: never negative, so that ``K.sqrt``'s check would be a wasted pass."""
    return Tensor(elementwise.sqrt(x.value))


class SGD(Optimizer):
    """Stochastic gradient descent with momentum (Polyak, 1964) and Nesterov's variant (Sutskever et al., 2013).

    Args:
        lr: learning rate. momentum: in [0, 1). decay: see :class:`Optimizer`. nesterov: look ahead.
    """

    names_of_slots_in_files = {"momentum": ("momentum", "m")}
    groups_of_slots_in_files = (("momentum",),)

    def __init__(
        self, lr: float = 0.01, momentum: float = 0.0, decay: float = 0.0, nesterov: bool = False, **kwargs: Any
    ) -> None:
        super().__init__(lr, decay, **kwargs)
        self.momentum = check_number("SGD", "momentum", momentum, minimum=0, maximum=1)
        self.nesterov = bool(nesterov)

    def prepare(self, updates: list[Update]) -> Rule:
        lr = self.rate()

        def rule(p: Variable, g: Tensor) -> tuple[Tensor, list[Update]]:
            step = g * lr
            if self.momentum == 0:
                return p - step, []
            velocity = self.slot("momentum", p)
            v = velocity * self.momentum - step
            new = p + v * self.momentum - step if self.nesterov else p + v
            return new, [(velocity, v)]

        return rule

    def get_config(self) -> dict[str, Any]:
        own = {"momentum": self.momentum, "decay": self.initial_decay, "nesterov": self.nesterov}
        return {**super().get_config(), **own}


class RMSprop(Optimizer):
    """Gradients divided by a running average of their magnitude (Hinton's lecture 6e).

    Args:
        lr: learning rate. rho: decay of the average. epsilon: default ``K.epsilon()``. decay: see :class:`Optimizer`.
        momentum, centered: as in tf.keras: momentum of the steps; the variance instead of the second moment.
        epsilon_in_root: add ``epsilon`` before the root is taken, as Keras 3 and tf.keras 2.11 and later do.
    """

    names_of_slots_in_files = {
        "accumulator": ("rms", "velocity", "accumulator"),
        "momentum": ("momentum",),
        "mean": ("mg", "average_gradient"),
    }
    groups_of_slots_in_files = (("accumulator",), ("momentum",), ("mean",))

    def __init__(
        self, lr: float = 0.001, rho: float = 0.9, epsilon: float | None = None, decay: float = 0.0,
        momentum: float = 0.0, centered: bool = False, *, epsilon_in_root: bool = False, **kwargs: Any,
    ) -> None:  # fmt: skip
        super().__init__(lr, decay, **kwargs)
        self.rho = _fraction(self, "rho", rho)
        self.epsilon = config.epsilon() if epsilon is None else check_number("RMSprop", "epsilon", epsilon, minimum=0)
        self.momentum = check_number("RMSprop", "momentum", momentum, minimum=0, maximum=1)
        self.centered = bool(centered)
        self.epsilon_in_root = bool(epsilon_in_root)

    def prepare(self, updates: list[Update]) -> Rule:
        # The slot holds a / (1 - rho): a' = rho * a + (1 - rho) * g^2 then takes one pass less.
        rest = 1 - self.rho
        root = math.sqrt(rest)
        lr = self.rate() / root
        small = self.epsilon / root

        def rule(p: Variable, g: Tensor) -> tuple[Tensor, list[Update]]:
            slot = self.slot("accumulator", p, rest)
            a = slot * self.rho + tensor_math.square(g)
            slots = [(slot, a)]
            spread = a
            if self.centered:
                mean = self.slot("mean", p, rest)
                mean_new = mean * self.rho + g
                slots.append((mean, mean_new))
                spread = a - tensor_math.square(mean_new) * rest
            if self.momentum == 0 and self.epsilon_in_root:
                return p - g * lr / _root(spread + self.epsilon / rest), slots
            if self.momentum == 0:
                root_of = tensor_math.sqrt if self.centered else _root  # rounding may leave a variance below zero
                return p - g * lr / (root_of(spread) + small), slots
            # With momentum tf.keras' kernel has epsilon inside the root.
            moving = self.slot("momentum", p)
            v = moving * self.momentum + g * lr / _root(spread + self.epsilon / rest)
            return p - v, [*slots, (moving, v)]

        return rule

    def get_config(self) -> dict[str, Any]:
        own = {"rho": self.rho, "decay": self.initial_decay, "epsilon": self.epsilon}
        if self.momentum or self.centered:
            own.update(momentum=self.momentum, centered=self.centered)
        if self.epsilon_in_root:
            own["epsilon_in_root"] = True
        return {**super().get_config(), **own}


class Adagrad(Optimizer):
    """Rates that shrink with the sum of squared gradients (Duchi, Hazan & Singer, 2011).

    Args:
        lr: learning rate. epsilon: default ``K.epsilon()``. decay: see :class:`Optimizer`.
        initial_accumulator_value: the sum at the start, 0 in Keras 2.3.1, 0.1 in tf.keras.
        epsilon_in_root: add ``epsilon`` before the root is taken, as Keras 3 and tf.keras 2.11 and later do.
    """

    names_of_slots_in_files = {"accumulator": ("accumulator",)}
    groups_of_slots_in_files = (("accumulator",),)

    def __init__(
        self, lr: float = 0.01, epsilon: float | None = None, decay: float = 0.0,
        initial_accumulator_value: float = 0.0, *, epsilon_in_root: bool = False, **kwargs: Any,
    ) -> None:  # fmt: skip
        super().__init__(lr, decay, **kwargs)
        self.epsilon = config.epsilon() if epsilon is None else check_number("Adagrad", "epsilon", epsilon, minimum=0)
        self.initial_accumulator_value = check_number(
            "Adagrad", "initial_accumulator_value", initial_accumulator_value, minimum=0
        )
        self.epsilon_in_root = bool(epsilon_in_root)

    def prepare(self, updates: list[Update]) -> Rule:
        lr = self.rate()

        def rule(p: Variable, g: Tensor) -> tuple[Tensor, list[Update]]:
            known = ("accumulator", p) in self._slots
            slot = self.slot("accumulator", p)
            if not known and self.initial_accumulator_value:
                slot.storage.write(slot.storage.read() + self.initial_accumulator_value)
            a = slot + tensor_math.square(g)
            root = _root(a + self.epsilon) if self.epsilon_in_root else _root(a) + self.epsilon
            return p - g * lr / root, [(slot, a)]

        return rule

    def get_config(self) -> dict[str, Any]:
        own = {"decay": self.initial_decay, "epsilon": self.epsilon}
        if self.initial_accumulator_value:
            own["initial_accumulator_value"] = self.initial_accumulator_value
        if self.epsilon_in_root:
            own["epsilon_in_root"] = True
        return {**super().get_config(), **own}


class Adadelta(Optimizer):
    """Steps in the units of the weights, from running averages of steps and gradients (Zeiler, 2012).

    Args:
        lr: learning rate. rho: decay of the averages. epsilon: default ``K.epsilon()``. decay: see :class:`Optimizer`.
    """

    names_of_slots_in_files = {
        "accumulator": ("accum_grad", "accumulated_grad", "accumulator"),
        "delta_accumulator": ("accum_var", "accumulated_delta_var", "delta_accumulator"),
    }
    groups_of_slots_in_files = (("accumulator", "delta_accumulator"),)

    def __init__(
        self, lr: float = 1.0, rho: float = 0.95, epsilon: float | None = None, decay: float = 0.0, **kwargs: Any
    ) -> None:
        super().__init__(lr, decay, **kwargs)
        self.rho = _fraction(self, "rho", rho)
        self.epsilon = config.epsilon() if epsilon is None else check_number("Adadelta", "epsilon", epsilon, minimum=0)

    def prepare(self, updates: list[Update]) -> Rule:
        lr, rest = self.rate(), 1 - self.rho

        def rule(p: Variable, g: Tensor) -> tuple[Tensor, list[Update]]:
            squares, steps = self.slot("accumulator", p), self.slot("delta_accumulator", p)
            a = squares * self.rho + tensor_math.square(g) * rest
            step = g * _root(steps + self.epsilon) / _root(a + self.epsilon)
            d = steps * self.rho + tensor_math.square(step) * rest
            return p - step * lr, [(squares, a), (steps, d)]

        return rule

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "rho": self.rho, "decay": self.initial_decay, "epsilon": self.epsilon}


class Adam(Optimizer):
    """Running averages of gradients and of their squares, corrected for their start (Kingma & Ba, 2015).

    Args:
        lr: learning rate. beta_1, beta_2: decay of the averages. epsilon: default ``K.epsilon()``.
        decay: see :class:`Optimizer`. amsgrad: divide by the largest average of squares so far (Reddi et al., 2018).
    """

    names_of_slots_in_files = {"m": ("m", "momentum"), "v": ("v", "velocity"), "vhat": ("vhat", "velocity_hat")}
    groups_of_slots_in_files = (("m", "v"), ("vhat",))

    def __init__(
        self, lr: float = 0.001, beta_1: float = 0.9, beta_2: float = 0.999, epsilon: float | None = None,
        decay: float = 0.0, amsgrad: bool = False, **kwargs: Any,
    ) -> None:  # fmt: skip
        super().__init__(lr, decay, **kwargs)
        self.beta_1 = _fraction(self, "beta_1", beta_1)
        self.beta_2 = _fraction(self, "beta_2", beta_2)
        self.epsilon = config.epsilon() if epsilon is None else check_number("Adam", "epsilon", epsilon, minimum=0)
        self.amsgrad = bool(amsgrad)

    def prepare(self, updates: list[Update]) -> Rule:
        # The slots hold m / (1 - beta_1) and v / (1 - beta_2), which saves three passes over memory per weight.
        rest_1, rest_2 = 1 - self.beta_1, 1 - self.beta_2
        root = math.sqrt(rest_2)
        t = tensor_math.cast(self.iterations, self._lr.dtype) + 1.0
        correction = tensor_math.sqrt(1.0 - tensor_math.pow(self.beta_2, t)) / (1.0 - tensor_math.pow(self.beta_1, t))
        rate = self.rate() * correction * (rest_1 / root)
        small = self.epsilon / root

        def rule(p: Variable, g: Tensor) -> tuple[Tensor, list[Update]]:
            first, second = self.slot("m", p, rest_1), self.slot("v", p, rest_2)
            m_new = first * self.beta_1 + g
            v_new = second * self.beta_2 + tensor_math.square(g)
            slots = [(first, m_new), (second, v_new)]
            spread = v_new
            if self.amsgrad:
                largest = self.slot("vhat", p, rest_2)
                spread = tensor_math.maximum(largest, v_new)
                slots.append((largest, spread))
            return p - m_new * rate / (_root(spread) + small), slots

        return rule

    def get_config(self) -> dict[str, Any]:
        own = {
            "beta_1": self.beta_1, "beta_2": self.beta_2, "decay": self.initial_decay, "epsilon": self.epsilon,
            "amsgrad": self.amsgrad,
        }  # fmt: skip
        return {**super().get_config(), **own}


class Adamax(Optimizer):
    """Adam with the infinity norm (Kingma & Ba, 2015, section 7).

    Args:
        lr: learning rate. beta_1, beta_2: decays. epsilon: default ``K.epsilon()``. decay: see :class:`Optimizer`.
    """

    names_of_slots_in_files = {"m": ("m", "momentum"), "u": ("v", "u", "norm")}
    groups_of_slots_in_files = (("m", "u"),)

    def __init__(
        self, lr: float = 0.002, beta_1: float = 0.9, beta_2: float = 0.999, epsilon: float | None = None,
        decay: float = 0.0, **kwargs: Any,
    ) -> None:  # fmt: skip
        super().__init__(lr, decay, **kwargs)
        self.beta_1 = _fraction(self, "beta_1", beta_1)
        self.beta_2 = _fraction(self, "beta_2", beta_2)
        self.epsilon = config.epsilon() if epsilon is None else check_number("Adamax", "epsilon", epsilon, minimum=0)

    def prepare(self, updates: list[Update]) -> Rule:
        rest = 1 - self.beta_1
        t = tensor_math.cast(self.iterations, self._lr.dtype) + 1.0
        rate = self.rate() / (1.0 - tensor_math.pow(self.beta_1, t)) * rest

        def rule(p: Variable, g: Tensor) -> tuple[Tensor, list[Update]]:
            first, norm = self.slot("m", p, rest), self.slot("u", p)
            m_new = first * self.beta_1 + g
            u_new = tensor_math.maximum(norm * self.beta_2, tensor_math.abs(g))
            return p - m_new * rate / (u_new + self.epsilon), [(first, m_new), (norm, u_new)]

        return rule

    def get_config(self) -> dict[str, Any]:
        own = {"beta_1": self.beta_1, "beta_2": self.beta_2, "decay": self.initial_decay, "epsilon": self.epsilon}
        return {**super().get_config(), **own}


class Nadam(Optimizer):
    """Adam with Nesterov momentum (Dozat, 2016).

    Args:
        lr: learning rate. beta_1, beta_2: decays. epsilon: default ``K.epsilon()``.
        schedule_decay: how fast the momentum grows towards ``beta_1``.
    """

    names_of_slots_in_files = {"m": ("m", "momentum"), "v": ("v", "velocity")}
    groups_of_slots_in_files = (("m", "v"),)

    def __init__(
        self, lr: float = 0.002, beta_1: float = 0.9, beta_2: float = 0.999, epsilon: float | None = None,
        schedule_decay: float = 0.004, **kwargs: Any,
    ) -> None:  # fmt: skip
        super().__init__(lr, 0.0, **kwargs)
        self.beta_1 = _fraction(self, "beta_1", beta_1)
        self.beta_2 = _fraction(self, "beta_2", beta_2)
        self.epsilon = config.epsilon() if epsilon is None else check_number("Nadam", "epsilon", epsilon, minimum=0)
        self.schedule_decay = check_number("Nadam", "schedule_decay", schedule_decay, minimum=0)

    def prepare(self, updates: list[Update]) -> Rule:
        t = tensor_math.cast(self.iterations, self._lr.dtype) + 1.0
        now = self._momentum(t)
        after = self._momentum(t + 1.0)
        product = self.scalar("m_schedule", 1.0)
        schedule = product * now
        schedule_next = schedule * after
        updates.append((product, schedule))
        rest_1, rest_2 = 1 - self.beta_1, 1 - self.beta_2
        # The scalars of m_bar = (1 - now) * g / (1 - schedule) + after * m / (1 - schedule_next), times the rate.
        root = math.sqrt(rest_2)
        correction = tensor_math.sqrt(1.0 - tensor_math.pow(self.beta_2, t))
        scale = self.rate() * correction / root
        by_gradient = (1.0 - now) / (1.0 - schedule) * scale
        by_average = after / (1.0 - schedule_next) * rest_1 * scale
        small = correction * (self.epsilon / root)

        def rule(p: Variable, g: Tensor) -> tuple[Tensor, list[Update]]:
            first, second = self.slot("m", p, rest_1), self.slot("v", p, rest_2)
            m_new = first * self.beta_1 + g
            v_new = second * self.beta_2 + tensor_math.square(g)
            step = (g * by_gradient + m_new * by_average) / (_root(v_new) + small)
            return p - step, [(first, m_new), (second, v_new)]

        return rule

    def _momentum(self, t: Tensor) -> Tensor:
        return self.beta_1 * (1.0 - 0.5 * tensor_math.pow(0.96, t * self.schedule_decay))

    def get_config(self) -> dict[str, Any]:
        own = {
            "beta_1": self.beta_1, "beta_2": self.beta_2, "epsilon": self.epsilon,
            "schedule_decay": self.schedule_decay,
        }  # fmt: skip
        return {**super().get_config(), **own}


__all__ = ["SGD", "Adadelta", "Adagrad", "Adam", "Adamax", "Nadam", "RMSprop"]
