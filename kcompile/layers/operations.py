"""Operations between layers (``2 * x``, ``x[:, 0]``, ``tf.concat``) as files of tf.keras and Keras 3 hold them.

tf.keras writes a layer ``TFOpLambda`` with the name of a function of TensorFlow, Keras 3 an object with the name of an
operation of its own. The table below says which of them mean the same, and what they do here. A name that is not in it
is not known: nothing is looked up in any library.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from kcompile import activations
from kcompile import backend as K
from kcompile.common.errors import KCompileError, ShapeError, listed, unknown_name
from kcompile.common.tracebacks import short_traceback
from kcompile.engine.layer import Layer
from kcompile.symbolic.tensor import Tensor, as_tensor


@dataclass(frozen=True)
class Operation:
    """One operation.

    Attributes:
        name: its function in TensorFlow. parameters: the names of that function's arguments.
        keras_3: module and class in Keras 3. keras_3_parameters: its names of the same arguments.
        configured: those of them that stand in Keras 3's configuration, not in the call.
        function: what it computes.
    """

    name: str
    parameters: tuple[str, ...]
    keras_3: tuple[str, str]
    keras_3_parameters: tuple[str, ...]
    configured: frozenset[str]
    function: Callable[..., Any]

    def compute(self, arguments: Mapping[str, Any]) -> Any:
        """The result, of arguments by TensorFlow's names."""
        return self.function(*(arguments.get(name, _DEFAULTS.get(name)) for name in self.parameters))


_DEFAULTS = {"keepdims": False, "transpose_a": False, "transpose_b": False, "approximate": False, "alpha": 0.2}


def _operation(name: str, parameters: str, keras_3: str, names: str, function: Callable[..., Any]) -> Operation:
    marked = names.split()
    plain = tuple(each.rstrip("!") for each in marked)
    module, _, cls = keras_3.rpartition(".")
    configured = frozenset(each[:-1] for each in marked if each.endswith("!"))
    return Operation(name, tuple(parameters.split()), (module, cls), plain, configured, function)


# ---- what they do


def _reduced(function: Callable[..., Any]) -> Callable[..., Any]:
    def reduce(x: Any, axis: Any, keepdims: Any) -> Any:
        return function(x, axis=tuple(axis) if isinstance(axis, (list, tuple)) else axis, keepdims=bool(keepdims))

    return reduce


def _matmul(x: Any, y: Any, transpose_a: Any = False, transpose_b: Any = False) -> Any:
    x, y = as_tensor(x), as_tensor(y)
    x, y = _swapped(x) if transpose_a else x, _swapped(y) if transpose_b else y
    if x.ndim == y.ndim == 3:
        return K.batch_dot(x, y, (2, 1))
    if y.ndim == 2 and x.ndim >= 2:
        return K.dot(x, y)
    raise ShapeError(f"matmul of shapes {tuple(x.shape)} and {tuple(y.shape)} in a file is not supported")


def _swapped(x: Tensor) -> Tensor:
    return K.permute_dimensions(x, (*range(x.ndim - 2), x.ndim - 1, x.ndim - 2))


def _reshaped(x: Any, shape: Any) -> Any:
    sizes: list[Any] = [-1 if size is None else int(size) for size in shape]
    known = tuple(x.shape)
    if (
        len(sizes) > 1
        and sizes[0] == -1
        and None not in known[1:]
        and int(np.prod(known[1:])) == int(np.prod(sizes[1:]))
    ):
        sizes = [K.shape(x)[0], *sizes[1:]]  # the batch stays the batch
    return K.reshape(x, sizes)


def _where(condition: Any, x: Any, y: Any) -> Any:
    return K.switch(condition, as_tensor(x), as_tensor(y))


def _normalized(x: Any, axis: Any) -> Any:
    return K.l2_normalize(x, axis=axis)


def _softmax(x: Any, axis: Any) -> Any:
    return K.softmax(x, axis=-1 if axis is None else axis)


def _relu(x: Any, alpha: Any = None, max_value: Any = None, threshold: Any = None) -> Any:
    return K.relu(x, alpha=alpha or 0.0, max_value=max_value, threshold=threshold or 0.0)


def _transposed(x: Any, perm: Any) -> Any:
    return K.permute_dimensions(x, perm if perm is not None else tuple(reversed(range(x.ndim))))


def _item(x: Any, spec: Any) -> Any:
    return x[_indices(spec)]


def _indices(spec: Any) -> Any:
    """What stands in brackets; tf.keras writes slices as dicts."""
    if isinstance(spec, (list, tuple)):
        return tuple(_indices(each) for each in spec)
    return slice(spec.get("start"), spec.get("stop"), spec.get("step")) if isinstance(spec, Mapping) else spec


