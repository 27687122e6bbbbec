"""Functions of keras.backend: values, and gradients where the output is a float."""

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class BackendCase:
    """``inputs`` are (distribution of data.values, shape); ``as_list``: the function takes one list of tensors."""

    name: str
    function: str
    inputs: list[tuple[str, tuple[int, ...]]]
    arguments: dict[str, Any] = field(default_factory=dict)
    as_list: bool = False


def _one(
    function: str,
    suffix: str = "",
    kind: str = "normal",
    shape: tuple[int, ...] = (2, 3, 4),
    **arguments: Any,
) -> BackendCase:
    return BackendCase(f"{function}{suffix}", function, [(kind, shape)], arguments)


def _two(
    function: str, suffix: str, x: tuple[int, ...], y: tuple[int, ...], kind: str = "normal", **arguments: Any
) -> BackendCase:
    return BackendCase(f"{function}{suffix}", function, [(kind, x), (kind, y)], arguments)


UNARY = [
    *(
        _one(name)
        for name in [
            "abs",
            "square",
            "exp",
            "sin",
            "cos",
            "sign",
            "round",
            "relu",
            "elu",
            "sigmoid",
            "hard_sigmoid",
            "tanh",
            "softplus",
            "softsign",
            "softmax",
        ]
    ),
    *(_one(name, kind="positive") for name in ["sqrt", "log"]),
    _one("sqrt", "_negative"),  # clipped at zero
    _one("softplus", "_large", "large"),
    _one("sigmoid", "_large", "large"),
    _one("softmax", "_axis1", axis=1),
    _one("softmax", "_large", "large"),
    _one("relu", "_all", alpha=0.1, max_value=1.0, threshold=0.2),
    _one("elu", "_alpha", alpha=0.4),
    _one("pow", a=3),
    _one("pow", "_fraction", "positive", a=0.5),
    _one("clip", min_value=-0.5, max_value=0.7),
    _one("l2_normalize", axis=-1),
    _one("l2_normalize", "_axis1", axis=1),
    _one("cumsum", axis=1),
    _one("cumprod", axis=2),
    _one("cast", dtype="int32"),
    _one("cast", "_bool", "binary", dtype="bool"),
]

REDUCTIONS = [
    *(
        _one(name, suffix, **arguments)
        for name in ["sum", "mean", "max", "min", "prod", "var", "std", "logsumexp"]
        for suffix, arguments in [
            ("", {}),
            ("_axis", {"axis": 1}),
            ("_axes", {"axis": [0, -1]}),
            ("_keepdims", {"axis": -1, "keepdims": True}),
        ]
    ),
    _one("argmax"),
    _one("argmax", "_axis", axis=1),
    _one("argmin", "_axis", axis=0),
    _one("logsumexp", "_large", "large", axis=-1),
]

SHAPING = [
    BackendCase("reshape", "reshape", [("normal", (2, 3, 4))], {"shape": [3, -1]}),
    _one("permute_dimensions", pattern=[2, 0, 1]),
    BackendCase("transpose", "transpose", [("normal", (3, 4))]),
    _one("flatten"),
    _one("batch_flatten"),
    _one("expand_dims", axis=1),
    _one("expand_dims", "_default"),
    BackendCase("squeeze", "squeeze", [("normal", (2, 1, 3))], {"axis": 1}),
    BackendCase("concatenate", "concatenate", [("normal", (2, 3)), ("normal", (2, 1))], as_list=True),
    BackendCase("concatenate_axis", "concatenate", [("normal", (2, 3)), ("normal", (1, 3))], {"axis": 0}, as_list=True),
    BackendCase("stack", "stack", [("normal", (2, 3)), ("normal", (2, 3))], {"axis": 1}, as_list=True),
    _one("repeat_elements", rep=2, axis=1),
    BackendCase("repeat", "repeat", [("normal", (2, 3))], {"n": 4}),
    _one("tile", n=[1, 2, 3]),
    _one("reverse", axes=[1]),
    _one("reverse", "_axes", axes=[0, 2]),
    BackendCase("gather", "gather", [("normal", (5, 2)), ("labels", (3, 2))]),
    BackendCase("one_hot", "one_hot", [("labels", (3, 2))], {"num_classes": 4}),
    _one("zeros_like"),
    _one("ones_like"),
    _one("temporal_padding", padding=[2, 1]),
    BackendCase("spatial_2d_padding", "spatial_2d_padding", [("normal", (1, 2, 3, 2))], {"padding": [[1, 0], [0, 2]]}),
]

