"""What Keras 3 calls things that have another name here, in rows that are read both ways: by what reads its files, and
by what writes them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

ANY: Any = object()
"""Every value."""


@dataclass(frozen=True)
class Argument:
    """An argument that is called differently, or that one side alone has.

    Attributes:
        cls: the class that has it; ``""``: whichever has.
        ours: its name here; ``None``: there is none.
        theirs: its name there; ``None``: there is none, so that it is left out of what is written.
        nothing: of an argument of theirs alone: the values with which it changes nothing, so that it can be left out of
            what is read.
    """

    cls: str
    ours: str | None
    theirs: str | None
    nothing: tuple[Any, ...] = ()


def _of_theirs(**nothing: tuple[Any, ...]) -> tuple[Argument, ...]:
    return tuple(Argument("", None, name, values) for name, values in nothing.items())


ARGUMENTS = (
    Argument("LeakyReLU", "alpha", "negative_slope"),
    Argument("InputLayer", "batch_input_shape", "batch_shape"),
    # What Keras 3 dropped; models that need another value of one are written in Keras 2's dialect.
    *(Argument("", name, None) for name in ("implementation", "joined_masks", "time_major", "input_length")),
    *(Argument("", name, None) for name in ("batch_input_shape", "sparse")),
    *(Argument(f"SpatialDropout{rank}D", name, None) for rank in (1, 2, 3) for name in ("noise_shape", "trainable")),
    *(Argument("MultiHeadAttention", name, None) for name in ("query_shape", "key_shape", "value_shape")),
    Argument("MultiHeadAttention", "softmax_robust_masking", None),
    # Arguments of later versions (or of TensorFlow) that a class here may not have.
    *_of_theirs(
        quantization_config=(None,), renorm=(False,), renorm_clipping=(None,), renorm_momentum=(ANY,), fused=(ANY,),
        virtual_batch_size=(None,), adjustment=(None,), synchronized=(False,), ragged=(False, None),
        sparse=(False, None), optional=(False, None), groups=(1,), keepdims=(False,), time_major=(False,),
        zero_output_for_mask=(False,), seed=(None,), noise_shape=(None,), autocast=(True,), dynamic=(False,),
        experimental_autocast=(True,), implementation=(ANY,), input_axes=(None,), output_axes=(None,),
        return_state=(False,), use_cudnn=(ANY,), dilation_rate=(1, (1,), (1, 1), (1, 1, 1)),
        data_format=("channels_last",), interpolation=("nearest",), activity_regularizer=(None,), dropout=(0, 0.0),
        input_dtype=(ANY,), dtype=(ANY,), ignore_class=(None,), fn=(ANY,), sparse_y_true=(True,),
        sparse_y_pred=(True,), axis=(-1,), multi_label=(False,), num_labels=(None,), label_weights=(None,),
        from_logits=(False,), top_k=(None,), class_id=(None,), weight_decay=(None, 0, 0.0), use_ema=(False,),
        ema_momentum=(ANY,), ema_overwrite_frequency=(ANY,), jit_compile=(ANY,), is_legacy_optimizer=(ANY,),
        loss_scale_factor=(None,), gradient_accumulation_steps=(None,), momentum=(0, 0.0), centered=(False,),
        clipnorm=(None,), global_clipnorm=(None,), clipvalue=(None,), decay=(0, 0.0),
        query_shape=(ANY,), key_shape=(ANY,), value_shape=(ANY,),
        lora_rank=(None,), lora_alpha=(None,), gptq_unpacked_column_size=(None,),
    ),
)  # fmt: skip

MODULES = {
    "layer": "layers", "initializer": "initializers", "regularizer": "regularizers", "constraint": "constraints",
    "loss": "losses", "metric": "metrics", "optimizer": "optimizers",
}  # fmt: skip
"""The module of Keras for each kind of class; see :mod:`kcompile.objects.registry`."""

CLASSES = {"GroupedQueryAttention": "GroupQueryAttention"}
"""Classes that have another name in the modules of Keras: their own, which HDF5 files name, and that one."""

ACTIVATIONS = {"hard_sigmoid_v3": "hard_sigmoid"}
"""Activations of which Keras 3 changed the formula: our names, and theirs."""

MODELS = ("Sequential", "Model", "Functional")
"""Classes of models, which hold layers; ``Model`` is ``Functional`` there."""

LOSSES = {
    "mse": "mean_squared_error",
    "mae": "mean_absolute_error",
    "mape": "mean_absolute_percentage_error",
    "msle": "mean_squared_logarithmic_error",
    "kld": "kl_divergence",
    "kullback_leibler_divergence": "kl_divergence",
    "logcosh": "log_cosh",
    "huber_loss": "huber",
    "cosine": "cosine_similarity",
    "cosine_proximity": "cosine_similarity",
}
"""Losses that have several names here, by the one that tf.keras and Keras 3 both take from a file."""

ONLY_IN_KERAS_2 = (
    "AddLoss", "AddMetric", "ThresholdedReLU", "LocallyConnected1D", "LocallyConnected2D", "CuDNNGRU", "CuDNNLSTM",
)  # fmt: skip
"""Layers that Keras 3 does not have."""

OPERATIONS = "keras.src.ops"
"""Where Keras 3 has the operations of :mod:`kcompile.objects.dialects.operations`."""

# ---- reading


def in_ours(name: str, config: dict[str, Any]) -> None:
    """Give the arguments of a class, as Keras 3 writes them, the names that they have here."""
    for row in ARGUMENTS:
        if row.cls == name and row.ours and row.theirs and row.theirs in config:
            config[row.ours] = config.pop(row.theirs)


_NOTHING = {row.theirs: row.nothing for row in ARGUMENTS if row.nothing}


def says_nothing(argument: str, value: Any) -> bool:
    """Whether an argument that a class here does not have can be left out without changing what is computed."""
    value = tuple(value) if isinstance(value, list) else value
    return any(
        nothing is ANY or (type(nothing) is type(value) and nothing == value) for nothing in _NOTHING.get(argument, ())
    )


_OWN_NAMES = {public: own for own, public in CLASSES.items()}


def own_name(name: str) -> str:
    """The name of a class that a module has under ``name``."""
    return _OWN_NAMES.get(name, name)


KIND_OF_MODULE = {module: kind for kind, module in MODULES.items()}
_OUR_ACTIVATIONS = {theirs: ours for ours, theirs in ACTIVATIONS.items()}


def activation_in_ours(name: str) -> str:
    """Our name of what Keras 3 calls so."""
    return _OUR_ACTIVATIONS.get(name, name)


# ---- writing


def in_theirs(name: str, config: Mapping[str, Any], kept: tuple[str, ...] = ()) -> dict[str, Any]:
    """The arguments of a class under the names of Keras 3, without those that it dropped.

    Args:
        name: the class. config: our arguments. kept: dropped ones that stay all the same.
    """
    rows = [row for row in ARGUMENTS if row.ours in config and row.cls in (name, "")]
    names = {row.ours: row.theirs for row in reversed(rows)}  # what is said of the class itself counts
    new = {key: key if key in kept else names.get(key, key) for key in config}
    return {theirs: config[key] for key, theirs in new.items() if theirs is not None}


def activation_in_theirs(name: str) -> str:
    """The name of Keras 3 for what is called so here."""
    return ACTIVATIONS.get(name, name)


def module_of(kind: str | None) -> str:
    """The module in which Keras has classes of a kind; without one it is the user's own."""
    return f"keras.{MODULES[kind]}" if kind in MODULES else "__main__"
