"""Checks of shapes, counts, labels and fit's arguments, made before the first step runs.

ONNX Runtime would take label -1 for the last class, turn an unknown label into a row of zeros, and broadcast
(n, 2) against (n, 1). Nothing here changes data except to add a missing last axis of size 1.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from kcompile.common.advice import on_batch_axis, on_positions
from kcompile.common.checks import check_int, check_number
from kcompile.common.errors import DataError, DataTypeError, KCompileError, ShapeError, warn
from kcompile.common.lists import shapes_agree
from kcompile.data.adapters import Array, LazyRows

Shape = tuple[int | None, ...]


@dataclass(frozen=True)
class TargetSpec:
    """What one model output's loss expects as ``y``.

    Attributes:
        name: the output's name.
        shape: the output's full shape, batch axis first; ``None`` is any size. ``None`` instead of a tuple:
            unknown.
        kind: how labels relate to the output:
            "same"         same shape as the output (mean squared error, hinge, ...);
            "binary"       same shape, values 0..1 (binary_crossentropy);
            "categorical"  same shape, one column per class (categorical_crossentropy);
            "sparse"       class indices: the output's shape with the class axis gone or of size 1;
            "any"          a user's own loss: only the number of samples is checked.
        loss: the loss' name, for messages.
        dtype: dtype of the arrays delivered.
        class_axis: axis of the classes in ``shape`` (1 for channels_first images with a sparse loss).
        sample_weight_mode: None or "temporal".
        outputs: the names of all outputs of the model, also of those that take no targets.
    """

    name: str
    shape: Shape | None
    kind: str = "same"
    loss: str = ""
    dtype: str = "float32"
    class_axis: int = -1
    sample_weight_mode: str | None = None
    outputs: tuple[str, ...] = ()

    @property
    def classes(self) -> int | None:
        """Number of classes of a "sparse" or "categorical" target."""
        return self.shape[self.class_axis] if self.shape else None


def show_shape(shape: Sequence[int | None]) -> str:
    """``(None, 3)`` as a user reads it; a tuple's own repr."""
    return str(tuple(shape))


def matches(shape: Sequence[int], expected: Sequence[int | None]) -> bool:
    """Whether ``shape`` fits ``expected`` beyond the batch axis, ``None`` being any size."""
    return len(shape) == len(expected) and shapes_agree(shape[1:], expected[1:])


def with_column(array: Array, rank: int) -> Array:
    """``(n,)`` as ``(n, 1)`` when ``rank`` is 2 or more; anything else unchanged. Never copies."""
    if array.ndim != 1 or rank < 2:
        return array
    return array.as_column() if isinstance(array, LazyRows) else array[:, None]


def with_rank_of(array: Array, shape: Shape) -> Array:
    """``array`` with a last axis of size 1 more, or less, where only that keeps its rank from that of ``shape``."""
    if isinstance(array, LazyRows) or array.ndim == 1:
        return with_column(array, len(shape))
    if array.ndim == len(shape) - 1 and shape[-1] == 1:
        return array[..., None]
    return array[..., 0] if array.ndim == len(shape) + 1 and array.shape[-1] == 1 else array


def check_input(array: Array, path: str, name: str, expected: Shape | None) -> Array:
    """Return ``array``, ``(n,)`` seen as ``(n, 1)``, or raise ``ShapeError`` with both shapes and a fix."""
    if expected is None:
        return array
    seen = with_column(array, len(expected))
    if matches(seen.shape, expected):
        return seen
    given = tuple(array.shape)
    if given == tuple(size for size in expected[1:]):
        fix = f"; add the batch axis: {path}[None]"
        if len(given) > 1:
            fix += f" (if {given[0]} is the number of samples, the input's shape is {given[1:]}, without it)"
    elif len(given) == len(expected) - 1 and expected[-1] == 1 and matches((*given, 1), expected):
        fix = f"; add the channel axis: {path}[..., None]"
    elif len(given) == len(expected) - 1 and expected[1] == 1 and matches((given[0], 1, *given[1:]), expected):
        fix = f"; add the channel axis: {path}[:, None]"
    elif len(given) == len(expected) == 4 and matches((given[0], given[3], given[1], given[2]), expected):
        fix = "; the data is channels_last, the model channels_first: transpose with (0, 3, 1, 2)"
    elif len(given) == len(expected) == 4 and matches((given[0], given[2], given[3], given[1]), expected):
        fix = "; the data is channels_first, the model channels_last: transpose with (0, 2, 3, 1)"
    else:
        fix = on_batch_axis(given, expected)
    raise ShapeError(
        f"{path}: input {name!r} expects shape {show_shape(expected)}, got an array of shape {given}{fix}."
    )


