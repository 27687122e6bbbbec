"""Every metric accumulates what Keras accumulates, by hand and inside evaluate."""

import re

import numpy as np
import pytest

import kcompile as keras
from kcompile import backend as K
from tests.golden import Golden, load
from tests.golden.cases.metrics import BATCHES, CASES, FUNCTIONS, FunctionCase, MetricCase
from tests.golden.compare import assert_close

GOLDEN = load("metrics")
PARAMETERS = [pytest.param(case, GOLDEN[case.name], id=case.name) for case in CASES]
# A metric with several results has no place in evaluate's list.
EVALUATED = [
    pytest.param(case, GOLDEN[case.name], id=case.name)
    for case in CASES
    if case.target is not None and GOLDEN[case.name].results[0].ndim == 1
]


def batches(case: MetricCase, golden: Golden):
    """Each batch as the positional arguments of ``update_state``, and its weights."""
    columns = [golden.y_pred[0]] if case.target is None else [golden.y_true[0], golden.y_pred[0]]
    splits = np.cumsum(BATCHES)[:-1]
    *values, weights = [np.split(column, splits) for column in [*columns, golden.sample_weight[0]]]
    return zip(zip(*values, strict=True), weights, strict=True)


@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "weighted"])
@pytest.mark.parametrize(("case", "golden"), PARAMETERS)
def test_streaming(case: MetricCase, golden: Golden, weighted: bool) -> None:
    metric = getattr(keras.metrics, case.metric)(**case.arguments)
    expected = golden.weighted_results[0] if weighted else golden.results[0]
    for _ in range(2):  # the second time after a reset
        for position, (values, weight) in enumerate(batches(case, golden)):
            K.eval(metric.update_state(*values, sample_weight=weight if weighted else None))
            assert_close(K.eval(metric.result()), expected[position], f"after batch {position + 1}")
        metric.reset_states()


@pytest.mark.parametrize(("case", "golden"), EVALUATED)
def test_evaluate(case: MetricCase, golden: Golden) -> None:
    """As ``metrics`` the sample weights do not count; as ``weighted_metrics`` they do."""
    y_true, y_pred = golden.y_true[0], golden.y_pred[0]
    metric_class = getattr(keras.metrics, case.metric)
    x = keras.layers.Input(shape=y_pred.shape[1:])
    model = keras.models.Model(x, keras.layers.Activation("linear")(x))
    model.compile(
        "sgd",
        loss=lambda target, prediction: K.mean(K.square(prediction), axis=-1),
        metrics=[metric_class(**case.arguments, name="plain")],
        weighted_metrics=[metric_class(**case.arguments, name="weighted")],
    )
    weight = golden.sample_weight[0]
    _, plain, weighted = model.evaluate(y_pred, y_true, sample_weight=weight, batch_size=BATCHES[0], verbose=0)
    assert_close(np.float32(plain), golden.results[0][-1], "metrics")
    assert_close(np.float32(weighted), golden.weighted_results[0][-1], "weighted_metrics")


@pytest.mark.parametrize(("case", "golden"), [pytest.param(c, GOLDEN[c.name], id=c.name) for c in FUNCTIONS])
def test_function(case: FunctionCase, golden: Golden) -> None:
    y_true, y_pred = golden.y_true[0], golden.y_pred[0]
    values = getattr(keras.metrics, case.function)(
        K.constant(y_true, dtype=y_true.dtype.name), K.constant(y_pred), **case.arguments
    )
    # tf.keras keeps a trailing axis of integer labels, Keras 2.3.1 drops it.
    assert_close(np.ravel(K.eval(values)), np.ravel(golden["values"][0]), "values")


@pytest.mark.parametrize(("case", "golden"), PARAMETERS)
def test_configuration(case: MetricCase, golden: Golden) -> None:
    metric_class = getattr(keras.metrics, case.metric)
    metric = metric_class(**case.arguments)
    config = metric.get_config()
    assert re.sub(r"_\d+$", "", metric.name) == golden.metric_name  # the second AUC of a session is auc_1
    assert metric_class.from_config(config).get_config() == config
