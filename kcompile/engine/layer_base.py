"""The graph of layers: what is known of a layer before it can be called, its calls, and what these leave in it."""

from __future__ import annotations

import contextlib
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from kcompile.engine.added_metrics import Noted
from kcompile.engine.forms import arranged
from kcompile.engine.tracking import Tracked
from kcompile.objects.dialects.conventions import Convention
from kcompile.symbolic.tensor import Tensor
from kcompile.symbolic.variable import Variable


class LayerBase(Tracked):
    """What layers and models have before they can be called; the base of the parts of a layer.

    Attributes:
        name, dtype, trainable, stateful, supports_masking: see :class:`~kcompile.engine.layer.Layer`.
        built: whether it has its weights.
        counts_as_model: whether it is a model: files describe the layers in it by entries of their own.
        number_of_first_call: the number of the first call that was made of it: a model is its own node 0.
    """

    counts_as_model = False
    number_of_first_call = 0
    _kind = "layer"
    """What messages call it."""

    def name_of_part_in_files(self, attribute: str, in_keras_3: bool) -> str:
        """Where ``.keras`` files have the layer that is kept as this attribute."""
        return attribute

    name: str
    dtype: str
    trainable: bool
    built: bool
    stateful: bool
    supports_masking: bool
    updates_first: ClassVar[bool] = False
    """Whether its updates take place before a step computes, not at its end."""
    _call_notes: Notes
    _trainable_weights: list[Variable]
    _non_trainable_weights: list[Variable]
    _regularized: list[tuple[Variable, Any]]
    keras_convention: Convention | None
    _told_already: list[str]

    @property
    def call_notes(self) -> Notes:
        """What its calls left. To note something more, a new object is assigned."""
        return self._call_notes

    @call_notes.setter
    def call_notes(self, notes: Notes) -> None:
        if scopes := _scopes_of_notes.get():
            scopes[-1].setdefault(self, self._call_notes)
        vars(self)["_call_notes"] = notes

    def weights_of_its_own(self, trainable: bool) -> list[Variable]:
        """The weights that it keeps itself: those that train, if nothing is frozen, or the others."""
        return self._trainable_weights if trainable else self._non_trainable_weights

    def archived_weights(self) -> list[Variable]:
        """The weights that ``.keras`` archives keep under the name of this layer, in order."""
        return [*self.weights_of_its_own(True), *self.weights_of_its_own(False)]

    @property
    def penalties_of_weights(self) -> list[tuple[Variable, Any]]:
        """Weights that have a regularizer, with it."""
        return self._regularized

    @property
    def has_layer_graph(self) -> bool:
        """Whether it is a model whose inputs and outputs are known: a subclassed one was called."""
        return False

    @property
    def layers_as_added(self) -> Sequence[Any] | None:
        """The layers of a Sequential model in the order in which they were added; ``None`` for anything else."""
        return None

    @abstractmethod
    def get_config(self) -> dict[str, Any]:
        """The arguments from which the same layer can be made again."""

    @abstractmethod
    def compute_output_shape(self, input_shape: Any) -> Any:
        """The shape of the output, from that of the input."""

    def not_yet_told(self, what: str) -> bool:
        """Whether nobody has been told that of this layer; from now on, somebody has."""
        if what in self._told_already:
            return False
        self._told_already.append(what)
        return True

    @property
    @abstractmethod
    def trainable_weights(self) -> list[Variable]:
        """The weights that train: none if ``trainable`` is false, here or where they lie."""

    @property
    @abstractmethod
    def non_trainable_weights(self) -> list[Variable]:
        """All other weights."""

    @abstractmethod
    def items_it_keeps(self) -> list[Any]:
        """What it keeps as attributes: layers, metrics, and containers of these and of variables."""

    @property
    def layers_inside(self) -> list[Any]:
        """The layers that this one keeps."""
        return []

    def layer_and_those_inside(self) -> list[Any]:
        """This layer and all layers inside it, each once; what a layer keeps follows it."""
        found: dict[LayerBase, None] = {}
        waiting: list[LayerBase] = [self]
        while waiting:
            item = waiting.pop()
            if item not in found:
                found[item] = None
                waiting += reversed(item.layers_inside)
        return list(found)


class Node:
    """One call of a layer: the tensors that went in and came out.

    Attributes:
        layer: the layer that was called (Keras: ``outbound_layer``).
        inbound_layers, node_indices, tensor_indices: where each input tensor came from.
        input_tensors, output_tensors: lists of tensors.
        input_masks, output_masks: a mask or ``None`` for each.
        arguments: the keyword arguments of the call.
        nested: whether the layer was given a list.
        meanings: what the layer's functions read when it was called (``LayerMeanings``).
        form: the dictionary or nested lists in which it was given its inputs, if it was.
    """

    def __init__(
        self,
        layer: LayerBase,
        input_tensors: Sequence[Tensor],
        output_tensors: Sequence[Tensor],
        input_masks: Sequence[Tensor | None],
        output_masks: Sequence[Tensor | None],
        arguments: dict[str, Any],
        nested: bool,
        meanings: Any = None,
        form: Any = None,
    ) -> None:
        self.layer: Any = layer
        self.outbound_layer: Any = layer
        self.input_tensors = list(input_tensors)
        self.output_tensors = list(output_tensors)
        self.input_masks = list(input_masks)
        self.output_masks = list(output_masks)
        self.input_shapes = [tuple(x.shape) for x in input_tensors]
        self.output_shapes = [tuple(x.shape) for x in output_tensors]
        self.arguments = arguments
        self.nested = nested
        self.meanings = meanings
        self.form = form
        histories = [x.keras_history for x in input_tensors if x.keras_history is not None]
        self.inbound_layers: list[Any] = [history[0] for history in histories]
        self.node_indices = [history[1] for history in histories]
        self.tensor_indices = [history[2] for history in histories]
        for inbound in dict.fromkeys(self.inbound_layers):
            inbound.call_notes = inbound.call_notes.and_more(outbound_nodes=(self,))
        layer.call_notes = layer.call_notes.and_more(inbound_nodes=(self,))

    def arranged(self, tensors: Sequence[Any]) -> Any:
        """Other tensors in the form in which the layer was given its inputs."""
        return arranged(self.form, tensors, self.nested)

    def argument_tensors(self) -> list[Tensor]:
        """The tensors of layers among the keyword arguments: the call depends on them too."""
        return [x for value in self.arguments.values() for x in _tensors(value)]

    def get_config(self) -> dict[str, Any]:
        return {
            "outbound_layer": self.layer.name,
            "inbound_layers": [layer.name for layer in self.inbound_layers],
            "node_indices": self.node_indices,
            "tensor_indices": self.tensor_indices,
        }


