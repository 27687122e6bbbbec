"""BatchNormalization: every axis, with and without centre and scale."""

from tests.golden.cases.layer_case import LayerCase


def _case(name: str, arguments: dict, shape: tuple[int, ...]) -> LayerCase:
    return LayerCase(f"batch_normalization_{name}", "BatchNormalization", arguments, [shape], weights="positive")


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