BINARY = [
    _two("maximum", "", (2, 3), (2, 3)),
    _two("minimum", "_broadcast", (2, 3), (1, 3)),
    *(
        _two(name, "", (3, 4), (3, 4), kind="binary")
        for name in ["equal", "not_equal", "greater", "greater_equal", "less", "less_equal"]
    ),
    _two("dot", "", (2, 3), (3, 4)),
    _two("dot", "_rank3", (2, 3), (4, 3, 5)),
    _two("dot", "_ranks_3_2", (2, 3, 4), (4, 5)),
    _two("batch_dot", "", (2, 3, 4), (2, 4, 5)),
    _two("batch_dot", "_vectors", (3, 4), (3, 4), axes=1),
    _two("batch_dot", "_axes", (2, 3, 4), (2, 5, 4), axes=[2, 2]),
    _two("batch_dot", "_matrix_vector", (2, 3, 4), (2, 4), axes=[2, 1]),
    _two("batch_dot", "_rank4", (2, 3, 4, 5), (2, 5, 6), axes=[3, 1]),
    _two("bias_add", "", (2, 3, 4), (4,)),
    BackendCase("switch", "switch", [("binary", (2, 3)), ("normal", (2, 3)), ("normal", (2, 3))]),
    BackendCase("in_top_k", "in_top_k", [("probabilities", (5, 4)), ("labels", (5,))], {"k": 2}),
    BackendCase("binary_crossentropy", "binary_crossentropy", [("binary", (3, 4)), ("unit", (3, 4))]),
    BackendCase(
        "binary_crossentropy_logits",
        "binary_crossentropy",
        [("binary", (3, 4)), ("normal", (3, 4))],
        {"from_logits": True},
    ),
    BackendCase(
        "categorical_crossentropy",
        "categorical_crossentropy",
        [("one_hot", (3, 4)), ("probabilities", (3, 4))],
    ),
    BackendCase(
        "categorical_crossentropy_logits",
        "categorical_crossentropy",
        [("one_hot", (2, 3, 4)), ("normal", (2, 3, 4))],
        {"from_logits": True},
    ),
    BackendCase(
        "sparse_categorical_crossentropy",
        "sparse_categorical_crossentropy",
        [("labels", (3,)), ("probabilities", (3, 4))],
    ),
]

NETWORK = [
    _two("conv1d", "", (2, 7, 3), (3, 3, 4), strides=2, padding="same"),
    _two("conv1d", "_causal", (2, 7, 3), (2, 3, 4), padding="causal", dilation_rate=2),
    _two("conv2d", "", (1, 5, 6, 2), (3, 3, 2, 3)),
    _two("conv2d", "_same", (1, 5, 6, 2), (3, 2, 2, 3), strides=(2, 2), padding="same"),
    _two("conv3d", "", (1, 3, 4, 3, 2), (2, 2, 2, 2, 3)),
    _two("depthwise_conv2d", "", (1, 5, 4, 2), (3, 3, 2, 2), padding="same"),
    _one("pool2d", shape=(1, 5, 6, 2), pool_size=(2, 2), strides=(2, 2), padding="same"),
    _one(
        "pool2d",
        "_average",
        shape=(1, 5, 6, 2),
        pool_size=(3, 3),
        strides=(2, 2),
        padding="same",
        pool_mode="avg",
    ),
]

CASES = UNARY + REDUCTIONS + SHAPING + BINARY + NETWORK