def _tensors(argument: Any) -> list[Tensor]:
    if isinstance(argument, Tensor):
        return [argument] if argument.keras_history is not None else []
    if isinstance(argument, (list, tuple)):
        return [x for item in argument for x in _tensors(item)]
    return []


def called_in(x: Tensor) -> Node:
    """The call that made the output of a layer."""
    assert x.keras_history is not None
    layer, node_index, _ = x.keras_history
    node: Node = layer.call_notes.inbound_nodes[node_index]
    return node


Update = tuple[Variable, Any]


@dataclass(frozen=True, slots=True)
class Notes:
    """What calls leave in a layer.

    It does not change: what is noted makes a new object of a layer's ``call_notes``, so that to keep the old one is to
    know the way back.

    Attributes:
        inbound_nodes: the calls of the layer.
        outbound_nodes: the calls of other layers on its outputs.
        inner_nodes: calls of it in models that were called themselves, which are no places in the graph of layers.
        losses, updates: what was added, each with the inputs that it depends on.
        metrics: what was added.
    """

    inbound_nodes: tuple[Node, ...] = ()
    outbound_nodes: tuple[Node, ...] = ()
    inner_nodes: tuple[Node, ...] = ()
    losses: tuple[tuple[Tensor, Any], ...] = ()
    updates: tuple[tuple[Update, Any], ...] = ()
    metrics: tuple[Noted, ...] = ()

    def and_more(
        self,
        inbound_nodes: Iterable[Node] = (),
        outbound_nodes: Iterable[Node] = (),
        inner_nodes: Iterable[Node] = (),
        losses: Iterable[tuple[Tensor, Any]] = (),
        updates: Iterable[tuple[Update, Any]] = (),
        metrics: Iterable[Noted] = (),
    ) -> Notes:
        """These, and what was noted after them."""
        return Notes(
            (*self.inbound_nodes, *inbound_nodes),
            (*self.outbound_nodes, *outbound_nodes),
            (*self.inner_nodes, *inner_nodes),
            (*self.losses, *losses),
            (*self.updates, *updates),
            (*self.metrics, *metrics),
        )

    def since(self, before: Notes) -> Notes:
        """What was noted after ``before``."""
        return Notes(
            self.inbound_nodes[len(before.inbound_nodes) :],
            self.outbound_nodes[len(before.outbound_nodes) :],
            self.inner_nodes[len(before.inner_nodes) :],
            self.losses[len(before.losses) :],
            self.updates[len(before.updates) :],
            self.metrics[len(before.metrics) :],
        )

    def but(self, **changes: Any) -> Notes:
        """These, with other contents of the attributes that are named."""
        return replace(self, **changes)

    def contributions(self) -> int:
        """How many losses, updates and metrics there are."""
        return len(self.losses) + len(self.updates) + len(self.metrics)


# ---- the way back

Before = dict[LayerBase, Notes]

_scopes_of_notes: ContextVar[tuple[Before, ...]] = ContextVar("scopes", default=())


@contextlib.contextmanager
def noting(lasting: bool = True) -> Iterator[Before]:
    """Inside, calls leave notes in layers: an error takes them back, and so does the end unless they are ``lasting``.

    Weights that were made stay. Without this, a model computed on arrays would add losses and updates of those arrays
    to every model that shares its layers, and their outputs would be ambiguous.

    Yields:
        the layers in which something was noted, with their notes from before.
    """
    outer, before = _scopes_of_notes.get(), Before()
    token = _scopes_of_notes.set((*outer, before))
    try:
        yield before
    except BaseException:
        lasting = False
        raise
    finally:
        _scopes_of_notes.reset(token)
        if not lasting:
            take_back(before)
        elif outer:
            for layer, notes in before.items():
                outer[-1].setdefault(layer, notes)


@contextlib.contextmanager
def for_good() -> Iterator[None]:
    """Inside, what is noted stays, whatever becomes of the call around it: weights and models are made."""
    token = _scopes_of_notes.set(())
    try:
        yield
    finally:
        _scopes_of_notes.reset(token)


def take_back(before: Mapping[LayerBase, Notes]) -> None:
    """Give layers the notes from before."""
    for layer, notes in before.items():
        vars(layer)["_call_notes"] = notes


def keep(layers: Iterable[LayerBase]) -> None:
    """What is noted in these layers by now stays: a model is made of their calls."""
    for layer in layers:
        for before in _scopes_of_notes.get():
            before.pop(layer, None)
