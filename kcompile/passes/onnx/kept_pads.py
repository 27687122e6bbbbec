"""Keeps ONNX Runtime from joining a Pad of zeros with the pooling behind it, which changes what is computed.

Its rule ``Pad_Fusion`` adds the zeros to the pads of the pooling, whose elements never count: a maximum of negative
numbers stays negative at the border, a mean is taken of fewer elements, and where zeros fill a whole window the model
is refused. Seen in 1.18 to 1.24 with opset 17 to 19, in 1.25 to 1.31 with every opset; 1.32 is right. The rule leaves
alone poolings that have ``auto_pad``, which costs nothing. Where a pooling has pads of its own, a node that copies
goes between.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import onnx

POOLS = ("MaxPool", "AveragePool")

PASSED_THROUGH = ("Cast", "Identity", "Reshape", "Squeeze", "Transpose", "Unsqueeze")
"""What ONNX Runtime looks through, takes away, or moves to the other side of a Pad."""


def keep_pads(nodes: list[onnx.NodeProto], unique: Callable[[str], str]) -> list[onnx.NodeProto]:
    """The nodes of a graph; those that pool what a Pad leads to are kept apart from it.

    Args:
        nodes: in order; poolings among them are changed.
        unique: a name that is not taken yet, made from the given one.
    """
    import onnx

    producers = {name: node for node in nodes for name in node.output}
    found = []
    for node in nodes:
        if node.op_type in POOLS and not node.domain and _comes_from_pad(node, producers):
            pads = next((item for item in node.attribute if item.name == "pads"), None)
            if pads is not None and any(pads.ints):
                # The maximum of one operand: exact for all numbers, has kernels everywhere, and no rule takes it away.
                name = unique(f"{node.input[0]}/kept")
                found.append(onnx.NodeProto(op_type="Max", name=name, input=node.input[:1], output=[name]))
                node.input[0] = name
            else:
                if pads is not None:
                    node.attribute.remove(pads)
                node.attribute.append(onnx.helper.make_attribute("auto_pad", "VALID"))
        found.append(node)
    return found


def _comes_from_pad(node: onnx.NodeProto, producers: dict[str, onnx.NodeProto]) -> bool:
    source = producers.get(node.input[0])
    while source is not None and source.op_type in PASSED_THROUGH:
        source = producers.get(source.input[0])
    return source is not None and source.op_type == "Pad"