def check_target(array: Array, path: str, spec: TargetSpec) -> Array:
    """Return the labels in the shape that the loss compares with the output; never broadcast.

    Raises:
        ShapeError: shapes differ; the message has both, and names the loss that would fit the labels.
        DataError: values that cannot be labels of this loss (class index out of range, NaN, fractions).
    """
    if spec.kind == "any" or spec.shape is None:
        return with_column(array, 2)
    if spec.kind == "sparse":
        return _check_sparse(array, path, spec)
    seen = with_rank_of(array, spec.shape)
    if not matches(seen.shape, spec.shape):
        raise ShapeError(_shape_message(array, path, spec))
    if isinstance(seen, np.ndarray) and spec.kind in ("binary", "categorical"):
        _check_probabilities(seen, path, spec)
    return seen


def _shape_message(array: Array, path: str, spec: TargetSpec) -> str:
    assert spec.shape is not None
    given = tuple(array.shape)
    message = f"{path}: target of shape {given} does not fit output {spec.name!r} of shape {show_shape(spec.shape)}" + (
        f" with loss {spec.loss!r}" if spec.loss else ""
    )
    classes = spec.shape[-1]
    places = spec.shape[:-1]
    looks_sparse = matches(given, places) or (given[-1:] == (1,) and matches(given[:-1], places))
    if spec.kind == "categorical" and classes != 1 and looks_sparse:
        return (
            f"{message}: these are class indices; use loss='sparse_categorical_crossentropy', or "
            f"to_categorical(y, {classes})."
        )
    if spec.kind in ("same", "binary") and classes == 1 and len(given) == len(spec.shape) and given[-1] > 1:
        return f"{message}; give the last layer {given[-1]} units, or pass one column."
    if spec.kind == "binary" and looks_sparse:
        return f"{message}; class indices of several classes need loss='sparse_categorical_crossentropy'."
    return f"{message}{on_positions(given, spec.shape) or '; this loss compares arrays of the same shape'}."


def _check_sparse(array: Array, path: str, spec: TargetSpec) -> Array:
    """Class indices: ``(n,)``, ``(n, T)``, or the same with a last axis of 1; delivered with that axis."""
    assert spec.shape is not None
    rank = len(spec.shape)
    axis = spec.class_axis % rank
    without = spec.shape[:axis] + spec.shape[axis + 1 :]
    with_axis = (*spec.shape[:axis], 1, *spec.shape[axis + 1 :])
    given = tuple(array.shape)
    if matches(given, with_axis):
        labels = array
    elif len(given) == rank - 1 and matches(given, without):
        labels = array.as_column() if isinstance(array, LazyRows) else np.expand_dims(array, axis)
    else:
        message = (
            f"{path}: loss {spec.loss or 'sparse_categorical_crossentropy'!r} expects class indices of shape "
            f"{show_shape(with_axis)} for output {spec.name!r}, got an array of shape {given}"
        )
        if matches(given, spec.shape):
            message += ": it looks one-hot; use loss='categorical_crossentropy', or y.argmax(axis=-1)"
        message += on_positions(given, spec.shape)
        raise ShapeError(f"{message}.")
    if isinstance(labels, np.ndarray) and spec.classes is not None:
        check_labels(labels, spec.classes, path)
    return labels


def check_labels(labels: np.ndarray, classes: int, path: str = "y") -> None:
    """Raise ``DataError`` unless every label is a whole number in ``0..classes-1``.

    The message reads "y: label 3 outside 0..2 (3 classes) at sample 7".
    """
    if labels.size == 0:
        return
    low, high = labels.min(), labels.max()  # NaN wins both
    whole = labels.dtype.kind != "f" or bool((labels == np.floor(labels)).all())
    if whole and low >= 0 and high < classes:
        return
    if labels.dtype.kind == "f":
        with np.errstate(invalid="ignore"):
            bad = ~((labels >= 0) & (labels < classes) & (labels == np.floor(labels)))
    else:
        bad = (labels < 0) | (labels >= classes)
    position = np.unravel_index(int(bad.argmax()), bad.shape)
    value = labels[position]
    inner = tuple(int(index) for index in position[1:])
    at = f"sample {int(position[0])}" + (f", position {inner}" if labels.size != len(labels) else "")
    count = int(bad.sum())
    others = f" ({count} such labels)" if count > 1 else ""
    if labels.dtype.kind == "f" and value != np.floor(value):
        problem = f"label {value:g} is not a whole number; expected 0..{classes - 1} ({classes} classes)"
    else:
        problem = f"label {value:g} outside 0..{classes - 1} ({classes} classes)"
    raise DataError(f"{path}: {problem} at {at}{others}.")