_TABLE = (
    _operation("math.add", "x y", "numpy.Add", "x1 x2", lambda x, y: x + y),
    _operation("math.subtract", "x y", "numpy.Subtract", "x1 x2", lambda x, y: x - y),
    _operation("math.multiply", "x y", "numpy.Multiply", "x1 x2", lambda x, y: x * y),
    _operation("math.truediv", "x y", "numpy.TrueDivide", "x1 x2", lambda x, y: x / y),
    _operation("math.divide", "x y", "numpy.Divide", "x1 x2", lambda x, y: x / y),
    _operation("math.pow", "x y", "numpy.Power", "x1 x2", K.pow),
    _operation("math.maximum", "x y", "numpy.Maximum", "x1 x2", K.maximum),
    _operation("math.minimum", "x y", "numpy.Minimum", "x1 x2", K.minimum),
    _operation("math.greater", "x y", "numpy.Greater", "x1 x2", K.greater),
    _operation("math.greater_equal", "x y", "numpy.GreaterEqual", "x1 x2", K.greater_equal),
    _operation("math.less", "x y", "numpy.Less", "x1 x2", K.less),
    _operation("math.less_equal", "x y", "numpy.LessEqual", "x1 x2", K.less_equal),
    _operation("math.equal", "x y", "numpy.Equal", "x1 x2", K.equal),
    _operation("math.not_equal", "x y", "numpy.NotEqual", "x1 x2", K.not_equal),
    _operation("linalg.matmul", "a b transpose_a transpose_b", "numpy.Matmul", "x1 x2", _matmul),
    _operation("math.negative", "x", "numpy.Negative", "x", lambda x: -x),
    _operation("math.abs", "x", "numpy.Absolute", "x", K.abs),
    _operation("math.square", "x", "numpy.Square", "x", K.square),
    _operation("math.sqrt", "x", "numpy.Sqrt", "x", K.sqrt),
    _operation("math.exp", "x", "numpy.Exp", "x", K.exp),
    _operation("math.log", "x", "numpy.Log", "x", K.log),
    _operation("math.sin", "x", "numpy.Sin", "x", K.sin),
    _operation("math.cos", "x", "numpy.Cos", "x", K.cos),
    _operation("math.tanh", "x", "numpy.Tanh", "x", K.tanh),
    _operation("math.sign", "x", "numpy.Sign", "x", K.sign),
    _operation("math.sigmoid", "x", "nn.Sigmoid", "x", K.sigmoid),
    _operation("nn.relu", "features", "nn.Relu", "x", _relu),
    _operation("nn.relu6", "features", "nn.Relu6", "x", activations.relu6),
    _operation("nn.elu", "features", "nn.Elu", "x", K.elu),
    _operation("nn.selu", "features", "nn.Selu", "x", activations.selu),
    _operation("nn.silu", "features", "nn.Silu", "x", activations.swish),
    _operation("nn.softplus", "features", "nn.Softplus", "x", K.softplus),
    _operation("nn.gelu", "features approximate", "nn.Gelu", "x approximate!", activations.gelu),
    _operation("nn.leaky_relu", "features alpha", "nn.LeakyRelu", "x negative_slope!", _relu),
    _operation("nn.softmax", "logits axis", "nn.Softmax", "x axis!", _softmax),
    _operation("math.l2_normalize", "x axis", "nn.Normalize", "x axis!", _normalized),
    _operation("math.reduce_sum", "input_tensor axis keepdims", "numpy.Sum", "x axis! keepdims!", _reduced(K.sum)),
    _operation("math.reduce_mean", "input_tensor axis keepdims", "numpy.Mean", "x axis! keepdims!", _reduced(K.mean)),
    _operation("math.reduce_max", "input_tensor axis keepdims", "numpy.Max", "x axis! keepdims!", _reduced(K.max)),
    _operation("math.reduce_min", "input_tensor axis keepdims", "numpy.Min", "x axis! keepdims!", _reduced(K.min)),
    _operation("math.reduce_prod", "input_tensor axis keepdims", "numpy.Prod", "x axis! keepdims!", _reduced(K.prod)),
    _operation("clip_by_value", "t clip_value_min clip_value_max", "numpy.Clip", "x x_min! x_max!", K.clip),
    _operation("cast", "x dtype", "core.Cast", "x dtype!", K.cast),
    _operation("where", "condition x y", "numpy.Where", "condition x1 x2", _where),
    _operation("concat", "values axis", "numpy.Concatenate", "xs axis!", lambda x, axis: K.concatenate(x, axis=axis)),
    _operation("stack", "values axis", "numpy.Stack", "x axis!", lambda x, axis: K.stack(x, axis=axis or 0)),
    _operation("reshape", "tensor shape", "numpy.Reshape", "x newshape!", _reshaped),
    _operation("transpose", "a perm", "numpy.Transpose", "x axes!", _transposed),
    _operation("expand_dims", "input axis", "numpy.ExpandDims", "x axis!", K.expand_dims),
    _operation("squeeze", "input axis", "numpy.Squeeze", "x axis!", K.squeeze),
    _operation("tile", "input multiples", "numpy.Tile", "x repeats!", K.tile),
    _operation("__operators__.getitem", "tensor slice_spec", "numpy.GetItem", "x key", _item),
)
_ALIASES = {
    "__operators__.add": "math.add", "compat.v1.transpose": "transpose", "compat.v1.squeeze": "squeeze",
    "sigmoid": "math.sigmoid", "compat.v1.nn.relu": "nn.relu", "nn.sigmoid": "math.sigmoid", "nn.tanh": "math.tanh",
    "math.softplus": "nn.softplus", "nn.swish": "nn.silu", "nn.l2_normalize": "math.l2_normalize",
}  # fmt: skip
OPERATIONS: dict[str, Operation] = {operation.name: operation for operation in _TABLE}
_OF_KERAS_3 = {operation.keras_3[1]: operation for operation in _TABLE}
_SAYS_NOTHING: dict[str, tuple[Any, ...]] = {
    "name": (None,), "conjugate": (False,), "order": (2,), "epsilon": (None, 1e-12), "initial": (None,),
}  # fmt: skip


