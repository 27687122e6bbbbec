"""Every layer computes what Keras computes: outputs, gradients, statistics, configuration."""

import json

import numpy as np
import pytest

import kcompile as keras
from kcompile import backend as K
from tests.golden import Golden, load
from tests.golden.cases.layer_case import LayerCase
from tests.golden.cases.layers import FAMILIES
from tests.golden.cases.normalization import OF_KERAS_3
from tests.golden.compare import assert_all_close, assert_close

GOLDEN = {family: load(f"layers_{family}") for family in FAMILIES}
CASES = [
    pytest.param(case, GOLDEN[family][case.name], id=case.name) for family, cases in FAMILIES.items() for case in cases
]
GOLDEN_OF_KERAS_3 = load("keras_3_normalization")
KERAS_3_CASES = [pytest.param(case, GOLDEN_OF_KERAS_3[case.name], id=case.name) for case in OF_KERAS_3]
NORMALIZATION_CASES = [
    pytest.param(case, GOLDEN["normalization"][case.name], id=case.name) for case in FAMILIES["normalization"]
]


def build(case: LayerCase, golden: Golden):
    """The layer of the case, called on symbolic inputs and given the golden weights."""
    inputs = [keras.layers.Input(shape=x.shape[1:], dtype=x.dtype.name) for x in golden.inputs]
    layer = getattr(keras.layers, case.layer)(**case.arguments)
    output = layer(inputs if len(inputs) > 1 else inputs[0])
    layer.set_weights(golden.weights)
    return layer, inputs, output


def run(case: LayerCase, golden: Golden, learning_phase: int):
    """Output, gradients for the float inputs, gradients for the trainable weights."""
    layer, inputs, output = build(case, golden)
    cotangent = keras.layers.Input(shape=golden.cotangent[0].shape[1:])
    sources = [x for x, values in zip(inputs, golden.inputs, strict=True) if values.dtype == np.float32]
    gradients = K.gradients(K.sum(output * cotangent), sources + layer.trainable_weights)
    step = K.function([*inputs, cotangent, K.learning_phase()], [output, *gradients])
    results = step([*golden.inputs, golden.cotangent[0], learning_phase])
    return results[0], results[1 : 1 + len(sources)], results[1 + len(sources) :]


@pytest.mark.parametrize(("case", "golden"), [*CASES, *KERAS_3_CASES])
def test_inference(case: LayerCase, golden: Golden) -> None:
    output, input_gradients, weight_gradients = run(case, golden, learning_phase=0)
    assert_close(output, golden.output[0], "output")
    assert_all_close(input_gradients, golden.input_gradients, "gradients of the inputs")
    assert_all_close(weight_gradients, golden.weight_gradients, "gradients of the weights")


@pytest.mark.parametrize(("case", "golden"), CASES)
def test_static_shape(case: LayerCase, golden: Golden) -> None:
    layer, _, output = build(case, golden)
    expected = golden.output[0].shape[1:]
    assert tuple(K.int_shape(output))[1:] == expected
    shapes = [(None, *x.shape[1:]) for x in golden.inputs]
    computed = layer.compute_output_shape(shapes if len(shapes) > 1 else shapes[0])
    assert tuple(computed)[1:] == expected


@pytest.mark.parametrize(("case", "golden"), NORMALIZATION_CASES)
def test_normalization_in_training(case: LayerCase, golden: Golden) -> None:
    output, input_gradients, weight_gradients = run(case, golden, learning_phase=1)
    assert_close(output, golden.training_output[0], "output")
    assert_all_close(input_gradients, golden.training_input_gradients, "gradients of the inputs")
    assert_all_close(weight_gradients, golden.training_weight_gradients, "gradients of the weights")


@pytest.mark.parametrize(("case", "golden"), NORMALIZATION_CASES)
def test_moving_statistics(case: LayerCase, golden: Golden) -> None:
    layer, inputs, output = build(case, golden)
    model = keras.models.Model(inputs, output)
    model.compile(keras.optimizers.SGD(lr=0.0), "mse")
    model.train_on_batch(golden.inputs[0], golden.cotangent[0])
    assert_all_close(layer.get_weights(), golden.updated_weights, "weights after one step of rate zero")


def plain(config: dict) -> dict:
    """The configuration as a JSON file would hold it (tuples become lists)."""
    return json.loads(json.dumps(config, default=float))


@pytest.mark.parametrize(("case", "golden"), CASES)
def test_configuration(case: LayerCase, golden: Golden) -> None:
    """Arguments come back; values shared with the oracle agree; a layer rebuilt from its config equals it."""
    layer_class = getattr(keras.layers, case.layer)
    layer = layer_class(**case.arguments, name=case.name)
    config = plain(layer.get_config())
    assert set(case.arguments) <= set(config)
    # Serialized initializers, regularizers and constraints are spelled differently in every Keras version.
    shared = [
        key for key, value in golden.config.items() if key in config and key != "dtype" and not isinstance(value, dict)
    ]
    assert {"name", "trainable"} <= set(shared)
    for key in shared:
        expected = golden.config[key]
        if isinstance(expected, float):
            assert config[key] == pytest.approx(expected, rel=1e-6), key
        else:
            assert config[key] == expected, key
    assert plain(layer_class.from_config(layer.get_config()).get_config()) == config
