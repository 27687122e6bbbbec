"""What Keras 1 (2015 to 2017) called things; a part of :mod:`kcompile.objects.dialects.reader`.

Spellings are recognized by themselves: files that a later Keras wrote still hold some of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kcompile.common.errors import KCompileError, shown

CLASSES = {
    "AtrousConvolution1D": "Conv1D", "AtrousConv1D": "Conv1D",
    "AtrousConvolution2D": "Conv2D", "AtrousConv2D": "Conv2D",
    "Convolution1D": "Conv1D", "Convolution2D": "Conv2D", "Convolution3D": "Conv3D",
    "Deconvolution2D": "Conv2DTranspose", "Deconvolution3D": "Conv3DTranspose",
    "SeparableConvolution1D": "SeparableConv1D", "SeparableConvolution2D": "SeparableConv2D",
    "TimeDistributedDense": "Dense",
}  # fmt: skip
"""Classes that later versions know under another name."""

_UNCHANGED = ("Highway", "MaxoutDense", "SReLU", "ParametricSoftplus")  # Keras 2 left these as they were

_ARGUMENTS = {
    "nb_filter": "filters", "subsample": "strides", "subsample_length": "strides", "border_mode": "padding",
    "atrous_rate": "dilation_rate", "dim_ordering": "data_format", "bias": "use_bias",
    "W_regularizer": "kernel_regularizer", "b_regularizer": "bias_regularizer",
    "U_regularizer": "recurrent_regularizer", "W_constraint": "kernel_constraint",
    "b_constraint": "bias_constraint", "inner_init": "recurrent_initializer",
    "inner_activation": "recurrent_activation", "dropout_W": "dropout", "dropout_U": "recurrent_dropout",
    "filter_length": "kernel_size", "pool_length": "pool_size", "stride": "strides", "p": "rate", "sigma": "stddev",
    "beta_init": "beta_initializer", "gamma_init": "gamma_initializer",
}  # fmt: skip
_OF_EMBEDDING = {
    "W_regularizer": "embeddings_regularizer", "W_constraint": "embeddings_constraint",
    "init": "embeddings_initializer",
}  # fmt: skip
_IMPLEMENTATIONS = {"cpu": 0, "mem": 1, "gpu": 2}
_MERGES = {"sum": "Add", "mul": "Multiply", "ave": "Average", "max": "Maximum"}


def upgraded(name: str, config: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of a layer under their later names.

    Args:
        name: the class, in its later spelling.
        config: its configuration; later spellings stay as they are.

    Raises:
        ValueError: an argument that no later layer has.
    """
    new = dict(config)
    if name in _UNCHANGED:
        return new
    owner = f"layer {config.get('name')!r} ({name})"
    _kernel_size(new)
    if name == "Embedding":
        _rename(new, _OF_EMBEDDING)
    else:
        if "output_dim" in new:
            new["units"] = new.pop("output_dim")
        if "init" in new:
            init = new.pop("init")
            keys = {
                "PReLU": ["alpha_initializer"],
                "SeparableConv2D": ["depthwise_initializer", "pointwise_initializer"],
            }
            new.update(dict.fromkeys(keys.get(name, ["kernel_initializer"]), init))
    _rename(new, _ARGUMENTS)
    if "input_dtype" in new and name == "InputLayer":
        new["dtype"] = new.pop("input_dtype")
    if "length" in new and name == "UpSampling1D":
        new["size"] = new.pop("length")
    if "forget_bias_init" in new:
        # Only a start of 1 has a later spelling; the others concern new weights and are zero in every known file.
        new["unit_forget_bias"] = new.pop("forget_bias_init") in ("one", "ones")
    if "consume_less" in new:
        new["implementation"] = _IMPLEMENTATIONS.get(new.pop("consume_less"), 0)
    if new.get("mode", 0) not in (0, None) and name == "BatchNormalization":
        raise KCompileError(f"{owner}: mode={new['mode']} of Keras 1 is not supported, only mode=0")
    if name == "BatchNormalization":
        new.pop("mode", None)
    _input_shape(name, new)
    if name in ("Conv2DTranspose", "Conv3DTranspose") and "output_shape" in new:
        _check_output_shape(owner, new)
    for key, value in new.items():
        old = isinstance(value, Mapping) and "class_name" not in value and isinstance(value.get("name"), str)
        if old and key.endswith(("_regularizer", "_constraint")):
            new[key] = {"class_name": value["name"], "config": {k: v for k, v in value.items() if k != "name"}}
    return new


def _rename(config: dict[str, Any], names: Mapping[str, str]) -> None:
    for old, new in names.items():
        if old in config:
            config.setdefault(new, config[old])
            del config[old]


def _kernel_size(config: dict[str, Any]) -> None:
    for names in (("nb_row", "nb_col"), ("kernel_dim1", "kernel_dim2", "kernel_dim3")):
        if all(name in config for name in names):
            config["kernel_size"] = [config.pop(name) for name in names]