def _check_probabilities(labels: np.ndarray, path: str, spec: TargetSpec) -> None:
    """NaN labels are refused; labels outside 0..1 only warned of, as losses are defined for them."""
    if labels.size == 0 or labels.dtype.kind not in "fiu":
        return
    low, high = labels.min(), labels.max()
    if np.isnan(low):
        sample = int(np.unravel_index(int(np.isnan(labels).argmax()), labels.shape)[0])
        raise DataError(f"{path}: label nan at sample {sample}; loss {spec.loss!r} needs numbers between 0 and 1.")
    if low < 0 or high > 1:
        hint = "use loss='hinge' for labels -1 and 1" if low == -1 and high <= 1 else "labels are probabilities here"
        warn(
            f"{path}: labels between {low:g} and {high:g} with loss {spec.loss!r}, which expects 0..1; {hint}.",
        )


def check_indices(array: np.ndarray, input_dim: int, layer_name: str, path: str = "x", first_sample: int = 0) -> None:
    """Raise unless ``array`` holds whole numbers in ``0..input_dim-1``: the rows of an Embedding.

    ``first_sample`` is the number of the first row, when ``array`` is a part of the data.

    Raises:
        DataTypeError: 1.7 or NaN. DataError: out of range. Both name index, position and range.
    """
    if array.size == 0 or array.dtype.kind == "b":
        return
    if array.dtype.kind == "f":
        with np.errstate(invalid="ignore"):
            fractional = array != np.floor(array)  # true for NaN
        if fractional.any():
            position = _first(fractional)
            raise DataTypeError(
                f"{path}: Embedding {layer_name!r} needs whole numbers in 0..{input_dim - 1}, got "
                f"{array[position]:g} at {_at(position, first_sample)}."
            )
    if array.min() < 0 or array.max() >= input_dim:
        position = _first((array < 0) | (array >= input_dim))
        raise DataError(
            f"{path}: index {array[position]:g} at {_at(position, first_sample)} is outside "
            f"0..{input_dim - 1} of Embedding {layer_name!r} (input_dim={input_dim}); raise input_dim or fix "
            "the data."
        )


def _first(flags: np.ndarray) -> tuple[int, ...]:
    return tuple(int(index) for index in np.unravel_index(int(flags.argmax()), flags.shape))


def _at(position: tuple[int, ...], first_sample: int = 0) -> str:
    return f"sample {first_sample + position[0]}" + (f", position {position[1:]}" if len(position) > 1 else "")


def check_sample_counts(
    inputs: Sequence[tuple[str, Any]],
    targets: Sequence[tuple[str, Any]] = (),
    weights: Sequence[tuple[str, Any]] = (),
    *,
    allow_empty: bool = False,
) -> int:
    """Return the common number of samples of ``(path, array)`` pairs, or raise ``DataError`` with every count."""
    arrays = [(path, array) for path, array in (*inputs, *targets, *weights) if array is not None]
    counts = {path: int(array.shape[0]) for path, array in arrays}
    if len(set(counts.values())) > 1:
        text = ", ".join(f"{path} has {count}" for path, count in counts.items())
        raise DataError(f"All arrays need the same number of samples: {text}.")
    samples = next(iter(counts.values()), 0)
    if samples == 0 and not allow_empty:
        path = arrays[0][0] if arrays else "x"
        shape = f" (shape {tuple(arrays[0][1].shape)})" if arrays else ""
        raise DataError(f"{path} has 0 samples{shape}; expected at least one.")
    return samples


def split_point(samples: int, validation_split: Any) -> int:
    """Number of leading samples that stay for training; the rest, before any shuffling, is for validation.

    Keras 2.3's rule: ``int(samples * (1 - validation_split))``.

    Raises:
        KCompileError: the fraction is not in [0, 1), or one of the two parts would be empty.
    """
    fraction = check_number("fit", "validation_split", validation_split, 0.0, below=1.0)
    if fraction == 0.0:
        return samples
    point = int(samples * (1.0 - fraction))
    if point == 0 or point == samples:
        empty = "training" if point == 0 else "validation"
        raise DataError(
            f"fit: validation_split={fraction:g} of {samples} samples leaves none for {empty}; pass more "
            "data or another fraction."
        )
    return point


