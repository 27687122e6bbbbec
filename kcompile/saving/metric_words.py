"""``accuracy`` and ``crossentropy`` in files: words whose meaning each version of Keras chooses by rules of its own.

Keras 2.3.1 goes by the loss first, tf.keras and Keras 3 by shapes alone. So files of those are read by their rule, and
what we write says which of the functions is meant.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kcompile import losses, metrics
from kcompile.metrics.chosen import WORDS, is_word

_CATEGORICAL = {"accuracy": metrics.categorical_accuracy, "crossentropy": losses.categorical_crossentropy}


def chosen_by_shape(given: Any, loss: Any, names: Sequence[str], shapes: Sequence[tuple[int | None, ...]]) -> Any:
    """Metrics of a file of tf.keras or Keras 3, in which a word means what it means to them.

    They differ from us for several columns with a binary loss: to them that is categorical.

    Args:
        given: metrics, in the lists or dictionaries of the file. loss: losses, likewise.
        names, shapes: of the outputs.
    """
    from kcompile.engine.compilation import _metric_lists, _per_output

    if given is None or not any(map(is_word, _leaves(given))):
        return given
    chosen = []
    of_losses = _per_output(loss, names, "loss")
    lists = _metric_lists(given, names, "metrics", [item is not None for item in of_losses])
    for items, item, shape in zip(lists, of_losses, shapes, strict=True):
        kind = None if item is None else losses.target_kind(losses.get(item))
        several = len(shape) > 1 and shape[-1] != 1
        chosen.append([_categorical(m) if several and kind == "binary" else m for m in items])
    return chosen


def _categorical(metric: Any) -> Any:
    if not is_word(metric):
        return metric
    return metrics.MeanMetricWrapper(_CATEGORICAL[WORDS[metric.lower()]], name=metric)


def _leaves(item: Any) -> list[Any]:
    if isinstance(item, dict):
        item = list(item.values())
    return [leaf for each in item for leaf in _leaves(each)] if isinstance(item, list) else [item]
