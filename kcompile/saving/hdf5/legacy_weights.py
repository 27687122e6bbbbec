"""Weights as other versions and backends of Keras stored them, turned into those of our layers.

Keras 1 kept the gates of recurrent layers apart, and kernels in the order of its backend. Theano convolved where
others correlate, so its kernels are mirrored. The CuDNN layers of Keras 2 have their own order of the same numbers.

Sources: the layouts of Keras 1.0 to 1.2, Keras 2.0 to 2.3 and tf.keras 2, as their layers define them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from kcompile.common.errors import KCompileError
from kcompile.common.window_sizes import convert_kernel
from kcompile.engine.layer import Layer
from kcompile.engine.network import Network
from kcompile.layers import (
    GRU,
    LSTM,
    Conv1D,
    Conv1DTranspose,
    Conv2D,
    Conv2DTranspose,
    Conv3D,
    Conv3DTranspose,
    ConvLSTM2D,
    CuDNNGRU,
    CuDNNLSTM,
    DepthwiseConv1D,
    DepthwiseConv2D,
    SeparableConv1D,
    SeparableConv2D,
)
from kcompile.symbolic.tensor import Array

Arrays = list[Array]


@dataclass(frozen=True)
class Origin:
    """Who wrote weights.

    Attributes:
        version: Keras' version; files without one are of Keras 1.
        backend: ``tensorflow``, ``theano``, ``cntk``...; empty if unknown.
    """

    version: str = "2"
    backend: str = ""

    @property
    def release(self) -> tuple[int, ...]:
        """The version as numbers; (1,) if it is none."""
        numbers = re.match(r"(\d{1,4})(?:\.(\d{1,4}))?(?:\.(\d{1,4}))?", self.version)
        return tuple(int(part) for part in numbers.groups() if part) if numbers else (1,)

    @property
    def is_keras_1(self) -> bool:
        return self.release < (2,)

    @property
    def mirrors_kernels(self) -> bool:
        """Whether its backend convolved."""
        return self.backend == "theano"


def converted(layer: Layer, arrays: Sequence[Array], origin: Origin) -> Arrays:
    """The weights that ``layer`` had in a file, in the order and shapes of ours.

    Arrays that already fit are returned as they are; whether the result fits is for the caller to check.

    Raises:
        ValueError: weights of a GRU that no GRU of this kind can have.
    """
    arrays = list(arrays)
    if isinstance(layer, Network):
        return _of_model(layer, arrays, origin)
    if inside := _wrapped(layer):
        return _of_layers(inside, arrays, origin)
    return _converter(layer)(layer, arrays, origin)


def needs_conversion(origin: Origin) -> bool:
    """Whether weights of the same shapes may still mean something else."""
    return origin.is_keras_1 or origin.mirrors_kernels


# ---- layers that hold layers


def _wrapped(layer: Layer) -> list[Layer]:
    """The layers that a wrapper holds, in the order of its weights."""
    if hasattr(layer, "forward_layer") and hasattr(layer, "backward_layer"):
        return [layer.forward_layer, layer.backward_layer]
    inner = getattr(layer, "layer", None)
    return [inner] if isinstance(inner, Layer) else []


def _of_layers(layers: Sequence[Layer], arrays: Arrays, origin: Origin) -> Arrays:
    """Equal shares for each layer: both directions have the same weights."""
    share, rest = divmod(len(arrays), len(layers))
    if rest:
        return arrays
    found: Arrays = []
    for i, layer in enumerate(layers):
        found += converted(layer, arrays[i * share : (i + 1) * share], origin)
    return found


def _of_model(model: Network, arrays: Arrays, origin: Origin) -> Arrays:
    """A model inside a model: all weights that train, layer by layer, then all others."""
    layers = [layer for layer in model.layers if layer.weights]
    trained, others = (
        [_stored_count(layer, kind, origin, False) for layer in layers] for kind in ("trainable", "non_trainable")
    )
    if origin.is_keras_1 and sum(trained) + sum(others) != len(arrays):
        trained = [_stored_count(layer, "trainable", origin, True) for layer in layers]
        others = [_stored_count(layer, "non_trainable", origin, True) for layer in layers]
    if sum(trained) + sum(others) != len(arrays):
        return arrays
    first: Arrays = []
    second: Arrays = []
    start, middle = 0, sum(trained)
    for layer, train, rest in zip(layers, trained, others, strict=True):
        mine = converted(layer, [*arrays[start : start + train], *arrays[middle : middle + rest]], origin)
        start, middle = start + train, middle + rest
        first += mine[: len(layer.trainable_weights)]
        second += mine[len(layer.trainable_weights) :]
    return [*first, *second]


def _stored_count(layer: Layer, kind: str, origin: Origin, gates_apart: bool) -> int:
    """How many of a layer's weights the file has."""
    count = len(getattr(layer, f"{kind}_weights"))
    several: dict[type, int] = {LSTM: 4, GRU: 3}
    gates = several.get(_kind(layer), 1)
    return count * gates if gates_apart and count == 3 else count


