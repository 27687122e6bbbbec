"""Where a layer stands in the graph of layers: its calls, their inputs and outputs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from kcompile.common.errors import AbsentError, KCompileError
from kcompile.common.lists import one_or_list
from kcompile.engine.layer_base import LayerBase, Node


class LayerPosition(LayerBase):
    """Nodes, and the tensors and shapes at them; a part of :class:`~kcompile.engine.layer.Layer`."""

    @property
    def inbound_nodes(self) -> list[Node]:
        return list(self.call_notes.inbound_nodes)

    @property
    def outbound_nodes(self) -> list[Node]:
        return list(self.call_notes.outbound_nodes)

    # What Keras calls them; scripts assign these.

    @property
    def _inbound_nodes(self) -> list[Node]:
        return self.inbound_nodes

    @_inbound_nodes.setter
    def _inbound_nodes(self, nodes: Sequence[Node]) -> None:
        self.call_notes = self.call_notes.but(inbound_nodes=tuple(nodes))

    @property
    def _outbound_nodes(self) -> list[Node]:
        return self.outbound_nodes

    @_outbound_nodes.setter
    def _outbound_nodes(self, nodes: Sequence[Node]) -> None:
        self.call_notes = self.call_notes.but(outbound_nodes=tuple(nodes))

    def written_call(self, node: Node, place: Callable[[Any], Any]) -> list[Any]:
        """A call as a configuration holds it: ``[layer, call, output, arguments]`` for each tensor that went in.

        Args:
            node: the call. place: writes a tensor as ``[layer, call, output]``, and other arguments.
        """
        arguments = {key: place(value) for key, value in node.arguments.items()}
        return [[*place(x), arguments] for x in node.input_tensors]

    def _node(self, index: int, what: str) -> Node:
        nodes = self.call_notes.inbound_nodes
        if not nodes:
            raise AbsentError(f"layer {self.name!r} was never called, so it has no {what}")
        if index >= len(nodes):
            raise KCompileError(f"layer {self.name!r} was called {len(nodes)} times; there is no {what} at {index}")
        return nodes[index]

    def _only(self, what: str, at: str) -> Node:
        node = self._node(0, what)
        if (count := len(self.call_notes.inbound_nodes)) > 1:
            raise AbsentError(
                f"layer {self.name!r} was called {count} times, so its {what} is ambiguous; use {at}(node_index)"
            )
        return node

    def get_input_at(self, node_index: int) -> Any:
        return one_or_list(self._node(node_index, "input").input_tensors)

    def get_output_at(self, node_index: int) -> Any:
        return one_or_list(self._node(node_index, "output").output_tensors)

    def get_input_mask_at(self, node_index: int) -> Any:
        return one_or_list(self._node(node_index, "input mask").input_masks)

    def get_output_mask_at(self, node_index: int) -> Any:
        return one_or_list(self._node(node_index, "output mask").output_masks)

    def get_input_shape_at(self, node_index: int) -> Any:
        return one_or_list(self._node(node_index, "input shape").input_shapes)

    def get_output_shape_at(self, node_index: int) -> Any:
        return one_or_list(self._node(node_index, "output shape").output_shapes)

    @property
    def input(self) -> Any:
        return one_or_list(self._only("input", "get_input_at").input_tensors)

    @property
    def output(self) -> Any:
        return one_or_list(self._only("output", "get_output_at").output_tensors)

    @property
    def input_mask(self) -> Any:
        return one_or_list(self._only("input mask", "get_input_mask_at").input_masks)

    @property
    def output_mask(self) -> Any:
        return one_or_list(self._only("output mask", "get_output_mask_at").output_masks)

    @property
    def input_shape(self) -> Any:
        return self._shared_shape("input_shapes", "input shape", "get_input_shape_at")

    @property
    def output_shape(self) -> Any:
        return self._shared_shape("output_shapes", "output shape", "get_output_shape_at")

    def _shared_shape(self, attribute: str, what: str, at: str) -> Any:
        self._node(0, what)
        shapes = {str(getattr(n, attribute)): getattr(n, attribute) for n in self.call_notes.inbound_nodes}
        if len(shapes) > 1:
            raise AbsentError(f"layer {self.name!r} has several {what}s, {list(shapes)}; use {at}(node_index)")
        return one_or_list(next(iter(shapes.values())))
