"""Pooling, global pooling, zero padding, cropping and upsampling of 1-3 dimensions."""

# ruff: noqa: E501 - one case, one line

from tests.golden.cases.layer_case import LayerCase

FIRST = "channels_first"
SHAPES = {1: (2, 7, 3), 2: (2, 6, 7, 2), 3: (1, 5, 4, 6, 2)}


def _channels_first(shape: tuple[int, ...]) -> tuple[int, ...]:
    return (shape[0], shape[-1], *shape[1:-1])


def _pooling(rank: int, kind: str) -> list[LayerCase]:
    layer, shape, prefix = f"{kind}Pooling{rank}D", SHAPES[rank], f"{kind.lower()}_pooling{rank}d"
    variants: list[tuple[str, dict]] = [
        ("", {}),
        ("_same", {"pool_size": 2, "padding": "same"}),
        ("_overlap", {"pool_size": 3, "strides": 2}),
        ("_same_overlap", {"pool_size": 3, "strides": 2, "padding": "same"}),
        ("_same_stride1", {"pool_size": 2, "strides": 1, "padding": "same"}),
        ("_gaps", {"pool_size": 2, "strides": 3, "padding": "same"}),
    ]
    if rank > 1:
        variants.append(("_sizes_differ", {"pool_size": [2, 3, 2][:rank], "strides": [1, 2, 2][:rank]}))
    cases = [LayerCase(prefix + suffix, layer, arguments, [shape]) for suffix, arguments in variants]
    arguments = {"pool_size": 3, "strides": 2, "padding": "same", "data_format": FIRST}
    return [*cases, LayerCase(f"{prefix}_channels_first", layer, arguments, [_channels_first(shape)])]


def _global_pooling(rank: int, kind: str) -> list[LayerCase]:
    layer, shape, prefix = (
        f"Global{kind}Pooling{rank}D",
        SHAPES[rank],
        f"global_{kind.lower()}_pooling{rank}d",
    )
    first = {"data_format": FIRST}
    return [
        LayerCase(prefix, layer, {}, [shape]),
        LayerCase(f"{prefix}_keepdims", layer, {"keepdims": True}, [shape]),
        LayerCase(f"{prefix}_channels_first", layer, first, [_channels_first(shape)]),
        LayerCase(f"{prefix}_channels_first_keepdims", layer, {**first, "keepdims": True}, [_channels_first(shape)]),
    ]


POOLING = [case for rank in (1, 2, 3) for kind in ("Max", "Average") for case in _pooling(rank, kind)]
GLOBAL_POOLING = [case for rank in (1, 2, 3) for kind in ("Max", "Average") for case in _global_pooling(rank, kind)]

PADDING = [
    LayerCase("zero_padding1d", "ZeroPadding1D", {}, [(2, 3, 2)]),
    LayerCase("zero_padding1d_asymmetric", "ZeroPadding1D", {"padding": [2, 1]}, [(2, 3, 2)]),
    LayerCase("zero_padding2d", "ZeroPadding2D", {"padding": 2}, [(1, 3, 2, 2)]),
    LayerCase("zero_padding2d_symmetric", "ZeroPadding2D", {"padding": [1, 2]}, [(1, 3, 2, 2)]),
    LayerCase("zero_padding2d_asymmetric", "ZeroPadding2D", {"padding": [[1, 0], [0, 2]]}, [(1, 3, 2, 2)]),
    LayerCase(
        "zero_padding2d_channels_first",
        "ZeroPadding2D",
        {"padding": [[1, 0], [2, 1]], "data_format": FIRST},
        [(1, 2, 3, 2)],
    ),
    LayerCase("zero_padding3d", "ZeroPadding3D", {}, [(1, 2, 2, 3, 2)]),
    LayerCase("zero_padding3d_asymmetric", "ZeroPadding3D", {"padding": [[1, 0], [0, 2], [1, 1]]}, [(1, 2, 2, 3, 2)]),
    LayerCase(
        "zero_padding3d_channels_first",
        "ZeroPadding3D",
        {"padding": [1, 0, 2], "data_format": FIRST},
        [(1, 2, 2, 2, 3)],
    ),
    LayerCase("cropping1d", "Cropping1D", {}, [(2, 5, 2)]),
    LayerCase("cropping1d_asymmetric", "Cropping1D", {"cropping": [2, 0]}, [(2, 5, 2)]),
    LayerCase("cropping2d", "Cropping2D", {"cropping": 1}, [(1, 4, 5, 2)]),
    LayerCase("cropping2d_asymmetric", "Cropping2D", {"cropping": [[1, 0], [0, 2]]}, [(1, 4, 5, 2)]),
    LayerCase(
        "cropping2d_channels_first",
        "Cropping2D",
        {"cropping": [[1, 1], [2, 0]], "data_format": FIRST},
        [(1, 2, 4, 5)],
    ),
    LayerCase("cropping3d", "Cropping3D", {}, [(1, 4, 3, 5, 2)]),
    LayerCase("cropping3d_asymmetric", "Cropping3D", {"cropping": [[1, 0], [0, 2], [1, 1]]}, [(1, 4, 3, 5, 2)]),
    LayerCase(
        "cropping3d_channels_first",
        "Cropping3D",
        {"cropping": [1, 0, 2], "data_format": FIRST},
        [(1, 2, 4, 3, 5)],
    ),
]

# Keras 2.3.1 interpolates bilinearly without half-pixel centres (TensorFlow 1's rule), tf.keras with them;
# the recorded values are tf.keras's.
UPSAMPLING = [
    LayerCase("up_sampling1d", "UpSampling1D", {}, [(2, 3, 2)]),
    LayerCase("up_sampling1d_size3", "UpSampling1D", {"size": 3}, [(2, 3, 2)]),
    LayerCase("up_sampling2d", "UpSampling2D", {}, [(1, 2, 3, 2)]),
    LayerCase("up_sampling2d_sizes_differ", "UpSampling2D", {"size": [3, 2]}, [(1, 2, 3, 2)]),
    LayerCase("up_sampling2d_channels_first", "UpSampling2D", {"size": [1, 3], "data_format": FIRST}, [(1, 2, 2, 3)]),
    LayerCase("up_sampling2d_bilinear", "UpSampling2D", {"interpolation": "bilinear"}, [(2, 3, 4, 2)]),
    LayerCase("up_sampling2d_bilinear_sizes_differ", "UpSampling2D", {"size": [2, 3], "interpolation": "bilinear"}, [(1, 3, 4, 2)]),
    LayerCase("up_sampling2d_bilinear_channels_first", "UpSampling2D",
              {"size": [3, 2], "interpolation": "bilinear", "data_format": FIRST}, [(1, 2, 3, 3)]),
    LayerCase("up_sampling3d", "UpSampling3D", {}, [(1, 2, 2, 3, 2)]),
    LayerCase("up_sampling3d_sizes_differ", "UpSampling3D", {"size": [1, 2, 3]}, [(1, 2, 2, 3, 2)]),
    LayerCase("up_sampling3d_channels_first", "UpSampling3D", {"size": [2, 1, 2], "data_format": FIRST}, [(1, 2, 2, 2, 3)]),
]  # fmt: skip

CASES = POOLING + GLOBAL_POOLING + PADDING + UPSAMPLING
