"""What a network is made of, and what other files ask it for."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

from kcompile.common.errors import warn
from kcompile.engine.forms import arranged
from kcompile.engine.layer import Layer
from kcompile.engine.layer_base import Node
from kcompile.symbolic.tensor import Tensor


class NetworkBase(Layer):
    """The state of a network; the base of the parts of :class:`~kcompile.engine.network.Network`.

    Attributes:
        inputs, outputs: the tensors between which the layers lie.
        input_names, output_names: as data and results are named.
    """

    counts_as_model = True
    number_of_first_call = 1
    _kind = "model"

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.supports_masking = True
        self._functional = False
        self._subclassed = False
        self._nodes: list[Node] = []
        self._graph_layers: list[Layer] = []
        self._main_nodes: list[Node] = []
        self._added: list[Tensor] = []
        self._layers_by_depth: dict[int, list[Layer]] = {}
        self.inputs: list[Tensor] = []
        self.outputs: list[Tensor] = []
        self.input_names: list[str] = []
        self.output_names: list[str] = []
        self._nested_output = False
        self._input_form: Any = None
        self._output_form: Any = None

    # -- its graph

    @property
    def has_layer_graph(self) -> bool:
        """Whether its inputs and outputs are known; those of a subclassed model are once it was called."""
        return self._functional

    @property
    def has_traced_graph(self) -> bool:
        """Whether its graph comes from the ``call`` of a subclass: its architecture is Python code."""
        return self._subclassed

    @property
    def nodes_of_layer_graph(self) -> list[Node]:
        """The calls of layers that it consists of, in the order in which they are made; none if it is traced."""
        return self._nodes

    @property
    def main_layer_nodes(self) -> list[Node]:
        """Those of :attr:`nodes_of_layer_graph` that the outputs need."""
        return self._main_nodes

    @property
    def added_ends(self) -> list[Tensor]:
        """The ends at which losses and metrics were added."""
        return self._added

    @property
    def source_calls(self) -> Sequence[Node]:
        """The calls in which what belongs to it was added: of its layers, or of itself, where a user's code did it."""
        return self.call_notes.inbound_nodes if self._subclassed else self._nodes

    @property
    def form_of_outputs(self) -> tuple[Any, bool]:
        """The dictionary or nested lists that the outputs come in, if they do; and whether there are several."""
        return self._output_form, self._nested_output

    def in_input_form(self, inputs: Sequence[Any], nested: bool = False) -> Any:
        """What stands for the inputs, in the form in which the model takes them: alone, a list, by name.

        Args:
            inputs: one for each.
            nested: whether one alone is in a list too.
        """
        return arranged(self._input_form, inputs, nested)

    def in_output_form(self, outputs: Sequence[Any], nested: bool | None = None) -> Any:
        """What stands for the outputs, in the form in which the model gives them: alone, a list, by name.

        Args:
            outputs: one for each.
            nested: whether one alone is in a list too; default: if the model gives it so.
        """
        return arranged(self._output_form, outputs, self._nested_output if nested is None else nested)

    @property
    @abstractmethod
    def layers(self) -> list[Layer]:
        """All layers: those of the graph in order of depth, then those that are kept as attributes only."""

    @abstractmethod
    def set_ends(self, inputs: Any, outputs: Any) -> None:
        """From now on the model is what lies between these tensors."""

    @abstractmethod
    def append_ends(self, added: Sequence[Tensor]) -> None:
        """Make the way to tensors at which losses and metrics were added a part of the graph."""

    def warn_of_plain_losses(self, verb: str) -> None:
        """Losses of weights alone, and functions that give them, are no layers."""
        if self.call_notes.losses and not self._subclassed:
            warn(
                f"model {self.name!r}: the losses that add_loss got as functions, or that depend on weights alone, are "
                f"not {verb}; add them again"
            )
