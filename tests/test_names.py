"""Names are found in any case, as in Keras 2.3.1; exact ones first, then the user's own, never others'."""

import numpy as np
import pytest

import kcompile as keras
from kcompile.objects.registry import KINDS, find, known

GETTERS = {
    "activation": keras.activations.get, "initializer": keras.initializers.get, "regularizer": keras.regularizers.get,
    "constraint": keras.constraints.get, "loss": keras.losses.get, "metric": keras.metrics.get,
    "optimizer": keras.optimizers.get,
}  # fmt: skip
NEEDS_ARGUMENTS = {"MeanIoU", "MeanRelativeError", "SensitivityAtSpecificity", "SpecificityAtSensitivity", "identity"}
NEEDS_ARGUMENTS |= {"MeanMetricWrapper", "LossFunctionWrapper"}


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "layer"])
def test_every_name(kind):
    get, table = GETTERS[kind], known(kind)
    assert set(KINDS) - {"layer"} == set(GETTERS)
    checked = 0
    for name in [name for name in table if name not in NEEDS_ARGUMENTS]:
        same = {other for other in table if other.lower() == name.lower()}
        for spelled in {name.upper(), name.lower(), name.title(), name.swapcase()} - same:
            found, exact = get(spelled), [get(other) for other in same]
            made = [other for other in exact if not hasattr(other, "__name__")]  # not functions, which are themselves
            assert any(found is other for other in exact) or type(found) in map(type, made), spelled
            assert find(spelled, kind) in [table[other] for other in same]
            checked += 1
    assert checked >= 3


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        (lambda: keras.optimizers.get("RMSProp"), keras.optimizers.RMSprop),
        (lambda: keras.optimizers.get({"class_name": "ADAM", "config": {"lr": 0.5}}), keras.optimizers.Adam),
        (lambda: keras.losses.get("Meansquarederror"), keras.losses.MeanSquaredError),
        (lambda: keras.initializers.get("HE_uniform"), keras.initializers.VarianceScaling),
    ],
)
def test_a_class(call, expected):
    assert type(call()) is expected


def test_the_users_own_come_first():
    own = lambda y, p: 0 * p  # noqa: E731
    with keras.utils.custom_object_scope({"MSe": own}):
        assert keras.losses.get("MSe") is own
        assert keras.losses.get("mSe") is keras.losses.mse


def test_names_in_a_model(tmp_path):
    x = keras.layers.Input((2,))
    options = {"kernel_initializer": "ONES", "kernel_regularizer": "L2", "kernel_constraint": "NON_NEG"}
    model = keras.models.Model(x, keras.layers.Dense(1, "RELU", **options)(x))
    model.compile("RMSProp", "MEAN_Squared_Error", metrics=["Mae"])
    data = np.float32([[1, 2]])
    assert model.evaluate(data, np.float32([[4]]), verbose=0) == pytest.approx([1 + 0.02, 1])
    for name in ("m.h5", "m.keras"):
        model.save(tmp_path / name)
        assert keras.models.load_model(tmp_path / name).evaluate(data, np.float32([[4]]), verbose=0)[1] == 1