# ---- convolutions

Converter = Callable[[Any, Arrays, Origin], Arrays]


def _convolution(channels_first: tuple[int, ...], channels_last: tuple[int, ...] | None = None) -> Converter:
    """For kernels that Keras 1 stored with other axes, given as transpositions for both data formats."""

    def convert(layer: Any, arrays: Arrays, origin: Origin) -> Arrays:
        if not arrays:
            return arrays
        kernel = arrays[0]
        axes = channels_first if layer.data_format == "channels_first" else channels_last
        if origin.is_keras_1 and axes is not None and kernel.ndim == len(axes):
            kernel = kernel.transpose(axes)
        kernel = _from_theano_order(kernel, _shape(layer, 0))
        return [_mirrored(kernel, origin), *arrays[1:]]

    return convert


def _convolution_1d(layer: Any, arrays: Arrays, origin: Origin) -> Arrays:
    """Keras 1 made images of sequences, with kernels ``(length, 1, channels, filters)``; earlier the filters came
    first: ``(filters, channels, length, 1)``."""
    if not arrays:
        return arrays
    kernel = arrays[0]
    if kernel.ndim == 4:
        if kernel.shape[:2] != (layer.kernel_size[0], 1) or kernel.shape[3] != layer.filters:
            kernel = kernel.transpose(2, 3, 1, 0)
        kernel = kernel[:, 0]
    return [_mirrored(kernel, origin), *arrays[1:]]


def _separable(layer: Any, arrays: Arrays, origin: Origin) -> Arrays:
    """Both kernels of Keras 1's separable convolution, where channels came first."""
    if not origin.is_keras_1 or layer.data_format != "channels_first":
        return arrays
    return [x.transpose(2, 3, 1, 0) if x.ndim == 4 and i < 2 else x for i, x in enumerate(arrays)]


def _recurrent_convolution(layer: Any, arrays: Arrays, origin: Origin) -> Arrays:
    arrays = _gates_joined(arrays, _LSTM_GATES)
    if len(arrays) < 2:
        return arrays
    kernels = arrays[:2]
    if origin.is_keras_1 and layer.data_format == "channels_first":
        kernels = [x.transpose(2, 3, 1, 0) for x in kernels]
    kernels = [_mirrored(_from_theano_order(x, _shape(layer, i)), origin) for i, x in enumerate(kernels)]
    return [*kernels, *arrays[2:]]


def _mirrored(kernel: Array, origin: Origin) -> Array:
    mirrored: Array = convert_kernel(kernel) if origin.mirrors_kernels else kernel
    return mirrored


def _from_theano_order(kernel: Array, wanted: tuple[int, ...] | None) -> Array:
    """``(filters, channels, rows, columns)``, which also Keras 2 wrote at times, if only that fits."""
    if wanted is None or kernel.ndim != 4 or kernel.shape == wanted:
        return kernel
    turned = kernel.transpose(2, 3, 1, 0)
    if turned.shape == wanted:
        return turned
    older = kernel.transpose(3, 2, 0, 1)  # the reverse, as Keras 2 reads it
    return older if older.shape == wanted else kernel


def _shape(layer: Layer, index: int) -> tuple[int, ...] | None:
    weights = layer.weights
    return weights[index].storage.shape if index < len(weights) else None


# ---- recurrent layers

_LSTM_GATES = (0, 2, 1, 3)
"""Keras 1 has input, candidate, forget, output; Keras 2 input, forget, candidate, output."""
_GRU_GATES = (0, 1, 2)


