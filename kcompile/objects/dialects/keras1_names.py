"""What Keras 1 called the arguments of layers and of methods: rows that are read by constructors, for calls, and by the
reader of configurations, for files.

To let a class take the names of Keras 1, give it rows here, and its constructor the decorator
:func:`kcompile.objects.legacy_arguments.understands_keras_1`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from kcompile.common.checks import check_one_of
from kcompile.common.errors import KCompileError, shown

Change = Callable[[str, Any], Any]
"""From the owner, for messages, and the value of Keras 1 to the value of today."""


@dataclass(frozen=True)
class Row:
    """Arguments that are called differently.

    Attributes:
        old: the name in Keras 1; several: what was said by several arguments then, as a tuple now.
        new: the name now; several: arguments that all get the value; none: it has nothing to say any more.
        change: how the value changes; ``None``: it does not.
        stored: the same for a value in a file, where less is known; ``None``: as ``change`` does.
    """

    old: tuple[str, ...]
    new: tuple[str, ...]
    change: Change | None = None
    stored: Change | None = None

    def value(self, owner: str, arguments: Mapping[str, Any], stored: bool) -> Any:
        """The value now, of the arguments as Keras 1 has them.

        Raises:
            ValueError: there is no counterpart to it.
        """
        values = tuple(arguments[name] for name in self.old)
        change = self.stored if stored and self.stored is not None else self.change
        value = values if len(values) > 1 else values[0]
        return value if change is None else change(owner, value)


# ---- how values change


def _data_format(owner: str, value: Any) -> Any:
    return {"tf": "channels_last", "th": "channels_first", "default": None}.get(value, value)


def _implementation(owner: str, value: Any) -> int:
    return {"cpu": 1, "mem": 1, "gpu": 2}[check_one_of(owner, "consume_less", value, ("cpu", "mem", "gpu"))]


def _any_implementation(owner: str, value: Any) -> None:
    if value not in (0, 1, 2):
        _implementation(owner, value)


def _no_matter(owner: str, value: Any) -> None:
    """Whatever it is."""


def _all_steps(owner: str, value: Any) -> None:
    if value != -1:
        raise KCompileError(
            f"{owner}: truncate_gradient={shown(value)} of Keras 0 is not supported; gradients go through all steps: "
            "leave it out, or cut the sequences"
        )


def _forget_bias(owner: str, value: Any) -> bool:
    name = _class_name(value).lower()
    if name in ("one", "ones", "zero", "zeros"):
        return name.startswith("one")
    raise KCompileError(
        f"{owner}: forget_bias_init={shown(value)} of Keras 1 has no counterpart; use 'one', 'zero', or "
        "bias_initializer with unit_forget_bias=False"
    )


def _class_name(value: Any) -> str:
    """The name of an initializer, which may be given in any way."""
    if isinstance(value, Mapping):
        value = value.get("class_name")
    return value if isinstance(value, str) else (value if isinstance(value, type) else type(value)).__name__


def _stored_forget_bias(owner: str, value: Any) -> bool:
    """Only a start of 1 has a later spelling; the others concern new weights and are zero in every known file."""
    return _class_name(value).lower() in ("one", "ones")


def _mode(owner: str, value: Any) -> None:
    if value not in (0, None):
        raise KCompileError(f"{owner}: mode={value!r} of Keras 1 is not supported, only mode=0")


def _no_dropout(owner: str, value: Any) -> None:
    if value:
        raise KCompileError(
            f"{owner}: dropout={shown(value)} of Keras 1 is not supported; add a layer SpatialDropout1D behind it"
        )


# ---- rows


def _rows(*texts: str) -> tuple[Row, ...]:
    """Of texts ``"old new"``."""
    return tuple(Row((old,), tuple(new)) for old, *new in map(str.split, texts))


_BIAS = _rows("b_regularizer bias_regularizer", "b_constraint bias_constraint", "bias use_bias")
_KERNEL = _rows("init kernel_initializer", "W_regularizer kernel_regularizer", "W_constraint kernel_constraint")
_KERNELS = _rows("init depthwise_initializer pointwise_initializer")
_DATA_FORMAT = (Row(("dim_ordering",), ("data_format",), _data_format),)
_WINDOW = (*_rows("border_mode padding"), *_DATA_FORMAT)
_POOL_1D = _rows("pool_length pool_size", "stride strides", "border_mode padding")
_FILTERS = (*_rows("nb_filter filters", "atrous_rate dilation_rate"), *_BIAS, *_WINDOW)
_CONV_1D = (*_FILTERS, *_rows("filter_length kernel_size", "subsample_length strides"))
_CONV_2D = (*_FILTERS, *_rows("subsample strides"), Row(("nb_row", "nb_col"), ("kernel_size",)))
_CONV_3D = (
    *_FILTERS, *_rows("subsample strides"), Row(("kernel_dim1", "kernel_dim2", "kernel_dim3"), ("kernel_size",)),
)  # fmt: skip
_RECURRENT = _rows(
    "inner_init recurrent_initializer", "U_regularizer recurrent_regularizer", "dropout_W dropout",
    "dropout_U recurrent_dropout",
)  # fmt: skip
_CONSUME_LESS = (Row(("consume_less",), ("implementation",), _implementation),)
_FORGET_BIAS = (Row(("forget_bias_init",), ("unit_forget_bias",), _forget_bias, _stored_forget_bias),)
_SIMPLE = (
    *_rows("output_dim units"), *_KERNEL, *_BIAS, *_RECURRENT, Row(("truncate_gradient",), (), _all_steps),
)  # fmt: skip
_GATED = (*_SIMPLE, *_rows("inner_activation recurrent_activation"), *_CONSUME_LESS)
_RATE = _rows("p rate")

ROWS: dict[str, tuple[Row, ...]] = {
    "Dense": (*_rows("output_dim units"), *_KERNEL, *_BIAS),
    "Dropout": _RATE,
    "SpatialDropout1D": _RATE,
    **dict.fromkeys(("SpatialDropout2D", "SpatialDropout3D"), (*_RATE, *_DATA_FORMAT)),
    "GaussianDropout": _RATE,
    "GaussianNoise": _rows("sigma stddev"),
    "PReLU": _rows("init alpha_initializer"),
    "BatchNormalization": (
        *_rows("beta_init beta_initializer", "gamma_init gamma_initializer"), Row(("mode",), (), _mode),
    ),
    "Embedding": (
        *_rows("init embeddings_initializer", "W_regularizer embeddings_regularizer"),
        *_rows("W_constraint embeddings_constraint"), Row(("dropout",), (), _no_dropout),
    ),
    "Conv1D": (*_CONV_1D, *_KERNEL),
    "Conv2D": (*_CONV_2D, *_KERNEL),
    "Conv3D": (*_CONV_3D, *_KERNEL),
    "Conv2DTranspose": (*_CONV_2D, *_KERNEL),
    "Conv3DTranspose": (*_CONV_3D, *_KERNEL),
    "SeparableConv1D": (*_CONV_1D, *_KERNELS),
    "SeparableConv2D": (*_CONV_2D, *_KERNELS),
    **dict.fromkeys(("DepthwiseConv1D", "DepthwiseConv2D", "Conv1DTranspose"), ()),  # which Keras 1 did not have
    **dict.fromkeys(("MaxPooling1D", "AveragePooling1D"), _POOL_1D),
    **{f"{kind}Pooling{rank}D": _WINDOW for kind in ("Max", "Average") for rank in (2, 3)},
    **{f"Global{kind}Pooling{rank}D": _DATA_FORMAT for kind in ("Max", "Average") for rank in (2, 3)},
    "UpSampling1D": _rows("length size"),
    **{f"{kind}{rank}D": _DATA_FORMAT for kind in ("UpSampling", "ZeroPadding", "Cropping") for rank in (2, 3)},
    "Recurrent": _CONSUME_LESS,
    "SimpleRNN": (
        *_SIMPLE, *(Row((name,), (), _any_implementation, _no_matter) for name in ("consume_less", "implementation")),
    ),
    "GRU": _GATED,
    "LSTM": (*_GATED, *_FORGET_BIAS),
    "ConvLSTM2D": (
        *_CONV_2D, *_KERNEL, *_RECURRENT, *_FORGET_BIAS, *_rows("inner_activation recurrent_activation"),
    ),
    "InputLayer": _rows("input_dtype dtype"),
    "MaxNorm": _rows("m max_value"),
    "MinMaxNorm": _rows("low min_value", "high max_value"),
}  # fmt: skip
"""The rows of each class that has some; bases of its class stand for it otherwise."""


def rows_of(cls: type) -> Mapping[str, Row]:
    """The rows of a class (its own, or those of the nearest base that has some), by the old names."""
    return _by_old_name(next((base.__name__ for base in cls.__mro__ if base.__name__ in ROWS), ""))


@functools.cache
def _by_old_name(cls: str) -> Mapping[str, Row]:
    return {old: row for row in ROWS.get(cls, ()) for old in row.old}


# ---- the shape of the input, which a first layer was told

OF_STEPS = {"Dense": False, "Conv1D": True, "SimpleRNN": True, "GRU": True, "LSTM": True}
"""Layers that were told it by ``input_dim`` and ``input_length``, and whether their samples are sequences."""


def of_steps(cls: type) -> bool | None:
    """Whether samples of a layer are sequences; ``None``: it never was told so."""
    return next((OF_STEPS[base.__name__] for base in cls.__mro__ if base.__name__ in OF_STEPS), None)


def sample_shape(arguments: dict[str, Any], steps: bool) -> tuple[Any, ...]:
    """The shape of a sample that ``input_dim`` and ``input_length`` tell, which are taken out of the arguments.

    Args:
        arguments: of the layer. steps: whether samples are sequences also where there is no length.
    """
    features, length = arguments.pop("input_dim", None), arguments.pop("input_length", None)
    return (length, features) if steps or length is not None else (features,)


# ---- methods

_OF_GENERATORS = {"max_q_size": "max_queue_size", "nb_worker": "workers", "pickle_safe": "use_multiprocessing"}

METHODS: dict[str, dict[str, str]] = {
    "fit": {"nb_epoch": "epochs"},
    "fit_generator": {"nb_epoch": "epochs", **_OF_GENERATORS},
    "evaluate_generator": _OF_GENERATORS,
    "predict_generator": _OF_GENERATORS,
}
"""Arguments of methods of models, the old names first."""

IN_SAMPLES = {"steps_per_epoch": "samples_per_epoch", "validation_steps": "nb_val_samples", "steps": "val_samples"}
"""Arguments that count batches now, by what counted samples."""
