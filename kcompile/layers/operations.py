"""Operations between layers (``2 * x``, ``x[:, 0]``, ``tf.concat``), as layers that files of tf.keras and Keras 3 hold.

Which there are, and what each version calls them, stands in :mod:`kcompile.objects.dialects.operations`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from kcompile import activations
from kcompile import backend as K
from kcompile.common.errors import KCompileError, ShapeError, listed
from kcompile.common.tracebacks import short_traceback
from kcompile.engine.layer import Layer
from kcompile.engine.layer_base import Node
from kcompile.layers.base.types import Ints, Masks
from kcompile.objects.dialects.operations import as_entry, find_operation, says_nothing
from kcompile.symbolic.tensor import Tensor, TensorLike, as_tensor

# ---- what they do


def _reduced(function: Callable[..., Any]) -> Callable[..., Any]:
    def reduce(x: TensorLike, axis: Ints | None, keepdims: bool) -> Any:
        return function(x, axis=tuple(axis) if isinstance(axis, (list, tuple)) else axis, keepdims=bool(keepdims))

    return reduce


def _matmul(x: TensorLike, y: TensorLike, transpose_a: bool = False, transpose_b: bool = False) -> Any:
    x, y = as_tensor(x), as_tensor(y)
    x, y = _swapped(x) if transpose_a else x, _swapped(y) if transpose_b else y
    if x.ndim == y.ndim == 3:
        return K.batch_dot(x, y, (2, 1))
    if y.ndim == 2 and x.ndim >= 2:
        return K.dot(x, y)
    raise ShapeError(f"matmul of shapes {tuple(x.shape)} and {tuple(y.shape)} in a file is not supported")


def _swapped(x: Tensor) -> Tensor:
    return K.permute_dimensions(x, (*range(x.ndim - 2), x.ndim - 1, x.ndim - 2))


def _reshaped(x: Tensor, shape: Sequence[int | None]) -> Any:
    sizes: list[Any] = [-1 if size is None else int(size) for size in shape]
    known = [size for size in x.shape[1:] if size is not None]
    whole = len(known) == len(x.shape[1:])
    if len(sizes) > 1 and sizes[0] == -1 and whole and math.prod(known) == math.prod(sizes[1:]):
        sizes = [K.shape(x)[0], *sizes[1:]]  # the batch stays the batch
    return K.reshape(x, sizes)


def _where(condition: TensorLike, x: TensorLike, y: TensorLike) -> Any:
    return K.switch(condition, as_tensor(x), as_tensor(y))


def _normalized(x: TensorLike, axis: int | None) -> Any:
    return K.l2_normalize(x, axis=axis)


def _softmax(x: TensorLike, axis: int | None) -> Any:
    return K.softmax(x, axis=-1 if axis is None else axis)


def _relu(
    x: TensorLike, alpha: float | None = None, max_value: float | None = None, threshold: float | None = None
) -> Any:
    return K.relu(x, alpha=alpha or 0.0, max_value=max_value, threshold=threshold or 0.0)


def _transposed(x: Tensor, perm: Sequence[int] | None) -> Any:
    return K.permute_dimensions(x, perm if perm is not None else tuple(reversed(range(x.ndim))))


def _item(x: Tensor, spec: Any) -> Any:
    return x[_indices(spec)]


def _indices(spec: Any) -> Any:
    """What stands in brackets; tf.keras writes slices as dicts."""
    if isinstance(spec, (list, tuple)):
        return tuple(_indices(each) for each in spec)
    return slice(spec.get("start"), spec.get("stop"), spec.get("step")) if isinstance(spec, Mapping) else spec


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "math.add": lambda x, y: x + y,
    "math.subtract": lambda x, y: x - y,
    "math.multiply": lambda x, y: x * y,
    "math.truediv": lambda x, y: x / y,
    "math.divide": lambda x, y: x / y,
    "math.pow": K.pow,
    "math.maximum": K.maximum,
    "math.minimum": K.minimum,
    "math.greater": K.greater,
    "math.greater_equal": K.greater_equal,
    "math.less": K.less,
    "math.less_equal": K.less_equal,
    "math.equal": K.equal,
    "math.not_equal": K.not_equal,
    "linalg.matmul": _matmul,
    "math.negative": lambda x: -x,
    "math.abs": K.abs,
    "math.square": K.square,
    "math.sqrt": K.sqrt,
    "math.exp": K.exp,
    "math.log": K.log,
    "math.sin": K.sin,
    "math.cos": K.cos,
    "math.tanh": K.tanh,
    "math.sign": K.sign,
    "math.sigmoid": K.sigmoid,
    "nn.relu": _relu,
    "nn.relu6": activations.relu6,
    "nn.elu": K.elu,
    "nn.selu": activations.selu,
    "nn.silu": activations.swish,
    "nn.softplus": K.softplus,
    "nn.gelu": activations.gelu,
    "nn.leaky_relu": _relu,
    "nn.softmax": _softmax,
    "math.l2_normalize": _normalized,
    "math.reduce_sum": _reduced(K.sum),
    "math.reduce_mean": _reduced(K.mean),
    "math.reduce_max": _reduced(K.max),
    "math.reduce_min": _reduced(K.min),
    "math.reduce_prod": _reduced(K.prod),
    "clip_by_value": K.clip,
    "cast": K.cast,
    "where": _where,
    "concat": lambda x, axis: K.concatenate(x, axis=axis),
    "stack": lambda x, axis: K.stack(x, axis=axis or 0),
    "reshape": _reshaped,
    "transpose": _transposed,
    "expand_dims": K.expand_dims,
    "squeeze": K.squeeze,
    "tile": K.tile,
    "__operators__.getitem": _item,
}
"""What each operation computes, of all its arguments in order."""


class TFOpLambda(Layer):
    """An operation of the table as a layer: ``layer(x, y=2.0)``.

    Args:
        function: its name in TensorFlow: ``math.multiply``.

    Raises:
        ValueError: it is not in the table; on a call, arguments that it does not have.
    """

    def __init__(self, function: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.operation = find_operation(function)
        self.built = True

    @short_traceback
    def __call__(self, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        """The result; ``inputs`` is the first argument that is a tensor, the others are given by name."""
        first = self.operation.parameters[0]
        if "slice_spec" in kwargs:
            kwargs["slice_spec"] = _indices(kwargs["slice_spec"])
        kwargs.update(zip(self.operation.parameters[1:], args, strict=False))
        tensors = inputs if isinstance(inputs, (list, tuple)) else [inputs]
        if not any(isinstance(x, Tensor) for x in tensors) and first not in kwargs:
            name = next((key for key, value in kwargs.items() if isinstance(value, Tensor)), None)
            if name is not None:  # a constant comes first: 2 * x
                kwargs[first], inputs = inputs, kwargs.pop(name)
        return super().__call__(inputs, **{k: v for k, v in kwargs.items() if not says_nothing(k, v)})

    def call(self, inputs: Any, **arguments: Any) -> Any:
        free = [name for name in self.operation.parameters if name not in arguments]
        unknown = [name for name in arguments if name not in self.operation.parameters]
        if unknown or not free:
            takes = listed(self.operation.parameters)
            got = listed(unknown or arguments)
            raise KCompileError(f"layer {self.name!r}: operation {self.operation.name!r} takes {takes}, got {got}")
        return FUNCTIONS[self.operation.name](*self.operation.operands({**arguments, free[0]: inputs}))

    def compute_mask(self, inputs: Any, mask: Masks = None) -> None:
        return None

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "function": self.operation.name}

    # -- calls in files

    def written_call(self, node: Node, place: Callable[[Any], Any]) -> list[Any]:
        return as_entry(*self.operands(node, place))

    def operands(self, node: Node, place: Callable[[Any], Any]) -> tuple[Any, dict[str, Any]]:
        """The first argument and the others by name, as TensorFlow's function has them.

        Args:
            node: the call. place: writes a tensor or constant.
        """
        inputs = [place(x) for x in node.input_tensors] if node.nested else place(node.input_tensors[0])
        first, *rest = self.operation.parameters
        if first not in node.arguments:
            return inputs, {name: place(value) for name, value in node.arguments.items()}
        options = {name: place(value) for name, value in node.arguments.items() if name != first}
        name = next(name for name in rest if name not in options)
        return place(node.arguments[first]), {name: inputs, **options}


class SlicingOpLambda(TFOpLambda):
    """``x[...]``: the operation ``__operators__.getitem``."""
