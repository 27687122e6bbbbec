"""What mask each layer passes on, of inputs that go through Masking or an Embedding with ``mask_zero``."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

SEQUENCE, IMAGES, VOLUMES, ROWS = (2, 4, 3), (2, 4, 4, 3), (2, 4, 2, 2, 3), (2, 4)


@dataclass(frozen=True)
class MaskCase:
    """A layer on inputs of which some are masked.

    Attributes:
        layer: its class.
        arguments: those of its class; a dict with ``layer`` is a layer.
        shapes: of the inputs, each of which goes through Masking.
        masked: whether each input has a mask.
    """

    layer: str
    arguments: dict[str, Any] = field(default_factory=dict)
    shapes: tuple[tuple[int, ...], ...] = (SEQUENCE,)
    masked: tuple[bool, ...] = ()

    @property
    def name(self) -> str:
        given = ",".join(f"{key}={_text(value)}" for key, value in self.arguments.items())
        marks = "".join("m" if mask else "-" for mask in self.masks)
        return f"{self.layer}({given})/{'+'.join('x'.join(map(str, s)) for s in self.shapes)}/{marks}"

    @property
    def masks(self) -> tuple[bool, ...]:
        return self.masked or (True,) * len(self.shapes)


def _text(value: Any) -> str:
    if not isinstance(value, dict):
        return str(value)
    return f"{value['layer']}({','.join(str(item) for key, item in value.items() if key != 'layer')})"


def _of(shape: tuple[int, ...], *layers: tuple[str, dict[str, Any]]) -> list[MaskCase]:
    return [MaskCase(name, arguments, (shape,)) for name, arguments in layers]


_DENSE = {"layer": "Dense", "units": 2}
_LSTM = {"layer": "LSTM", "units": 2, "return_sequences": True}
_MERGES = ("Add", "Average", "Maximum", "Minimum", "Multiply", "Subtract", "Concatenate")

CASES: list[MaskCase] = [
    *_of(
        SEQUENCE,
        ("Activation", {"activation": "relu"}), ("ActivityRegularization", {}), ("AlphaDropout", {"rate": 0.5}),
        ("AveragePooling1D", {}), ("BatchNormalization", {}), ("Conv1D", {"filters": 2, "kernel_size": 2}),
        ("Conv1DTranspose", {"filters": 2, "kernel_size": 2}), ("Cropping1D", {}), ("Dense", {"units": 2}),
        ("DepthwiseConv1D", {"kernel_size": 2}), ("Dropout", {"rate": 0.5}), ("ELU", {}), ("Flatten", {}),
        ("GRU", {"units": 2}), ("GRU", {"units": 2, "return_sequences": True}), ("GaussianDropout", {"rate": 0.5}),
        ("GaussianNoise", {"stddev": 0.5}), ("GlobalAveragePooling1D", {}), ("GlobalMaxPooling1D", {}),
        ("LSTM", {"units": 2}), ("LSTM", {"units": 2, "return_sequences": True}), ("LeakyReLU", {}),
        ("Masking", {"mask_value": 5.0}), ("MaxPooling1D", {}), ("PReLU", {}), ("Permute", {"dims": (2, 1)}),
        ("ReLU", {}), ("Reshape", {"target_shape": (3, 4)}), ("Reshape", {"target_shape": (4, 3, 1)}),
        ("SeparableConv1D", {"filters": 2, "kernel_size": 2}), ("SimpleRNN", {"units": 2}), ("Softmax", {}),
        ("SimpleRNN", {"units": 2, "return_sequences": True}), ("SpatialDropout1D", {"rate": 0.5}),
        ("ThresholdedReLU", {}), ("TimeDistributed", {"layer": _DENSE}), ("UpSampling1D", {}), ("ZeroPadding1D", {}),
        ("Bidirectional", {"layer": _LSTM}), ("Bidirectional", {"layer": {**_LSTM, "return_sequences": False}}),
        ("LayerNormalization", {}), ("GroupNormalization", {"groups": 3}), ("UnitNormalization", {}),
        ("RNN", {"cell": {"layer": "LSTMCell", "units": 2}, "return_sequences": True}),
    ),
    *_of(
        IMAGES,
        ("AveragePooling2D", {}), ("Conv2D", {"filters": 2, "kernel_size": 2}),
        ("Conv2DTranspose", {"filters": 2, "kernel_size": 2}), ("Cropping2D", {}), ("Dense", {"units": 2}),
        ("DepthwiseConv2D", {"kernel_size": 2}), ("Flatten", {}), ("GlobalAveragePooling2D", {}),
        ("GlobalMaxPooling2D", {}), ("MaxPooling2D", {}), ("Permute", {"dims": (3, 1, 2)}),
        ("SeparableConv2D", {"filters": 2, "kernel_size": 2}), ("SpatialDropout2D", {"rate": 0.5}),
        ("UpSampling2D", {}), ("ZeroPadding2D", {}), ("ConvLSTM1D", {"filters": 2, "kernel_size": 2}),
        ("TimeDistributed", {"layer": _DENSE}), ("TimeDistributed", {"layer": {"layer": "Flatten"}}),
        ("TimeDistributed", {"layer": {"layer": "GlobalMaxPooling1D"}}),
    ),
    *_of(
        VOLUMES,
        ("AveragePooling3D", {}), ("Conv3D", {"filters": 2, "kernel_size": 2}), ("Cropping3D", {"cropping": (1, 0, 0)}),
        ("Conv3DTranspose", {"filters": 2, "kernel_size": 2}), ("GlobalAveragePooling3D", {}),
        ("GlobalMaxPooling3D", {}), ("MaxPooling3D", {}), ("SpatialDropout3D", {"rate": 0.5}), ("UpSampling3D", {}),
        ("ZeroPadding3D", {}),
        ("ConvLSTM2D", {"filters": 2, "kernel_size": 1, "return_sequences": True}),
    ),
    *_of(ROWS, ("RepeatVector", {"n": 3}), ("Dense", {"units": 2}), ("Reshape", {"target_shape": (2, 2)})),
    *(
        MaskCase(layer, {}, (SEQUENCE, SEQUENCE), masked)
        for layer in _MERGES
        for masked in ((True, True), (True, False), (False, True))
    ),
    MaskCase("Concatenate", {"axis": 1}, (SEQUENCE, SEQUENCE), (True, True)),
    MaskCase("Concatenate", {"axis": 1}, (SEQUENCE, SEQUENCE), (True, False)),
    MaskCase("Concatenate", {"axis": 1}, (SEQUENCE, SEQUENCE), (False, True)),
    MaskCase("Dot", {"axes": 2}, (SEQUENCE, SEQUENCE), (True, True)),
]  # fmt: skip
