"""Losses and metrics called on targets and predictions whose ranks differ by a last axis of size 1."""

from itertools import product

SHAPES = {
    "equal": ((5, 3), (5, 3)),
    "vectors": ((5,), (5,)),
    "vector_column": ((5,), (5, 1)),
    "column_vector": ((5, 1), (5,)),
    "column_rank3": ((5, 1), (5, 1, 1)),
    "rank3_column": ((5, 1, 1), (5, 1)),
    "matrix_rank3": ((5, 3), (5, 3, 1)),
    "rank3_matrix": ((5, 3, 1), (5, 3)),
}
"""Shapes of targets and predictions of equal size."""

SPARSE_SHAPES = {
    "labels": ((5,), (5, 3)),
    "label_column": ((5, 1), (5, 3)),
    "sequence": ((5, 2), (5, 2, 3)),
    "sequence_column": ((5, 2, 1), (5, 2, 3)),
}
"""Shapes of class numbers and predictions."""

LOSSES = (
    "MeanSquaredError", "MeanAbsoluteError", "MeanAbsolutePercentageError", "MeanSquaredLogarithmicError", "Hinge",
    "SquaredHinge", "CategoricalHinge", "LogCosh", "Huber", "Poisson", "KLDivergence", "CosineSimilarity",
    "BinaryCrossentropy", "CategoricalCrossentropy",
)  # fmt: skip
METRICS = (
    "Accuracy", "BinaryAccuracy", "CategoricalAccuracy", "TopKCategoricalAccuracy", "CosineSimilarity",
    "MeanSquaredError", "RootMeanSquaredError", "MeanAbsoluteError", "MeanAbsolutePercentageError",
    "MeanSquaredLogarithmicError", "Hinge", "SquaredHinge", "CategoricalHinge", "LogCoshError", "Poisson",
    "KLDivergence", "BinaryCrossentropy", "CategoricalCrossentropy", "AUC", "Precision", "Recall", "TruePositives",
    "TrueNegatives", "FalsePositives", "FalseNegatives", "MeanIoU",
)  # fmt: skip
ARGUMENTS = {"MeanIoU": {"num_classes": 2}}
SPARSE_LOSSES = ("SparseCategoricalCrossentropy",)
SPARSE_METRICS = ("SparseCategoricalAccuracy", "SparseTopKCategoricalAccuracy", "SparseCategoricalCrossentropy")
REDUCTIONS = ("sum_over_batch_size", "sum", "none")

CASES = [
    *product(("losses",), LOSSES, SHAPES.items()),
    *product(("metrics",), METRICS, SHAPES.items()),
    *product(("losses",), SPARSE_LOSSES, SPARSE_SHAPES.items()),
    *product(("metrics",), SPARSE_METRICS, SPARSE_SHAPES.items()),
]
"""Module, class, (name of the shapes, shapes)."""


def arguments(name: str) -> dict[str, object]:
    """What the constructor is given."""
    return {"k": 2} if "TopK" in name else ARGUMENTS.get(name, {})
