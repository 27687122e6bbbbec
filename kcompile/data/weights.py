"""``sample_weight`` and ``class_weight`` -> one weight array per output (Keras 2.3 rules).

A weight array is ``(n,)``, or ``(n, time)`` in the mode "temporal"; ``None`` stands for "all ones", so that a
training step without weights needs no weight input.
"""

from __future__ import annotations

import numbers
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from kcompile.common.errors import DataError, DataTypeError, ShapeError, did_you_mean, listed, unknown_name, warn
from kcompile.data.adapters import LazyRows, is_array_like, to_array
from kcompile.data.checks import TargetSpec


def sample_weight_modes(mode: Any, output_names: Sequence[str]) -> list[str | None]:
    """``compile``'s sample_weight_mode (None, "temporal", a list or a dict) as one mode per output."""
    if isinstance(mode, Mapping):
        for key in mode:
            if key not in output_names:
                raise unknown_name("output in sample_weight_mode", key, output_names)
        modes = [mode.get(name) for name in output_names]
    elif isinstance(mode, (list, tuple)):
        if len(mode) != len(output_names):
            raise DataError(
                f"compile: sample_weight_mode lists {len(mode)} modes for {len(output_names)} outputs "
                f"({listed(output_names)})."
            )
        modes = list(mode)
    else:
        modes = [mode] * len(output_names)
    for entry in modes:
        if entry not in (None, "temporal"):
            raise DataError(
                "compile: sample_weight_mode must be None or 'temporal', got "
                f"{entry!r}{did_you_mean(entry, ['temporal']) or '.'}"
            )
    return modes


def order_weights(weights: Any, output_names: Sequence[str], argument: str) -> list[tuple[str, Any]]:
    """Match ``sample_weight`` or ``class_weight`` with the outputs: ``[(path, value or None), ...]``.

    Accepts what Keras 2.3 does: one value for a model with one output, a list with one entry per output, a
    dict by output name (outputs left out have no weights).
    """
    if weights is None or (isinstance(weights, (list, tuple, dict)) and not weights):
        return [(argument, None) for _ in output_names]
    by_output = isinstance(weights, Mapping) and any(key in output_names for key in weights)
    if by_output:
        for key in weights:
            if key not in output_names:
                raise unknown_name(f"output in {argument}", key, output_names)
        return [(f"{argument}[{name!r}]", weights.get(name)) for name in output_names]
    if len(output_names) == 1:
        nested = (
            isinstance(weights, (list, tuple))
            and len(weights) == 1
            and (weights[0] is None or isinstance(weights[0], Mapping) or is_array_like(weights[0]))
        )
        return [(argument, weights[0] if nested else weights)]
    if isinstance(weights, (list, tuple)):
        if len(weights) != len(output_names):
            raise DataError(
                f"{argument}: expected one entry for each of the {len(output_names)} outputs "
                f"({listed(output_names)}), got {len(weights)}."
            )
        return [
            (f"{argument}[{i}] ({name!r})", entry)
            for i, (name, entry) in enumerate(zip(output_names, weights, strict=True))
        ]
    got = f"keys {listed(list(weights)[:5])}" if isinstance(weights, Mapping) else type(weights).__name__
    raise DataTypeError(
        f"{argument}: the model has {len(output_names)} outputs; expected a list with one entry per output "
        f"or a dict with keys from {listed(output_names)}, got {got}."
    )


def check_sample_weight(
    value: Any, path: str, target_shape: tuple[int, ...], mode: str | None, dtype: str = "float32"
) -> np.ndarray:
    """Return weights as ``(n,)``, or ``(n, time)`` in the mode "temporal".

    ``(n, 1)`` is accepted for ``(n,)``; nothing is ever broadcast. The number of samples is checked together with
    x, y.

    Raises:
        ShapeError: another rank or another number of time steps. DataError: NaN or infinite weights.
    """
    array = to_array(value, path, dtype)
    weights = array[:] if isinstance(array, LazyRows) else array
    if mode == "temporal":
        if len(target_shape) < 2:
            raise ShapeError(
                f"{path}: sample_weight_mode='temporal' needs targets with a time axis, got shape {target_shape}."
            )
        if weights.ndim != 2 or weights.shape[1] != target_shape[1]:
            raise ShapeError(
                f"{path}: expected shape ({len(weights)}, {target_shape[1]}) (samples, time steps) with "
                f"sample_weight_mode='temporal', got {weights.shape}."
            )
    else:
        if weights.ndim == 2 and weights.shape[1] == 1:
            weights = weights[:, 0]
        if weights.ndim != 1:
            raise ShapeError(
                f"{path}: expected one weight per sample, shape ({len(weights)},), got {weights.shape}; for "
                "one weight per time step compile with sample_weight_mode='temporal'."
            )
    if weights.size and not np.isfinite(weights).all():
        position = np.unravel_index(int((~np.isfinite(weights)).argmax()), weights.shape)
        raise DataError(f"{path}: weight {weights[position]} at sample {int(position[0])}; expected finite numbers.")
    return np.ascontiguousarray(weights)


