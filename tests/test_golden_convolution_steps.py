"""Random convolutional networks learn what they learn in Keras: every way to lower a convolution and its gradients."""

import numpy as np
import pytest

import kcompile as keras
from tests.golden import load
from tests.golden.cases.convolution_steps import COUNT, losses

GOLDEN = load("convolution_steps")["all"].losses


@pytest.mark.parametrize("numbers", np.array_split(range(COUNT), 10), ids=lambda numbers: f"from {numbers[0]}")
def test_losses_of_the_first_steps(numbers):
    for number in numbers:
        np.testing.assert_allclose(losses(keras, int(number)), GOLDEN[number], rtol=1e-4, err_msg=f"case {number}")
