"""Every optimizer follows Keras step by step, on gradients that the test chooses.

A Dense layer fed ``n * identity(n)`` under the loss ``sum(y_true * y_pred)`` has the gradient ``y_true`` for
its kernel and the mean of ``y_true``'s rows for its bias, whatever its weights are.
"""

import numpy as np
import pytest

import kcompile as keras
from kcompile import backend as K
from tests.golden import Golden, load
from tests.golden.cases.optimizers import CASES, KERAS_2_3_1_DEFAULTS, KERNEL_SHAPE, STEPS, OptimizerCase
from tests.golden.compare import assert_close

GOLDEN = load("optimizers")
PARAMETERS = [pytest.param(case, GOLDEN[case.name], id=case.name) for case in CASES]
ROWS, UNITS = KERNEL_SHAPE


def linear_loss(y_true, y_pred):
    return K.sum(y_true * y_pred, axis=-1)


@pytest.mark.parametrize(("case", "golden"), PARAMETERS)
def test_six_steps(case: OptimizerCase, golden: Golden) -> None:
    model = keras.models.Sequential([keras.layers.Dense(UNITS, input_shape=(ROWS,))])
    model.set_weights(golden.weights)
    model.compile(getattr(keras.optimizers, case.optimizer)(**case.arguments), loss=linear_loss)
    x = ROWS * np.eye(ROWS, dtype=np.float32)
    for step in range(STEPS):
        if step in case.learning_rates:
            K.set_value(model.optimizer.lr, case.learning_rates[step])
        model.train_on_batch(x, golden.gradients[0][step])
        for name, actual, expected in zip(["kernel", "bias"], model.get_weights(), golden.expected, strict=True):
            assert_close(actual, expected[step], f"{name} after step {step + 1}")


@pytest.mark.parametrize("name", ["sgd_nesterov", "adam", "nadam", "adagrad"])
def test_updates_in_a_function(name: str) -> None:
    """``get_updates`` and ``K.function(updates=...)``: training loops written by hand."""
    case = next(case for case in CASES if case.name == name)
    golden = GOLDEN[name]
    kernel, bias = (K.variable(w) for w in golden.weights)
    gradient = K.placeholder(shape=KERNEL_SHAPE)
    loss = K.sum(kernel * gradient) + K.sum(bias * K.mean(gradient, axis=0))
    optimizer = getattr(keras.optimizers, case.optimizer)(**case.arguments)
    step = K.function([gradient], [loss], updates=optimizer.get_updates(loss=loss, params=[kernel, bias]))
    for position in range(STEPS):
        step([golden.gradients[0][position]])
        assert_close(K.get_value(kernel), golden.expected[0][position], f"kernel after step {position + 1}")
        assert_close(K.get_value(bias), golden.expected[1][position], f"bias after step {position + 1}")


@pytest.mark.parametrize("name", KERAS_2_3_1_DEFAULTS)
def test_defaults(name: str) -> None:
    config = getattr(keras.optimizers, name)().get_config()
    for argument, value in KERAS_2_3_1_DEFAULTS[name].items():
        assert config[argument] == pytest.approx(value, rel=1e-6), argument


@pytest.mark.parametrize(("case", "golden"), PARAMETERS)
def test_configuration(case: OptimizerCase, golden: Golden) -> None:
    optimizer_class = getattr(keras.optimizers, case.optimizer)
    config = optimizer_class(**case.arguments).get_config()
    for argument, value in case.arguments.items():
        argument = {"lr": "learning_rate"}.get(argument, argument)
        assert config[argument] == pytest.approx(value, rel=1e-6), argument
    assert optimizer_class.from_config(config).get_config() == config
