"""The base class of layers."""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Mapping, Sequence
from typing import Any

from kcompile import ir, regularizers
from kcompile.common import config
from kcompile.common.checks import check_dtype, check_flag, check_int, check_shape
from kcompile.common.errors import (
    AbsentError,
    DataTypeError,
    KCompileError,
    NotReadyError,
    ShapeError,
    UninitializedError,
    did_you_mean,
    shown,
)
from kcompile.common.lists import as_list, is_shape_list
from kcompile.common.nest import flatten, is_nested, map_structure, pack
from kcompile.common.tracebacks import short_traceback
from kcompile.engine import advice, layer_contributions, tracking
from kcompile.engine.declared_shapes import with_declared_shapes
from kcompile.engine.forms import arranged as arranged_in
from kcompile.engine.forms import taken
from kcompile.engine.layer_base import Node, Notes, noting
from kcompile.engine.layer_contributions import LayerContributions
from kcompile.engine.layer_position import LayerPosition
from kcompile.engine.layer_weights import LayerWeights
from kcompile.engine.masks import tell_of_dropped_mask
from kcompile.engine.meanings import LayerMeanings
from kcompile.engine.node import InputSpec
from kcompile.engine.notes import caller, calling, made_now, no_call, note_built, one_call
from kcompile.engine.picklable import Picklable
from kcompile.engine.traced_calls import calls_in
from kcompile.engine.two_phases import call_in_both
from kcompile.objects.dialects import conventions
from kcompile.objects.refused_hooks import refuse_hooks
from kcompile.objects.registry import is_ours, users_own
from kcompile.symbolic.history import remember
from kcompile.symbolic.step_trace import current_step
from kcompile.symbolic.tensor import Tensor, as_tensor
from kcompile.symbolic.trace import at_once
from kcompile.symbolic.variable import Variable, learning_phase

Shape = tuple[int | None, ...]


