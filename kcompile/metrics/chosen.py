"""``accuracy`` and ``crossentropy``: metrics that choose their form by loss, output and targets."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeGuard

from kcompile import losses
from kcompile.metrics import functions
from kcompile.metrics.base import MeanMetricWrapper, Update
from kcompile.objects.registry import claim
from kcompile.symbolic.tensor import Tensor, TensorLike, as_tensor

Shape = tuple[int | None, ...]

_FORMS: dict[str, dict[str, Callable[..., Tensor]]] = {
    "accuracy": {
        "binary": functions.binary_accuracy,
        "sparse": functions.sparse_categorical_accuracy,
        "categorical": functions.categorical_accuracy,
    },
    "crossentropy": {
        "binary": losses.binary_crossentropy,
        "sparse": losses.sparse_categorical_crossentropy,
        "categorical": losses.categorical_crossentropy,
    },
}
WORDS = {"accuracy": "accuracy", "acc": "accuracy", "crossentropy": "crossentropy", "ce": "crossentropy"}
"""What stands for one of the forms, in lower case."""


def is_word(identifier: object) -> TypeGuard[str]:
    """Whether it names no metric, but several of which one is chosen; in any case, as in tf.keras."""
    return isinstance(identifier, str) and identifier.lower() in WORDS


def form_of(loss_kind: str, target: Shape | None, output: Shape) -> str:
    """``binary``, ``sparse`` or ``categorical``.

    A loss of Keras' own decides, as in Keras 2.3; otherwise the shapes do, as in tf.keras and Keras 3: targets of lower
    rank than the output, or with one column where it has several, are class numbers.

    Args:
        loss_kind: see :func:`kcompile.losses.target_kind`.
        target, output: shapes with the batch axis; a target's ``None``: not known yet.
    """
    if output[-1] == 1 or loss_kind == "binary":
        return "binary"
    if loss_kind in ("sparse", "categorical") or target is None:
        return "sparse" if loss_kind == "sparse" else "categorical"
    return "sparse" if len(target) < len(output) or target[-1] == 1 else "categorical"


class ChosenMetric(MeanMetricWrapper):
    """The mean of the form that fits; which one is settled when targets come.

    Args:
        word: ``accuracy``, ``acc``, ``crossentropy`` or ``ce``, which is the name too.
        output_shape: of the output that is judged. loss: its loss, or ``None``.
    """

    def __init__(self, word: str, output_shape: Shape, loss: losses.LossLike) -> None:
        self.forms = _FORMS[WORDS[word.lower()]]
        self.loss_kind = losses.target_kind(loss)
        super().__init__(self.forms[form_of(self.loss_kind, None, output_shape)], name=word)

    def update_state(  # type: ignore[override]  # of targets and predictions, as in Keras
        self, y_true: TensorLike, y_pred: TensorLike, sample_weight: TensorLike | None = None
    ) -> list[Update]:
        """Add the values for a batch, in the form that its shapes ask for."""
        y_true, y_pred = as_tensor(y_true), as_tensor(y_pred)
        self._fn = self.forms[form_of(self.loss_kind, tuple(y_true.shape), tuple(y_pred.shape))]
        return super().update_state(y_true, y_pred, sample_weight)


claim("metric", ChosenMetric)

__all__ = ["WORDS", "ChosenMetric", "form_of", "is_word"]
