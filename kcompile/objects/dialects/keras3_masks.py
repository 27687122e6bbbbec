"""What Keras 3 writes into functional models of its own accord: masks, computed by operations of their own.

An ``Embedding(mask_zero=True)`` is accompanied by an operation ``NotEqual(words, 0)``, a ``Masking`` layer by
``NotEqual`` and ``Any``, whose result every layer behind takes as ``mask=``; layers that join tensors by ``LogicalOr``
and more. Here masks travel with tensors, so these operations and arguments are left out. So is ``training=``, for which
``fit`` and ``predict`` of Keras 3 put their own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

Entry = Mapping[str, Any]
Place = tuple[Any, ...]

_OF_IMPLIED = ("Any", "All", "ExpandDims", "LogicalOr", "LogicalAnd", "Concatenate", "BroadcastTo", "ConvertToTensor")
"""What is done to masks of inputs, until they are that of a result."""

_NEUTRAL = ("ZerosLike", "OnesLike")
"""What stands for an input without a mask, or spreads a mask over a shape."""

_MASKS = ("mask", "query_mask", "value_mask", "key_mask")
"""Arguments of calls that Keras 3 fills in."""

_OPERATIONS = ("NotEqual", *_OF_IMPLIED, *_NEUTRAL)


def without_implied_masks(layers: Sequence[Any], ends: Any = None) -> list[Any]:
    """The layers of a functional model without masks that follow from its layers; other configurations as they are.

    Args:
        layers: their entries in the configuration. ends: the outputs of the model, which stay.
    """
    entries = [entry for entry in layers if isinstance(entry, Mapping)]
    if len(entries) != len(layers) or not any(_is_keras_3(node) for entry in entries for node in _nodes(entry)):
        return list(layers)
    masked = {
        (_place(node["args"][0]), _masked_value(entry))
        for entry in entries
        for node in _nodes(entry)
        if _is_keras_3(node) and node["args"] and _masked_value(entry) is not None
    }
    implied: set[Place | None] = set()
    neutral: set[Place | None] = set()
    for entry in entries:  # in order: Any comes after its NotEqual
        if not is_operation(entry):
            continue
        for number, node in enumerate(_nodes(entry)):
            if not _is_keras_3(node) or not node["args"]:
                continue
            place, name = (_name(entry), number, 0), entry["class_name"]
            if name in _NEUTRAL:
                neutral.add(place)
            elif name == "NotEqual":
                value = node["args"][1] if len(node["args"]) > 1 else None
                if isinstance(value, (int, float)) and (_place(node["args"][0]), value) in masked:
                    implied.add(place)
            else:
                taken = set(_places(node["args"]))
                if taken & implied and taken <= implied | neutral:
                    implied.add(place)
    implied.discard(None)
    return _used([_without(entry, implied) for entry in entries], set(_strings(ends)))


def is_operation(entry: Entry) -> bool:
    """Whether an entry is an operation of those that make masks, not a layer of the same name."""
    config = entry.get("config")
    is_layer = isinstance(config, Mapping) and "trainable" in config
    return entry.get("class_name") in _OPERATIONS and not is_layer


def _used(entries: list[dict[str, Any]], kept: set[str]) -> list[dict[str, Any]]:
    """Without the operations whose results nothing takes, and then without those that only these took."""
    by_name: dict[Any, list[int]] = {}
    takes: list[list[Any]] = []
    uses: Counter[Any] = Counter()
    for index, entry in enumerate(entries):
        by_name.setdefault(_name(entry), []).append(index)
        takes.append([place[0] for node in _nodes(entry) for place in _places(node)])
        uses.update(takes[-1])
    uses.update(kept)
    unused = [i for i, entry in enumerate(entries) if is_operation(entry) and not uses[_name(entry)]]
    dropped = set()
    while unused:
        index = unused.pop()
        dropped.add(index)
        for name in takes[index]:
            uses[name] -= 1
            if not uses[name]:
                unused += [i for i in by_name.get(name, ()) if is_operation(entries[i])]
    return [entry for index, entry in enumerate(entries) if index not in dropped]


def _strings(item: Any) -> Iterator[str]:
    if isinstance(item, str):
        yield item
    for each in item.values() if isinstance(item, Mapping) else item if isinstance(item, (list, tuple)) else ():
        yield from _strings(each)


def _masked_value(entry: Entry) -> Any:
    """The number that a layer masks, if it makes a mask."""
    config = entry.get("config")
    if not isinstance(config, Mapping):
        return None
    if entry.get("class_name") == "Embedding" and config.get("mask_zero") is True:
        return 0
    value = config.get("mask_value", 0.0)
    return value if entry.get("class_name") == "Masking" and isinstance(value, (int, float)) else None


def _without(entry: Entry, implied: set[Place | None]) -> dict[str, Any]:
    nodes = []
    for node in _nodes(entry):
        if _is_keras_3(node) and isinstance(node.get("kwargs"), Mapping):
            kept = {
                key: value
                for key, value in node["kwargs"].items()
                if key != "training" and not (key in _MASKS and _follows(value, implied))
            }
            node = {**node, "kwargs": kept}
        nodes.append(node)
    return {**entry, "inbound_nodes": nodes}


def _follows(mask: Any, implied: set[Place | None]) -> bool:
    """Whether a mask, or a list of masks of which some may not be there, follows from the layers before."""
    if isinstance(mask, (list, tuple)):
        return any(each is not None for each in mask) and all(each is None or _follows(each, implied) for each in mask)
    return mask is not None and _place(mask) in implied


def _places(item: Any) -> Iterator[Place]:
    place = _place(item)
    if place is not None:
        yield place
    elif isinstance(item, Mapping):
        for value in item.values():
            yield from _places(value)
    elif isinstance(item, (list, tuple)):
        for value in item:
            yield from _places(value)


def _place(item: Any) -> Place | None:
    """Where a tensor comes from, if ``item`` stands for one."""
    if not isinstance(item, Mapping) or item.get("class_name") != "__keras_tensor__":
        return None
    config = item.get("config")
    history = config.get("keras_history") if isinstance(config, Mapping) else None
    if not isinstance(history, (list, tuple)) or len(history) != 3:
        return None
    return tuple(history) if all(isinstance(part, (str, int)) for part in history) else None


def _is_keras_3(node: Any) -> bool:
    return isinstance(node, Mapping) and isinstance(node.get("args"), (list, tuple))


def _nodes(entry: Entry) -> list[Any]:
    nodes = entry.get("inbound_nodes")
    return list(nodes) if isinstance(nodes, (list, tuple)) else []


def _name(entry: Entry) -> Any:
    config = entry.get("config")
    return entry.get("name", config.get("name") if isinstance(config, Mapping) else None)
