"""Every loss computes what Keras computes: per sample, reduced, weighted, differentiated."""

import numpy as np
import pytest

import kcompile as keras
from kcompile import backend as K
from tests.golden import Golden, load
from tests.golden.cases.losses import ALIASES, CASES, LossCase
from tests.golden.compare import assert_close

GOLDEN = load("losses")
PARAMETERS = [pytest.param(case, GOLDEN[case.name], id=case.name) for case in CASES]
REDUCTIONS = ("sum_over_batch_size", "sum", "none")


@pytest.mark.parametrize(("case", "golden"), PARAMETERS)
def test_function(case: LossCase, golden: Golden) -> None:
    y_true, y_pred = golden.y_true[0], golden.y_pred[0]
    target = keras.layers.Input(batch_shape=y_true.shape, dtype=y_true.dtype.name)
    prediction = keras.layers.Input(batch_shape=y_pred.shape)
    values = getattr(keras.losses, case.function)(target, prediction, **case.arguments)
    gradients = K.gradients(K.sum(values * K.constant(golden.cotangent[0])), [prediction])
    actual_values, actual_gradient = K.function([target, prediction], [values, *gradients])([y_true, y_pred])
    assert_close(actual_values, golden["values"][0], "values", case.tolerance)
    assert_close(actual_gradient, golden.gradient[0], "gradient", case.tolerance)


@pytest.mark.parametrize(("case", "golden"), PARAMETERS)
def test_class(case: LossCase, golden: Golden) -> None:
    """Called on arrays, weighted by sample, under each reduction."""
    for reduction in REDUCTIONS:
        loss = getattr(keras.losses, case.loss_class)(**case.arguments, reduction=reduction)
        y_true, y_pred, weight = golden.y_true[0], golden.y_pred[0], golden.sample_weight[0]
        assert_close(K.eval(loss(y_true, y_pred)), golden[reduction][0], reduction, case.tolerance)
        weighted = loss(y_true, y_pred, sample_weight=weight)
        assert_close(K.eval(weighted), golden[f"{reduction}_weighted"][0], f"{reduction}, weighted", case.tolerance)


@pytest.mark.parametrize(("name", "alias"), [(name, alias) for name in ALIASES for alias in ALIASES[name]])
def test_alias(name: str, alias: str) -> None:
    golden = GOLDEN[name]
    for function in (getattr(keras.losses, alias), keras.losses.get(alias)):
        assert_close(
            K.eval(function(K.constant(golden.y_true[0]), K.constant(golden.y_pred[0]))),
            golden["values"][0],
            alias,
        )


@pytest.mark.filterwarnings("ignore:.*expects probabilities")  # the inputs are, though no layer says so
@pytest.mark.parametrize("case", [case for case in CASES if not case.arguments], ids=lambda case: case.name)
def test_string_in_compile(case: LossCase) -> None:
    """``compile(loss="name")`` and ``evaluate`` give the mean over the batch."""
    golden = GOLDEN[case.name]
    x = keras.layers.Input(shape=golden.y_pred[0].shape[1:])
    model = keras.models.Model(x, keras.layers.Activation("linear")(x))
    model.compile("sgd", loss=case.function)
    actual = model.evaluate(golden.y_pred[0], golden.y_true[0], verbose=0, batch_size=len(golden.y_pred[0]))
    assert_close(np.float32(actual), golden.sum_over_batch_size[0], "evaluate", case.tolerance)