def find_operation(name: str) -> Operation:
    """The operation that TensorFlow calls so.

    Raises:
        ValueError: it is not in the table.
    """
    known = _ALIASES.get(name, name)
    if known not in OPERATIONS:
        raise unknown_name("operation", name, OPERATIONS)
    return OPERATIONS[known]


def find_keras_3(module: Any, name: Any) -> Operation | None:
    """The operation that Keras 3 writes as this class, or ``None``."""
    if not isinstance(module, str) or not module.startswith(("keras.src.ops.", "keras.ops")):
        return None
    return _OF_KERAS_3.get(name)


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
        return super().__call__(inputs, **{k: v for k, v in kwargs.items() if not _says_nothing(k, v)})

    def call(self, inputs: Any, **arguments: Any) -> Any:
        free = [name for name in self.operation.parameters if name not in arguments]
        unknown = [name for name in arguments if name not in self.operation.parameters]
        if unknown or not free:
            takes = listed(self.operation.parameters)
            got = listed(unknown or arguments)
            raise KCompileError(f"layer {self.name!r}: operation {self.operation.name!r} takes {takes}, got {got}")
        return self.operation.compute({**arguments, free[0]: inputs})

    def compute_mask(self, inputs: Any, mask: Any = None) -> None:
        return None

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "function": self.operation.name}

    # -- calls in files

    def written_call(self, node: Any, place: Callable[[Any], Any]) -> tuple[Any, dict[str, Any]]:
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


def _says_nothing(key: str, value: Any) -> bool:
    """Whether an argument has the value that it has anyway, and no operation here needs it."""
    return not isinstance(value, Tensor) and value in _SAYS_NOTHING.get(key, ())


def as_entry(first: Any, options: dict[str, Any]) -> list[Any]:
    """A call as tf.keras writes it: an entry ``[layer, call, output, options]``, or one for each tensor of a list.

    Args:
        first, options: what :meth:`TFOpLambda.written_call` returns, with tensors as ``[layer, call, output]``.
    """
    if isinstance(first, list) and first and isinstance(first[0], list):
        return [[*place, options] for place in first]
    if isinstance(first, list) and len(first) == 3 and isinstance(first[0], str):
        return [*first, options]
    return ["_CONSTANT_VALUE", -1, first, options]


# ---- Keras 3


def from_keras_3(
    operation: Operation, config: Mapping[str, Any], values: Sequence[Any], options: Mapping[str, Any]
) -> Any:
    """First argument and others by TensorFlow's names, of a call in Keras 3's form.

    Args:
        operation: what is called.
        config: its configuration there. values: arguments by position. options: arguments by name.

    Raises:
        ValueError: an argument that this operation does not have.
    """
    called = [name for name in operation.keras_3_parameters if name not in operation.configured]
    given = {**dict(zip(called, values, strict=False)), **options}
    given.update((key, value) for key, value in config.items() if key not in ("name", "trainable", "dtype"))
    if "dtype" in operation.configured and "dtype" in config:
        given["dtype"] = config["dtype"]
    names = dict(zip(operation.keras_3_parameters, operation.parameters, strict=False))
    found = {}
    for key, value in given.items():
        if key in names:
            found[names[key]] = value
        elif not _says_nothing(key, value):
            raise KCompileError(f"operation {operation.keras_3[1]} of Keras 3 with {key}={value!r} is not supported")
    first = operation.parameters[0]
    return found.pop(first), {key: value for key, value in found.items() if value is not None}


def to_keras_3(operation: Operation, first: Any, options: Mapping[str, Any]) -> tuple[dict[str, Any], list[Any]]:
    """Configuration and arguments by position in Keras 3's form.

    Raises:
        ValueError: an argument that Keras 3's operation does not have.
    """
    given = {operation.parameters[0]: first, **options}
    if len(operation.parameters) > len(operation.keras_3_parameters):
        extra = [name for name in operation.parameters[len(operation.keras_3_parameters) :] if given.get(name)]
        if extra:
            raise KCompileError(f"operation {operation.name!r} with {listed(extra)} has no form in Keras 3")
    config, values = {}, []
    for name, theirs in zip(operation.parameters, operation.keras_3_parameters, strict=False):
        if theirs in operation.configured:
            config[theirs] = given.get(name, _DEFAULTS.get(name))
        elif name in given:
            values.append(given[name])
    return config, values
