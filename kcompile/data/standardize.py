"""From what a user passes to fit, evaluate, predict and *_on_batch, to checked arrays in feeding order.

``standardize`` turns x, y, sample_weight and class_weight into ``ModelData``; ``training_data`` resolves fit's
validation_split and validation_data. The checks themselves live in data_checks (shapes, labels, arguments),
data_adapters (dtypes and layouts) and data_weights; batches come from array_feeder and sequence_workers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from kcompile.common.errors import DataError, ShapeError
from kcompile.data.adapters import Array, FeedSpec, LazyRows, order_by_name, rank_of, to_array
from kcompile.data.checks import (
    TargetSpec,
    check_indices,
    check_input,
    check_sample_counts,
    check_target,
    split_point,
)
from kcompile.data.feeder import ArrayFeeder
from kcompile.data.free_data import FreeSpecs
from kcompile.data.model_data import ModelData
from kcompile.data.origins import Source
from kcompile.data.unpacking import unpack_x_y_sample_weight
from kcompile.data.wanted_targets import wanted
from kcompile.data.weights import check_sample_weight, class_weights_of, order_weights
from kcompile.data.workers import BatchSource, is_batch_source

__all__ = [
    "ArrayFeeder",
    "BatchSource",
    "FeedSpec",
    "ModelData",
    "TargetSpec",
    "is_batch_source",
    "refuse_array_arguments",
    "standardize",
    "standardized_batches",
    "steps_and_batch_size",
    "training_data",
    "validation_arrays",
]


def standardize(
    x: Any,
    y: Any = None,
    sample_weight: Any = None,
    class_weight: Any = None,
    *,
    inputs: Sequence[FeedSpec],
    targets: Sequence[TargetSpec] = (),
    prefix: str = "",
    allow_empty: bool = False,
    whole_data: bool = True,
    floatx: str = "float32",
) -> ModelData:
    """Check and convert everything that one call of fit, evaluate, predict or *_on_batch feeds.

    Nothing is changed in place; arrays that fit already are fed as they are, without a copy.

    Args:
        x: data for the inputs: an array, a list (by position) or a dict (by input name).
        y: data for the outputs, same forms; ignored when ``targets`` is empty.
        sample_weight: weights per sample (or time step): an array, a list or a dict by output name.
        class_weight: dict {class: weight}, or a list or dict of these per output; multiplies sample_weight.
        inputs: one ``FeedSpec`` per model input.
        targets: one ``TargetSpec`` per output that has a loss; empty for predict.
        prefix: put before the argument names in messages ("validation_data: ").
        allow_empty: accept zero samples (predict).
        whole_data: False for a single batch of a generator: classes that do not occur in it are no news.
        floatx: dtype of the weights.

    Raises:
        ShapeError, DataError, DataTypeError: all subclasses of ValueError; the message names argument and
            values.
    """
    if isinstance(inputs, FreeSpecs):
        return inputs.standardize(x, y, sample_weight, class_weight, prefix, allow_empty, whole_data, floatx)
    named_x = order_by_name(x, [spec.name for spec in inputs], f"{prefix}x", "input", [s.shape for s in inputs])
    x_paths = [path for path, _ in named_x]
    xs = [_input(value, path, spec) for (path, value), spec in zip(named_x, inputs, strict=True)]
    dtypes = tuple(spec.dtype for spec in inputs)
    if not targets:
        samples = check_sample_counts(list(zip(x_paths, xs, strict=True)), allow_empty=allow_empty)
        return ModelData(xs, [], [], samples, dtypes, sources=_sources(named_x))

    names = [spec.name for spec in targets]
    y, sample_weight, class_weight = (
        wanted(given, names, targets[0].outputs) for given in (y, sample_weight, class_weight)
    )
    named_y = order_by_name(y, names, f"{prefix}y", "output", [spec.shape for spec in targets])
    raw = [_target_array(value, path, spec) for (path, value), spec in zip(named_y, targets, strict=True)]
    named_weights = order_weights(sample_weight, names, f"{prefix}sample_weight")
    weights = [
        None
        if value is None
        else check_sample_weight(value, path, tuple(labels.shape), spec.sample_weight_mode, floatx)
        for (path, value), labels, spec in zip(named_weights, raw, targets, strict=True)
    ]
    y_paths = [path for path, _ in named_y]
    samples = check_sample_counts(
        list(zip(x_paths, xs, strict=True)),
        list(zip(y_paths, raw, strict=True)),
        [(path, array) for (path, _), array in zip(named_weights, weights, strict=True)],
        allow_empty=allow_empty,
    )
    ys: list[Array] = []
    for labels, path, spec in zip(raw, y_paths, targets, strict=True):
        checked = check_target(labels, path, spec)
        ys.append(to_array(checked, path, spec.dtype) if isinstance(checked, np.ndarray) else checked)
    named_classes = order_weights(class_weight, names, f"{prefix}class_weight")
    for i, ((path, table), labels, spec) in enumerate(zip(named_classes, ys, targets, strict=True)):
        if table is not None:
            factor = _class_factor(labels, table, path, spec, whole_data, floatx)
            previous = weights[i]
            weights[i] = factor if previous is None else previous * factor
    return ModelData(
        xs,
        ys,
        weights,
        samples,
        dtypes,
        tuple(spec.dtype for spec in targets),
        # Weights are finite: they are checked, whatever their path.
        sources=(*_sources(named_x), *_sources(named_y), *(("sample_weight", 1) for w in weights if w is not None)),
    )


def training_data(
    x: Any,
    y: Any,
    sample_weight: Any = None,
    class_weight: Any = None,
    *,
    validation_split: float = 0.0,
    validation_data: Any = None,
    inputs: Sequence[FeedSpec],
    targets: Sequence[TargetSpec],
    floatx: str = "float32",
) -> tuple[ModelData, ModelData | None]:
    """Data for fit on arrays: ``(training, validation or None)``.

    ``validation_data`` (a tuple of 2 or 3) wins over ``validation_split``, as in Keras; the split takes the last
    samples, before any shuffling. Class weights do not apply to validation data given explicitly. A generator
    as ``validation_data`` is not handled here: see ``BatchSource``.

    Raises:
        DataError: a tuple of another length, a split that leaves a part empty; everything ``standardize``
            raises.
    """
    fraction_given = not (isinstance(validation_split, (int, float)) and validation_split == 0)
    data = standardize(x, y, sample_weight, class_weight, inputs=inputs, targets=targets, floatx=floatx)
    explicit = None if validation_data is None or is_batch_source(validation_data) else validation_data
    point = split_point(data.samples, validation_split) if fraction_given else data.samples
    if explicit is not None:
        return data, validation_arrays(explicit, inputs=inputs, targets=targets, floatx=floatx)
    if validation_data is None and point < data.samples:
        return data.rows(0, point), data.rows(point, data.samples)
    return data, None


def validation_arrays(
    validation_data: Any,
    *,
    inputs: Sequence[FeedSpec],
    targets: Sequence[TargetSpec],
    floatx: str = "float32",
) -> ModelData:
    """``validation_data=(x, y)`` or ``(x, y, sample_weight)`` as ``ModelData``.

    Raises:
        DataError: not a tuple or list of 2 or 3 entries; everything ``standardize`` raises.
    """
    if isinstance(inputs, FreeSpecs):
        validation_data = (*unpack_x_y_sample_weight(validation_data),)
    if not isinstance(validation_data, (tuple, list)) or len(validation_data) not in (2, 3):
        got = f"{type(validation_data).__name__}"
        if isinstance(validation_data, (tuple, list)):
            got += f" of {len(validation_data)}"
        raise DataError(
            f"fit: validation_data must be (x, y), (x, y, sample_weight), a generator or a Sequence, got a {got}."
        )
    x, y, *weights = validation_data
    return standardize(
        x,
        y,
        weights[0] if weights else None,
        inputs=inputs,
        targets=targets,
        prefix="validation_data: ",
        floatx=floatx,
    )


def standardized_batches(
    source: BatchSource,
    steps: int | None,
    *,
    inputs: Sequence[FeedSpec],
    targets: Sequence[TargetSpec] = (),
    class_weight: Any = None,
    floatx: str = "float32",
    afresh: bool = False,
) -> Iterator[ModelData]:
    """Yield one epoch of a generator or Sequence, each batch checked like arrays given to train_on_batch.

    Errors carry a note with the batch's number; sizes may differ between batches, shapes must keep fitting
    the model.
    """
    for x, y, sample_weight in source.epoch(steps, afresh):
        try:
            data = standardize(
                x,
                y,
                sample_weight,
                class_weight,
                inputs=inputs,
                targets=targets,
                whole_data=False,
                floatx=floatx,
            )
        except Exception as error:
            error.add_note(source.position())
            raise
        yield data


def steps_and_batch_size(samples: int, batch_size: int | None, steps: int | None, default: int = 32) -> tuple[int, int]:
    """``(steps, batch_size)`` of one epoch over arrays.

    Without ``steps``: all samples in batches of ``batch_size`` (default 32). With ``steps`` and no ``batch_size``:
    the data are divided into that many batches (TensorFlow's Keras; Keras 2.3 fed all samples in every step).
    With both: that many batches of that size, whatever there are.
    """
    if steps is None:
        size = batch_size or default
        return -(-samples // size), size
    return steps, batch_size or max(1, -(-samples // steps))


def refuse_array_arguments(
    owner: str,
    *,
    y: Any = None,
    sample_weight: Any = None,
    batch_size: Any = None,
    validation_split: Any = 0.0,
) -> None:
    """Raise for arguments that make no sense beside a generator or Sequence as ``x``."""
    given = {
        "y": y is not None,
        "sample_weight": sample_weight is not None,
        "batch_size": batch_size is not None,
    }
    for name, present in given.items():
        if present:
            why = "the generator decides it" if name == "batch_size" else "the generator yields it beside x"
            raise DataError(f"{owner}: {name} cannot be given when x is a generator or Sequence; {why}.")
    if validation_split:
        raise DataError(
            f"{owner}: validation_split needs arrays, but x is a generator or Sequence; pass validation_data."
        )


def _sources(named: Sequence[tuple[str, Any]]) -> tuple[Source, ...]:
    return tuple((path, rank_of(value)) for path, value in named)


def _input(value: Any, path: str, spec: FeedSpec) -> Array:
    wanted = spec.dtype
    raw = (
        to_array(value, path, wanted, defer_cast=True) if spec.index_limit is None else _index_array(value, path, spec)
    )
    return check_input(raw, path, spec.name, spec.shape)


def _index_array(value: Any, path: str, spec: FeedSpec) -> Array:
    """Indices, checked before float32 rounds the large ones or int32 cuts fractions."""
    assert spec.index_limit is not None
    source = value if isinstance(value, np.ndarray) else to_array(value, path, _own_dtype(value))
    owner = spec.index_owner or spec.name
    if isinstance(source, LazyRows):
        for start in range(0, len(source), 65536):
            check_indices(source[start : start + 65536], spec.index_limit, owner, path, start)
        return source
    if source.dtype.kind in "iuf":
        check_indices(source, spec.index_limit, owner, path)
    return to_array(source, path, spec.dtype, defer_cast=True)


def _own_dtype(value: Any) -> str:
    """A dtype that holds ``value`` without loss, for checks before the conversion."""
    dtype = getattr(value, "dtype", None)
    if isinstance(dtype, np.dtype) and dtype.kind in "iub":
        return "int64"
    return "float64"


def _target_array(value: Any, path: str, spec: TargetSpec) -> Array:
    """Labels before the final conversion: class indices in a dtype that shows what is wrong with them."""
    if value is None:
        raise DataError(f"{path} is missing: output {spec.name!r} has a loss or metrics.")
    if spec.kind == "sparse":
        own = getattr(value, "dtype", None)
        exact = own.name if isinstance(own, np.dtype) and own.kind in "iu" else "float64"
        labels = to_array(value, path, exact)
        # Labels on disk are read now: they have to be checked before the first step, and are small beside x.
        return labels[:] if isinstance(labels, LazyRows) else labels
    return to_array(value, path, spec.dtype)


def _class_factor(labels: Array, table: Any, path: str, spec: TargetSpec, whole_data: bool, floatx: str) -> np.ndarray:
    if isinstance(labels, LazyRows):
        labels = labels[:]
    if spec.sample_weight_mode == "temporal":
        raise ShapeError(
            f"{path}: class weights and sample_weight_mode='temporal' cannot be combined; put the class "
            "weights into sample_weight."
        )
    return class_weights_of(labels, table, path, spec, whole_data=whole_data, dtype=floatx)
