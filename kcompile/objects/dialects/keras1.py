"""What Keras 1 (2015 to 2017) called things; a part of :mod:`kcompile.objects.dialects.reader`.

Spellings are recognized by themselves: files that a later Keras wrote still hold some of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kcompile.common.errors import KCompileError, shown
from kcompile.objects.dialects.keras1_names import OF_STEPS, rows_of, sample_shape

CLASSES = {
    "AtrousConvolution1D": "Conv1D", "AtrousConv1D": "Conv1D",
    "AtrousConvolution2D": "Conv2D", "AtrousConv2D": "Conv2D",
    "Convolution1D": "Conv1D", "Convolution2D": "Conv2D", "Convolution3D": "Conv3D",
    "Deconvolution2D": "Conv2DTranspose", "Deconvolution3D": "Conv3DTranspose",
    "SeparableConvolution1D": "SeparableConv1D", "SeparableConvolution2D": "SeparableConv2D",
    "TimeDistributedDense": "Dense",
}  # fmt: skip
"""Classes that later versions know under another name."""

_MERGES = {"sum": "Add", "mul": "Multiply", "ave": "Average", "max": "Maximum"}


def upgraded(cls: type, config: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of a layer or constraint under their later names.

    Args:
        cls: the class, as it is here.
        config: its configuration; later spellings stay as they are.

    Raises:
        ValueError: an argument that no later layer has.
    """
    new, name = dict(config), cls.__name__
    owner = f"layer {config.get('name')!r} ({name})"
    for row in dict.fromkeys(rows_of(cls).values()):
        if all(old in new for old in row.old):
            value = row.value(owner, new, stored=True)
            for old in row.old:
                del new[old]
            for now in row.new:
                new.setdefault(now, value)
    if name != "Embedding":
        shape = sample_shape(new, OF_STEPS.get(name, False))
        if shape[-1] is not None and new.keys().isdisjoint(_SHAPES):
            new["batch_input_shape"] = [None, *shape]
    if name in ("Conv2DTranspose", "Conv3DTranspose") and "output_shape" in new:
        _check_output_shape(owner, new)
    for key, value in new.items():
        nameless = isinstance(value, Mapping) and "class_name" not in value and isinstance(value.get("name"), str)
        if nameless and key.endswith(("_regularizer", "_constraint")):
            new[key] = {"class_name": value["name"], "config": {k: v for k, v in value.items() if k != "name"}}
    return new


_SHAPES = ("batch_input_shape", "batch_shape", "input_shape")


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
