"""Losses: the function (one value per sample or step) and the class (weights and reductions)."""

# ruff: noqa: E501 - one case, one line

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class LossCase:
    """``target`` and ``prediction`` name distributions of data.values; ``target_shape`` defaults to ``shape``."""

    name: str
    function: str
    loss_class: str
    target: str
    prediction: str
    shape: tuple[int, ...] = (5, 4)
    arguments: dict[str, Any] = field(default_factory=dict)
    target_shape: tuple[int, ...] | None = None
    tolerance: float = 1e-5


def _regression(function: str, loss_class: str, target: str = "normal", prediction: str = "normal") -> list[LossCase]:
    return [
        LossCase(function, function, loss_class, target, prediction),
        LossCase(f"{function}_rank3", function, loss_class, target, prediction, (2, 3, 4)),
        LossCase(f"{function}_one_column", function, loss_class, target, prediction, (5, 1)),
    ]


REGRESSION = [
    *_regression("mean_squared_error", "MeanSquaredError"),
    *_regression("mean_absolute_error", "MeanAbsoluteError"),
    *_regression("mean_absolute_percentage_error", "MeanAbsolutePercentageError", target="offset"),
    *_regression("mean_squared_logarithmic_error", "MeanSquaredLogarithmicError", "positive", "positive"),
    LossCase("mean_squared_logarithmic_error_negative", "mean_squared_logarithmic_error", "MeanSquaredLogarithmicError",
             "normal", "normal"),
    LossCase("mean_absolute_percentage_error_zeros", "mean_absolute_percentage_error", "MeanAbsolutePercentageError",
             "binary", "normal"),
    *_regression("logcosh", "LogCosh"),
    LossCase("logcosh_large", "logcosh", "LogCosh", "large", "large"),
    LossCase("huber", "huber_loss", "Huber", "normal", "normal"),
    LossCase("huber_delta", "huber_loss", "Huber", "normal", "normal", arguments={"delta": 0.3}),
    *_regression("poisson", "Poisson", "counts", "positive"),
    *_regression("hinge", "Hinge", "signs"),
    *_regression("squared_hinge", "SquaredHinge", "signs"),
    LossCase("hinge_binary_labels", "hinge", "Hinge", "binary", "normal"),
    LossCase("squared_hinge_binary_labels", "squared_hinge", "SquaredHinge", "binary", "normal"),
    LossCase("categorical_hinge", "categorical_hinge", "CategoricalHinge", "one_hot", "normal"),
    LossCase("categorical_hinge_rank3", "categorical_hinge", "CategoricalHinge", "one_hot", "normal", (2, 3, 4)),
    *_regression("kullback_leibler_divergence", "KLDivergence", "probabilities", "probabilities")[:2],
    LossCase("kullback_leibler_divergence_one_hot", "kullback_leibler_divergence", "KLDivergence", "one_hot", "probabilities"),
    *_regression("cosine_similarity", "CosineSimilarity")[:2],
    LossCase("cosine_similarity_axis1", "cosine_similarity", "CosineSimilarity", "normal", "normal", (2, 3, 4), {"axis": 1}),
]  # fmt: skip


def _binary(
    name: str, prediction: str, target: str = "binary", shape: tuple[int, ...] = (5, 4), **arguments: Any
) -> LossCase:
    return LossCase(
        f"binary_crossentropy{name}",
        "binary_crossentropy",
        "BinaryCrossentropy",
        target,
        prediction,
        shape,
        arguments,
    )


def _categorical(
    name: str, prediction: str, target: str = "one_hot", shape: tuple[int, ...] = (5, 4), **arguments: Any
) -> LossCase:
    return LossCase(f"categorical_crossentropy{name}", "categorical_crossentropy", "CategoricalCrossentropy", target,
                    prediction, shape, arguments)  # fmt: skip


def _sparse(name: str, prediction: str, target: str, target_shape: tuple[int, ...], shape: tuple[int, ...] = (5, 4),
            **arguments: Any) -> LossCase:  # fmt: skip
    return LossCase(f"sparse_categorical_crossentropy{name}", "sparse_categorical_crossentropy",
                    "SparseCategoricalCrossentropy", target, prediction, shape, arguments, target_shape)  # fmt: skip


# "saturated" predictions hold exact zeros and ones: the loss clips them to [epsilon, 1 - epsilon].
# In float32 the value at a wrong exact one, -log(1 - (1 - epsilon) + epsilon), has two digits: 1 - epsilon rounds.
# "unnormalized" rows do not sum to one: categorical_crossentropy divides by the sum.
CROSSENTROPY = [
    _binary("", "unit"),
    _binary("_one_column", "unit", shape=(6, 1)),
    _binary("_rank3", "unit", shape=(2, 3, 4)),
    _binary("_soft_targets", "unit", target="unit"),
    LossCase(
        "binary_crossentropy_saturated",
        "binary_crossentropy",
        "BinaryCrossentropy",
        "binary",
        "saturated",
        tolerance=1e-2,
    ),
    _binary("_logits", "normal", from_logits=True),
    _binary("_large_logits", "large", from_logits=True),
    _binary("_smoothing", "unit", label_smoothing=0.2),
    _binary("_logits_smoothing", "normal", from_logits=True, label_smoothing=0.1),
    _categorical("", "probabilities"),
    _categorical("_rank3", "probabilities", shape=(2, 3, 4)),
    _categorical("_soft_targets", "probabilities", target="probabilities"),
    _categorical("_unnormalized", "positive"),
    _categorical("_saturated", "saturated_rows"),
    _categorical("_logits", "normal", from_logits=True),
    _categorical("_large_logits", "large", from_logits=True),
    _categorical("_logits_rank3", "normal", shape=(2, 3, 4), from_logits=True),
    _categorical("_smoothing", "probabilities", label_smoothing=0.2),
    _categorical("_logits_smoothing", "normal", from_logits=True, label_smoothing=0.1),
    _sparse("", "probabilities", "labels", (5,)),
    _sparse("_column", "probabilities", "labels", (5, 1)),
    _sparse("_float_labels", "probabilities", "float_labels", (5, 1)),
    _sparse("_rank3", "probabilities", "labels", (2, 3), (2, 3, 4)),
    _sparse("_rank3_column", "probabilities", "labels", (2, 3, 1), (2, 3, 4)),
    _sparse("_unnormalized", "positive", "labels", (5,)),
    _sparse("_saturated", "saturated_rows", "labels", (5,)),
    _sparse("_logits", "normal", "labels", (5,), from_logits=True),
    _sparse("_large_logits", "large", "labels", (5, 1), from_logits=True),
    _sparse("_logits_rank3", "normal", "labels", (2, 3), (2, 3, 4), from_logits=True),
]

CASES = REGRESSION + CROSSENTROPY

# Every spelling that names a loss, as function, as attribute of the module and as string in compile().
ALIASES = {
    "mean_squared_error": ["mse", "MSE"],
    "mean_absolute_error": ["mae", "MAE"],
    "mean_absolute_percentage_error": ["mape", "MAPE"],
    "mean_squared_logarithmic_error": ["msle", "MSLE"],
    "kullback_leibler_divergence": ["kld", "KLD"],
    "cosine_similarity": ["cosine_proximity", "cosine"],
}
