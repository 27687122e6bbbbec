"""Initializers, regularizers and constraints."""

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class RuleCase:
    """``rule`` is the name in keras.initializers, keras.regularizers or keras.constraints."""

    name: str
    rule: str
    arguments: dict[str, Any] = field(default_factory=dict)
    shape: tuple[int, ...] = (5, 4)


REGULARIZERS = [
    RuleCase("regularizer_l1", "l1", {"l": 0.03}),
    RuleCase("regularizer_l2", "l2", {"l": 0.03}),
    RuleCase("regularizer_l1_l2", "l1_l2", {"l1": 0.02, "l2": 0.05}),
    RuleCase("regularizer_l1_default", "l1"),
    RuleCase("regularizer_l2_default", "l2"),
    RuleCase("regularizer_l1_l2_default", "l1_l2"),
    RuleCase("regularizer_l2_kernel", "l2", {"l": 0.5}, (3, 3, 2, 2)),
]

CONSTRAINTS = [
    RuleCase("constraint_max_norm", "max_norm", {"max_value": 1.0}),
    RuleCase("constraint_max_norm_default", "max_norm"),
    RuleCase("constraint_max_norm_axis", "max_norm", {"max_value": 0.5, "axis": 1}),
    RuleCase("constraint_max_norm_axes", "max_norm", {"max_value": 1.0, "axis": [0, 1, 2]}, (3, 3, 2, 4)),
    RuleCase("constraint_non_neg", "non_neg"),
    RuleCase("constraint_unit_norm", "unit_norm"),
    RuleCase("constraint_unit_norm_axes", "unit_norm", {"axis": [0, 1, 2]}, (3, 3, 2, 4)),
    RuleCase("constraint_min_max_norm", "min_max_norm", {"min_value": 1.5, "max_value": 2.0}),
    RuleCase(
        "constraint_min_max_norm_rate",
        "min_max_norm",
        {"min_value": 0.2, "max_value": 0.6, "rate": 0.3, "axis": 1},
    ),
    RuleCase("constraint_min_max_norm_default", "min_max_norm"),
]

EXACT_INITIALIZERS = [
    RuleCase("initializer_zeros", "Zeros"),
    RuleCase("initializer_ones", "Ones"),
    RuleCase("initializer_constant", "Constant", {"value": 0.3}),
    RuleCase("initializer_constant_default", "Constant"),
    RuleCase("initializer_identity", "Identity", {}, (4, 4)),
    RuleCase("initializer_identity_gain", "Identity", {"gain": 2.5}, (4, 4)),
    RuleCase("initializer_identity_wide", "Identity", {"gain": 0.5}, (3, 5)),
    RuleCase("initializer_identity_tall", "Identity", {}, (5, 3)),
]

ORTHOGONAL_INITIALIZERS = [
    RuleCase("initializer_orthogonal", "Orthogonal", {}, (6, 6)),
    RuleCase("initializer_orthogonal_tall", "Orthogonal", {"gain": 1.5}, (8, 5)),
    RuleCase("initializer_orthogonal_wide", "Orthogonal", {}, (4, 7)),
    RuleCase("initializer_orthogonal_kernel", "Orthogonal", {"gain": 0.7}, (3, 3, 2, 5)),
]

DENSE_SHAPE, KERNEL_SHAPE, TEXT_KERNEL_SHAPE = (48, 160), (3, 3, 24, 40), (5, 32, 48)
_VARIANCE_SCALING = [
    "glorot_normal",
    "glorot_uniform",
    "he_normal",
    "he_uniform",
    "lecun_normal",
    "lecun_uniform",
]

RANDOM_INITIALIZERS = [
    RuleCase("initializer_random_normal", "RandomNormal", {}, DENSE_SHAPE),
    RuleCase("initializer_random_normal_arguments", "RandomNormal", {"mean": 1.0, "stddev": 0.3}, DENSE_SHAPE),
    RuleCase("initializer_random_uniform", "RandomUniform", {}, DENSE_SHAPE),
    RuleCase("initializer_random_uniform_arguments", "RandomUniform", {"minval": -1.0, "maxval": 3.0}, DENSE_SHAPE),
    RuleCase("initializer_truncated_normal", "TruncatedNormal", {}, DENSE_SHAPE),
    RuleCase("initializer_truncated_normal_arguments", "TruncatedNormal", {"mean": -1.0, "stddev": 0.4}, DENSE_SHAPE),
    *(RuleCase(f"initializer_{name}", name, {}, DENSE_SHAPE) for name in _VARIANCE_SCALING),
    *(RuleCase(f"initializer_{name}_kernel", name, {}, KERNEL_SHAPE) for name in _VARIANCE_SCALING),
    *(RuleCase(f"initializer_{name}_text_kernel", name, {}, TEXT_KERNEL_SHAPE) for name in _VARIANCE_SCALING),
    RuleCase("initializer_variance_scaling", "VarianceScaling", {}, DENSE_SHAPE),
    RuleCase("initializer_variance_scaling_fan_out", "VarianceScaling",
             {"scale": 3.0, "mode": "fan_out", "distribution": "uniform"}, KERNEL_SHAPE),
    RuleCase("initializer_variance_scaling_fan_avg", "VarianceScaling",
             {"scale": 0.5, "mode": "fan_avg", "distribution": "normal"}, DENSE_SHAPE),
]  # fmt: skip