def _input_shape(name: str, config: dict[str, Any]) -> None:
    """``input_dim`` and ``input_length`` told a first layer its input shape."""
    if name == "Embedding":
        return
    features, length = config.pop("input_dim", None), config.pop("input_length", None)
    if features is None or any(key in config for key in ("batch_input_shape", "batch_shape", "input_shape")):
        return
    sequence = name in ("Conv1D", "LocallyConnected1D", "LSTM", "GRU", "SimpleRNN") or length is not None
    config["batch_input_shape"] = [None, length, features] if sequence else [None, features]


def _check_output_shape(owner: str, config: dict[str, Any]) -> None:
    """Keras 1 was told the output size of a transposed convolution; later versions work it out as the smallest one."""
    given = config.pop("output_shape")
    first = config.get("data_format") in ("th", "channels_first")
    sizes = list(given)[2:] if first else list(given)[1:-1]
    strides, kernel = config.get("strides", 1), config["kernel_size"]
    strides = [strides] * len(sizes) if isinstance(strides, int) else strides
    for size, stride, reach in zip(sizes, strides, kernel, strict=True):
        rest = size if config.get("padding") == "same" else size - reach
        if rest % stride or (config.get("padding") != "same" and reach < stride):
            raise KCompileError(f"{owner}: output_shape={shown(given)} of Keras 1 needs output padding: not supported")


def merged(config: Mapping[str, Any]) -> dict[str, Any]:
    """The layer that does what Keras 1's ``Merge`` did with its ``mode``.

    Raises:
        ValueError: a mode that no later layer has.
    """
    mode, name = config.get("mode", "sum"), config.get("name")
    base = {"name": name}
    if config.get("mode_type", "raw") != "raw":
        function = {key: config.get(key) for key in ("arguments", "output_shape", "output_shape_type")}
        function.update(base, function=mode, function_type=config["mode_type"], arguments=function["arguments"] or {})
        return {"class_name": "Lambda", "config": function}
    if mode in _MERGES:
        return {"class_name": _MERGES[mode], "config": base}
    if mode == "concat":
        return {"class_name": "Concatenate", "config": {**base, "axis": config.get("concat_axis", -1)}}
    if mode == "dot":
        return {"class_name": "Dot", "config": {**base, "axes": config.get("dot_axes", -1)}}
    raise KCompileError(f"layer {name!r} (Merge): mode {shown(mode)} of Keras 1 has no later layer that does the same")


def with_class_names(layers: Any) -> list[Any]:
    """The layers of a Sequential model of Keras 0, whose class stands in their configuration under ``name``."""
    found = []
    for item in layers:
        if isinstance(item, Mapping) and "class_name" not in item and isinstance(item.get("name"), str):
            config = {key: value for key, value in item.items() if key not in ("name", "custom_name")}
            item = {"class_name": item["name"], "config": {**config, "name": item.get("custom_name")}}
        found.append(item)
    return found


def branched(layers: list[Any], name: Any) -> dict[str, Any] | None:
    """A Sequential model that starts with a Merge of other models, as a functional one; ``None`` for others.

    The layers of the branches become the model's own, as in Keras 1's list of weights.

    Raises:
        ValueError: a branch is no Sequential model that knows its input.
    """
    first = layers[0] if layers else None
    if not isinstance(first, Mapping) or first.get("class_name") != "Merge":
        return None
    entries: list[dict[str, Any]] = []
    ends, inputs = [], []
    for branch in first["config"].get("layers") or []:
        stack = (
            branch.get("config") if isinstance(branch, Mapping) and branch.get("class_name") == "Sequential" else None
        )
        stack = stack.get("layers") if isinstance(stack, Mapping) else stack
        inner = branched(stack, None) if stack else None
        if inner is not None:
            entries += inner["config"]["layers"]
            inputs += inner["config"]["input_layers"]
            ends.append(inner["config"]["output_layers"][0])
            continue
        start = stack[0].get("config", {}) if stack else {}
        shape = start.get("batch_input_shape")
        if not stack or shape is None:
            raise KCompileError(
                f"model {name!r}: a branch of its Merge layer is no Sequential model with an input shape"
            )
        title, dtype = f"{start.get('name')}_input", start.get("input_dtype")
        given = {"name": title, "batch_input_shape": shape, "dtype": dtype}
        entries.append({"name": title, "class_name": "InputLayer", "config": given, "inbound_nodes": []})
        inputs.append([title, 0, 0])
        ends.append(_chain(entries, stack, [title, 0, 0]))
    merge = {"name": first["config"].get("name"), "class_name": "Merge", "config": dict(first["config"], layers=None)}
    entries.append({**merge, "inbound_nodes": [[[*end, {}] for end in ends]]})
    last = _chain(entries, layers[1:], [merge["name"], 0, 0])
    functional = {"name": name, "layers": entries, "input_layers": inputs, "output_layers": [last]}
    return {"class_name": "Model", "config": functional}


def _chain(entries: list[dict[str, Any]], stack: Any, end: list[Any]) -> list[Any]:
    """Append layers one after the other; where the last one's output is."""
    for item in stack:
        name = item["config"].get("name")
        entries.append({**item, "name": name, "inbound_nodes": [[[*end, {}]]]})
        end = [name, 0, 0]
    return end
