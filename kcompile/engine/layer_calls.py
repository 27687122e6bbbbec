"""Calls of a layer: inputs are checked, weights made, and what comes out takes its place in the graph of layers."""

from __future__ import annotations

import inspect
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from kcompile import ir
from kcompile.common.cached import cached
from kcompile.common.errors import DataTypeError, ShapeError, shown
from kcompile.common.lists import as_list, is_shape_list
from kcompile.common.nest import flatten, is_nested, map_structure, pack
from kcompile.common.tracebacks import short_traceback
from kcompile.engine import layer_contributions
from kcompile.engine.build_shapes import further_shapes
from kcompile.engine.declared_shapes import with_declared_shapes
from kcompile.engine.forms import arranged as arranged_in
from kcompile.engine.forms import taken
from kcompile.engine.layer_base import LayerBase, Node, Notes, noting
from kcompile.engine.layer_contributions import LayerContributions
from kcompile.engine.layer_weights import LayerWeights
from kcompile.engine.masks import tell_of_dropped_mask
from kcompile.engine.meanings import LayerMeanings
from kcompile.engine.node import InputSpec
from kcompile.engine.notes import caller, calling, made_now, no_call, note_built, one_call
from kcompile.engine.traced_calls import calls_in
from kcompile.engine.two_phases import call_in_both
from kcompile.objects.dialects import conventions
from kcompile.objects.registry import users_own
from kcompile.symbolic.history import remember
from kcompile.symbolic.step_trace import current_step
from kcompile.symbolic.tensor import Tensor, as_tensor
from kcompile.symbolic.trace import at_once
from kcompile.symbolic.variable import Variable, learning_phase, placeholder


