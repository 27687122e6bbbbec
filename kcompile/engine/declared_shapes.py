"""Output shapes that users declare: ``compute_output_shape`` of their layers, and ``Lambda(output_shape=...)``.

Tracing finds most sizes. Where it does not, what the user says counts; where it does, the two must agree.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kcompile.common import loading
from kcompile.common.errors import warn
from kcompile.engine.layer_base import LayerBase
from kcompile.engine.replay import is_replayed
from kcompile.ir.ops.arrays import shaping
from kcompile.symbolic.tensor import Tensor

Shape = tuple[int | None, ...]


def with_declared_shapes(layer: LayerBase, input_shape: Any, outputs: list[Tensor]) -> list[Tensor]:
    """The outputs of a call, their unknown sizes as the layer declares them.

    A declaration that contradicts what was traced is not used, and told once.

    Args:
        layer: which was called, and declares shapes.
        input_shape: as its ``compute_output_shape`` takes it.
        outputs: what the call made.
    """
    try:
        declared = _shapes(layer.compute_output_shape(input_shape))
    except Exception as error:  # users' code, of which Keras 2.3 alone asks here
        _tell(layer, f"compute_output_shape({input_shape}) failed: {type(error).__name__}: {error}")
        return outputs
    traced = [tuple(y.shape) for y in outputs]
    if len(declared) != len(traced) or not all(map(_agree, declared, traced)):
        says, makes = (", ".join(map(str, shapes)) for shapes in (declared, traced))
        _tell(layer, f"its declared output shape is {says}, but it makes {makes}, which counts")
        return outputs
    return [_refined(y, shape) for y, shape in zip(outputs, declared, strict=True)]


def _tell(layer: LayerBase, what: str) -> None:
    if is_replayed() or loading.current() is not None or not layer.not_yet_told("shape"):
        return
    warn(f"layer {layer.name!r} ({type(layer).__name__}): {what}; correct compute_output_shape or output_shape")


def _shapes(declared: Any) -> list[Shape]:
    if isinstance(declared, Mapping):
        return [tuple(declared[key]) for key in sorted(declared)]
    if isinstance(declared, list | tuple) and declared and all(isinstance(item, (list, tuple)) for item in declared):
        return [tuple(item) for item in declared]
    return [tuple(declared)]


def _agree(declared: Sequence[Any], traced: Sequence[Any]) -> bool:
    return len(declared) == len(traced) and all(
        a is None or b is None or a == b for a, b in zip(declared, traced, strict=True)
    )


def _refined(y: Tensor, declared: Shape) -> Tensor:
    sizes = list(y.value.shape)
    for axis, size in enumerate(declared):
        if axis > 0 and size is not None and not isinstance(sizes[axis], int):
            sizes[axis] = int(size)
    if sizes == list(y.value.shape):
        return y
    refined = Tensor(shaping.reshape(y.value, sizes))
    refined.keras_mask = y.keras_mask
    return refined
