"""``accuracy`` and ``crossentropy`` in files: words whose meaning each version of Keras chooses by rules of its own.

Keras 2.3.1 goes by the loss first, tf.keras and Keras 3 by shapes alone. So files of those are read by their rule, and
what we write says which of the functions is meant.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kcompile import losses, metrics
from kcompile.common.lists import per_output
from kcompile.metrics.by_output import metric_lists
from kcompile.metrics.chosen import WORDS, ChosenMetric, is_word
from kcompile.objects.custom import get_registered_name
from kcompile.objects.plain import plain

_CATEGORICAL = {"accuracy": metrics.categorical_accuracy, "crossentropy": losses.categorical_crossentropy}


def chosen_by_shape(given: Any, loss: Any, names: Sequence[str], shapes: Sequence[tuple[int | None, ...]]) -> Any:
    """Metrics of a file of tf.keras or Keras 3, in which a word means what it means to them.

    They differ from us for several columns with a binary loss: to them that is categorical.

    Args:
        given: metrics, in the lists or dictionaries of the file. loss: losses, likewise.
        names, shapes: of the outputs.
    """
    if given is None or not any(map(is_word, _leaves(given))):
        return given
    chosen = []
    of_losses = per_output(loss, names, "loss")
    lists = metric_lists(given, names, "metrics", [item is not None for item in of_losses])
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


# ---- writing


def as_understood(model: Any, with_outputs: bool) -> dict[str, Any]:
    """Metrics of a compiled model as tf.keras understands them: objects, in a list for each output.

    Words say which function they came to. In HDF5 tf.keras takes names as complete, so that those of several outputs
    begin with that of the output: two metrics of one name are one to it.

    Args:
        model: compiled, with its graph. with_outputs: whether names begin with those of outputs.

    Returns:
        ``metrics`` and ``weighted_metrics``; nothing where the arguments of ``compile`` say the same.
    """
    compiled = model.fit_trainer.compiled
    if compiled is None:
        return {}
    several = len(model.output_names) > 1
    given = [metric for plan in compiled.outputs for metric in (*plan.metrics, *plan.weighted_metrics)]
    if not given or not ((several and with_outputs) or any(isinstance(m, ChosenMetric) for m in given)):
        return {}
    losses_shown = sum(plan.loss is not None for plan in compiled.outputs) if several else 0
    labels = iter(compiled.metrics_names[1 + losses_shown :])
    found: dict[str, Any] = {key: [[] for _ in model.output_names] for key in ("metrics", "weighted_metrics")}
    for plan in compiled.outputs:
        for key in found:
            for metric in getattr(plan, key):
                label = next(labels)
                name = label if several and with_outputs else metric.name
                found[key][plan.index].append(_described(metric, name))
    return {key: value if several else value[0] for key, value in found.items() if any(value)}


def _described(metric: Any, name: str) -> dict[str, Any]:
    config = plain(metric.get_config())
    if not isinstance(metric, ChosenMetric) and type(metric) is not metrics.MeanMetricWrapper:
        return {"class_name": get_registered_name(type(metric)), "config": {**config, "name": name}}
    config = {key: value for key, value in config.items() if key != "fn"}
    fn = get_registered_name(losses.function_of(metric._fn))
    return {"class_name": "MeanMetricWrapper", "config": {**config, "name": name, "fn": fn}}
