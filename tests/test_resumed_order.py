"""fit draws samples in an order of the model's own, which files hold: training goes on elsewhere bit for bit."""

import os
import subprocess
import sys

import numpy as np
import pytest

import kcompile
from kcompile import utils
from kcompile.callbacks import LambdaCallback
from tests.training_samples import X, Y, assert_equal, network, state

GO_ON = """
import sys
import numpy as np
from kcompile.models import load_model
from tests.training_samples import X, Y, state
np.random.seed(77)  # whatever the new process draws
made = load_model(sys.argv[1])
history = made.fit(X, Y, batch_size=8, epochs=4, initial_epoch=2, validation_split=0.2, verbose=0).history
np.savez(sys.argv[2], *state(made), loss=history["loss"])
"""


def run(made, **epochs):
    return made.fit(X, Y, batch_size=8, validation_split=0.2, verbose=0, **epochs).history


@pytest.mark.parametrize("ending", ["h5", "keras"])
def test_a_new_process_goes_on_bit_for_bit(ending, tmp_path):
    through = network()
    losses = run(through, epochs=4)["loss"]
    stopped = network()  # seeds the program as it was
    run(stopped, epochs=2)
    path = tmp_path / f"stopped.{ending}"
    stopped.save(path)
    arguments = [sys.executable, "-c", GO_ON, str(path), str(tmp_path / "end.npz")]
    subprocess.run(arguments, check=True, env=os.environ | {"PYTHONPATH": os.getcwd()}, timeout=100)
    with np.load(tmp_path / "end.npz") as found:
        assert found["loss"].tolist() == losses[2:]
        assert_equal([found[f"arr_{i}"] for i in range(len(found.files) - 1)], state(through))


def order(made, **options):
    """The samples in the order in which fit draws them: a step changes the bias by the sample's own gradient."""
    seen = []
    ids = np.arange(12, dtype="float32")
    note = LambdaCallback(on_batch_end=lambda batch, logs: seen.append(round(float(logs["loss"]) ** 0.5)))
    made.fit(np.zeros((12, 1)), ids, batch_size=1, verbose=0, callbacks=[note], **options)
    return seen


def still():
    made = kcompile.Sequential([kcompile.layers.Dense(1, input_shape=(1,))])
    made.compile(kcompile.optimizers.SGD(0.0), "mse")
    return made


def test_the_order_is_seeded_once_and_nothing_else_disturbs_it():
    np.random.seed(4)
    expected = order(still(), epochs=3)
    np.random.seed(4)
    made, found = still(), []
    for _ in range(3):
        found += order(made)
        np.random.random(1000)
    assert found == expected
    assert sorted(found[:12]) == list(range(12))
    assert found[:12] != found[12:24]


def test_seeds_and_compile_start_anew():
    made = still()
    first = []
    for again in (lambda: utils.set_random_seed(9), lambda: utils.set_random_seed(9), lambda: None):
        again()
        first.append(order(made))
    assert first[0] == first[1] != first[2]
    utils.set_random_seed(9)
    made.compile(kcompile.optimizers.SGD(0.0), "mse")
    assert order(made) == first[0]


def test_two_models_draw_orders_of_their_own():
    np.random.seed(4)
    assert order(still()) != order(still())
