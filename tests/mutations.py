"""Random changes of configurations and of bytes, for files that are almost right."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

import numpy as np

VALUES: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 2, 7, 64, -(2**31), 2**31, 2**63, 10**9, 10**30, 0.5, -0.0, 1e308, 1e-320, "", "x",
    "64", "\x1b[2J", "relu", "same", "float32", "complex64", "object", "valid", "channels_first", "Dense", "os.system",
    "__class__", "../x", "/etc/passwd", "\0", "\ud800", "é" * 50, "a" * 5000, [], {}, [[]], [None], [0], [1, 2],
    [-1, 3], ["x", 0, 0], [["x", 0, 0]], [["dense", 0, 10**9, {}]], {"x": 1}, {"class_name": "Dense"},
    {"class_name": "Dense", "config": {}},
    {"class_name": "Lambda", "config": {"function": ["4wEA", None, None], "function_type": "lambda"}},
    {"class_name": "function", "config": "system", "module": "os"}, {"class_name": "__tuple__", "items": [1, 2]},
    {"class_name": "__lambda__", "config": {"value": "4wEA"}}, {"class_name": "__slice__", "config": {"start": "x"}},
    {"class_name": "__numpy__", "config": {"value": [1, [2]], "dtype": "object"}},
    {"class_name": "__keras_tensor__", "config": {"keras_history": ["x", 0, 0]}}, {"class_name": None, "config": 3},
    {"class_name": ["x"], "config": {}}, {"class_name": "Sequential", "config": {"layers": 3}},
    {"class_name": "Model", "config": {"layers": [], "input_layers": [], "output_layers": []}},
    {"module": "builtins", "class_name": "eval", "config": "1", "registered_name": "eval"},
)  # fmt: skip
"""What may stand in place of anything."""

_Place = tuple[Any, Any]


def changed_config(config: Any, random: np.random.Generator, changes: int = 1) -> Any:
    """A copy of lists and dicts in each other, with a few things replaced, removed, doubled, moved or renamed."""
    config = copy.deepcopy(config)
    for _ in range(changes):
        places = list(_places(config))
        if not places:
            return config
        _change(places, random)
    return config


def _change(places: list[_Place], random: np.random.Generator) -> None:
    holder, key = places[random.integers(len(places))]
    other, other_key = places[random.integers(len(places))]
    kind = random.integers(8)
    if kind == 0:
        del holder[key]
    elif kind == 1:
        holder[key] = copy.deepcopy(other[other_key])
    elif kind == 2 and isinstance(holder, list):
        holder.insert(random.integers(len(holder) + 1), copy.deepcopy(holder[key]))
    elif kind == 2:
        holder[f"{key}_"] = holder.pop(key)
    elif kind == 3:
        holder[key] = [holder[key]]
    elif kind == 4 and isinstance(holder[key], (int, float)):
        holder[key] = [-holder[key], holder[key] + 1, holder[key] * 10**9, str(holder[key])][random.integers(4)]
    elif kind == 4 and isinstance(holder[key], str):
        holder[key] = [holder[key][:-1], holder[key] + "x", holder[key].upper()][random.integers(3)]
    else:
        holder[key] = copy.deepcopy(VALUES[random.integers(len(VALUES))])


def _places(config: Any) -> Iterator[_Place]:
    """Every place in lists and dicts: what holds it, and its key or number."""
    stack = [config]
    while stack:
        item = stack.pop()
        if not isinstance(item, (dict, list)):
            continue
        for key, value in item.items() if isinstance(item, dict) else enumerate(item):
            yield item, key
            stack.append(value)


def changed_text(text: str, random: np.random.Generator, changes: int = 1) -> str:
    """JSON with other contents."""
    return json.dumps(changed_config(json.loads(text), random, changes))


def changed_bytes(content: bytes, random: np.random.Generator) -> bytes:
    """Some bits flipped, bytes replaced, the end cut off, or a piece copied over another."""
    changed = bytearray(content)
    kind = random.integers(4)
    if kind == 0:
        for place in random.integers(len(changed), size=random.integers(1, 8)):
            changed[place] ^= 1 << random.integers(8)
    elif kind == 1:
        for place in random.integers(len(changed), size=random.integers(1, 5)):
            changed[place] = random.integers(256)
    elif kind == 2:
        del changed[random.integers(1, len(changed)) :]
    else:
        here, there, size = *random.integers(len(changed), size=2), random.integers(1, 64)
        changed[here : here + size] = changed[there : there + size]
    return bytes(changed)
