"""Weights in the layouts of earlier versions: for each case a layer of today, and the shapes that a file had for it."""

from dataclasses import dataclass
from typing import Any

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Legacy:
    """A layer, and weights that it had elsewhere.

    Attributes:
        layer: its class. arguments: its arguments. input: the shape of a sample.
        stored: the shapes in the file. version: Keras' version that wrote it.
        inner: class and arguments of the layer that it wraps.
    """

    layer: str
    arguments: dict[str, Any]
    input: Shape
    stored: list[Shape]
    version: str = "1"
    inner: tuple[str, dict[str, Any]] | None = None


FIRST = {"data_format": "channels_first"}
IMAGE, STEPS = (6, 6, 2), (5, 3)
LSTM_GATES: list[Shape] = [(3, 4), (4, 4), (4,)] * 4
GRU_GATES: list[Shape] = [(3, 4), (4, 4), (4,)] * 3

CASES: dict[str, Legacy] = {
    "dense": Legacy("Dense", {"units": 4}, (3,), [(3, 4), (4,)]),
    "conv1d_1_2": Legacy("Conv1D", {"filters": 4, "kernel_size": 2}, STEPS, [(2, 1, 3, 4), (4,)]),
    "conv1d_1_1": Legacy("Conv1D", {"filters": 4, "kernel_size": 2}, STEPS, [(4, 3, 2, 1), (4,)]),
    "conv2d_last": Legacy("Conv2D", {"filters": 4, "kernel_size": (3, 2)}, IMAGE, [(3, 2, 2, 4), (4,)]),
    "conv2d_first": Legacy(
        "Conv2D", {"filters": 4, "kernel_size": (3, 2), **FIRST}, (2, 6, 6), [(4, 2, 3, 2), (4,)]
    ),
    "conv2d_square": Legacy("Conv2D", {"filters": 3, "kernel_size": 3, **FIRST}, (3, 6, 6), [(3, 3, 3, 3), (3,)]),
    "conv3d_first": Legacy(
        "Conv3D", {"filters": 3, "kernel_size": (1, 2, 3), **FIRST}, (2, 4, 4, 4), [(3, 2, 1, 2, 3), (3,)]
    ),
    "transposed_last": Legacy("Conv2DTranspose", {"filters": 4, "kernel_size": (3, 2)}, IMAGE, [(3, 2, 2, 4), (4,)]),
    "transposed_first": Legacy(
        "Conv2DTranspose", {"filters": 4, "kernel_size": (3, 2), **FIRST}, (2, 6, 6), [(4, 2, 3, 2), (4,)]
    ),
    "lstm": Legacy("LSTM", {"units": 4}, STEPS, LSTM_GATES),
    "lstm_joined": Legacy("LSTM", {"units": 4}, STEPS, [(3, 16), (4, 16), (16,)]),
    "gru": Legacy("GRU", {"units": 4, "reset_after": False}, STEPS, GRU_GATES),
    "conv_lstm": Legacy(
        "ConvLSTM2D", {"filters": 4, "kernel_size": (3, 2)}, (3, *IMAGE), [(3, 2, 2, 4), (3, 2, 4, 4), (4,)] * 4
    ),
    "lstm_from_cudnn": Legacy("LSTM", {"units": 4}, STEPS, [(3, 16), (4, 16), (32,)], "2.1.6"),
    "gru_from_cudnn": Legacy("GRU", {"units": 4, "reset_after": True}, STEPS, [(3, 12), (4, 12), (24,)], "2.1.6"),
    "both_directions": Legacy("Bidirectional", {}, STEPS, LSTM_GATES * 2, "1", ("LSTM", {"units": 4})),
    "both_directions_from_cudnn": Legacy(
        "Bidirectional", {}, STEPS, [(3, 16), (4, 16), (32,)] * 2, "2.1.6", ("LSTM", {"units": 4})
    ),
    "steps": Legacy(
        "TimeDistributed", {}, (3, *IMAGE), [(3, 2, 2, 4), (4,)], "1", ("Conv2D", {"filters": 4, "kernel_size": (3, 2)})
    ),
}  # fmt: skip
