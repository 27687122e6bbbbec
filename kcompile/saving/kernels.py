"""Weights of models between conventions: mirrored kernels, and Dense layers behind maps of another data format."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kcompile.common.checks import check_one_of
from kcompile.common.errors import KCompileError
from kcompile.common.window_sizes import convert_kernel
from kcompile.engine.layer import Layer
from kcompile.engine.layer_weights import assign_all
from kcompile.engine.network import Network
from kcompile.layers import Conv1D, Conv2D, Conv2DTranspose, Conv3D
from kcompile.objects.registry import our_base

_CONVOLUTIONS = (Conv1D, Conv2D, Conv3D, Conv2DTranspose)


def convert_all_kernels_in_model(model: Network) -> None:
    """Mirror the kernels of all convolutions, also inside other models and wrappers: from Theano's convention, which
    convolves, to that of TensorFlow, or back.

    Weights that are loaded from a file that names Theano as its backend are converted by themselves.
    """
    kernels = [layer.kernel for layer in model.layer_and_those_inside() if _is_convolution(layer)]
    assign_all(f"model {model.name!r}", kernels, [convert_kernel(kernel.numpy()) for kernel in kernels])


def _is_convolution(layer: Layer) -> bool:
    """Whether it is one of Keras' plain convolutions; separable ones were never mirrored."""
    return our_base(type(layer)) in _CONVOLUTIONS and layer.built


def convert_dense_weights_data_format(
    dense: Any, previous_feature_map_shape: Sequence[int], target_data_format: str = "channels_first"
) -> None:
    """Reorder the rows of a Dense layer behind a Flatten, when the model before it changes its data format.

    Args:
        dense: the layer.
        previous_feature_map_shape: the shape that is flattened, without the batch axis, in the target format.
        target_data_format: the format that the model has from now on.

    Raises:
        ValueError: a shape that does not have as many elements as the layer has inputs.
    """
    owner, formats = "convert_dense_weights_data_format", ("channels_first", "channels_last")
    check_one_of(owner, "target_data_format", target_data_format, formats)
    kernel, *rest = dense.get_weights()
    shape = tuple(int(size) for size in previous_feature_map_shape)
    size = 1
    for each in shape:
        size *= each
    if len(shape) != 3 or size != kernel.shape[0]:
        raise KCompileError(
            f"layer {dense.name!r} has {kernel.shape[0]} inputs, which is not what a map of shape {shape} flattens to"
        )
    if target_data_format == "channels_first":
        channels, rows, columns = shape
        moved = kernel.reshape(rows, columns, channels, -1).transpose(2, 0, 1, 3)
    else:
        rows, columns, channels = shape
        moved = kernel.reshape(channels, rows, columns, -1).transpose(1, 2, 0, 3)
    dense.set_weights([moved.reshape(kernel.shape), *rest])
