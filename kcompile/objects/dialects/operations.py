"""Operations between layers (``2 * x``, ``x[:, 0]``, ``tf.concat``) as files of tf.keras and Keras 3 name them.

tf.keras writes a layer ``TFOpLambda`` with the name of a function of TensorFlow, Keras 3 an object with the name of an
operation of its own. The table below says which of them mean the same; what they do here stands in
:mod:`kcompile.layers.operations`. A name that is not in it is not known: nothing is looked up in any library.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from kcompile.common.errors import KCompileError, listed, unknown_name


@dataclass(frozen=True)
class Operation:
    """One operation.

    Attributes:
        name: its function in TensorFlow. parameters: the names of that function's arguments.
        keras_3: module and class in Keras 3. keras_3_parameters: its names of the same arguments.
        configured: those of them that stand in Keras 3's configuration, not in the call.
    """

    name: str
    parameters: tuple[str, ...]
    keras_3: tuple[str, str]
    keras_3_parameters: tuple[str, ...]
    configured: frozenset[str]

    def operands(self, arguments: Mapping[str, Any]) -> list[Any]:
        """All arguments in order, of those given by TensorFlow's names and of what the others are anyway."""
        return [arguments.get(name, _DEFAULTS.get(name)) for name in self.parameters]


_DEFAULTS = {"keepdims": False, "transpose_a": False, "transpose_b": False, "approximate": False, "alpha": 0.2}


def _operation(name: str, parameters: str, keras_3: str, names: str) -> Operation:
    marked = names.split()
    plain = tuple(each.rstrip("!") for each in marked)
    module, _, cls = keras_3.rpartition(".")
    configured = frozenset(each[:-1] for each in marked if each.endswith("!"))
    return Operation(name, tuple(parameters.split()), (module, cls), plain, configured)


_TABLE = (
    _operation("math.add", "x y", "numpy.Add", "x1 x2"),
    _operation("math.subtract", "x y", "numpy.Subtract", "x1 x2"),
    _operation("math.multiply", "x y", "numpy.Multiply", "x1 x2"),
    _operation("math.truediv", "x y", "numpy.TrueDivide", "x1 x2"),
    _operation("math.divide", "x y", "numpy.Divide", "x1 x2"),
    _operation("math.pow", "x y", "numpy.Power", "x1 x2"),
    _operation("math.maximum", "x y", "numpy.Maximum", "x1 x2"),
    _operation("math.minimum", "x y", "numpy.Minimum", "x1 x2"),
    _operation("math.greater", "x y", "numpy.Greater", "x1 x2"),
    _operation("math.greater_equal", "x y", "numpy.GreaterEqual", "x1 x2"),
    _operation("math.less", "x y", "numpy.Less", "x1 x2"),
    _operation("math.less_equal", "x y", "numpy.LessEqual", "x1 x2"),
    _operation("math.equal", "x y", "numpy.Equal", "x1 x2"),
    _operation("math.not_equal", "x y", "numpy.NotEqual", "x1 x2"),
    _operation("linalg.matmul", "a b transpose_a transpose_b", "numpy.Matmul", "x1 x2"),
    _operation("math.negative", "x", "numpy.Negative", "x"),
    _operation("math.abs", "x", "numpy.Absolute", "x"),
    _operation("math.square", "x", "numpy.Square", "x"),
    _operation("math.sqrt", "x", "numpy.Sqrt", "x"),
    _operation("math.exp", "x", "numpy.Exp", "x"),
    _operation("math.log", "x", "numpy.Log", "x"),
    _operation("math.sin", "x", "numpy.Sin", "x"),
    _operation("math.cos", "x", "numpy.Cos", "x"),
    _operation("math.tanh", "x", "numpy.Tanh", "x"),
    _operation("math.sign", "x", "numpy.Sign", "x"),
    _operation("math.sigmoid", "x", "nn.Sigmoid", "x"),
    _operation("nn.relu", "features", "nn.Relu", "x"),
    _operation("nn.relu6", "features", "nn.Relu6", "x"),
    _operation("nn.elu", "features", "nn.Elu", "x"),
    _operation("nn.selu", "features", "nn.Selu", "x"),
    _operation("nn.silu", "features", "nn.Silu", "x"),
    _operation("nn.softplus", "features", "nn.Softplus", "x"),
    _operation("nn.gelu", "features approximate", "nn.Gelu", "x approximate!"),
    _operation("nn.leaky_relu", "features alpha", "nn.LeakyRelu", "x negative_slope!"),
    _operation("nn.softmax", "logits axis", "nn.Softmax", "x axis!"),
    _operation("math.l2_normalize", "x axis", "nn.Normalize", "x axis!"),
    _operation("math.reduce_sum", "input_tensor axis keepdims", "numpy.Sum", "x axis! keepdims!"),
    _operation("math.reduce_mean", "input_tensor axis keepdims", "numpy.Mean", "x axis! keepdims!"),
    _operation("math.reduce_max", "input_tensor axis keepdims", "numpy.Max", "x axis! keepdims!"),
    _operation("math.reduce_min", "input_tensor axis keepdims", "numpy.Min", "x axis! keepdims!"),
    _operation("math.reduce_prod", "input_tensor axis keepdims", "numpy.Prod", "x axis! keepdims!"),
    _operation("clip_by_value", "t clip_value_min clip_value_max", "numpy.Clip", "x x_min! x_max!"),
    _operation("cast", "x dtype", "core.Cast", "x dtype!"),
    _operation("where", "condition x y", "numpy.Where", "condition x1 x2"),
    _operation("concat", "values axis", "numpy.Concatenate", "xs axis!"),
    _operation("stack", "values axis", "numpy.Stack", "x axis!"),
    _operation("reshape", "tensor shape", "numpy.Reshape", "x newshape!"),
    _operation("transpose", "a perm", "numpy.Transpose", "x axes!"),
    _operation("expand_dims", "input axis", "numpy.ExpandDims", "x axis!"),
    _operation("squeeze", "input axis", "numpy.Squeeze", "x axis!"),
    _operation("tile", "input multiples", "numpy.Tile", "x repeats!"),
    _operation("__operators__.getitem", "tensor slice_spec", "numpy.GetItem", "x key"),
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


def says_nothing(key: str, value: Any) -> bool:
    """Whether an argument has the value that it has anyway, and no operation here needs it."""
    return (value is None or isinstance(value, (int, float, np.generic))) and value in _SAYS_NOTHING.get(key, ())


def as_entry(first: Any, options: dict[str, Any]) -> list[Any]:
    """A call as tf.keras writes it: an entry ``[layer, call, output, options]``, or one for each tensor of a list.

    Args:
        first, options: what the layer's ``operands`` returns, with tensors as ``[layer, call, output]``.
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
        elif not says_nothing(key, value):
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