def class_weights_of(
    labels: np.ndarray,
    class_weight: Any,
    path: str,
    spec: TargetSpec,
    *,
    whole_data: bool = True,
    dtype: str = "float32",
) -> np.ndarray:
    """Weights ``(n,)`` looked up by each sample's class.

    Args:
        labels: the output's targets: class indices ``(n,)``, ``(n, 1)``, or one column per class (the largest
            counts).
        class_weight: dict {class: weight}.
        path: name for messages: "class_weight", "class_weight['a']".
        spec: the output's target; for a sparse loss one column means class indices.
        whole_data: whether ``labels`` are all the data; only then is a class that never occurs worth a warning.

    Raises:
        DataError: a class in the data without weight, a negative or non-finite weight; both lists are named.
        DataTypeError: not a dict, keys that are no class indices.
        ShapeError: targets with a time axis.
    """
    table = _checked_table(class_weight, path)
    if labels.ndim > 2 and not (spec.kind == "sparse" and labels.size == len(labels)):
        raise ShapeError(
            f"{path}: targets of shape {labels.shape} have more than one label per sample; use sample_weight "
            "with sample_weight_mode='temporal' instead."
        )
    classes = np.argmax(labels, axis=1) if labels.ndim == 2 and labels.shape[1] > 1 else labels.reshape(-1)
    if classes.dtype.kind == "f":
        whole = np.floor(classes)
        if not (whole == classes).all():
            bad = int((whole != classes).argmax())
            raise DataError(f"{path}: target {classes[bad]:g} at sample {bad} is not a class index.")
        classes = whole.astype(np.int64)
    present, inverse = np.unique(classes, return_inverse=True)
    found = [int(entry) for entry in present]
    missing = [entry for entry in found if entry not in table]
    if missing:
        raise DataError(
            f"{path}: no weight for {_classes(missing)}: the data has {_classes(found)}, the dict "
            f"{_classes(sorted(table))}."
        )
    unused = sorted(set(table) - set(found))
    if unused and whole_data and found:
        warn(
            f"{path}: {_classes(unused)} never occur{'s' if len(unused) == 1 else ''} in the data, which "
            f"has {_classes(found)}.",
        )
    return np.asarray([table[entry] for entry in found], dtype=dtype)[inverse.reshape(-1)]


def _checked_table(class_weight: Any, path: str) -> dict[int, float]:
    if isinstance(class_weight, str):
        raise DataTypeError(
            f"{path}: expected a dict {{class: weight}}, got {class_weight!r}; compute balanced weights as "
            "n_samples / (n_classes * np.bincount(y))."
        )
    if not isinstance(class_weight, Mapping):
        hint = "; pass dict(enumerate(weights))" if isinstance(class_weight, (list, tuple, np.ndarray)) else ""
        raise DataTypeError(f"{path}: expected a dict {{class: weight}}, got {type(class_weight).__name__}{hint}.")
    table: dict[int, float] = {}
    for key, weight in class_weight.items():
        is_number = isinstance(key, numbers.Real) and not isinstance(key, (bool, np.bool_))
        if not is_number or not float(key).is_integer():
            raise DataTypeError(
                f"{path}: keys are class indices (integers from 0), got {key!r} ({type(key).__name__})."
            )
        label = int(float(key))
        if label < 0:
            raise DataError(f"{path}: keys are class indices from 0, got {label}.")
        if isinstance(weight, (bool, np.bool_)) or not isinstance(weight, numbers.Real):
            raise DataTypeError(f"{path}[{key}]: expected a number, got {weight!r} ({type(weight).__name__}).")
        if not 0 <= float(weight) < float("inf"):
            raise DataError(f"{path}[{key}]: expected a finite weight of at least 0, got {float(weight):g}.")
        table[label] = float(weight)
    return table


def _classes(values: Sequence[int]) -> str:
    noun = "class" if len(values) == 1 else "classes"
    return f"{noun} {', '.join(map(str, values[:20]))}{', ...' if len(values) > 20 else ''}"
