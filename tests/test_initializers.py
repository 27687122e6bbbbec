"""Initializers: what the golden statistics do not say - names, configurations, seeds, fans, errors."""

from __future__ import annotations

import json

import numpy as np
import pytest

from kcompile import backend as K
from kcompile import initializers
from kcompile.initializers import VarianceScaling, compute_fans
from kcompile.objects.custom import CustomObjectScope

NAMES = [
    "zero", "zeros", "Zeros", "one", "ones", "Ones", "constant", "Constant", "uniform", "random_uniform",
    "RandomUniform", "normal", "random_normal", "RandomNormal", "truncated_normal", "TruncatedNormal",
    "identity", "Identity", "orthogonal", "Orthogonal", "lecun_uniform", "lecun_normal", "glorot_uniform",
    "glorot_normal", "he_uniform", "he_normal", "GlorotUniform", "HeNormal", "LecunNormal", "VarianceScaling",
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_a_name_a_configuration_and_a_class_give_the_same(name: str) -> None:
    initializer = initializers.get(name)
    assert initializer((4, 4)).shape == (4, 4)
    saved = json.loads(json.dumps(initializers.serialize(initializer)))
    again = initializers.deserialize(saved)
    assert type(again) is type(initializer)
    assert again.get_config() == initializer.get_config()
    assert type(initializers.get(getattr(initializers, name)())) is type(initializer)


@pytest.mark.parametrize(
    ("name", "scale", "mode", "distribution"),
    [
        ("glorot_uniform", 1.0, "fan_avg", "uniform"),
        ("GlorotNormal", 1.0, "fan_avg", "normal"),
        ("he_uniform", 2.0, "fan_in", "uniform"),
        ("HeNormal", 2.0, "fan_in", "normal"),
        ("lecun_uniform", 1.0, "fan_in", "uniform"),
        ("LecunNormal", 1.0, "fan_in", "normal"),
    ],
)
def test_named_scalings(name: str, scale: float, mode: str, distribution: str) -> None:
    initializer = initializers.get(name)
    assert isinstance(initializer, VarianceScaling)
    assert (initializer.scale, initializer.mode, initializer.distribution) == (scale, mode, distribution)


@pytest.mark.parametrize(
    ("shape", "fans"),
    [
        ((7, 3), (7, 3)),
        ((5, 7, 3), (35, 15)),
        ((3, 3, 7, 2), (63, 18)),
        ((2, 2, 2, 7, 3), (56, 24)),
        ((16,), (4, 4)),
        ((), (1, 1)),
    ],
)
def test_fans(shape: tuple[int, ...], fans: tuple[float, float]) -> None:
    assert compute_fans(shape) == fans


@pytest.mark.parametrize("distribution", ["normal", "truncated_normal", "untruncated_normal", "uniform"])
def test_every_distribution_has_the_variance_asked_for(distribution: str) -> None:
    x = VarianceScaling(3.0, "fan_out", distribution, seed=1)((300, 400))
    assert x.var() == pytest.approx(3 / 400, rel=0.02)


def test_the_global_generator_makes_programs_reproducible() -> None:
    initializer = initializers.get("glorot_uniform")
    np.random.seed(5)
    first = [initializer((3, 2)), initializer((3, 2))]
    np.random.seed(5)
    again = [initializer((3, 2)), initializers.glorot_uniform()((3, 2))]
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(*first)


def test_a_seed_is_independent_of_the_global_generator() -> None:
    state = np.random.get_state()[1].copy()
    a, b = (initializers.TruncatedNormal(seed=3) for _ in range(2))
    first = a((50,))
    np.testing.assert_array_equal(first, b((50,)))
    assert not np.array_equal(first, a((50,))), "two layers that share an initializer"
    np.testing.assert_array_equal(np.random.get_state()[1], state)
    assert abs(first).max() <= 0.1 + 1e-6


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", None])
def test_element_type(dtype: str | None) -> None:
    for name in NAMES:
        assert initializers.get(name)((2, 2), dtype=dtype).dtype == (dtype or "float32")


def test_constants() -> None:
    np.testing.assert_array_equal(initializers.Constant(2.5)((2,)), [2.5, 2.5])
    row = initializers.Constant(np.array([1.0, 2.0]))
    np.testing.assert_array_equal(row((2, 2)), [[1, 2], [1, 2]])
    assert initializers.serialize(row) == {"class_name": "Constant", "config": {"value": [1.0, 2.0]}}


def test_configurations_of_other_versions() -> None:
    from_tensorflow = {"class_name": "RandomNormal", "config": {"mean": 1.0, "dtype": "float32"}}
    assert initializers.get(from_tensorflow).mean == 1.0
    from_keras3 = {
        "module": "keras.initializers",
        "class_name": "GlorotUniform",
        "config": {"seed": {"class_name": "SeedGenerator", "config": {"seed": 7}}},
        "registered_name": None,
    }
    assert initializers.get(from_keras3).seed == 7
    assert initializers.get({"class_name": "glorot_normal", "config": {"seed": 3}}).seed == 3


def test_custom_initializers() -> None:
    def mine(shape, dtype=None):
        return K.random_normal(shape, mean=10.0, dtype=dtype)

    value = K.eval(initializers.get(mine)((3, 2), dtype="float32"))
    assert value.shape == (3, 2)
    assert value.min() > 5
    with CustomObjectScope({"mine": mine}):
        assert initializers.get("mine") is mine
    assert initializers.serialize(mine) == "mine"
    assert initializers.deserialize("mine", {"mine": mine}) is mine
    assert initializers.get(None) is None


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: initializers.get("glorot_unifrom"), ValueError, "did you mean 'glorot_uniform'"),
        (lambda: initializers.get("mine"), ValueError, "Unknown initializer 'mine'"),
        (lambda: initializers.get(3), TypeError, "initializer must be a name"),
        (lambda: initializers.get({"config": {}}), ValueError, "class_name"),
        (lambda: initializers.get({"class_name": "Zeros", "config": [1]}), ValueError, "dict of arguments"),
        (lambda: initializers.get({"class_name": "Zeros", "config": {"a": 1}}), TypeError, "cannot be made"),
        (lambda: initializers.Identity()((2, 2, 2)), ValueError, r"2 sizes; got \(2, 2, 2\)"),
        (lambda: initializers.Constant([1, 2])((3,)), ValueError, r"shape \(2,\), which does not fit \(3,\)"),
        (lambda: VarianceScaling(mode="fan-in"), ValueError, "mode must be one of .*did you mean 'fan_in'"),
        (lambda: VarianceScaling(scale=0), ValueError, "scale must be a number above 0"),
        (lambda: initializers.RandomNormal(stddev=-1), ValueError, "stddev must be a number of at least 0"),
        (lambda: initializers.RandomUniform(seed=0.5), TypeError, "seed must be an integer"),
    ],
)
def test_bad_input(call, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        call()
