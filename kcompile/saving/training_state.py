"""What Keras does not keep in its files, but training needs to go on exactly where it stopped.

It is an attribute of ours, which Keras ignores: how many steps drew random numbers, from which streams layers draw
them, in which order fit draws samples, and which layers inside frozen models would train if those were not frozen.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, TypeGuard

import numpy as np

from kcompile.common.limits import CONFIG_BYTES, DamagedFileError, check_size
from kcompile.data.shuffling import Shuffling
from kcompile.engine.layer import Layer
from kcompile.engine.network import Network
from kcompile.objects.dialects.conventions import Convention
from kcompile.objects.dialects.reader import convention_of

ATTRIBUTE = "kcompile_state"

VERSION = 2
"""Of what the state and our configurations mean. In 1, activity penalties were summed over the batch, and frozen layers
cost none; now, layers for which that holds say it themselves."""


def state_of(model: Network) -> dict[str, Any]:
    """The state of ``model``, of plain values."""
    seeds: dict[str, list[int]] = {}
    for layer in _all_layers(model):
        stream = getattr(layer, "_seeds", None)
        if stream is not None:
            seeds.setdefault(layer.name, []).append(stream.first)
    shuffling = model.fit_trainer.shuffling
    return {
        "version": VERSION,
        # Only where there is one: files of models that never shuffled stay as they were.
        **({} if shuffling is None or shuffling.seed is None else {"shuffling": [shuffling.seed, shuffling.count]}),
        **({} if model.fit_trainer.step_seed is None else {"step_seed": model.fit_trainer.step_seed}),
        "random_steps": 0 if model.fit_trainer.random is None else int(model.fit_trainer.random.numpy()),
        "seeds": seeds,
        "frozen_models": [path for path, inner in _models(model) if not inner.trainable],
        "training_inside": [path for path, layer in _inside_frozen(model) if layer.trainable],
    }


def parse(text: str | None, where: str) -> dict[str, Any]:
    """The state in a file; empty if there is none.

    Raises:
        KCompileError: it is not what :func:`state_of` makes.
    """
    if text is None:
        return {}
    check_size(where, len(text), CONFIG_BYTES)
    try:
        state = json.loads(text)
    except (ValueError, RecursionError):
        raise DamagedFileError(f"{where} is damaged: it is not JSON") from None
    if not _is_state(state):
        raise DamagedFileError(f"{where} is damaged: it does not hold the state of a model")
    return state


def _is_state(found: Any) -> TypeGuard[dict[str, Any]]:
    if not isinstance(found, dict) or not all(_is_count(found.get(key, 0)) for key in ("random_steps", "step_seed")):
        return False
    seeds, shuffling = found.get("seeds", {}), found.get("shuffling", [0, 0])
    return (
        isinstance(seeds, dict)
        and all(isinstance(s, list) and all(_is_count(x) and x < 2**31 for x in s) for s in seeds.values())
        and isinstance(shuffling, list)
        and len(shuffling) == 2
        and all(_is_count(x) for x in shuffling)
        and all(_is_list_of_paths(found.get(key, [])) for key in ("frozen_models", "training_inside"))
    )


def convention_in(state: Mapping[str, Any], config: Any, keras_version: str | None) -> Convention | None:
    """What layers of a file mean that do not say it themselves."""
    if not state:
        return convention_of(config, keras_version)
    return Convention(sums_activity=True, frees_frozen=True) if state.get("version") == 1 else None


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**32


def _is_list_of_paths(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(path, str) for path in value)


def restore(model: Network, state: Mapping[str, Any]) -> None:
    """Give a model the state of a file; its seeds were given when its layers were made."""
    if state.get("random_steps"):
        model.fit_trainer.random_counter.assign(np.uint32(state["random_steps"]))
    if "step_seed" in state:
        model.fit_trainer.step_seed = state["step_seed"]
    frozen, training = set(state.get("frozen_models", ())), set(state.get("training_inside", ()))
    if frozen:
        for path, inner in list(_models(model)):
            inner.trainable = path not in frozen
        for path, layer in list(_inside_frozen(model)):
            layer.trainable = path in training


def restore_shuffling(model: Network, state: Mapping[str, Any]) -> None:
    """Let fit draw samples in the order in which it would have gone on; after ``compile``, which starts anew."""
    if "shuffling" in state:
        model.fit_trainer.shuffling = Shuffling(*state["shuffling"])


# ---- frozen models


def freeze_inside(config: dict[str, Any], model: Network, frozen: bool = False) -> dict[str, Any]:
    """A configuration in which the layers inside frozen models are frozen themselves.

    Versions of Keras differ in whether a nested model's own ``trainable`` is kept, and with it the order of its
    weights; so it must not matter.
    """
    config = dict(config)
    if isinstance(config.get("layers"), list):
        layers = {layer.name: layer for layer in (model.layers_as_added or model.layers)}
        config["layers"] = [_frozen_inside(item, layers[item["config"]["name"]], frozen) for item in config["layers"]]
    return config


def _frozen_inside(item: dict[str, Any], layer: Layer, frozen: bool) -> dict[str, Any]:
    if isinstance(layer, Network):
        inner = freeze_inside(item["config"], layer, frozen or not layer.trainable)
        return {**item, "config": inner}
    if frozen and "trainable" in item["config"]:
        return {**item, "config": {**item["config"], "trainable": False}}
    return item


# ---- walks


def _all_layers(model: Network) -> Iterator[Layer]:
    """Every layer, those inside models and wrappers too, in the order in which a configuration makes them."""
    stack: list[Layer] = list(reversed(model.layers))
    while stack:
        layer = stack.pop()
        yield layer
        stack += reversed(layer.layers if isinstance(layer, Network) else layer.layers_inside)


def _models(model: Network, path: str = "") -> Iterator[tuple[str, Network]]:
    """The model and all models inside it, with their paths."""
    yield path, model
    for layer in model.layers:
        if isinstance(layer, Network):
            yield from _models(layer, f"{path}/{layer.name}")


def _inside_frozen(model: Network, path: str = "", frozen: bool = False) -> Iterator[tuple[str, Layer]]:
    """The layers inside models that are frozen."""
    for layer in model.layers:
        inner = f"{path}/{layer.name}"
        if isinstance(layer, Network):
            yield from _inside_frozen(layer, inner, frozen or not layer.trainable)
        elif frozen:
            yield inner, layer
