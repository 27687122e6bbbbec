"""A directed acyclic graph of layers: functional models, and the base of Sequential and subclassed ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kcompile.common.errors import (
    DataTypeError,
    KCompileError,
    ShapeError,
    UnknownNameError,
    listed,
    shown,
    unknown_name,
)
from kcompile.common.lists import as_list, is_shape_list, one_or_list, unique
from kcompile.common.nest import flatten
from kcompile.common.tracebacks import short_traceback
from kcompile.engine import tracking
from kcompile.engine.added_layers import AddedLayers
from kcompile.engine.forms import arranged, by_name, form_of, names_of, taken
from kcompile.engine.input_layer import InputLayer
from kcompile.engine.layer import Layer, wrap_operations
from kcompile.engine.layer_base import Node, keep, noting
from kcompile.engine.layer_calls import call_arguments
from kcompile.engine.model_calls import fitting_rank, naming_inputs, with_masks
from kcompile.engine.model_pickling import model_state, set_model_state
from kcompile.engine.network_config import is_functional_config, network_config, network_from_config
from kcompile.engine.notes import belongs, move_inside
from kcompile.engine.replay import as_called
from kcompile.engine.summary import summary_html
from kcompile.engine.tracing import names_of_inputs, names_of_outputs, renewed, trace
from kcompile.objects.configs import reading
from kcompile.objects.refused_hooks import refuse_ignored_call
from kcompile.objects.registry import is_ours
from kcompile.symbolic.step_trace import current_step
from kcompile.symbolic.tensor import Tensor
from kcompile.symbolic.variable import Variable, placeholder


class Network(AddedLayers):
    """Layers between ``inputs`` and ``outputs``; itself a layer.

    Subclassed models define ``call`` instead; their layers are those kept as attributes.

    Raises:
        ValueError: the outputs cannot be reached from the inputs, names repeat, or inputs are not inputs.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        inputs = kwargs.pop("inputs", kwargs.pop("input", None))
        outputs = kwargs.pop("outputs", kwargs.pop("output", None))
        positional = list(args)
        if inputs is None and positional:
            inputs = positional.pop(0)
        if outputs is None and positional:
            outputs = positional.pop(0)
        if positional:
            kwargs.setdefault("name", positional.pop(0))
        super().__init__(**kwargs)
        if inputs is not None or outputs is not None:
            if inputs is None or outputs is None:
                raise KCompileError(f"{type(self).__name__} needs both inputs and outputs")
            refuse_ignored_call(type(self))
            self.set_ends(inputs, outputs)

    # -- the graph

    def set_ends(self, inputs: Any, outputs: Any) -> None:
        self._input_form, self._output_form = form_of(inputs), form_of(outputs)
        inputs = inputs if self._input_form is None else flatten(inputs)
        # As in Keras, a list of one output is that output: predict returns an array.
        nested = isinstance(inputs, (list, tuple)) and len(inputs) > 1
        found = as_list(outputs) if self._output_form is None else flatten(outputs)
        self._nested_output = len(found) > 1
        self.inputs = as_list(inputs)
        if not found:
            raise KCompileError(f"model {self.name!r} has no outputs: give the tensors that it computes")
        self.outputs = []
        for x in self.inputs:
            if not isinstance(x, Tensor) or x.keras_history is None:
                raise DataTypeError(f"inputs of model {self.name!r} must come from Input(), got {shown(x)}")
        if len({id(x) for x in self.inputs}) != len(self.inputs):
            raise KCompileError(f"model {self.name!r}: an input is listed twice")
        for y in found:
            if not isinstance(y, Tensor):
                raise DataTypeError(f"outputs of model {self.name!r} must be tensors made by layers, got {shown(y)}")
            made = y if y.keras_history is not None else wrap_operations(y)
            if made.keras_history is None:
                raise KCompileError(f"output {y!r} of model {self.name!r} does not depend on any input")
            self.outputs.append(made)
        self._main_nodes, depths = trace(self.name, self.inputs, self.outputs)
        self._nodes = list(self._main_nodes)
        self._arrange(depths)
        self._functional = True
        added, self._added = self._added, []
        self.append_ends(added)
        self.built = True
        self.input_names = names_of(self._input_form, names_of_inputs(self.inputs))
        self.output_names = names_of(self._output_form, names_of_outputs(self.outputs))
        masks = [x.keras_mask for x in self.outputs]
        input_masks = [x.keras_mask for x in self.inputs]
        self.call_notes = self.call_notes.but(inbound_nodes=())
        Node(self, self.inputs, self.outputs, input_masks, masks, {}, nested)
        keep([self, *(node.layer for node in self._nodes)])
        self.input_spec = None

    def _arrange(self, depths: dict[Layer, int]) -> None:
        by_depth: dict[int, list[Layer]] = {}
        for layer, depth in depths.items():
            by_depth.setdefault(depth, []).append(layer)
        self._layers_by_depth = by_depth
        ordered = [layer for depth in sorted(by_depth, reverse=True) for layer in by_depth[depth]]
        names = [layer.name for layer in ordered]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise KCompileError(
                f"model {self.name!r}: two layers are named {twice[0]!r}; give every layer a name of its own"
            )
        self._graph_layers = ordered

    def append_ends(self, added: Sequence[Tensor]) -> None:
        if not added:
            return
        # Their layers come last, so that the order of the others, and of weights, stays what it is.
        known = {id(node) for node in self._nodes}
        new = [node for node in trace(self.name, self.inputs, added)[0] if id(node) not in known]
        self._nodes += new
        self._added += added
        self._graph_layers = unique([*self._graph_layers, *(node.layer for node in new)])
        for node in new:
            self._layers_by_depth.setdefault(min(self._layers_by_depth) - 1, []).append(node.layer)

    @property
    def layers(self) -> list[Layer]:
        """All layers: those of the graph in order of depth, then those that are kept as attributes only."""
        return tracking.layers_among(self.items_it_keeps())

    @property
    def layers_inside(self) -> list[Layer]:
        return self.layers

    def items_it_keeps(self) -> list[Any]:
        return unique([*self._graph_layers, *super().items_it_keeps()])

    def __getstate__(self) -> dict[str, Any]:
        return model_state(self)

    def __setstate__(self, state: dict[str, Any]) -> None:
        set_model_state(self, state)

    @property
    def layers_by_depth(self) -> dict[int, list[Layer]]:
        """Layers by distance from the outputs."""
        return self._layers_by_depth

    @property
    def input(self) -> Any:
        """The model's own inputs, one or a list, also where it is called as a layer."""
        return arranged(self._input_form, self.inputs, False) if self._functional else super().input

    @property
    def output(self) -> Any:
        """The model's own outputs, one or a list."""
        return arranged(self._output_form, self.outputs, False) if self._functional else super().output

    @property
    def input_shape(self) -> Any:
        if not self._functional:
            return super().input_shape
        return arranged(self._input_form, [tuple(x.shape) for x in self.inputs], False)

    @property
    def output_shape(self) -> Any:
        if not self._functional:
            return super().output_shape
        return arranged(self._output_form, [tuple(x.shape) for x in self.outputs], False)

    @property
    def input_layers(self) -> list[Layer]:
        return [x.keras_history[0] for x in self.inputs if x.keras_history]

    @property
    def output_layers(self) -> list[Layer]:
        return [x.keras_history[0] for x in self.outputs if x.keras_history]

    def _repr_html_(self) -> str:
        return summary_html(self)

    @short_traceback
    def get_layer(self, name: Any = None, index: int | None = None) -> Layer:
        """A layer by name or by position.

        Raises:
            ValueError: there is none.
        """
        layers = self.layers
        if index is not None:
            if not -len(layers) <= index < len(layers):
                raise KCompileError(f"model {self.name!r} has {len(layers)} layers; there is none at {index}")
            return layers[index]
        if name is None:
            raise KCompileError("get_layer needs a name or an index")
        for layer in layers:
            if layer.name == name:
                return layer
        if isinstance(name, int):
            raise UnknownNameError(f"get_layer of model {self.name!r} takes a name, got {name}; write index={name}")
        raise unknown_name(f"layer of model {self.name!r}:", name, [layer.name for layer in layers])

    # -- calling

    def build(self, input_shape: Any) -> None:
        """Make the weights of a subclassed or unshaped model for inputs of that shape (batch axis included)."""
        if self._functional:
            return
        if type(self).call is Network.call:
            raise KCompileError(f"model {self.name!r} has neither inputs and outputs nor a call method")
        if is_shape_list(input_shape):
            self._call_once([placeholder(shape=s) for s in input_shape])
        else:
            self._call_once(placeholder(shape=input_shape))
        self.built = True

    def _call_once(self, inputs: Any) -> None:
        for x in as_list(inputs):
            Input = InputLayer(input_tensor=x)
            x.keras_history = (Input, 0, 0)
        self._traced_call(inputs, call_arguments(type(self)), {})  # layers that only training uses are built too

    def build_for_shapes(self, shapes: list[Any], nested: bool, further: Mapping[str, Any] | None = None) -> None:
        # A subclassed model makes its layers' weights in the call that follows.
        if self._functional or type(self).build is not Network.build:
            super().build_for_shapes(shapes, nested, further)
        self.built = True

    def __call__(self, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        """As of any layer; a dictionary goes by the names of the inputs."""
        if isinstance(inputs, Mapping) and self._functional and not self._subclassed:
            inputs = by_name(inputs, self.input_names, self.name)
        return super().__call__(inputs, *args, **kwargs)

    def call(self, inputs: Any, training: bool | int | Tensor | None = None, mask: Any = None) -> Any:
        """Run the layers on other inputs (the model as a layer)."""
        if not self._functional:
            raise KCompileError(f"model {self.name!r} has neither inputs and outputs nor a call method")
        tensors = with_masks(taken(inputs, Tensor)[0], mask)
        self._check_call(tensors)
        fitted = [fitting_rank(mine, x) for mine, x in zip(self.inputs, tensors, strict=True)]
        with naming_inputs(self, fitted):
            outputs = self._replay(fitted, training)
        return arranged(self._output_form, outputs, self._nested_output)

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        """The masks of the outputs."""
        with noting(lasting=False):
            outputs = self._replay(with_masks(taken(inputs, Tensor)[0], mask)) if self._functional else []
        return one_or_list([y.keras_mask for y in outputs]) if outputs else None

    def _masks(self, inputs: Any, masks: Any, outputs: Sequence[Tensor]) -> list[Tensor | None]:
        if type(self).compute_mask is not Network.compute_mask:
            return super()._masks(inputs, masks, outputs)
        return [y.keras_mask for y in outputs]

    def _check_call(self, tensors: Sequence[Any]) -> None:
        if len(tensors) != len(self.inputs):
            raise ShapeError(
                f"model {self.name!r} takes {len(self.inputs)} inputs ({listed(self.input_names)}), got {len(tensors)}"
            )

    def _replay(self, tensors: Sequence[Tensor], training: bool | int | Tensor | None = None) -> list[Tensor]:
        """The outputs for other inputs: every layer is called again, with its own weights."""
        before = [(layer, layer.call_notes) for layer in self.layers_inside]
        with noting():
            outputs = self._called_again(tensors, training)
            for layer, notes in before:
                move_inside(layer, notes)
        return outputs

    def _called_again(self, tensors: Sequence[Tensor], training: bool | int | Tensor | None) -> list[Tensor]:
        new: dict[int, Tensor] = {id(old): x for old, x in zip(self.inputs, tensors, strict=True)}
        for node in self._nodes:
            if all(id(y) in new for y in node.output_tensors):
                continue
            if isinstance(node.layer, InputLayer):
                raise KCompileError(f"model {self.name!r} depends on input {node.layer.name!r}, which is not given")
            arguments = {k: renewed(v, new) for k, v in node.arguments.items()}
            if training is not None and "training" in call_arguments(type(node.layer)):
                arguments.setdefault("training", training)
            inputs = [new.get(id(x), x) for x in node.input_tensors]
            with as_called(node):
                outputs = node.layer(node.arranged(inputs), **arguments)
            new.update({id(old): y for old, y in zip(node.output_tensors, flatten(outputs), strict=True)})
        return [new[id(y)] for y in self.outputs]

    def compute_output_shape(self, input_shape: Any) -> Any:
        if not self._functional:
            return super().compute_output_shape(input_shape)
        shapes = input_shape if is_shape_list(input_shape) else [input_shape]
        with noting(lasting=False):
            return one_or_list([tuple(y.shape) for y in self._replay([placeholder(shape=s) for s in shapes])])

    # -- what layers contribute

    def _loss_entries(self) -> list[tuple[Tensor, bool]]:
        # Layers that are shared note what other models compute with them too.
        found = super()._loss_entries()
        mine = current_step() is None and self.inputs
        return [(loss, x) for loss, x in found if belongs(self, loss)] if mine else found

    @property
    def uses_learning_phase(self) -> bool:
        """Whether the outputs differ between training and inference: K.function needs the learning phase then."""
        return any(y._uses_learning_phase for y in self.outputs)

    @property
    def stateful(self) -> bool:
        """Whether a layer hands states from batch to batch."""
        return any(layer.stateful for layer in self.layers)

    @stateful.setter
    def stateful(self, value: bool) -> None:
        """Layers know it themselves."""

    @property
    def stateful_layers(self) -> list[Layer]:
        return [layer for layer in self.layers if layer.stateful]

    @property
    def state_updates(self) -> list[Any]:
        """Pairs of a state and its next value, which every run of the model applies, also in inference."""
        inside = self.layer_and_those_inside()[1:]
        return [pair for layer in inside for pair, _ in layer.call_notes.updates if is_state(pair[0])]

    def reset_states(self) -> None:
        """Set the states of stateful layers to zero."""
        for layer in self.layers:
            reset = getattr(layer, "reset_states", None)
            if layer.stateful and reset is not None:
                reset()

    def get_config(self) -> dict[str, Any]:
        """The architecture in Keras 2's form.

        Raises:
            NotImplementedError: a subclassed model, as in Keras: its architecture is Python code.
        """
        return network_config(self)

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: dict[str, Any] | None = None) -> Any:
        """A new model from :meth:`get_config`, with fresh weights.

        A subclass with a ``get_config`` of its own gets that back as arguments, as in tf.keras.
        """
        with reading("the configuration does not describe a model"):
            if not is_ours(cls) and not is_functional_config(config):
                return cls(**config)
            return network_from_config(cls, config, custom_objects)


def is_state(x: Any) -> bool:
    """Whether ``x`` is a variable in which a stateful layer keeps its state."""
    return isinstance(x, Variable) and x.variable.role == "state"
