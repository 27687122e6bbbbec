"""Convolutions of 1-3 dimensions, transposed, depthwise and separable."""

# ruff: noqa: E501 - one case, one line

from tests.golden.cases.layer_case import LayerCase

FIRST = "channels_first"


def _case(name: str, layer: str, shape: tuple[int, ...], **arguments: object) -> LayerCase:
    return LayerCase(name, layer, arguments, [shape])


CONV1D = [
    _case("conv1d", "Conv1D", (2, 7, 3), filters=4, kernel_size=3),
    _case("conv1d_same", "Conv1D", (2, 7, 3), filters=2, kernel_size=4, padding="same", activation="relu"),
    _case("conv1d_same_stride2", "Conv1D", (2, 8, 3), filters=2, kernel_size=3, strides=2, padding="same"),
    _case("conv1d_causal", "Conv1D", (2, 6, 2), filters=3, kernel_size=3, padding="causal"),
    _case(
        "conv1d_causal_dilation",
        "Conv1D",
        (2, 8, 2),
        filters=3,
        kernel_size=2,
        padding="causal",
        dilation_rate=3,
    ),
    _case("conv1d_causal_stride2", "Conv1D", (2, 7, 2), filters=3, kernel_size=3, padding="causal", strides=2),
    _case("conv1d_dilation", "Conv1D", (2, 8, 2), filters=3, kernel_size=3, dilation_rate=2),
    _case("conv1d_no_bias", "Conv1D", (2, 7, 3), filters=2, kernel_size=1, use_bias=False, activation="tanh"),
    _case("conv1d_groups", "Conv1D", (2, 6, 4), filters=6, kernel_size=3, groups=2),
    _case("conv1d_channels_first", "Conv1D", (2, 3, 7), filters=4, kernel_size=3, strides=2, data_format=FIRST),
]

CONV2D = [
    _case("conv2d", "Conv2D", (2, 6, 5, 3), filters=4, kernel_size=3),
    _case("conv2d_same", "Conv2D", (2, 5, 6, 2), filters=3, kernel_size=3, padding="same", activation="relu"),
    _case("conv2d_same_even_kernel", "Conv2D", (2, 5, 6, 2), filters=3, kernel_size=[2, 4], padding="same"),
    _case("conv2d_stride2", "Conv2D", (2, 7, 8, 3), filters=2, kernel_size=3, strides=2),
    _case("conv2d_same_stride2", "Conv2D", (2, 7, 8, 3), filters=4, kernel_size=3, strides=2, padding="same", activation="relu"),
    _case("conv2d_same_stride3", "Conv2D", (1, 8, 7, 2), filters=2, kernel_size=2, strides=3, padding="same"),
    _case("conv2d_strides_differ", "Conv2D", (1, 7, 8, 2), filters=2, kernel_size=[3, 2], strides=[1, 2], padding="same"),
    _case("conv2d_dilation", "Conv2D", (1, 7, 8, 2), filters=2, kernel_size=3, dilation_rate=2),
    _case("conv2d_same_dilation", "Conv2D", (1, 7, 6, 2), filters=2, kernel_size=3, dilation_rate=[2, 1], padding="same"),
    _case("conv2d_pointwise_no_bias", "Conv2D", (2, 4, 5, 3), filters=4, kernel_size=1, use_bias=False),
    _case("conv2d_pointwise_stride2", "Conv2D", (2, 5, 4, 3), filters=4, kernel_size=1, strides=2, padding="same"),
    _case("conv2d_groups", "Conv2D", (2, 5, 4, 4), filters=6, kernel_size=3, padding="same", groups=2),
    _case("conv2d_softmax", "Conv2D", (2, 3, 4, 2), filters=3, kernel_size=2, activation="softmax"),
    _case("conv2d_channels_first", "Conv2D", (2, 3, 6, 5), filters=4, kernel_size=3, data_format=FIRST),
    _case("conv2d_channels_first_same_stride2", "Conv2D", (2, 3, 7, 6), filters=2, kernel_size=3, strides=2,
          padding="same", data_format=FIRST, activation="elu"),
    _case("conv2d_channels_first_groups", "Conv2D", (2, 4, 5, 4), filters=2, kernel_size=2, groups=2, data_format=FIRST),
]  # fmt: skip

CONV3D = [
    _case("conv3d", "Conv3D", (1, 4, 5, 4, 2), filters=3, kernel_size=2),
    _case("conv3d_same_stride2", "Conv3D", (1, 4, 5, 3, 2), filters=2, kernel_size=3, strides=2, padding="same"),
    _case(
        "conv3d_dilation",
        "Conv3D",
        (1, 5, 4, 5, 2),
        filters=2,
        kernel_size=2,
        dilation_rate=2,
        padding="same",
    ),
    _case(
        "conv3d_no_bias",
        "Conv3D",
        (2, 3, 3, 3, 2),
        filters=2,
        kernel_size=[1, 2, 3],
        use_bias=False,
        activation="relu",
    ),
    _case(
        "conv3d_channels_first",
        "Conv3D",
        (1, 2, 4, 3, 4),
        filters=3,
        kernel_size=2,
        padding="same",
        data_format=FIRST,
    ),
]

