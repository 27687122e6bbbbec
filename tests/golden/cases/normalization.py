"""Layers that normalize: every axis, with and without centre and scale."""

from typing import Any

from tests.golden.cases.layer_case import LayerCase


def _case(name: str, arguments: dict, shape: tuple[int, ...]) -> LayerCase:
    return LayerCase(f"batch_normalization_{name}", "BatchNormalization", arguments, [shape], weights="positive")


def _of(layer: str, name: str, shape: tuple[int, ...], far: bool = False, /, **arguments: Any) -> LayerCase:
    inputs = "far" if far else "normal"
    return LayerCase(f"{layer}_{name}", layer, arguments, [shape], weights="positive", inputs=inputs)


OF_SAMPLES = [
    *(
        case
        for name, arguments in [
            ("default", {}), ("epsilon", {"epsilon": 0.1}), ("no_center", {"center": False}),
            ("no_scale", {"scale": False}), ("plain", {"center": False, "scale": False}),
        ]
        for case in [
            _of("LayerNormalization", name, (5, 4), **arguments),
            _of("LayerNormalization", f"{name}_rank3", (3, 4, 5), **arguments),
            _of("LayerNormalization", f"{name}_rank4", (2, 3, 4, 5), **arguments),
            _of("LayerNormalization", f"{name}_axis_1", (3, 4, 5), axis=1, **arguments),
            _of("LayerNormalization", f"{name}_two_axes", (3, 4, 5), axis=[1, 2], **arguments),
            _of("LayerNormalization", f"{name}_apart", (2, 3, 4, 5), axis=[1, 3], **arguments),
            _of("GroupNormalization", name, (3, 4, 6), groups=3, **arguments),
            _of("GroupNormalization", f"{name}_rank2", (5, 6), groups=2, **arguments),
            _of("GroupNormalization", f"{name}_rank4", (2, 3, 4, 6), groups=2, **arguments),
            _of("GroupNormalization", f"{name}_axis_1", (2, 6, 3, 4), groups=2, axis=1, **arguments),
            _of("GroupNormalization", f"{name}_axis_2", (2, 3, 6, 4), groups=3, axis=2, **arguments),
            _of("GroupNormalization", f"{name}_one_group", (2, 3, 4, 6), groups=1, **arguments),
            _of("GroupNormalization", f"{name}_instances", (2, 3, 4, 6), groups=-1, **arguments),
        ]
    ),
    _of("LayerNormalization", "all_but_batch", (2, 3, 4, 5), axis=[1, 2, 3]),
    _of("LayerNormalization", "order", (2, 3, 4), axis=[2, 1]),
    _of("LayerNormalization", "negative_axes", (2, 3, 4, 5), axis=[-3, -1]),
    _of("LayerNormalization", "rank5", (2, 2, 3, 2, 4)),
    _of("LayerNormalization", "far", (3, 8), True),
    _of("GroupNormalization", "far", (2, 3, 4, 6), True, groups=2),
    _of("GroupNormalization", "rank5", (2, 2, 3, 2, 4), groups=2),
    _of("GroupNormalization", "instances_first", (2, 3, 4, 5), groups=-1, axis=1),
    _of("UnitNormalization", "rank2", (5, 4)),
    _of("UnitNormalization", "rank4", (2, 3, 4, 2)),
    _of("UnitNormalization", "axis_1", (3, 4, 5), axis=1),
    _of("UnitNormalization", "two_axes", (3, 4, 5), axis=[1, 2]),
    _of("UnitNormalization", "negative", (3, 4, 5), axis=-2),
]  # fmt: skip
"""Layers that do the same in training as in inference."""

OF_KERAS_3 = [
    _of("RMSNormalization", "rank2", (5, 4)),
    _of("RMSNormalization", "rank4", (2, 3, 4, 5)),
    _of("RMSNormalization", "epsilon", (3, 4, 5), epsilon=0.1),
    _of("RMSNormalization", "two_axes", (2, 3, 4, 5), axis=[2, 3]),
    _of("RMSNormalization", "all_but_batch", (2, 3, 4), axis=[2, 1]),
    _of("RMSNormalization", "far", (3, 8), True),
    _of("LayerNormalization", "rms_scaling", (3, 4, 5), rms_scaling=True),
    _of("LayerNormalization", "rms_scaling_without_scale", (5, 4), rms_scaling=True, scale=False, epsilon=0.1),
    _of("LayerNormalization", "rms_scaling_axis_1", (3, 4, 5), rms_scaling=True, axis=1),
    _of("LayerNormalization", "keras_3_two_axes", (2, 3, 4, 5), axis=[2, 3]),
    _of("GroupNormalization", "keras_3", (2, 3, 4, 6), groups=3),
    _of("GroupNormalization", "keras_3_axis_1", (2, 6, 3, 4), groups=2, axis=1),
    _of("UnitNormalization", "keras_3", (3, 4, 5), axis=[1, 2]),
]
"""The same, as Keras 3 computes them."""

CASES = [
    _case("rank2", {}, (5, 4)),
    _case("rank3", {}, (3, 4, 2)),
    _case("rank4", {}, (3, 4, 3, 2)),
    _case("rank5", {}, (2, 2, 3, 2, 3)),
    _case("channels_first", {"axis": 1}, (3, 2, 4, 3)),
    _case("channels_first_rank3", {"axis": 1}, (3, 2, 4)),
    _case("middle_axis", {"axis": 2}, (3, 2, 4, 3)),
    _case("negative_axis", {"axis": -2}, (3, 4, 3)),
    _case("no_center", {"center": False}, (5, 4)),
    _case("no_scale", {"scale": False}, (5, 4)),
    _case("no_scale_rank4", {"scale": False}, (3, 4, 3, 2)),
    _case("plain", {"center": False, "scale": False}, (3, 4, 3, 2)),
    _case("momentum", {"momentum": 0.5}, (5, 4)),
    _case("momentum_rank4", {"momentum": 0.8, "epsilon": 1e-5}, (3, 4, 3, 2)),
    _case("epsilon", {"epsilon": 0.1}, (5, 4)),
]
"""BatchNormalization."""