class Layer(Picklable, LayerWeights, LayerContributions, LayerPosition):
    """A function on tensors with weights.

    Subclasses define ``build(input_shape)`` (make weights), ``call(inputs)`` and, where the output shape cannot be
    read off the tensors, ``compute_output_shape(input_shape)``. Shapes include the batch axis, ``None`` where a size
    is known only at run time.

    Args:
        name: unique in a model; default: the class name in snake case and a number.
        trainable: whether training changes the weights.
        dtype: element type of weights, default ``floatx``.
        input_shape: shape of a sample; makes the layer usable first in a Sequential model.
        batch_input_shape: the same with the batch axis.
        batch_size: with ``input_shape``, a fixed batch size.
        weights: initial weights, as ``set_weights`` takes them.
        input_dtype: Keras 1's name of ``dtype``.
        activity_regularizer: a loss on the output.

    Raises:
        TypeError: an unknown argument.
    """

    _allowed = (
        "name", "trainable", "dtype", "input_shape", "batch_input_shape", "batch_shape", "batch_size", "weights",
        "input_dtype", "activity_regularizer",
    )  # fmt: skip

    _takes_one_tensor = False
    _hook_kinds: tuple[str, ...] = ("Layer",)

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        """Notes the arguments of a class that defines no ``get_config``: they are its configuration, as in Keras 3."""
        layer = super().__new__(cls)
        for kind in cls._hook_kinds:
            refuse_hooks(cls, kind)
        if cls.get_config is Layer.get_config and not is_ours(cls):
            layer._given = args, kwargs
        return layer

    def __init__(self, **kwargs: Any) -> None:
        for key in kwargs:
            if key not in self._allowed:
                options = [*self._allowed, *_arguments(type(self))]
                raise DataTypeError(
                    f"{type(self).__name__} got an unknown argument {key!r}{did_you_mean(key, options) or '.'}"
                    f" It takes {', '.join(dict.fromkeys(_arguments(type(self))))} and "
                    f"{', '.join(self._allowed[:3])}."
                )
        name = kwargs.get("name")
        if name is not None and not isinstance(name, str):
            raise DataTypeError(f"{type(self).__name__}: name must be a string, got {shown(name)}")
        if name is not None and not name:
            raise KCompileError(f"{type(self).__name__}: name must not be empty")
        # Attributes may have been set before this is called.
        self._trainable_weights: list[Variable] = vars(self).get("_trainable_weights", [])
        self._non_trainable_weights: list[Variable] = vars(self).get("_non_trainable_weights", [])
        self._step_metrics: list[Any] = []
        self._call_notes = Notes()
        self._regularized: list[tuple[Variable, Any]] = []
        self._dropped_mask = self._told_shape = False
        self._convention: conventions.Convention | None = None
        self.name = name or default_name(type(self))
        owner = type(self).__name__
        self.trainable = check_flag(owner, "trainable", kwargs.get("trainable", True))
        self.built = False
        self.stateful = False
        self.supports_masking = False
        self.input_spec: Any = None
        self.dtype = check_dtype(owner, _dtype_name(kwargs.get("dtype") or kwargs.get("input_dtype")))
        self._initial_weights = kwargs.get("weights")
        self.batch_input_shape: Shape | None = None
        if (shape := kwargs.get("batch_input_shape") or kwargs.get("batch_shape")) is not None:
            self.batch_input_shape = check_shape(owner, "batch_input_shape", shape)
        elif (shape := kwargs.get("input_shape")) is not None:
            size = kwargs.get("batch_size")
            size = None if size is None else check_int(owner, "batch_size", size, 1)
            self.batch_input_shape = (size, *check_shape(owner, "input_shape", shape))
        if "activity_regularizer" in kwargs:
            self.activity_regularizer = regularizers.get(kwargs["activity_regularizer"])

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "__init__" in vars(cls):
            cls.__init__ = short_traceback(cls.__init__)  # type: ignore[method-assign]

    # -- to be overridden

    def build(self, input_shape: Any) -> None:
        """Make the weights for inputs of that shape (a list of shapes for several inputs)."""
        self.built = True

    def call(self, inputs: Any, **kwargs: Any) -> Any:
        """The outputs, from the inputs."""
        return inputs

    def compute_output_shape(self, input_shape: Any) -> Any:
        """The shape of the output, from that of the input; by default found by calling the layer symbolically."""
        from kcompile.symbolic.variable import placeholder

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

    def get_config(self) -> dict[str, Any]:
        """The arguments from which ``from_config`` makes the same layer again (without its weights)."""
        config_: dict[str, Any] = {**_own_arguments(self), "name": self.name, "trainable": self.trainable}
        if self.batch_input_shape is not None:
            config_["batch_input_shape"] = self.batch_input_shape
        config_["dtype"] = self.dtype
        return config_

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        """A new layer from :meth:`get_config`."""
        return cls(**config)

    def _clone(self) -> Any:
        """A layer of the same configuration with weights of its own."""
        return type(self).from_config(self.get_config())

    def summary(
        self,
        line_length: int | None = None,
        positions: Sequence[float] | None = None,
        print_fn: Any = None,
        expand_nested: bool = False,
    ) -> None:
        """Print the layers (of a layer: itself; ``expand_nested``: inside models too), output shapes and parameters.

        Raises:
            RuntimeError (also a ValueError): the layer or model is not built yet.
        """
        from kcompile.engine.summary import print_summary

        if not self.built:
            raise NotReadyError(
                f"{self._kind} {self.name!r} is not built, so its shapes are unknown; call it on data or a tensor, "
                "call build(input_shape), or give the first layer an input_shape"
            )
        print_summary(self, line_length, positions, print_fn, expand_nested)

    # -- layers inside

    def __setattr__(self, name: str, value: Any) -> None:
        own = vars(self)
        if tracking.is_trackable(value) and not hasattr(type(self), name) and own.get(name) is not value:
            if name not in tracking.internal_names(type(self)):
                self._keep_variables(value, own.get(name))
            own.pop(name, None)  # the order of attributes is that of their present values
        super().__setattr__(name, value)

    def __delattr__(self, name: str) -> None:
        value = vars(self).get(name)
        super().__delattr__(name)
        if isinstance(value, Variable) and all(value is not other for other in vars(self).values()):
            self._trainable_weights = [w for w in self._trainable_weights if w is not value]
            self._non_trainable_weights = [w for w in self._non_trainable_weights if w is not value]

    def _keep_variables(self, value: Any, before: Any) -> None:
        """Variables that become attributes are weights; one that replaces another takes its place."""
        for variable in tracking.variables_in(value):
            kind = vars(self).setdefault("_trainable_weights" if variable.trainable else "_non_trainable_weights", [])
            if all(variable is not old for old in kind):
                place = next((i for i, old in enumerate(kind) if old is before), len(kind))
                kind[place : place + 1] = [variable]

    def _kept(self) -> list[Any]:
        """What this layer keeps as attributes: layers, metrics, and containers of these and of variables."""
        return tracking.attributes_of(self)

    @property
    def sublayers(self) -> list[Layer]:
        """The layers that this one keeps as attributes, also in lists and dictionaries."""
        return tracking.layers_among(self._kept(), self.is_metric)

    @property
    def _own_metrics(self) -> list[Any]:
        """The metrics that this layer keeps as attributes, also in lists and dictionaries."""
        return [item for item in tracking.layers_among(self._kept(), True) if item.is_metric]

    # -- calling

    @short_traceback
    def __call__(self, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        """Call the layer on a tensor, a list of tensors, or arrays (which are computed at once).

        Raises:
            ValueError: the inputs do not fit what the layer expects.
        """
        if (step := current_step()) is None:
            return self._called(inputs, *args, **kwargs)
        return calls_in(step).call_layer(self, self._called, _call_arguments(type(self)), inputs, args, kwargs)

    def _called(self, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        with noting(), one_call() as call:
            outputs, node = self._called_once(inputs, *args, **kwargs)
            if call is not None:
                call.node = node
            return outputs

    def _called_once(self, inputs: Any, *args: Any, **kwargs: Any) -> tuple[Any, Node | None]:
        """The outputs, and the place of the call in the graph of layers."""
        # 1. Arguments: positional ones by name; masks and the training flag where ``call`` takes them.
        names = _call_arguments(type(self))
        for name, value in zip(names[1:], args, strict=False):
            kwargs[name] = value
        items, form = taken(inputs, Tensor)
        nested = isinstance(inputs, (list, tuple)) or form is not None
        if nested and form is None and len(items) == 1 and isinstance(items[0], Tensor):
            nested = not self._takes_one_tensor or users_own(type(self), "call")  # what a function returned in a list
        if items and not any(isinstance(x, (Tensor, Layer)) for x in items):
            return self._computed(inputs, kwargs), None
        tensors = [self._input_tensor(x) for x in items]
        arranged = arranged_in(form, tensors, nested)
        with ir.scope(self.name):
            # 2. Check what is known before building.
            self._check(tensors)
            # 3. Weights.
            if not self.built:
                shapes = [tuple(x.shape) for x in tensors]
                self._build(shapes if form is None else pack(form, shapes), nested)
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
            made = with_declared_shapes(self, shape_in, [self._output_tensor(x) for x in flatten(outputs)])
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
        if isinstance(x, Layer):
            raise DataTypeError(f"layer {self.name!r} was called on layer {x.name!r}; call it on that layer's output")
        if x is None or isinstance(x, (str, bytes, dict)):
            raise DataTypeError(f"layer {self.name!r} is called on tensors or arrays, got {shown(x)}")
        if not isinstance(x, Tensor):
            return as_tensor(x)
        if x.keras_history is None and not isinstance(x, Variable) and current_step() is None:
            from kcompile.engine.op_layer import wrap_operations  # a layer itself

            return wrap_operations(x)
        return x

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

    def _build(self, shapes: Any, nested: bool) -> None:
        conventions.inherit(self, caller())
        with at_once(), no_call():
            self.build(shapes if nested else shapes[0])
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
        if not self.supports_masking and type(self).compute_mask is Layer.compute_mask:
            if any(mask is not None for mask in flatten(masks)) and "mask" not in _call_arguments(type(self)):
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

    def __getattr__(self, name: str) -> Any:
        own = self.__dict__
        if name.startswith("__"):
            raise AttributeError(name)
        if "_call_notes" not in own:
            raise UninitializedError(
                f"{type(self).__name__} has no attribute {name!r}, because its __init__ did not call "
                "super().__init__(); call it first"
            )
        if hasattr(type(self), name):
            return object.__getattribute__(self, name)  # a property that raised: its own message is the better one
        message = f"{self._kind} {own['name']!r} ({type(self).__name__}) has no attribute {name!r}"
        if not own["built"]:
            message += "; it is not built yet: call it on a tensor, or give the first layer an input_shape"
        raise AbsentError(message, lambda: advice.on_attribute(self, name))

    def __repr__(self) -> str:
        if "_call_notes" not in vars(self):
            return f"<{type(self).__name__}, not initialized>"
        return f"<{type(self).__name__} {self.name!r}{'' if self.built else ', not built'}>"


# ---- helpers


def _dtype_name(dtype: Any) -> Any:
    """``floatx`` if there is none; the element type of a policy, as which Keras 3 writes it."""
    if isinstance(dtype, Mapping):
        dtype = dtype.get("config", {}).get("name")
    return dtype or config.floatx()


def default_name(cls: type) -> str:
    """``dense_1``, ``conv2d_1``...: the class name in snake case and a number."""
    spaced = re.sub(r"(.)([A-Z][a-z0-9]+)", r"\1_\2", cls.__name__)
    snake = re.sub(r"([a-z])([A-Z])", r"\1_\2", spaced).lower()
    return f"{snake}_{config.get_uid(snake)}" if not snake.startswith("_") else f"private{snake}"


@functools.cache
def _call_arguments(cls: type[Layer]) -> tuple[str, ...]:
    """The names that ``call`` takes, the inputs first."""
    return tuple(inspect.signature(cls.call).parameters)[1:]


def _arguments(cls: type) -> list[str]:
    found = []
    for base in cls.__mro__:
        if "__init__" in base.__dict__ and base is not object:
            found += [n for n, p in inspect.signature(base.__init__).parameters.items() if p.kind != p.VAR_KEYWORD]
    return [n for n in found if n != "self"]


def _own_arguments(layer: Layer) -> dict[str, Any]:
    """What a layer without a ``get_config`` of its own was made with; nothing if that holds layers or tensors.

    A copy with the same inner layers would share their weights.
    """
    if type(layer).get_config is not Layer.get_config or "_given" not in vars(layer):
        return {}
    args, kwargs = layer._given
    bound = inspect.signature(type(layer).__init__).bind(layer, *args, **kwargs)
    found = dict(list(bound.arguments.items())[1:])
    kinds = {parameter.kind: name for name, parameter in bound.signature.parameters.items()}
    found.update(found.pop(kinds.get(inspect.Parameter.VAR_KEYWORD, ""), {}))
    found = {key: value for key, value in found.items() if key not in Layer._allowed[:-1]}
    of_this_layer = any(isinstance(leaf, (Layer, Tensor)) for value in found.values() for leaf in flatten(value))
    return {} if of_this_layer or inspect.Parameter.VAR_POSITIONAL in kinds else found
