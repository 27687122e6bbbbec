"""The base class of layers."""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from kcompile import ir
from kcompile.backend import config
from kcompile.backend.nn import switch
from kcompile.backend.variables import Variable, learning_phase
from kcompile.engine.history import remember
from kcompile.engine.node import InputSpec, Node
from kcompile.engine.tensor import Array, Tensor, as_tensor
from kcompile.errors import (
    DataTypeError,
    KCompileError,
    ShapeError,
    check_dtype,
    check_flag,
    check_int,
    check_shape,
    did_you_mean,
    shown,
)

Shape = tuple[int | None, ...]


class Layer:
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
        input_dtype, dynamic, autocast: of other Keras versions; see below.

    Raises:
        TypeError: an unknown argument.
    """

    _allowed = (
        "name", "trainable", "dtype", "input_shape", "batch_input_shape", "batch_shape", "batch_size", "weights",
        "input_dtype", "activity_regularizer",
    )  # fmt: skip

    def __init__(self, **kwargs: Any) -> None:
        for key in kwargs:
            if key not in self._allowed:
                options = [*self._allowed, *_arguments(type(self))]
                raise DataTypeError(
                    f"{type(self).__name__} got an unknown argument {key!r}{did_you_mean(key, options)}"
                    f" It takes {', '.join(dict.fromkeys(_arguments(type(self))))} and "
                    f"{', '.join(self._allowed[:3])}."
                )
        name = kwargs.get("name")
        if name is not None and not isinstance(name, str):
            raise DataTypeError(f"{type(self).__name__}: name must be a string, got {shown(name)}")
        if name is not None and not name:
            raise KCompileError(f"{type(self).__name__}: name must not be empty")
        self._tracked: list[Any] = []
        self._trainable_weights: list[Variable] = []
        self._non_trainable_weights: list[Variable] = []
        self._losses: list[tuple[Tensor, Any]] = []
        self._updates: list[tuple[Any, Any]] = []
        self._metrics: list[tuple[str, Tensor, str]] = []
        self._inbound_nodes: list[Node] = []
        self._outbound_nodes: list[Node] = []
        self._regularized: list[tuple[Variable, Any]] = []
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
            from kcompile import regularizers

            self.activity_regularizer = regularizers.get(kwargs["activity_regularizer"])

    # -- to be overridden

    def build(self, input_shape: Any) -> None:
        """Make the weights for inputs of that shape (a list of shapes for several inputs)."""
        self.built = True

    def call(self, inputs: Any, **kwargs: Any) -> Any:
        """The outputs, from the inputs."""
        return inputs

    def compute_output_shape(self, input_shape: Any) -> Any:
        """The shape of the output, from that of the input; by default found by calling the layer symbolically."""
        from kcompile.backend.variables import placeholder

        shapes = input_shape if _is_shape_list(input_shape) else [input_shape]
        inputs = [placeholder(shape=shape) for shape in shapes]
        was = self._inbound_nodes, self._updates, self._losses
        self._updates, self._losses = list(self._updates), list(self._losses)
        try:
            if not self.built:
                self.build(input_shape)
                self.built = True
            outputs = self.call(inputs if _is_shape_list(input_shape) else inputs[0])
        finally:
            self._inbound_nodes, self._updates, self._losses = was
        if isinstance(outputs, (list, tuple)):
            return [tuple(x.shape) for x in outputs]
        return tuple(outputs.shape)

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        """The mask of the output; by default the input's, if the layer supports masks.

        Raises:
            TypeError: the layer got a mask but does not support masks.
        """
        if not self.supports_masking:
            if any(item is not None for item in _as_list(mask)):
                raise TypeError(f"layer {self.name!r} ({type(self).__name__}) does not support masks but got one")
            return None
        return mask

    def get_config(self) -> dict[str, Any]:
        """The arguments from which ``from_config`` makes the same layer again (without its weights)."""
        config_: dict[str, Any] = {"name": self.name, "trainable": self.trainable}
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

    # -- weights

    def add_weight(
        self,
        name: Any = None,
        shape: Any = None,
        dtype: str | None = None,
        initializer: Any = None,
        regularizer: Any = None,
        trainable: bool | None = True,
        constraint: Any = None,
        **kwargs: Any,
    ) -> Variable:
        """A new weight.

        Args:
            name: its name inside the layer. (Keras 3's order, shape first, is understood too.)
            shape: its shape; default a scalar.
            dtype: element type, default the layer's.
            initializer: name or function; default ``glorot_uniform`` for floating point numbers, else zeros.
            regularizer, constraint: see the modules of those names.
            trainable: whether optimizers change it.

        Raises:
            TypeError: an unknown argument.
        """
        from kcompile import constraints, initializers, regularizers

        unknown = set(kwargs) - {"role", "getter", "synchronization", "aggregation", "use_resource", "autocast"}
        if unknown:
            raise TypeError(f"add_weight does not take {', '.join(sorted(unknown))}")
        if isinstance(name, (tuple, list)):
            name, shape = (shape if isinstance(shape, str) else None), name
        shape = tuple(() if shape is None else shape)
        if any(size is None for size in shape):
            raise ShapeError(f"layer {self.name!r}: weight {name!r} would have the unknown size in {shape}")
        dtype = dtype or (self.dtype if self.dtype.startswith("float") else config.floatx())
        if initializer is None:
            initializer = "glorot_uniform" if dtype.startswith("float") else "zeros"
        value = initializers.get(initializer)(shape, dtype=dtype)
        value = value.numpy() if isinstance(value, Tensor) else np.asarray(value)
        if value.shape != shape:
            raise ShapeError(
                f"layer {self.name!r}: the initializer of {name!r} made shape {value.shape}, not {shape}"
            )
        name = name or f"weight_{len(self._trainable_weights) + len(self._non_trainable_weights)}"
        role = kwargs.get("role", "weight" if trainable else "statistic")
        weight = Variable(
            value, dtype, f"{self.name}/{name}", role, constraints.get(constraint), bool(trainable)
        )
        regularizer = regularizers.get(regularizer)
        if regularizer is not None:
            self._regularized.append((weight, regularizer))
        (self._trainable_weights if trainable else self._non_trainable_weights).append(weight)
        return weight

    def __setattr__(self, name: str, value: Any) -> None:
        tracked = self.__dict__.get("_tracked")
        if tracked is not None and not name.startswith("_"):
            for item in value if isinstance(value, (list, tuple)) else [value]:
                if isinstance(item, Layer) and all(item is not old for old in tracked):
                    tracked.append(item)
                elif isinstance(item, Variable) and not isinstance(value, (list, tuple)):
                    known = (*self._trainable_weights, *self._non_trainable_weights)
                    if all(item is not old for old in known):
                        kind = self._trainable_weights if item.trainable else self._non_trainable_weights
                        kind.append(item)
        super().__setattr__(name, value)

    @property
    def sublayers(self) -> list[Layer]:
        """The layers that this one keeps as attributes."""
        return list(self._tracked)

    @property
    def trainable_weights(self) -> list[Variable]:
        if not self.trainable:
            return []
        return [*self._trainable_weights, *_unique(w for s in self.sublayers for w in s.trainable_weights)]

    @trainable_weights.setter
    def trainable_weights(self, weights: list[Variable]) -> None:
        self._trainable_weights = weights

    @property
    def non_trainable_weights(self) -> list[Variable]:
        if self.trainable:
            own = self._non_trainable_weights
            return [*own, *_unique(w for s in self.sublayers for w in s.non_trainable_weights)]
        inner = _unique(w for s in self.sublayers for w in s.weights)
        return [*self._trainable_weights, *self._non_trainable_weights, *inner]

    @non_trainable_weights.setter
    def non_trainable_weights(self, weights: list[Variable]) -> None:
        self._non_trainable_weights = weights

    @property
    def weights(self) -> list[Variable]:
        return [*self.trainable_weights, *self.non_trainable_weights]

    variables = weights

    @property
    def trainable_variables(self) -> list[Variable]:
        return self.trainable_weights

    @property
    def non_trainable_variables(self) -> list[Variable]:
        return self.non_trainable_weights

    def get_weights(self) -> list[Array]:
        """The values of all weights, trainable ones first."""
        return [w.numpy() for w in self.weights]

    def set_weights(self, weights: Sequence[Any]) -> None:
        """Replace the values of all weights; nothing is changed if one does not fit.

        Raises:
            ValueError: another number of arrays, or another shape.
        """
        params = self.weights
        if len(params) != len(weights):
            hint = "" if self.built else "; it has none before it is built, so call it on data (or a tensor) first"
            raise KCompileError(
                f"layer {self.name!r} has {len(params)} weights, got a list of {len(weights)} arrays{hint}"
            )
        assign_all(f"layer {self.name!r}", params, weights)

    def count_params(self) -> int:
        """The number of scalars in the weights.

        Raises:
            ValueError: the layer is not built.
        """
        if not self.built and not self.weights:
            raise KCompileError(
                f"layer {self.name!r} ({type(self).__name__}) is not built, so it has no weights to count; "
                "call it on a tensor, or give the first layer an input_shape"
            )
        return sum(int(np.prod(w.storage.shape, dtype=np.int64)) for w in self.weights)

    # -- losses, updates, metrics

    def add_loss(self, losses: Any, inputs: Any = None) -> None:
        """Add scalar (or per-sample) tensors to the loss of every model that contains this layer."""
        for loss in _as_list(losses):
            self._losses.append((as_tensor(loss() if callable(loss) else loss), inputs))

    def add_update(self, updates: Any, inputs: Any = None) -> None:
        """Add pairs ``(variable, new value)`` to be applied by each training step."""
        pairs = updates if isinstance(updates, list) else [updates]
        self._updates.extend((pair, inputs) for pair in pairs)

    def add_metric(self, value: Any, name: str | None = None, aggregation: str | None = "mean") -> None:
        """Show the mean of ``value`` among the metrics of every model that contains this layer."""
        self._metrics.append((name or f"{self.name}_metric", as_tensor(value), aggregation or "mean"))

    @property
    def losses(self) -> list[Tensor]:
        """Regularization and added losses, of this layer and of those that it contains."""
        own = [regularizer(w) for w, regularizer in self._regularized if self.trainable]
        own += [loss for loss, _ in self._losses]
        return own + [loss for s in self.sublayers for loss in s.losses]

    @property
    def updates(self) -> list[Any]:
        """Updates of training steps; none if the layer is not trainable and not stateful."""
        if not self.trainable and not self.stateful:
            return []
        return [pair for pair, _ in self._updates] + [u for s in self.sublayers for u in s.updates]

    def get_losses_for(self, inputs: Any) -> list[Tensor]:
        """Added losses that belong to ``inputs``; with ``None`` those that depend on no input."""
        wanted = {id(x) for x in _as_list(inputs)}
        if inputs is None:
            return [r(w) for w, r in self._regularized] + [loss for loss, x in self._losses if x is None]
        return [loss for loss, x in self._losses if any(id(item) in wanted for item in _as_list(x))]

    def get_updates_for(self, inputs: Any) -> list[Any]:
        """Updates that belong to ``inputs``; with ``None`` those that depend on no input."""
        wanted = {id(x) for x in _as_list(inputs)}
        if inputs is None:
            return [pair for pair, x in self._updates if x is None]
        return [pair for pair, x in self._updates if any(id(item) in wanted for item in _as_list(x))]

    # -- calling

    def __call__(self, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        """Call the layer on a tensor, a list of tensors, or arrays (which are computed at once).

        Raises:
            ValueError: the inputs do not fit what the layer expects.
        """
        # 1. Arguments: positional ones by name; masks and the training flag where `call` takes them.
        names = _call_arguments(type(self))
        for name, value in zip(names[1:], args, strict=False):
            kwargs[name] = value
        nested = isinstance(inputs, (list, tuple))
        items = list(inputs) if nested else [inputs]
        eager = not any(isinstance(x, Tensor) for x in items)
        tensors = [self._input_tensor(x) for x in items]
        arranged = tensors if nested else tensors[0]
        with ir.scope(self.name):
            # 2. Check what is known before building.
            self._check(tensors)
            # 3. Weights.
            if not self.built:
                self._build([tuple(x.shape) for x in tensors], nested)
                self._check(tensors)
            # 4. Masks travel with tensors.
            masks = [x._keras_mask for x in tensors]
            given = dict(kwargs)
            if "mask" in names and kwargs.get("mask") is None and any(m is not None for m in masks):
                kwargs["mask"] = masks if nested else masks[0]
            # 5. The call, recorded or traced in both phases.
            added = len(self._losses), len(self._updates)
            try:
                outputs = self._traced_call(arranged, names, kwargs)
            except ir.IRError as error:
                shapes = ", ".join(str(tuple(x.shape)) for x in tensors)
                kind = f"layer {self.name!r} ({type(self).__name__})"
                raise ShapeError(f"{kind} cannot be applied to an input of shape {shapes}: {error}") from error
            made = [self._output_tensor(x) for x in (outputs if isinstance(outputs, (list, tuple)) else [outputs])]
            # A tensor that passes through gets a handle of its own: history belongs to the handle.
            results = [Tensor(y.value) if any(y is x for x in tensors) or y._keras_history else y for y in made]
            # 6. Masks of the outputs, activity regularization.
            output_masks = self._masks(arranged, masks if nested else masks[0], made)
            self._regularize_activity(results)
            self._mark_inputs(added, arranged)
        if eager:
            # Losses and updates of a computation that is over belong to no model.
            del self._losses[added[0] :], self._updates[added[1] :]
            arrays = [y.numpy() for y in results]
            return arrays if isinstance(outputs, (list, tuple)) else arrays[0]
        # 7. History.
        for y, m in zip(results, output_masks, strict=True):
            y._keras_mask = m
        node_index = len(self._inbound_nodes)
        Node(self, tensors, results, masks, output_masks, given, nested)
        for i, y in enumerate(results):
            y._keras_history = (self, node_index, i)
            remember(y)
        if isinstance(outputs, (list, tuple)):
            return results
        return results[0]

    def _input_tensor(self, x: Any) -> Tensor:
        if isinstance(x, Layer):
            raise DataTypeError(f"layer {self.name!r} was called on layer {x.name!r}; call it on that layer's output")
        if x is None or isinstance(x, (str, bytes, dict)):
            raise DataTypeError(f"layer {self.name!r} is called on tensors or arrays, got {shown(x)}")
        if not isinstance(x, Tensor):
            return as_tensor(x)
        if x._keras_history is None and not isinstance(x, Variable):
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
        specs = _as_list(self.input_spec)
        if not specs:
            return
        if len(specs) != len(tensors):
            raise ShapeError(f"layer {self.name!r} takes {len(specs)} inputs, got {len(tensors)}")
        for i, (spec, x) in enumerate(zip(specs, tensors, strict=True)):
            if isinstance(spec, InputSpec):
                spec.check(x, self, i, len(tensors))

    def _build(self, shapes: list[Shape], nested: bool) -> None:
        self.build(shapes if nested else shapes[0])
        self.built = True
        if self._initial_weights is not None:
            self.set_weights(self._initial_weights)
            self._initial_weights = None

    def _traced_call(self, inputs: Any, names: Sequence[str], kwargs: dict[str, Any]) -> Any:
        """``call``, where a user's Python branch on ``training`` is followed both ways.

        The layers of this package hand ``training=None`` on to ``K.in_train_phase``. Others may write
        ``if training:``, so they are traced for True and for False, and the results joined by the learning phase.
        """
        ours = type(self).call.__module__.startswith("kcompile.")
        phase = learning_phase()
        if "training" not in names or kwargs.get("training") is not None or ours or not isinstance(phase, Tensor):
            if "training" in names and kwargs.get("training") is None and not ours:
                kwargs["training"] = bool(phase)
            return self.call(inputs, **kwargs)
        marks = len(self._losses), len(self._updates)
        kwargs["training"] = False
        quiet = self.call(inputs, **kwargs)
        quiet_losses = self._losses[marks[0] :]
        del self._losses[marks[0] :], self._updates[marks[1] :]
        kwargs["training"] = True
        trained = self.call(inputs, **kwargs)
        for i, ((loss, x), (other, _)) in enumerate(zip(self._losses[marks[0] :], quiet_losses, strict=False)):
            self._losses[marks[0] + i] = (_join(phase, loss, other), x)
        if isinstance(trained, (list, tuple)):
            return [_join(phase, a, b) for a, b in zip(trained, quiet, strict=True)]
        return _join(phase, trained, quiet)

    def _masks(self, inputs: Any, masks: Any, outputs: Sequence[Tensor]) -> list[Tensor | None]:
        computed = self.compute_mask(inputs, masks)
        result = computed if isinstance(computed, (list, tuple)) else [computed] * len(outputs)
        if len(result) != len(outputs):
            result = [result[0] if result else None] * len(outputs)
        return list(result)

    def _regularize_activity(self, outputs: Sequence[Tensor]) -> None:
        regularizer = getattr(self, "activity_regularizer", None)
        if regularizer is not None:
            for y in outputs:
                self._losses.append((as_tensor(regularizer(y)), None))

    def _mark_inputs(self, marks: tuple[int, int], inputs: Any) -> None:
        """Losses and updates of this call belong to its inputs unless they say otherwise."""
        for items, mark in ((self._losses, marks[0]), (self._updates, marks[1])):
            for i in range(mark, len(items)):
                if items[i][1] is None:
                    items[i] = (items[i][0], inputs)

    # -- where it stands in the graph

    @property
    def inbound_nodes(self) -> list[Node]:
        return self._inbound_nodes

    @property
    def outbound_nodes(self) -> list[Node]:
        return self._outbound_nodes

    def _node(self, index: int, what: str) -> Node:
        if not self._inbound_nodes:
            raise AttributeError(f"layer {self.name!r} was never called, so it has no {what}")
        if index >= len(self._inbound_nodes):
            raise KCompileError(
                f"layer {self.name!r} was called {len(self._inbound_nodes)} times; there is no {what} at {index}"
            )
        return self._inbound_nodes[index]

    def _only(self, what: str, at: str) -> Node:
        node = self._node(0, what)
        if len(self._inbound_nodes) > 1:
            raise AttributeError(
                f"layer {self.name!r} was called {len(self._inbound_nodes)} times, so its {what} is ambiguous; "
                f"use {at}(node_index)"
            )
        return node

    def get_input_at(self, node_index: int) -> Any:
        return _one_or_list(self._node(node_index, "input").input_tensors)

    def get_output_at(self, node_index: int) -> Any:
        return _one_or_list(self._node(node_index, "output").output_tensors)

    def get_input_mask_at(self, node_index: int) -> Any:
        return _one_or_list(self._node(node_index, "input mask").input_masks)

    def get_output_mask_at(self, node_index: int) -> Any:
        return _one_or_list(self._node(node_index, "output mask").output_masks)

    def get_input_shape_at(self, node_index: int) -> Any:
        return _one_or_list(self._node(node_index, "input shape").input_shapes)

    def get_output_shape_at(self, node_index: int) -> Any:
        return _one_or_list(self._node(node_index, "output shape").output_shapes)

    @property
    def input(self) -> Any:
        return _one_or_list(self._only("input", "get_input_at").input_tensors)

    @property
    def output(self) -> Any:
        return _one_or_list(self._only("output", "get_output_at").output_tensors)

    @property
    def input_mask(self) -> Any:
        return _one_or_list(self._only("input mask", "get_input_mask_at").input_masks)

    @property
    def output_mask(self) -> Any:
        return _one_or_list(self._only("output mask", "get_output_mask_at").output_masks)

    @property
    def input_shape(self) -> Any:
        return self._shared_shape("input_shapes", "input shape", "get_input_shape_at")

    @property
    def output_shape(self) -> Any:
        return self._shared_shape("output_shapes", "output shape", "get_output_shape_at")

    def _shared_shape(self, attribute: str, what: str, at: str) -> Any:
        self._node(0, what)
        shapes = {str(getattr(n, attribute)): getattr(n, attribute) for n in self._inbound_nodes}
        if len(shapes) > 1:
            raise AttributeError(f"layer {self.name!r} has several {what}s, {list(shapes)}; use {at}(node_index)")
        return _one_or_list(next(iter(shapes.values())))

    def __getattr__(self, name: str) -> Any:
        own = self.__dict__
        if name.startswith("__") or "built" not in own:
            raise AttributeError(name)
        if hasattr(type(self), name):
            return object.__getattribute__(self, name)  # a property that raised: its own message is the better one
        message = f"layer {own['name']!r} ({type(self).__name__}) has no attribute {name!r}"
        if not own["built"]:
            message += "; it is not built yet: call it on a tensor, or give the first layer an input_shape"
        raise AttributeError(message, name=name, obj=self)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r}{'' if self.built else ', not built'}>"


# ---- helpers


def assign_all(owner: str, params: Sequence[Variable], values: Sequence[Any]) -> None:
    """Assign one value to each variable, or raise before any is changed.

    Raises:
        ValueError: shapes that differ, all of them named; values that are no numbers.
    """
    arrays = [np.asarray(value) for value in values]
    wrong = [
        f"{p.label} is {p.storage.shape}, got {a.shape}"
        for p, a in zip(params, arrays, strict=True)
        if p.storage.shape != a.shape
    ]
    if wrong:
        raise ShapeError(f"weights of {owner} do not fit: {'; '.join(wrong)}")
    wrong = [f"{p.label} got {a.dtype}" for p, a in zip(params, arrays, strict=True) if a.dtype.kind not in "biuf"]
    if wrong:
        raise DataTypeError(f"weights of {owner} must be numbers: {'; '.join(wrong)}")
    for p, a in zip(params, arrays, strict=True):
        p.assign(a)


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


def _join(phase: Tensor, trained: Any, quiet: Any) -> Tensor:
    a, b = as_tensor(trained), as_tensor(quiet)
    return a if a.value is b.value else switch(phase, a, b)


def _as_list(x: Any) -> list[Any]:
    if x is None:
        return []
    return list(x) if isinstance(x, (list, tuple)) else [x]


def _one_or_list(items: Sequence[Any]) -> Any:
    return items[0] if len(items) == 1 else list(items)


def _unique(weights: Iterable[Variable]) -> list[Variable]:
    return list(dict.fromkeys(weights))


def _is_shape_list(shape: Any) -> bool:
    return isinstance(shape, (list, tuple)) and bool(shape) and isinstance(shape[0], (list, tuple))


CallArguments = Mapping[str, Any]
LayerFunction = Callable[..., Any]
