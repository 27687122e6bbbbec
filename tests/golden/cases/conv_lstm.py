"""ConvLSTM1D, ConvLSTM2D and ConvLSTM3D: each line is written once, and run by the oracle and by kcompile."""

from typing import Any

from tests.golden.cases.model_case import ModelCase


def _images(name: str, arguments: dict[str, Any], **options: Any) -> ModelCase:
    """ConvLSTM2D with two filters on two sequences of three images of 5 x 4 pixels and two channels."""
    arguments = {"filters": 2, "kernel_size": 3, **arguments}
    return ModelCase(name, [(2, 3, 5, 4, 2)], lambda L, x: L.ConvLSTM2D(**arguments)(x), **options)


def _with_state(L: Any, x: Any) -> Any:
    images, *states = x
    return L.ConvLSTM2D(2, 3, padding="same", return_state=True)(images, initial_state=states)


def _forecast(L: Any, x: Any) -> Any:
    """Two layers and a convolution per step."""
    hidden = L.ConvLSTM2D(2, 3, padding="same", return_sequences=True, activation="relu")(x)
    hidden = L.ConvLSTM2D(2, (2, 3), padding="same", return_sequences=True)(L.BatchNormalization()(hidden))
    return L.TimeDistributed(L.Conv2D(1, 1, activation="sigmoid"))(hidden)


CASES = [
    _images("valid", {}, steps=2),
    _images("same", {"padding": "same", "return_sequences": True}, steps=2),
    _images("strides", {"strides": 2, "padding": "same", "return_sequences": True}),
    _images("dilated", {"kernel_size": 2, "dilation_rate": 2}),
    _images("other_kernel", {"kernel_size": (2, 3), "strides": (1, 2)}),
    _images("no_bias", {"use_bias": False, "return_sequences": True}),
    _images("activations", {"activation": "softsign", "recurrent_activation": "sigmoid"}),
    _images("states", {"return_state": True, "return_sequences": True}),
    _images("backwards", {"go_backwards": True, "return_sequences": True, "padding": "same"}),
    _images("stateful", {"stateful": True}, calls=3),
    _images(
        "regularized",
        {"kernel_regularizer": "l2", "recurrent_regularizer": "l1", "bias_regularizer": "l2"},
        steps=2,
    ),
    ModelCase("initial_state", [(2, 3, 5, 4, 2), (2, 5, 4, 2), (2, 5, 4, 2)], _with_state),
    ModelCase("forecast", [(2, 3, 4, 4, 2)], _forecast, training=True, steps=2),
    ModelCase("sequences_1d", [(2, 3, 6, 2)], lambda L, x: L.ConvLSTM1D(2, 3, return_sequences=True)(x)),
    ModelCase("volumes", [(2, 2, 3, 4, 3, 1)], lambda L, x: L.ConvLSTM3D(2, 2, padding="same")(x)),
]
