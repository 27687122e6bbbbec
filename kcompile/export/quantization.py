"""Exported models in int8, by ``onnxruntime.quantization``, and what that costs in accuracy.

Jacob et al., "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference" (2018).
"""

from __future__ import annotations

import contextlib
import logging
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from kcompile import losses, metrics
from kcompile.common.errors import DataError, KCompileError
from kcompile.common.html import PrintedHtml
from kcompile.data.standardize import is_batch_source, standardize
from kcompile.engine.network import Network
from kcompile.export.samples import random_feeds
from kcompile.ir.core import Array
from kcompile.passes.onnx.emit import Emitted
from kcompile.runtime.session import Session

if TYPE_CHECKING:
    import onnx

SAMPLES = 1024
"""So many samples of the data are looked at."""

RANDOM_SAMPLES = 64
"""So many random ones, where there are no data."""

BATCH = 32

STANDARD = ["Conv", "MatMul", "Gather", "Transpose"]
"""What becomes standard operators when activations have no scales; the quantized LSTM is one of ONNX Runtime's own."""


@dataclass(frozen=True)
class Difference:
    """How far an output in int8 is from that in float32: elements, in absolute numbers."""

    largest: float
    mean: float
    magnitude: float
    """The largest absolute element in float32."""


@dataclass(frozen=True)
class Int8Report(PrintedHtml):
    """What an int8 model lost, on the samples that it was quantized with.

    Attributes:
        samples: how many; random ones if there were no data.
        calibrated: whether activations have scales from data (otherwise only weights are stored in int8, and
            activations are quantized as the model runs).
        differences: for each output.
        metrics: with labels, for each metric its value in float32 and in int8.
    """

    samples: int
    calibrated: bool
    differences: dict[str, Difference]
    metrics: dict[str, tuple[float, float]] = field(default_factory=dict)

    def __str__(self) -> str:
        kind = "static" if self.calibrated else "dynamic"
        lines = [f"int8 ({kind}), against float32 on {self.samples} {'' if self.calibrated else 'random '}samples:"]
        for name, found in self.differences.items():
            lines.append(
                f"  output {name!r}: differs by at most {found.largest:.3g}, {found.mean:.3g} on average "
                f"(numbers up to {found.magnitude:.3g})"
            )
        lines += [f"  {name}: {before:.4f} -> {after:.4f}" for name, (before, after) in self.metrics.items()]
        return "\n".join(lines)


def quantized(
    model: Network, emitted: Emitted, data: Any, per_channel: bool, fixed: Mapping[str, int]
) -> tuple[onnx.ModelProto, Int8Report]:
    """The exported model in int8, and what it lost.

    Args:
        model: whose inputs, and metrics if it is compiled, are used.
        emitted: its inference graph in float32.
        data: as ``int8`` of :func:`~kcompile.export.inference.export_model`; ``None``: weights only.
        per_channel: a scale for each channel of a weight.
        fixed: sizes that the exported model has for good, by the model's names for them.

    Raises:
        ValueError: the data do not fit the model, or are none; the model is too large; nothing can be quantized.
    """
    if emitted.weights:
        raise KCompileError("export: a model above 1.5 GB cannot be quantized to int8; use fp16")
    batches = list(_batches(model, data, fixed.get("batch"))) if data is not None else _random_batches(model, fixed)
    fresh = {name: np.zeros(v.type.static_shape, v.type.dtype) for v, name in emitted.state_inputs.items()}
    feeds = [{**dict(zip(emitted.inputs, x, strict=True)), **fresh} for x, _ in batches]
    small = _quantize(emitted.model, None if data is None else feeds, per_channel)
    before, after = (Session(proto, "cpu") for proto in (emitted.model, small))
    pairs = [(before.run(feed, emitted.outputs), after.run(feed, emitted.outputs)) for feed in feeds]
    wide, narrow = ([np.concatenate(parts) for parts in zip(*side, strict=True)] for side in zip(*pairs, strict=True))
    differences = {
        name: _difference(a, b) for name, a, b in zip(emitted.outputs, wide, narrow, strict=True) if a.dtype.kind == "f"
    }
    labels = [y for _, y in batches]
    metrics: dict[str, tuple[float, float]] = {}
    if labels[0]:
        targets = [np.concatenate(parts) for parts in zip(*labels, strict=True)]
        first, second = _metrics(model, targets, wide), _metrics(model, targets, narrow)
        metrics = {name: (first[name], second[name]) for name in first}
    samples = sum(len(x[0]) for x, _ in batches)
    return small, Int8Report(samples, data is not None, differences, metrics)