def check_batch_size(owner: str, batch_size: Any, argument: str = "batch_size") -> int | None:
    """Return ``batch_size`` as an int of at least 1, or None."""
    return None if batch_size is None else check_int(owner, argument, batch_size, 1)


def check_steps(owner: str, argument: str, steps: Any) -> int | None:
    """Return ``steps_per_epoch``, ``steps`` or ``validation_steps`` as an int of at least 1, or None."""
    return None if steps is None else check_int(owner, argument, steps, 1)


def check_epochs(epochs: Any, initial_epoch: Any = 0) -> tuple[int, int]:
    """Return ``(epochs, initial_epoch)``, with a warning when no epoch is left to run."""
    last = check_int("fit", "epochs", epochs, 1)
    first = check_int("fit", "initial_epoch", initial_epoch, 0)
    if first >= last:
        warn(
            f"fit: initial_epoch={first} with epochs={last} leaves nothing to train; epochs is the number "
            "of the last epoch, not how many to run.",
        )
    return last, first


def check_verbose(owner: str, verbose: Any) -> int:
    """Return ``verbose`` as 0, 1 or 2; ``"auto"`` is 1 and booleans count as 0 and 1."""
    if isinstance(verbose, (bool, np.bool_)):
        return int(verbose)
    return 1 if verbose == "auto" else check_int(owner, "verbose", verbose, 0, 2)


def check_shuffle(shuffle: Any) -> bool | str:
    """Return ``shuffle`` as True, False or "batch"."""
    if isinstance(shuffle, str):
        if shuffle == "batch":
            return shuffle
        raise KCompileError(f"fit: shuffle must be True, False or 'batch', got {shuffle!r}.")
    if isinstance(shuffle, (bool, np.bool_)) or shuffle in (0, 1):
        return bool(shuffle)
    raise DataTypeError(f"fit: shuffle must be True, False or 'batch', got {type(shuffle).__name__}.")


def check_validation_freq(validation_freq: Any) -> int | frozenset[int]:
    """Return ``validation_freq`` as an int of at least 1, or the set of epochs (from 1) to validate after."""
    if isinstance(validation_freq, Collection) and not isinstance(validation_freq, (str, bytes)):
        return frozenset(check_int("fit", "validation_freq", epoch, 1) for epoch in validation_freq)
    return check_int("fit", "validation_freq", validation_freq, 1)


def should_run_validation(validation_freq: Any, epoch: int) -> bool:
    """Whether to validate after ``epoch`` (counted from 0): every n-th epoch, or the epochs listed from 1."""
    if isinstance(validation_freq, int):
        return (epoch + 1) % validation_freq == 0
    return epoch + 1 in validation_freq


def warn_of_loss_and_activation(
    loss: str, activation: str | None, output: str, units: int | None, from_logits: bool = False
) -> None:
    """Warn about pairs of loss and last activation that train, but not what the user means.

    Called by compile with canonical names: sigmoid or nothing before categorical_crossentropy, softmax over
    one unit, softmax before binary_crossentropy, probabilities taken for logits.
    """
    activation = activation or "linear"
    advice = None
    categorical = loss in ("categorical_crossentropy", "sparse_categorical_crossentropy")
    if activation == "softmax" and units == 1:
        advice = "softmax over one unit is always 1: use activation='sigmoid' with loss='binary_crossentropy'"
    elif categorical and units == 1:
        advice = "one unit holds no classes to choose from: use loss='binary_crossentropy'"
    elif from_logits and activation in ("softmax", "sigmoid"):
        advice = (
            f"from_logits=True asks for logits, but {activation} makes probabilities: the loss takes what "
            f"{activation} is applied to, as in tf.keras; drop one of them"
        )
    elif not from_logits and categorical and activation == "sigmoid":
        advice = (
            "this loss expects probabilities that sum to 1: use softmax, or loss='binary_crossentropy' for "
            "labels that do not exclude each other"
        )
    elif not from_logits and (categorical or loss == "binary_crossentropy") and activation == "linear":
        wanted = "softmax" if categorical else "sigmoid"
        advice = f"this loss expects probabilities: end with activation={wanted!r}, or pass from_logits=True"
    elif loss == "binary_crossentropy" and activation == "softmax" and (units is None or units > 2):
        advice = "for classes that exclude each other use loss='categorical_crossentropy'"
    if advice:
        warn(f"Output {output!r}: loss {loss!r} after {activation!r}: {advice}.")
