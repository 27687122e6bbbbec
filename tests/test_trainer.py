"""What trains a model is an object that the model owns, and that can be handed in."""

import copy
import subprocess
import sys
from dataclasses import FrozenInstanceError
from typing import Any

import numpy as np
import pytest

import kcompile
from kcompile.data.standardize import standardize
from kcompile.engine.inference_graph import Update
from kcompile.layers import Dense
from kcompile.symbolic.tensor import Tensor
from kcompile.training.batches import Batch, array_batches, grouped
from kcompile.training.options import FitOptions
from kcompile.training.trainer import Trainer

X = np.random.default_rng(0).normal(size=(12, 3)).astype("float32")
Y = np.random.default_rng(1).normal(size=(12, 2)).astype("float32")


def compiled(**options: Any) -> Any:
    model = kcompile.Sequential([Dense(2, input_shape=(3,), kernel_initializer="ones")])
    model.compile("sgd", "mse", **options)
    return model


class Halving(Trainer):
    """Trains on half of each gradient, as one of two machines of which the other one has none would."""

    def optimize(self, loss: Tensor) -> list[Update]:
        return super().optimize(loss * 0.5)


def test_another_trainer_is_what_fit_goes_through() -> None:
    one, other = compiled(), compiled()
    other.fit_trainer = Halving(other)
    other.compile("sgd", "mse")
    for model in (one, other):
        model.fit(X, Y, batch_size=12, verbose=0)
    steps = [model.get_weights()[0] - 1 for model in (one, other)]
    np.testing.assert_allclose(steps[1], steps[0] / 2, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("value", [None, 3, Dense(1)], ids=["None", "a number", "a layer"])
def test_an_attribute_of_that_name_is_refused(value: Any) -> None:
    model = compiled()
    with pytest.raises(TypeError, match=r"trainer is what fit goes through.*another name"):
        model.fit_trainer = value
    model.fit(X, Y, verbose=0)


def test_a_shallow_copy_trains_as_itself() -> None:
    model = compiled()
    other = copy.copy(model)
    other.fit(X, Y, verbose=0)
    assert other.fit_trainer.model is other
    assert other.history is not None
    assert model.history is None
    assert model.fit_trainer.model is model


def test_several_batches_together_are_each_of_them() -> None:
    model = compiled()
    data = _batches(model, 4)
    (both, rest) = grouped(iter(data), 2)
    assert (both.count, rest.count, both.size) == (2, 1, 4)
    assert both.stacked
    for position in range(2):
        for mine, alone in zip(both.one(position), data[position].arrays, strict=True):
            np.testing.assert_array_equal(mine, alone)
        assert both.origin(position) == (data[position].origins[0], 0)
    losses = both.losses(both.step(both.arrays, "always"))
    singly = [batch.losses(batch.step(batch.arrays, "always"))[0] for batch in data[:2]]
    np.testing.assert_allclose(losses, singly, rtol=1e-5)
    assert rest.losses(rest.step(rest.arrays, "always")) == [pytest.approx(rest.losses(rest.step(rest.arrays))[0])]


def _batches(model: Any, size: int) -> list[Batch]:
    trainer = model.fit_trainer
    data = standardize(X, Y, inputs=trainer.training_feeds, targets=trainer.targets)
    return [
        Batch(batch.step, list(map(np.copy, batch.arrays)), batch.size, batch.origins)
        for batch in array_batches(trainer, data, size)
    ]


def test_options_do_not_change() -> None:
    options = FitOptions(epochs=3)
    with pytest.raises(FrozenInstanceError):
        options.epochs = 4  # type: ignore[misc]


def test_inference_needs_no_training() -> None:
    program = "import sys, kcompile.inference.compiled; print(*(m for m in sys.modules if 'kcompile.training' in m))"
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert not found.stdout.split()


def test_users_may_call_something_of_their_own_trainer() -> None:
    class Student(kcompile.Model):
        def __init__(self) -> None:
            super().__init__()
            self.trainer, self.layer = "somebody", Dense(1)

        def call(self, inputs: Any) -> Any:
            return self.layer(inputs)

    model = Student()
    model.compile("sgd", "mse")
    model.fit(np.ones((4, 2)), np.ones((4, 1)), verbose=0)
    assert model.trainer == "somebody"