class LayerCalls(LayerWeights, LayerContributions):
    """What happens when a layer is called; a part of :class:`~kcompile.engine.layer.Layer`."""

    input_spec: Any
    _initial_weights: Any
    _takes_one_tensor = False

    # -- to be overridden

    def build(self, input_shape: Any) -> None:
        """Make the weights for inputs of that shape (a list of shapes for several inputs)."""
        self.built = True

    if TYPE_CHECKING:  # subclasses take what arguments they like

        def call(self, inputs: Any, *args: Any, **kwargs: Any) -> Any: ...

    else:

        def call(self, inputs: Any, **kwargs: Any) -> Any:
            """The outputs, from the inputs."""
            return inputs

    def compute_output_shape(self, input_shape: Any) -> Any:
        """The shape of the output, from that of the input; by default found by calling the layer symbolically."""
        shapes = input_shape if is_shape_list(input_shape) else [input_shape]
        inputs = [placeholder(shape=shape) for shape in shapes]
        with noting(lasting=False):
            if not self.built:
                self.build(input_shape)
                self.built = True
            outputs = self.call(inputs if is_shape_list(input_shape) else inputs[0])
        if isinstance(outputs, (list, tuple)):
            return [tuple(x.shape) for x in outputs]
        return tuple(outputs.shape)

    def _declares_shape(self) -> bool:
        """Whether a user wrote its ``compute_output_shape``."""
        return users_own(type(self), "compute_output_shape")

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        """The mask of the output; by default the input's, if the layer supports masks.

        Raises:
            TypeError: the layer got a mask but does not support masks.
        """
        if not self.supports_masking:
            if any(item is not None for item in as_list(mask)):
                raise TypeError(f"layer {self.name!r} ({type(self).__name__}) does not support masks but got one")
            return None
        return mask

    # -- calling

    @short_traceback
    def __call__(self, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        """Call the layer on a tensor, a list of tensors, or arrays (which are computed at once).

        Raises:
            ValueError: the inputs do not fit what the layer expects.
        """
        if (step := current_step()) is None:
            return self._called(inputs, *args, **kwargs)
        return calls_in(step).call_layer(self, self._called, call_arguments(type(self)), inputs, args, kwargs)

    def _called(self, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        with noting(), one_call() as call:
            outputs, node = self._called_once(inputs, *args, **kwargs)
            if call is not None:
                call.node = node
            return outputs

    def _called_once(self, inputs: Any, *args: Any, **kwargs: Any) -> tuple[Any, Node | None]:
        """The outputs, and the place of the call in the graph of layers."""
        # 1. Arguments: positional ones by name; masks and the training flag where ``call`` takes them.
        names = call_arguments(type(self))
        for name, value in zip(names[1:], args, strict=False):
            kwargs[name] = value
        items, form = taken(inputs, Tensor)
        nested = isinstance(inputs, (list, tuple)) or form is not None
        if nested and form is None and len(items) == 1 and isinstance(items[0], Tensor):
            nested = not self._takes_one_tensor or users_own(type(self), "call")  # what a function returned in a list
        if items and not any(isinstance(x, (Tensor, LayerBase)) for x in items):
            return self._computed(inputs, kwargs), None
        tensors = [self._input_tensor(x) for x in items]
        arranged = arranged_in(form, tensors, nested)
        with ir.scope(self.name):
            # 2. Check what is known before building.
            self._check(tensors)
            # 3. Weights.
            if not self.built:
                shapes = [tuple(x.shape) for x in tensors]
                self.build_for_shapes(
                    shapes if form is None else pack(form, shapes), nested, further_shapes(self, kwargs)
                )
                self._check(tensors)
            # 4. Masks travel with tensors.
            masks = [x.keras_mask for x in tensors]
            given = dict(kwargs)
            if "mask" in names and kwargs.get("mask") is None and any(m is not None for m in masks):
                kwargs["mask"] = arranged_in(form, masks, nested)
            # 5. The call, recorded or traced in both phases.
            meanings = LayerMeanings(self)
            before = self.call_notes
            try:
                with calling(self):
                    outputs = self._traced_call(arranged, names, kwargs)
            except ir.IRError as error:
                sizes = ", ".join(str(tuple(x.shape)) for x in tensors)
                kind = f"layer {self.name!r} ({type(self).__name__})"
                raise ShapeError(f"{kind} cannot be applied to an input of shape {sizes}: {error}") from error
            shape_in = arranged_in(form, [tuple(x.shape) for x in tensors], nested)
            made = [self._output_tensor(x) for x in flatten(outputs)]
            if self._declares_shape():
                made = with_declared_shapes(self, shape_in, made)
            # A tensor that passes through gets a handle of its own: history belongs to the handle.
            results = [Tensor(y.value) if any(y is x for x in tensors) or y.keras_history else y for y in made]
            # 6. Masks of the outputs, activity regularization.
            passed = kwargs.get("mask") if "mask" in names else None
            output_masks = self._masks(arranged, arranged_in(form, masks, nested) if passed is None else passed, made)
            self._regularize_activity(arranged, results)
            self._mark_inputs(before, arranged)
        # 7. History.
        for y, m in zip(results, output_masks, strict=True):
            y.keras_mask = m
        node_index = len(self.call_notes.inbound_nodes)
        node = Node(self, tensors, results, masks, output_masks, given, nested, meanings, form)
        for i, y in enumerate(results):
            y.keras_history = (self, node_index, i)
            remember(y)
        if isinstance(outputs, (list, tuple)) and not any(map(is_nested, outputs)):
            return results, node
        return pack(outputs, results), node

    def _computed(self, inputs: Any, kwargs: dict[str, Any]) -> Any:
        """The outputs for arrays, as arrays."""
        items, form = taken(inputs, Tensor)
        nested = isinstance(inputs, (list, tuple)) or form is not None
        tensors = arranged_in(form, [self._input_tensor(x) for x in items], nested)
        with noting(lasting=False):
            outputs = self(tensors, **kwargs)
        return map_structure(lambda y: y.numpy(), outputs)

    def _input_tensor(self, x: Any) -> Tensor:
        if isinstance(x, LayerBase):
            raise DataTypeError(f"layer {self.name!r} was called on layer {x.name!r}; call it on that layer's output")
        if x is None or isinstance(x, (str, bytes, dict)):
            raise DataTypeError(f"layer {self.name!r} is called on tensors or arrays, got {shown(x)}")
        if not isinstance(x, Tensor):
            return as_tensor(x)
        if x.keras_history is None and not isinstance(x, Variable) and current_step() is None:
            return self._as_layers_output(x)
        return x

    @abstractmethod
    def _as_layers_output(self, x: Tensor) -> Tensor:
        """A tensor that K or an operator made of outputs of layers, as the output of a layer."""

    def _output_tensor(self, y: Any) -> Tensor:
        if isinstance(y, Variable) or not isinstance(y, Tensor):
            if y is None:
                raise DataTypeError(f"layer {self.name!r} ({type(self).__name__}): call returned None; return a tensor")
            return Tensor(as_tensor(y).value)
        return y

    def _check(self, tensors: Sequence[Tensor]) -> None:
        specs = as_list(self.input_spec)
        if not specs:
            return
        if len(specs) != len(tensors):
            raise ShapeError(f"layer {self.name!r} takes {len(specs)} inputs, got {len(tensors)}")
        for i, (spec, x) in enumerate(zip(specs, tensors, strict=True)):
            if isinstance(spec, InputSpec):
                spec.check(x, self, i, len(tensors))

    def build_for_shapes(self, shapes: Any, nested: bool, further: Mapping[str, Any] | None = None) -> None:
        conventions.inherit(self, caller())
        with at_once(), no_call():
            self.build(shapes if nested else shapes[0], **(further or {}))
            self.built = True
            note_built(self)
            if self._initial_weights is not None:
                self.set_weights(self._initial_weights)
                self._initial_weights = None

    def _traced_call(self, inputs: Any, names: Sequence[str], kwargs: dict[str, Any]) -> Any:
        """``call``, where a user's Python branch on ``training`` is followed both ways.

        The layers of this package hand ``training=None`` on to ``K.in_train_phase``. Others may write
        ``if training:``, so they are traced for True and for False, and the results joined by the learning phase.
        """
        ours = not users_own(type(self), "call")
        phase = learning_phase()
        if "training" not in names or kwargs.get("training") is not None or ours or not isinstance(phase, Tensor):
            if "training" in names and kwargs.get("training") is None and not ours:
                kwargs["training"] = bool(phase)
            return self.call(inputs, **kwargs)
        return call_in_both(self.call, inputs, kwargs, phase)

    def _masks(self, inputs: Any, masks: Any, outputs: Sequence[Tensor]) -> list[Tensor | None]:
        if not self.supports_masking and type(self).compute_mask is LayerCalls.compute_mask:
            if any(mask is not None for mask in flatten(masks)) and "mask" not in call_arguments(type(self)):
                tell_of_dropped_mask(self)
            return [None] * len(outputs)
        computed = self.compute_mask(inputs, masks)
        result = flatten(computed) if is_nested(computed) else [computed] * len(outputs)
        if len(result) != len(outputs):
            result = [result[0] if result else None] * len(outputs)
        return list(result)

    def _regularize_activity(self, inputs: Any, outputs: Sequence[Tensor]) -> None:
        regularizer = getattr(self, "activity_regularizer", None)
        if regularizer is not None:
            losses = [(made_now(layer_contributions.activity_loss(self, regularizer, y)), inputs) for y in outputs]
            self.call_notes = self.call_notes.and_more(losses=losses)

    def _mark_inputs(self, before: Notes, inputs: Any) -> None:
        """Updates of this call belong to its inputs unless they say otherwise."""
        added = self.call_notes.since(before).updates
        if added:
            marked = ((update, inputs if x is None else x) for update, x in added)
            self.call_notes = self.call_notes.but(updates=(*before.updates, *marked))


@cached
def call_arguments(cls: type[LayerCalls]) -> tuple[str, ...]:
    """The names that ``call`` takes, the inputs first."""
    return tuple(inspect.signature(cls.call).parameters)[1:]