TRANSPOSED = [
    _case("conv2d_transpose", "Conv2DTranspose", (2, 3, 4, 3), filters=2, kernel_size=3),
    _case("conv2d_transpose_stride2", "Conv2DTranspose", (2, 3, 4, 2), filters=3, kernel_size=3, strides=2),
    _case("conv2d_transpose_same", "Conv2DTranspose", (2, 3, 4, 2), filters=3, kernel_size=3, padding="same", activation="relu"),
    _case("conv2d_transpose_same_stride2", "Conv2DTranspose", (2, 3, 4, 2), filters=3, kernel_size=3, strides=2, padding="same"),
    _case("conv2d_transpose_same_even", "Conv2DTranspose", (1, 3, 4, 2), filters=3, kernel_size=4, strides=2, padding="same"),
    _case("conv2d_transpose_small_kernel", "Conv2DTranspose", (1, 3, 4, 2), filters=2, kernel_size=2, strides=3),
    _case("conv2d_transpose_same_small_kernel", "Conv2DTranspose", (1, 3, 2, 2), filters=2, kernel_size=1, strides=2, padding="same"),
    _case("conv2d_transpose_output_padding", "Conv2DTranspose", (1, 3, 4, 2), filters=2, kernel_size=3, strides=2,
          output_padding=1),
    _case("conv2d_transpose_same_output_padding", "Conv2DTranspose", (1, 3, 4, 2), filters=2, kernel_size=3, strides=2,
          padding="same", output_padding=[1, 0]),
    _case("conv2d_transpose_strides_differ", "Conv2DTranspose", (1, 3, 4, 2), filters=2, kernel_size=[3, 2], strides=[2, 1],
          use_bias=False),
    _case("conv2d_transpose_dilation", "Conv2DTranspose", (1, 4, 3, 2), filters=2, kernel_size=3, dilation_rate=2),
    _case("conv2d_transpose_same_dilation", "Conv2DTranspose", (1, 4, 5, 2), filters=2, kernel_size=3, dilation_rate=2,
          padding="same"),
    _case("conv2d_transpose_channels_first", "Conv2DTranspose", (1, 2, 3, 4), filters=3, kernel_size=3, strides=2,
          padding="same", data_format=FIRST),
    _case("conv3d_transpose", "Conv3DTranspose", (1, 2, 3, 2, 2), filters=2, kernel_size=2, strides=2),
    _case("conv3d_transpose_same", "Conv3DTranspose", (1, 2, 3, 2, 2), filters=2, kernel_size=3, strides=2, padding="same"),
    _case("conv3d_transpose_channels_first", "Conv3DTranspose", (1, 2, 2, 3, 2), filters=2, kernel_size=2, data_format=FIRST),
    _case("conv1d_transpose", "Conv1DTranspose", (2, 4, 3), filters=2, kernel_size=3, strides=2),
    _case("conv1d_transpose_same", "Conv1DTranspose", (2, 4, 3), filters=2, kernel_size=3, strides=2, padding="same"),
]  # fmt: skip

DEPTHWISE = [
    _case("depthwise_conv2d", "DepthwiseConv2D", (2, 5, 6, 3), kernel_size=3),
    _case("depthwise_conv2d_multiplier", "DepthwiseConv2D", (2, 5, 4, 2), kernel_size=[2, 3], depth_multiplier=3),
    _case("depthwise_conv2d_same_stride2", "DepthwiseConv2D", (2, 5, 6, 2), kernel_size=3, strides=2, padding="same",
          depth_multiplier=2, activation="relu"),
    _case("depthwise_conv2d_dilation", "DepthwiseConv2D", (1, 6, 7, 2), kernel_size=3, dilation_rate=2, padding="same"),
    _case("depthwise_conv2d_no_bias", "DepthwiseConv2D", (1, 4, 4, 3), kernel_size=2, use_bias=False),
    _case("depthwise_conv2d_channels_first", "DepthwiseConv2D", (1, 3, 5, 4), kernel_size=3, padding="same",
          depth_multiplier=2, data_format=FIRST),
    _case("separable_conv1d", "SeparableConv1D", (2, 7, 3), filters=4, kernel_size=3),
    _case("separable_conv1d_multiplier", "SeparableConv1D", (2, 7, 2), filters=3, kernel_size=2, depth_multiplier=3,
          strides=2, padding="same", activation="relu"),
    _case("separable_conv1d_causal", "SeparableConv1D", (2, 7, 2), filters=3, kernel_size=3, padding="causal"),
    _case("separable_conv1d_dilation", "SeparableConv1D", (2, 8, 2), filters=2, kernel_size=3, dilation_rate=2,
          use_bias=False),
    _case("separable_conv2d", "SeparableConv2D", (2, 5, 6, 3), filters=4, kernel_size=3),
    _case("separable_conv2d_multiplier", "SeparableConv2D", (1, 5, 6, 2), filters=3, kernel_size=3, depth_multiplier=2,
          strides=2, padding="same", activation="relu"),
    _case("separable_conv2d_dilation", "SeparableConv2D", (1, 6, 7, 2), filters=2, kernel_size=3, dilation_rate=2,
          padding="same", use_bias=False),
    _case("separable_conv2d_channels_first", "SeparableConv2D", (1, 3, 5, 4), filters=2, kernel_size=2,
          depth_multiplier=2, data_format=FIRST),
]  # fmt: skip

CASES = CONV1D + CONV2D + CONV3D + TRANSPOSED + DEPTHWISE
