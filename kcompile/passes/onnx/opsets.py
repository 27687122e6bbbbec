"""How nodes are written in older opsets: lowerings speak opset 21, and this file knows what was different before."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from kcompile.ir.core import Array
from kcompile.ir.errors import IRError

if TYPE_CHECKING:
    import onnx

OPSETS = range(17, 27)
"""Those that models are written in, and that stock ONNX Runtime reads."""

SPOKEN = 21
"""The opset in which lowerings are written. Their nodes mean the same in the later ones of :data:`OPSETS`."""

IR_VERSIONS = {17: 8, 18: 8, 19: 9, 20: 9, 21: 10, 22: 10, 23: 11, 24: 12, 25: 13, 26: 13}
"""The version of the file format with which each opset was published."""

NATIVE = {"cpu": SPOKEN, "cuda": 18}
"""What graphs that run here are written in. A CUDA kernel of ONNX Runtime is found only if it was registered for the
newest form of its operator in the model's opset. Releases lacked those of Pad from opset 19 on (issue 26393), of Shape,
Reshape, Transpose (26065) and Identity, If, Scan (27728) from 21 on: such nodes run on the CPU, and tensors travel."""


def spelled(
    op_type: str,
    inputs: tuple[str, ...],
    attributes: Mapping[str, Any],
    opset: int,
    array_of: Callable[[str], Array | None],
) -> tuple[tuple[str, ...], dict[str, Any]]:
    """Inputs and attributes of a standard operator in ``opset``, from those in opset 21.

    Args:
        op_type: the operator.
        inputs: names of tensors.
        attributes: by name; ``None`` stands for one that is left out.
        opset: one of :data:`OPSETS`.
        array_of: the array of a constant tensor.

    Raises:
        IRError: the opset has no such operator, or not with these attributes; the message has the least that has.
    """
    kept = {name: item for name, item in attributes.items() if item is not None}
    if opset >= SPOKEN:
        return inputs, kept
    if opset < 18 and op_type.startswith("Reduce") and op_type != "ReduceSum" and len(inputs) > 1:
        axes = array_of(inputs[1])
        if axes is None:
            raise _too_old(op_type, "with axes that are computed", 18, opset)
        inputs, kept = inputs[:1], {**kept, "axes": [int(axis) for axis in axes]}
    if opset < 18 and op_type == "Split":
        kept.pop("num_outputs", None)  # implied by the number of outputs
    for candidate in range(opset, SPOKEN + 1):
        if _has(candidate, op_type, inputs, kept):
            if candidate == opset:
                return inputs, kept
            raise _too_old(op_type, "in this form" if _schema(op_type, opset) else "", candidate, opset)
    raise IRError(f"no opset up to {SPOKEN} has {op_type} with {len(inputs)} inputs and attributes {sorted(kept)}")


def _has(opset: int, op_type: str, inputs: tuple[str, ...], attributes: Mapping[str, Any]) -> bool:
    """Whether the opset has the operator with so many inputs and these attributes."""
    schema = _schema(op_type, opset)
    return schema is not None and len(inputs) <= schema.max_input and set(attributes) <= set(schema.attributes)


def _schema(op_type: str, opset: int) -> onnx.defs.OpSchema | None:
    """The operator in that opset, if it is there."""
    import onnx

    try:
        return onnx.defs.get_schema(op_type, opset, "")
    except onnx.defs.SchemaError:
        return None


def _too_old(op_type: str, form: str, least: int, opset: int) -> IRError:
    what = f"{op_type} {form}".rstrip()
    return IRError(f"ONNX has {what} since opset {least}, and the target is opset {opset}; use opset {least} or later")