def _gates_joined(arrays: Arrays, order: Sequence[int]) -> Arrays:
    """Kernel, recurrent kernel and bias from one of each for every gate (Keras 1, ``consume_less`` cpu or mem)."""
    if len(arrays) != 3 * len(order):
        return arrays
    return [np.concatenate([arrays[3 * gate + part] for gate in order], axis=-1) for part in range(3)]


def _lstm(layer: Any, arrays: Arrays, origin: Origin) -> Arrays:
    arrays = _gates_joined(arrays, _LSTM_GATES)
    if len(arrays) != 3 or arrays[1].ndim != 2:
        return arrays
    units = arrays[1].shape[0]
    from_cudnn = arrays[2].shape == (8 * units,)
    for_cudnn = _kind(layer) is CuDNNLSTM
    if from_cudnn == for_cudnn:
        return arrays
    kernels = _cudnn_kernels(arrays, 4, from_cudnn)
    # CuDNN adds two biases; how one is split into two does not matter.
    bias = arrays[2].reshape(2, -1).sum(0) if from_cudnn else np.tile(arrays[2] * 0.5, 2)
    return [*kernels, bias.astype(arrays[2].dtype)]


def _gru(layer: Any, arrays: Arrays, origin: Origin) -> Arrays:
    arrays = _gates_joined(arrays, _GRU_GATES)
    if len(arrays) != 3 or arrays[1].ndim != 2:
        return arrays
    units = arrays[1].shape[0]
    forms = {(6 * units,): "CuDNNGRU", (2, 3 * units): "GRU(reset_after=True)", (3 * units,): "GRU(reset_after=False)"}
    found = forms.get(arrays[2].shape)
    wanted = _kind(layer).__name__
    if wanted == "GRU":
        wanted = f"GRU(reset_after={bool(getattr(layer, 'reset_after', False))})"
    if found is None or found == wanted:
        return arrays
    if "GRU(reset_after=False)" in (found, wanted):
        raise KCompileError(
            f"layer {layer.name!r} is a {wanted}, but the weights are those of a {found}: they compute differently; "
            f"make the layer with {'reset_after=True' if wanted.startswith('GRU(') else 'GRU(reset_after=False)'}"
        )
    bias = arrays[2].reshape((2, -1) if wanted.startswith("GRU(") else -1)
    return [*_cudnn_kernels(arrays, 3, found == "CuDNNGRU"), bias]


def _cudnn_kernels(arrays: Arrays, gates: int, from_cudnn: bool) -> Arrays:
    """Both kernels with the matrix of each gate turned: CuDNN stores them by columns."""

    def turned(kernel: Array) -> Array:
        rows, columns = kernel.shape
        return kernel.reshape(columns, rows).T if from_cudnn else kernel.T.reshape(rows, columns)

    kernel = np.concatenate([turned(x) for x in np.split(arrays[0], gates, axis=1)], axis=1)
    recurrent = np.concatenate([x.T for x in np.split(arrays[1], gates, axis=1)], axis=1)
    return [kernel, recurrent]


# ---- all of them


def _unchanged(layer: Any, arrays: Arrays, origin: Origin) -> Arrays:
    return arrays


_CONVERTERS: dict[type, Converter] = {
    Conv1D: _convolution_1d,
    Conv2D: _convolution(channels_first=(2, 3, 1, 0)),
    Conv3D: _convolution(channels_first=(2, 3, 4, 1, 0)),
    Conv2DTranspose: _convolution(channels_first=(2, 3, 0, 1), channels_last=(0, 1, 3, 2)),
    SeparableConv2D: _separable,
    DepthwiseConv2D: _unchanged,
    SeparableConv1D: _unchanged,
    DepthwiseConv1D: _unchanged,
    Conv1DTranspose: _unchanged,
    Conv3DTranspose: _unchanged,
    ConvLSTM2D: _recurrent_convolution,
    LSTM: _lstm,
    CuDNNLSTM: _lstm,
    GRU: _gru,
    CuDNNGRU: _gru,
}


def _kind(layer: Layer) -> type:
    """The class, or the first base class, that has a layout of its own."""
    return next((cls for cls in type(layer).__mro__ if cls in _CONVERTERS), object)


def _converter(layer: Layer) -> Converter:
    return _CONVERTERS.get(_kind(layer), _unchanged)
