"""Optimizers: given gradients, the weights after each of six steps."""

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class OptimizerCase:
    """``keras_2_3_1`` is False for arguments that only tf.keras has.

    ``learning_rates`` maps a step (from 0) to the rate that is set, live, just before it.
    """

    name: str
    optimizer: str
    arguments: dict[str, Any]
    keras_2_3_1: bool = True
    learning_rates: dict[int, float] = field(default_factory=dict)


STEPS = 6
KERNEL_SHAPE = (4, 3)  # the bias has shape (3,)


def _case(name: str, optimizer: str, **arguments: Any) -> OptimizerCase:
    return OptimizerCase(name, optimizer, arguments)


def _tf_keras_case(name: str, optimizer: str, **arguments: Any) -> OptimizerCase:
    return OptimizerCase(name, optimizer, arguments, keras_2_3_1=False)


CASES = [
    _case("sgd", "SGD", lr=0.1),
    _case("sgd_learning_rate_spelling", "SGD", learning_rate=0.1),
    _case("sgd_momentum", "SGD", lr=0.1, momentum=0.9),
    _case("sgd_nesterov", "SGD", lr=0.1, momentum=0.9, nesterov=True),
    _case("sgd_nesterov_without_momentum", "SGD", lr=0.1, nesterov=True),
    _case("sgd_decay", "SGD", lr=0.1, decay=0.3),
    _case("sgd_momentum_decay", "SGD", lr=0.1, momentum=0.8, decay=0.1, nesterov=True),
    _case("sgd_clipnorm", "SGD", lr=0.1, clipnorm=0.7),
    _case("sgd_clipnorm_inactive", "SGD", lr=0.1, clipnorm=1000.0),
    _case("sgd_clipvalue", "SGD", lr=0.1, clipvalue=0.4),
    _case("sgd_clipnorm_clipvalue", "SGD", lr=0.1, clipnorm=0.7, clipvalue=0.2),
    OptimizerCase("sgd_live_rate", "SGD", {"lr": 0.1, "momentum": 0.9}, learning_rates={2: 0.5, 4: 0.01}),
    _case("rmsprop", "RMSprop", lr=0.05),
    _case("rmsprop_rho", "RMSprop", lr=0.05, rho=0.6),
    _case("rmsprop_epsilon", "RMSprop", lr=0.05, epsilon=0.1),
    _case("rmsprop_decay", "RMSprop", lr=0.05, decay=0.2),
    _case("rmsprop_clipnorm", "RMSprop", lr=0.05, clipnorm=0.7),
    _tf_keras_case("rmsprop_centered", "RMSprop", lr=0.05, centered=True, epsilon=0.01),
    _tf_keras_case("rmsprop_momentum", "RMSprop", lr=0.05, momentum=0.8, epsilon=0.1),
    _tf_keras_case("rmsprop_centered_momentum", "RMSprop", lr=0.05, momentum=0.8, centered=True, epsilon=0.1),
    _case("adagrad", "Adagrad", lr=0.1),
    _case("adagrad_epsilon_decay", "Adagrad", lr=0.1, epsilon=0.1, decay=0.2),
    _tf_keras_case("adagrad_initial_accumulator", "Adagrad", lr=0.1, initial_accumulator_value=0.1),
    _case("adadelta", "Adadelta", lr=1.0),
    _case("adadelta_rho_epsilon", "Adadelta", lr=0.5, rho=0.8, epsilon=0.01),
    _case("adadelta_decay", "Adadelta", lr=1.0, epsilon=0.01, decay=0.2),
    _case("adam", "Adam", lr=0.05),
    _case("adam_betas", "Adam", lr=0.05, beta_1=0.5, beta_2=0.8),
    _case("adam_epsilon", "Adam", lr=0.05, epsilon=0.1),
    _case("adam_decay", "Adam", lr=0.05, decay=0.2),
    _case("adam_amsgrad", "Adam", lr=0.05, beta_2=0.6, amsgrad=True),
    _case("adam_clipvalue", "Adam", lr=0.05, epsilon=0.1, clipvalue=0.3),
    OptimizerCase("adam_live_rate", "Adam", {"lr": 0.05}, learning_rates={3: 0.2}),
    _case("adamax", "Adamax", lr=0.05),
    _case("adamax_betas", "Adamax", lr=0.05, beta_1=0.7, beta_2=0.8, epsilon=0.01),
    _case("adamax_decay", "Adamax", lr=0.05, decay=0.2),
    _case("nadam", "Nadam", lr=0.05),
    _case("nadam_betas", "Nadam", lr=0.05, beta_1=0.7, beta_2=0.8),
    _case("nadam_schedule_decay", "Nadam", lr=0.05, schedule_decay=0.5, epsilon=0.01),
    _tf_keras_case("sgd_global_clipnorm", "SGD", lr=0.1, global_clipnorm=0.7),
]

# Constructor defaults of Keras 2.3.1; tf.keras changed some (see README.md).
KERAS_2_3_1_DEFAULTS: dict[str, dict[str, Any]] = {
    "SGD": {"learning_rate": 0.01, "momentum": 0.0, "nesterov": False, "decay": 0.0},
    "RMSprop": {"learning_rate": 0.001, "rho": 0.9, "epsilon": 1e-7, "decay": 0.0},
    "Adagrad": {"learning_rate": 0.01, "epsilon": 1e-7, "decay": 0.0},
    "Adadelta": {"learning_rate": 1.0, "rho": 0.95, "epsilon": 1e-7, "decay": 0.0},
    "Adam": {
        "learning_rate": 0.001,
        "beta_1": 0.9,
        "beta_2": 0.999,
        "epsilon": 1e-7,
        "amsgrad": False,
        "decay": 0.0,
    },
    "Adamax": {"learning_rate": 0.002, "beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-7, "decay": 0.0},
    "Nadam": {
        "learning_rate": 0.002,
        "beta_1": 0.9,
        "beta_2": 0.999,
        "epsilon": 1e-7,
        "schedule_decay": 0.004,
    },
}