def _quantize(proto: onnx.ModelProto, feeds: Sequence[dict[str, Array]] | None, per_channel: bool) -> onnx.ModelProto:
    import onnx
    from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_dynamic, quantize_static

    class Reader(CalibrationDataReader):  # type: ignore[misc]  # no types in ONNX Runtime's wheels
        """Hands out the batches."""

        def __init__(self, batches: Sequence[dict[str, Array]]) -> None:
            self.rest = iter(batches)

        def get_next(self) -> dict[str, Array] | None:
            return next(self.rest, None)

    with tempfile.TemporaryDirectory() as folder, _quiet():
        result = str(Path(folder, "int8.onnx"))
        source = onnx.shape_inference.infer_shapes(proto)
        # Weights of 7 bits: processors without VNNI add pairs of products in 16 bits, where 8 times 8 bits overflow
        # and are cut without a word; which processor will run the file is not known here.
        options = {"per_channel": per_channel, "reduce_range": True}
        try:
            if feeds is None:
                quantize_dynamic(source, result, STANDARD, weight_type=QuantType.QInt8, **options)
            else:
                quantize_static(source, result, Reader(feeds), **options)
        except Exception as error:  # ONNX Runtime raises several unrelated types
            raise KCompileError(f"ONNX Runtime cannot quantize the model: {error}") from error
        small = onnx.load(result)
    if not any(node.op_type.endswith(("QuantizeLinear", "Integer")) for node in small.graph.node):
        raise KCompileError("export: there is nothing to quantize in this model; export without int8")
    small.producer_name = proto.producer_name
    return small


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Inside, advice of the quantizer about preparing models is not logged: the model is optimized already."""
    logger = logging.getLogger()
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def _difference(a: Array, b: Array) -> Difference:
    apart = np.abs(a.astype(np.float64) - b.astype(np.float64))
    if not a.size:
        return Difference(0.0, 0.0, 0.0)
    return Difference(float(apart.max()), float(apart.mean()), float(np.abs(a).max()))


def _batches(model: Network, data: Any, size: int | None) -> Iterator[tuple[list[Array], list[Array]]]:
    """Checked batches of inputs and labels (none if there are none), :data:`SAMPLES` samples at most.

    With a fixed ``size``, samples that do not make a whole batch are left.
    """
    inputs = model.fit_trainer.feeds
    count = 0
    for x, y in _parts(data):
        found = standardize(x, None, inputs=inputs, prefix="int8: ", whole_data=False)
        labels = _labels(y)
        for label in labels:
            if len(label) != found.samples:
                raise DataError(f"int8: x has {found.samples} samples, y has {len(label)}")
        stop = min(found.samples, max(SAMPLES, size or 0) - count)
        for start in range(0, stop - stop % size if size else stop, size or BATCH):
            part = found.rows(start, min(start + (size or BATCH), stop))
            arrays = [np.ascontiguousarray(a[:], dtype) for a, dtype in zip(part.x, found.input_dtypes, strict=True)]
            yield arrays, [label[start : start + len(arrays[0])] for label in labels]
            count += part.samples
        if count >= SAMPLES - (size or 1) + 1:
            return
    if not count:
        few = f"fewer samples than the batch size {size}" if size else "no data to calibrate with"
        raise DataError(f"int8: there are {few}")


def _parts(data: Any) -> Iterator[tuple[Any, Any]]:
    """Inputs and labels: of all data, or of each batch of a generator or Sequence."""
    if is_batch_source(data):
        batches = (data[i] for i in range(len(data))) if hasattr(data, "__getitem__") else data
    else:
        batches = iter([data])
    for batch in batches:
        if not isinstance(batch, tuple):
            yield batch, None
        elif 1 <= len(batch) <= 3:
            yield batch[0], batch[1] if len(batch) > 1 else None
        else:
            raise DataError(f"int8: expected x or (x, y), got a tuple of {len(batch)}")


def _labels(y: Any) -> list[Array]:
    if y is None:
        return []
    if isinstance(y, dict):
        raise DataError("int8: give labels as an array, or as a list with one array for each output")
    return [np.asarray(part) for part in (y if isinstance(y, (list, tuple)) else [y])]


def _random_batches(model: Network, fixed: Mapping[str, int]) -> list[tuple[list[Array], list[Array]]]:
    size = fixed.get("batch", RANDOM_SAMPLES)
    batches = [random_feeds(model, size, fixed, seed) for seed in range(-(-RANDOM_SAMPLES // size))]
    return [(list(feeds.values()), []) for feeds in batches]


def _metrics(model: Network, labels: Sequence[Array], outputs: Sequence[Array]) -> dict[str, float]:
    """The metrics that the model is compiled with, or its accuracies."""
    if len(labels) != len(outputs):
        raise DataError(f"int8: there are labels for {len(labels)} outputs, the model has {len(outputs)}")
    plans = model.fit_trainer.outputs
    kinds = {plan.index: losses.target_kind(plan.loss) for plan in plans}
    chosen = [(plan.index, metric) for plan in plans for metric in (*plan.metrics, *plan.weighted_metrics)]
    if not chosen:
        losses_of = {plan.index: plan.loss for plan in plans}
        chosen = [
            (i, metrics.resolve("accuracy", tuple(x.shape), losses_of.get(i))) for i, x in enumerate(model.outputs)
        ]
    found = {}
    for index, metric in chosen:
        name = f"{model.output_names[index]}_{metric.name}" if len(outputs) > 1 else metric.name
        fitting = _fitting(labels[index], outputs[index], kinds.get(index, "categorical"))
        found[name] = _value(metric, fitting, outputs[index])
    return found


def _fitting(labels: Array, output: Array, kind: str) -> Array:
    """Class numbers as the rows of probabilities that a metric compares with, and the other way round."""
    classes = output.shape[-1] if output.ndim > 1 else 1
    flat = labels[..., 0] if labels.ndim == output.ndim and labels.shape[-1] == 1 else labels
    numbers = classes > 1 and flat.shape == output.shape[:-1]
    if kind == "sparse":
        return flat[..., None] if numbers else labels.argmax(-1)[..., None]
    if not numbers:
        return labels[..., None] if labels.ndim == output.ndim - 1 else labels
    if flat.size and not (flat.min() >= 0 and flat.max() < classes):
        raise DataError(f"int8: labels are {flat.min()} to {flat.max()}, the output has {classes} classes")
    return np.eye(classes, dtype=np.float32)[flat.astype(np.int64)]


def _value(metric: Any, labels: Array, output: Array) -> float:
    """The metric of these arrays; its state in a running training is kept."""
    state = [weight.numpy() for weight in metric.weights]
    try:
        metric.reset_states()
        metric.update_state(labels.astype(np.float32), output)
        return float(metric.value())
    finally:
        for weight, array in zip(metric.weights, state, strict=True):
            weight.assign(array)
