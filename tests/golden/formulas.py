"""The update rules of Keras 2.3.1's optimizers in NumPy float64: an oracle independent of TensorFlow.

Written from the published rules (Keras documentation and the papers it cites). They differ from tf.keras's in
clipping (by the norm of all gradients together, then by value) and in Adagrad (accumulators start at zero).
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tests.golden.cases.optimizers import KERAS_2_3_1_DEFAULTS

Arrays = list[np.ndarray]
Rule = Callable[[np.ndarray, np.ndarray, dict[str, Any], dict[str, Any], float, int], np.ndarray]


def sgd(w: np.ndarray, g: np.ndarray, slots: dict, options: dict, rate: float, step: int) -> np.ndarray:
    velocity = options["momentum"] * slots.get("velocity", 0.0) - rate * g
    slots["velocity"] = velocity
    return w + (options["momentum"] * velocity - rate * g if options["nesterov"] else velocity)


def rmsprop(w: np.ndarray, g: np.ndarray, slots: dict, options: dict, rate: float, step: int) -> np.ndarray:
    rho = options["rho"]
    slots["square"] = rho * slots.get("square", 0.0) + (1 - rho) * g**2
    return w - rate * g / (np.sqrt(slots["square"]) + options["epsilon"])


def adagrad(w: np.ndarray, g: np.ndarray, slots: dict, options: dict, rate: float, step: int) -> np.ndarray:
    slots["square"] = slots.get("square", 0.0) + g**2
    return w - rate * g / (np.sqrt(slots["square"]) + options["epsilon"])


def adadelta(w: np.ndarray, g: np.ndarray, slots: dict, options: dict, rate: float, step: int) -> np.ndarray:
    rho, epsilon = options["rho"], options["epsilon"]
    slots["square"] = rho * slots.get("square", 0.0) + (1 - rho) * g**2
    delta = g * np.sqrt(slots.get("delta", 0.0) + epsilon) / np.sqrt(slots["square"] + epsilon)
    slots["delta"] = rho * slots.get("delta", 0.0) + (1 - rho) * delta**2
    return w - rate * delta


def _moments(g: np.ndarray, slots: dict, options: dict) -> tuple[np.ndarray, np.ndarray]:
    beta_1, beta_2 = options["beta_1"], options["beta_2"]
    slots["mean"] = beta_1 * slots.get("mean", 0.0) + (1 - beta_1) * g
    slots["square"] = beta_2 * slots.get("square", 0.0) + (1 - beta_2) * g**2
    return slots["mean"], slots["square"]


def adam(w: np.ndarray, g: np.ndarray, slots: dict, options: dict, rate: float, step: int) -> np.ndarray:
    mean, square = _moments(g, slots, options)
    if options["amsgrad"]:
        square = slots["largest"] = np.maximum(slots.get("largest", 0.0), square)
    corrected = rate * np.sqrt(1 - options["beta_2"] ** step) / (1 - options["beta_1"] ** step)
    return w - corrected * mean / (np.sqrt(square) + options["epsilon"])


def adamax(w: np.ndarray, g: np.ndarray, slots: dict, options: dict, rate: float, step: int) -> np.ndarray:
    beta_1 = options["beta_1"]
    slots["mean"] = beta_1 * slots.get("mean", 0.0) + (1 - beta_1) * g
    slots["largest"] = np.maximum(options["beta_2"] * slots.get("largest", 0.0), np.abs(g))
    return w - rate / (1 - beta_1**step) * slots["mean"] / (slots["largest"] + options["epsilon"])


def nadam(w: np.ndarray, g: np.ndarray, slots: dict, options: dict, rate: float, step: int) -> np.ndarray:
    def momentum_at(t: int) -> float:
        return options["beta_1"] * (1 - 0.5 * 0.96 ** (t * options["schedule_decay"]))

    product = slots["product"] = slots.get("product", 1.0) * momentum_at(step)
    mean, square = _moments(g, slots, options)
    gradient_part = (1 - momentum_at(step)) * g / (1 - product)
    mean_part = momentum_at(step + 1) * mean / (1 - product * momentum_at(step + 1))
    corrected_square = square / (1 - options["beta_2"] ** step)
    return w - rate * (gradient_part + mean_part) / (np.sqrt(corrected_square) + options["epsilon"])


RULES: dict[str, Rule] = {
    "SGD": sgd, "RMSprop": rmsprop, "Adagrad": adagrad, "Adadelta": adadelta, "Adam": adam, "Adamax": adamax,
    "Nadam": nadam,
}  # fmt: skip


def clip(gradients: Arrays, options: dict[str, Any]) -> Arrays:
    """By the norm of all gradients together, then by value: the order of Keras 2.3.1."""
    if "clipnorm" in options:
        norm = np.sqrt(sum(float((g**2).sum()) for g in gradients))
        if norm >= options["clipnorm"]:
            gradients = [g * options["clipnorm"] / norm for g in gradients]
    if "clipvalue" in options:
        gradients = [np.clip(g, -options["clipvalue"], options["clipvalue"]) for g in gradients]
    return gradients


def keras_2_3_1(
    optimizer: str,
    arguments: dict[str, Any],
    weights: Arrays,
    steps: Sequence[Arrays],
    rates: dict[int, float],
) -> list[Arrays]:
    """The weights after each step, given each step's gradients; ``rates`` are set live before their step."""
    options = KERAS_2_3_1_DEFAULTS[optimizer] | arguments
    rate = options.pop("lr", options["learning_rate"])
    weights = [w.astype(np.float64) for w in weights]
    slots: list[dict[str, Any]] = [{} for _ in weights]
    history = []
    for step, gradients in enumerate(steps):
        rate = rates.get(step, rate)
        decayed = rate / (1 + options.get("decay", 0.0) * step)
        clipped = clip([g.astype(np.float64) for g in gradients], options)
        rule = RULES[optimizer]
        weights = [
            rule(w, g, slot, options, decayed, step + 1) for w, g, slot in zip(weights, clipped, slots, strict=True)
        ]
        history.append(weights)
    return history
