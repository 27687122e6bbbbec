"""Lambda: a Python function as a layer."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from kcompile import backend as K
from kcompile.common.errors import DataTypeError, unknown_name
from kcompile.engine.layer import Layer
from kcompile.engine.replay import kept
from kcompile.layers.base.types import Phase
from kcompile.objects.custom import in_force
from kcompile.objects.making import FunctionName, function_name

__all__ = ["Lambda"]


class Lambda(Layer):
    """Applies a function of tensors, written with operators and ``K`` functions. It has no weights.

    Args:
        function: ``function(inputs, **arguments)``; it may also take ``mask`` and ``training``.
        output_shape: shape of a sample of the output, or a function from the input shape to the output shape. It
            counts where the sizes that ``function`` makes are not known before it runs; else they must agree.
        mask: the output's mask, or a function ``mask(inputs, mask)`` that computes it; default: none.
        arguments: more arguments of the function, by name.

    Raises:
        TypeError: ``function`` cannot be called.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        output_shape: Any = None,
        mask: Any = None,
        arguments: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if not callable(function):
            raise DataTypeError(f"Lambda: function must be callable, got {function!r}")
        if output_shape is not None and not callable(output_shape) and not isinstance(output_shape, (list, tuple)):
            raise DataTypeError(f"Lambda: output_shape must be a tuple or a function, got {output_shape!r}")
        self.function = function
        self.arguments = dict(arguments or {})
        self.mask = mask
        self.supports_masking = mask is not None
        self._output_shape = output_shape

    def call(self, inputs: Any, mask: Any = None, training: Phase = None) -> Any:
        arguments = dict(self.arguments)
        takes = _parameters(self.function)
        if "mask" in takes:
            arguments["mask"] = mask
        if "training" not in takes:
            return kept(inputs, self.function(inputs, **arguments), {"mask": mask, "training": training})
        phase = K.learning_phase() if training is None else training
        if not K.is_tensor(phase):
            return self.function(inputs, training=bool(phase), **arguments)
        # The function may branch on ``training`` in Python, so it is followed both ways.
        return K.in_train_phase(
            lambda: self.function(inputs, training=True, **arguments),
            lambda: self.function(inputs, training=False, **arguments),
            training=phase,
        )

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        return self.mask(inputs, mask) if callable(self.mask) else self.mask

    def _declares_shape(self) -> bool:
        return self._output_shape is not None

    def compute_output_shape(self, input_shape: Any) -> Any:
        if self._output_shape is None:
            return super().compute_output_shape(input_shape)
        if callable(self._output_shape):
            found = self._output_shape(input_shape)
            if not isinstance(found, (list, tuple)):
                raise DataTypeError(
                    f"layer {self.name!r} (Lambda): output_shape({input_shape}) must return a tuple, got {found!r}"
                )
            return tuple(found)
        first = input_shape[0]
        batch = first[0] if isinstance(first, Sequence) else first
        if self._output_shape and all(isinstance(shape, (list, tuple)) for shape in self._output_shape):
            return [(batch, *shape) for shape in self._output_shape]
        return (batch, *self._output_shape)

    def get_config(self) -> dict[str, Any]:
        """Named functions are given by name, to be found among custom objects; lambdas as the functions themselves."""
        function, function_type = _described(self.function)
        output_shape, output_shape_type = (
            _described(self._output_shape) if callable(self._output_shape) else (self._output_shape, "raw")
        )
        return {
            **super().get_config(),
            "function": function,
            "function_type": function_type,
            "module": getattr(self.function, "__module__", None),
            "output_shape": output_shape,
            "output_shape_type": output_shape_type,
            "output_shape_module": getattr(self._output_shape, "__module__", None),
            "arguments": self.arguments,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Mapping[str, Any] | None = None) -> Lambda:
        """A new layer; functions given by name are looked up among the custom objects.

        Raises:
            ValueError: a function is not among them.
            TypeError: a function is stored as bytecode, which is never run.
        """
        known = in_force(custom_objects)
        arguments = dict(config)
        for key in ("function", "output_shape"):
            kind = arguments.pop(f"{key}_type", "raw")
            if kind != "raw":
                arguments[key] = _found(arguments[key], known, config.get("name"))
        for key in ("module", "output_shape_module"):
            arguments.pop(key, None)
        return cls(**arguments)

    def clone_of_layer(self) -> Lambda:
        config = super().get_config()
        return Lambda(self.function, self._output_shape, self.mask, self.arguments, **config)


def _parameters(function: Callable[..., Any]) -> tuple[str, ...]:
    try:
        return tuple(inspect.signature(function).parameters)
    except (TypeError, ValueError):  # some built-in functions have no signature
        return ()


def _described(function: Callable[..., Any]) -> tuple[Any, str]:
    name = getattr(function, "__name__", None)
    return (function, "lambda") if name in (None, "<lambda>") else (function_name(function), "function")


def _found(function: Any, known: Mapping[str, Any], layer: Any) -> Any:
    if callable(function):
        return function
    if isinstance(function, FunctionName) and function not in known and function.function is not None:
        return function.function
    if isinstance(function, str):
        if function not in known:
            raise unknown_name(f"function of Lambda layer {layer!r}:", function, known)
        return known[function]
    raise DataTypeError(
        f"Lambda layer {layer!r} is stored as Python bytecode, which kcompile does not run; define the function "
        "and pass it by name in custom_objects"
    )
