"""The base class of layers."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from kcompile import regularizers
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
from kcompile.common.nest import flatten
from kcompile.common.tracebacks import short_traceback
from kcompile.engine import advice, tracking
from kcompile.engine.layer_base import Notes
from kcompile.engine.layer_calls import LayerCalls
from kcompile.engine.layer_pickling import Picklable
from kcompile.engine.layer_position import LayerPosition
from kcompile.engine.op_programs import Program, program_of, read_program
from kcompile.engine.summary import print_summary
from kcompile.objects.dialects import conventions
from kcompile.objects.refused_hooks import refuse_hooks
from kcompile.objects.registry import is_ours
from kcompile.symbolic.history import made_by_layer
from kcompile.symbolic.tensor import Tensor
from kcompile.symbolic.variable import Variable

Shape = tuple[int | None, ...]


class Layer(Picklable, LayerCalls, LayerPosition):
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

    _allowed: tuple[str, ...] = (
        "name", "trainable", "dtype", "input_shape", "batch_input_shape", "batch_shape", "batch_size", "weights",
        "input_dtype", "activity_regularizer",
    )  # fmt: skip

    _hook_kinds: tuple[str, ...] = ("Layer",)

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        """Notes the arguments of a class that defines no ``get_config``: they are its configuration, as in Keras 3."""
        layer = super().__new__(cls)
        for kind in cls._hook_kinds:
            refuse_hooks(cls, kind)
        if cls.get_config is Layer.get_config and not is_ours(cls):
            vars(layer)["_given"] = args, kwargs
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
        self._told_already: list[str] = []
        self.keras_convention: conventions.Convention | None = None
        self.name = name or default_name(type(self))
        owner = type(self).__name__
        self.trainable = check_flag(owner, "trainable", kwargs.get("trainable", True))
        self.built = False
        self.stateful = False
        self.supports_masking = False
        self.input_spec: Any = None
        self.dtype = str(check_dtype(owner, _dtype_name(kwargs.get("dtype") or kwargs.get("input_dtype"))))
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

    def get_config(self) -> dict[str, Any]:
        """The arguments from which ``from_config`` makes the same layer again (without its weights)."""
        config_: dict[str, Any] = {**self._own_arguments(), "name": self.name, "trainable": self.trainable}
        if self.batch_input_shape is not None:
            config_["batch_input_shape"] = self.batch_input_shape
        config_["dtype"] = self.dtype
        return config_

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        """A new layer from :meth:`get_config`."""
        return cls(**config)

    def clone_of_layer(self) -> Any:
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

    def items_it_keeps(self) -> list[Any]:
        """What this layer keeps as attributes: layers, metrics, and containers of these and of variables."""
        return tracking.attributes_of(self)

    @property
    def layers_inside(self) -> list[Layer]:
        """The layers that this one keeps as attributes, also in lists and dictionaries."""
        return tracking.layers_among(self.items_it_keeps(), self.counts_as_metric)

    def fed_metrics(self) -> list[Any]:
        """The metrics that this layer keeps as attributes, and those that it feeds in steps of a user's own."""
        kept = tracking.layers_among(self.items_it_keeps(), True)
        return [*(item for item in kept if item.counts_as_metric), *self._step_metrics]

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

    def _own_arguments(self) -> dict[str, Any]:
        """What a layer without a ``get_config`` of its own was made with; nothing if that holds layers or tensors.

        A copy with the same inner layers would share their weights.
        """
        if type(self).get_config is not Layer.get_config or "_given" not in vars(self):
            return {}
        args, kwargs = self._given
        initialize: Callable[..., None] = type(self).__init__
        bound = inspect.signature(initialize).bind(self, *args, **kwargs)
        found = dict(list(bound.arguments.items())[1:])
        kinds = {parameter.kind: name for name, parameter in bound.signature.parameters.items()}
        found.update(found.pop(kinds.get(inspect.Parameter.VAR_KEYWORD, ""), {}))
        found = {key: value for key, value in found.items() if key not in Layer._allowed[:-1]}
        of_this_layer = any(isinstance(leaf, (Layer, Tensor)) for value in found.values() for leaf in flatten(value))
        return {} if of_this_layer or inspect.Parameter.VAR_POSITIONAL in kinds else found

    def __repr__(self) -> str:
        if "_call_notes" not in vars(self):
            return f"<{type(self).__name__}, not initialized>"
        return f"<{type(self).__name__} {self.name!r}{'' if self.built else ', not built'}>"

    def _as_layers_output(self, x: Tensor) -> Tensor:
        return wrap_operations(x)


# ---- operations outside of layers


class OpLayer(Layer):
    """Replays IR operations on other inputs.

    It is made where a tensor that K functions or operators computed enters a layer or ends a model, so that such
    models work without ``Lambda``. Its configuration holds the operations in the text form of the IR, which is no code:
    it names ops and nothing else. Other packages cannot read it.
    """

    def __init__(self, program: Program, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._program = program
        self.built = True

    def call(self, inputs: Any) -> Tensor:
        tensors = inputs if isinstance(inputs, (list, tuple)) else [inputs]
        if len(tensors) != len(self._program.sources):
            raise ShapeError(f"layer {self.name!r} takes {len(self._program.sources)} inputs, got {len(tensors)}")
        return self._program.applied(tensors)

    def clone_of_layer(self) -> OpLayer:
        return OpLayer(self._program, name=self.name)

    def compute_mask(self, inputs: Any, mask: Any = None) -> None:
        return None

    def get_config(self) -> dict[str, Any]:
        """Its arguments; the program as :meth:`~kcompile.engine.op_programs.Program.written`.

        Raises:
            ValueError: the operations use a variable, or very large constants.
        """
        owner = f"the model computes outside of layers (node {self.name!r})"
        return {**super().get_config(), **self._program.written(owner)}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> OpLayer:
        """The layer of a configuration.

        Raises:
            ValueError: the program is none.
        """
        program = read_program(config, f"layer {config.get('name')!r} (OpLayer)")
        return cls(program, **{k: v for k, v in config.items() if k not in ("program", "constants", "logits")})


def wrap_operations(x: Tensor) -> Tensor:
    """``x`` as the output of an :class:`OpLayer` over the layer outputs that it depends on.

    A tensor that depends on none (a constant) is returned as it is.
    """
    known = made_by_layer(x.value)
    if known is not None:
        return known
    sources, program = program_of(x)
    if not sources:
        return x
    wrapped: Tensor = OpLayer(program)(sources if len(sources) > 1 else sources[0])
    return wrapped


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


def _arguments(cls: type) -> list[str]:
    found = []
    for base in cls.__mro__:
        initialize = vars(base).get("__init__")
        if initialize is not None and base is not object:
            found += [n for n, p in inspect.signature(initialize).parameters.items() if p.kind != p.VAR_KEYWORD]
    return [n for n in found if n != "self"]
