"""Weights in the HDF5 layout of Keras 3 (and of tf.keras 2.13 and later): ``model.weights.h5`` and ``.weights.h5``.

Groups follow the attributes of objects: ``layers/dense_1/vars/0`` is the first weight of the second Dense layer, and
``layers/bidirectional/forward_layer/cell/vars/1`` the second one of an LSTM's cell. Layers in lists are named by their
class, in snake case, and numbered by class in the order of the list; their own names are not used.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from kcompile.common.errors import KCompileError, listed, warn
from kcompile.common.limits import WEIGHTS_OF_A_LAYER, DamagedFileError
from kcompile.engine.input_layer import InputLayer
from kcompile.engine.layer import Layer
from kcompile.engine.network import Network
from kcompile.engine.tracking import internal_names
from kcompile.objects.dialects.keras3_names import own_name
from kcompile.objects.structure import Json
from kcompile.saving.hdf5.files import StoredArray, StoredGroup
from kcompile.symbolic.tensor import Array
from kcompile.symbolic.variable import Variable

if TYPE_CHECKING:
    import h5py

_OLD_CONTAINER = "_layer_checkpoint_dependencies"  # of tf.keras 2.12 and 2.13, for "layers"


@dataclass(frozen=True)
class Part:
    """An object with weights of its own.

    Attributes:
        path: where they are in the file.
        layer: the layer.
        weights: its weights, without those of layers inside it.
        extra: whether the file may hold more arrays: states, which are no weights here.
    """

    path: str
    layer: Layer
    weights: Sequence[Variable]
    extra: bool = False


class Layout(enum.Enum):
    """Which version of Keras decides where a layer lies that can be reached in several ways.

    A subclassed model has its layers as attributes, and all of them in ``layers``; the first way that is gone counts.
    Keras 3 goes through attributes in alphabetical order, private ones last; tf.keras goes the other way round, and
    leaves lists in lists out. ``ATTRIBUTES`` is Keras 3's without ``layers``.
    """

    KERAS_3 = "keras 3"
    TF_KERAS = "tf.keras"
    ATTRIBUTES = "attributes"


def parts_of(model: Network, config: Json = None, layout: Layout = Layout.KERAS_3) -> list[Part]:
    """The model and everything inside it, in the order in which a file numbers them.

    Args:
        model: a model with weights.
        config: its configuration in the file; it tells the order of layers and the names of their classes there.
        layout: where layers lie that can be reached in several ways.
    """
    found: list[Part] = []
    _walk(model, "", config, layout, found, set())
    return found


def _walk(layer: Layer, path: str, config: Json, layout: Layout, found: list[Part], seen: set[int]) -> None:
    seen.add(id(layer))
    stateful = bool(layer.stateful) and hasattr(layer, "states")
    found.append(Part(path, layer, layer.archived_weights(), stateful))
    for segment, child, inner in _children(layer, config, layout, seen):
        if id(child) not in seen:
            _walk(child, f"{path}/{segment}" if path else segment, inner, layout, found, seen)


Child = tuple[str, Layer, Any]


def _children(layer: Layer, config: Json, layout: Layout, seen: set[int]) -> Iterator[Child]:
    """The layers inside a layer: their place in the file, and their configuration if the file has one."""
    inner = config.get("config") if isinstance(config, Mapping) else None
    backwards = layout is Layout.TF_KERAS
    attributes = {k: v for k, v in vars(layer).items() if k not in internal_names(type(layer))}
    if isinstance(layer, Network) and layer.has_layer_graph and not layer.has_traced_graph and not backwards:
        yield from _contained("layers", *_in_order_of_file(layer, inner), layout, seen)
    elif isinstance(layer, Network) and layout is not Layout.ATTRIBUTES:
        attributes["layers"] = None
    for name in sorted(attributes, key=lambda name: (name.startswith("_"), name), reverse=backwards):
        value = attributes[name]
        if name == "layers" and isinstance(layer, Network):
            traced = (
                layer.has_traced_graph or not layer.has_layer_graph
            )  # a key "layers" of its configuration is the user's
            yield from _contained(name, *_in_order_of_file(layer, None if traced else inner), layout, seen)
        elif isinstance(value, Layer):
            yield (
                layer.name_of_part_in_files(name, not backwards),
                value,
                inner.get(name) if isinstance(inner, Mapping) else None,
            )
        elif isinstance(value, (list, tuple, dict)):
            items = list(value.values() if isinstance(value, dict) else value)
            yield from _contained(name, items, [None] * len(items), layout, seen)


def layers_in_order(model: Network, config: Json = None) -> Iterator[Layer]:
    """The layers of a model and of models inside it, in the order of the file: that of ``trainable_variables``."""
    inner = config.get("config") if isinstance(config, Mapping) else None
    for layer, own in zip(*_in_order_of_file(model, inner), strict=True):
        if isinstance(layer, Network):
            yield from layers_in_order(layer, own)
        else:
            yield layer


def _contained(
    name: str,
    items: Sequence[Any],
    configs: Sequence[Any],
    layout: Layout,
    seen: set[int],
    inside: tuple[int, ...] = (),
) -> Iterator[Child]:
    """The layers in a container, named by their classes and numbered."""
    counts: dict[str, int] = {}
    for item, config in zip(items, configs, strict=True):
        nested = isinstance(item, (list, tuple, dict)) and id(item) not in inside
        if not nested and not (isinstance(item, Layer) and (layout is not Layout.TF_KERAS or id(item) not in seen)):
            continue
        written = config.get("class_name") if isinstance(config, Mapping) else None
        kind = snake_case(own_name(written.rpartition(">")[2]) if isinstance(written, str) else class_name(item))
        kind = "container" if nested else kind
        number = counts[kind] = counts.get(kind, -1) + 1
        place = f"{name}/{kind}_{number}" if number else f"{name}/{kind}"
        if nested:
            within = list(item.values() if isinstance(item, dict) else item)
            yield from _contained(place, within, [None] * len(within), layout, seen, (*inside, id(item)))
        else:
            yield place, item, config


def _in_order_of_file(model: Network, config: Json) -> tuple[list[Layer], list[Any]]:
    """The layers of a model in the order of its configuration, each with its own part of that."""
    by_name = {layer.name: layer for layer in [*(model.layers_as_added or ()), *model.layers]}
    entries = config.get("layers") if isinstance(config, Mapping) else None
    if not isinstance(entries, list):
        return model.layers, [None] * len(model.layers)
    layers, configs = [], []
    for entry in entries:
        name = entry_name(entry)
        is_input = name is not None and entry.get("class_name") == "InputLayer"
        if name in by_name and not (is_input and "name" not in entry):  # Sequential does not count its input layer
            layers.append(by_name[name])
            configs.append(entry)
    return layers, configs


def entry_name(entry: Json) -> str | None:
    """The name of a layer in the configuration of a model."""
    if not isinstance(entry, Mapping):
        return None
    config = entry.get("config")
    name = entry.get("name") or (config.get("name") if isinstance(config, Mapping) else None)
    return name if isinstance(name, str) else None


def class_name(layer: Layer) -> str:
    """The class by which Keras names a layer."""
    name = type(layer).__name__
    return "Functional" if name == "Model" else name


def snake_case(name: str) -> str:
    """``Conv2DTranspose`` as ``conv2d_transpose``, as Keras 3 does it."""
    name = re.sub(r"\W+", "", name)
    name = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub("([a-z])([A-Z])", r"\1_\2", name).lower()


# ---- writing


def write_weights(group: h5py.Group, model: Network, states: bool = True, layout: Layout = Layout.KERAS_3) -> None:
    """Write all weights into an empty ``h5py.Group``; with the states of stateful layers, which Keras 3 counts among
    their variables, and tf.keras does not."""
    for part in parts_of(model, layout=layout):
        if isinstance(part.layer, InputLayer):
            continue
        arrays = [w.numpy() for w in part.weights]
        if part.extra and states:
            arrays += [s.numpy() for s in _states(part.layer)]
        place = group.create_group(f"{part.path}/vars" if part.path else "vars")
        place.attrs["name"] = part.layer.name
        write_arrays(place, arrays)
        if getattr(part.layer, "_seeds", None) is not None and part.path:
            # Keras 3 expects the state of the layer's random numbers; ours are kept elsewhere.
            seeds = np.array([part.layer._seeds.first, 0], "uint32")
            write_arrays(group.create_group(f"{part.path}/seed_generator/vars"), [seeds])


def write_arrays(group: h5py.Group, arrays: Sequence[Array]) -> None:
    """Write arrays under their numbers."""
    for number, array in enumerate(arrays):
        group.create_dataset(str(number), data=array)


def _states(layer: Any) -> list[Variable]:
    return [state for state in layer.states or () if isinstance(state, Variable)]


# ---- reading


def read_weights(root: StoredGroup, model: Network, config: Json = None, skip_mismatch: bool = False) -> None:
    """Load all weights, or none if one does not fit.

    Args:
        root: the file.
        model: a model that is built.
        config: its configuration in the file, if there is one.
        skip_mismatch: leave layers whose weights do not fit, with a warning.

    Raises:
        ValueError: weights that are missing or have other shapes, all of them named.
    """
    problems: list[str] = []
    plan: list[tuple[Variable, StoredArray]] = []
    parts = _parts_in(root, model, config)
    for part in parts:
        stored = stored_arrays(root, part.path)
        wanted = [w.storage.shape for w in part.weights]
        shapes = [array.shape for array in stored]
        if shapes[: len(wanted)] == wanted and (len(shapes) == len(wanted) or part.extra):
            plan += zip(part.weights, stored, strict=False)
        elif wanted or shapes:
            problems.append(
                f"layer {part.layer.name!r} has weights of shapes {wanted}, {part.path or '/'} has {shapes}"
            )
    problems += [f"the model has no layer for the weights of {path}" for path in _unread(root, parts)]
    if problems and not skip_mismatch:
        raise KCompileError(f"{root.file} does not fit model {model.name!r}: {'; '.join(problems[:20])}")
    for problem in problems:
        warn(f"{root.file}: {problem}; left as it was", UserWarning)
    arrays = [(variable, array.read()) for variable, array in plan]
    for variable, array in arrays:
        variable.assign(array)


def _parts_in(root: StoredGroup, model: Network, config: Json) -> list[Part]:
    """The model's parts in the layout of which the file has most."""
    layouts = [parts_of(model, config, layout) for layout in Layout]
    return max(layouts, key=lambda parts: sum(_place(root, part.path) is not None for part in parts if part.weights))


def _unread(root: StoredGroup, parts: Sequence[Part]) -> Iterator[str]:
    """The layers in the file that have weights, and no counterpart in the model."""
    known = {part.path for part in parts}
    for part in parts:
        folder = f"{part.path}/layers" if part.path else "layers"
        if isinstance(part.layer, Network) and folder in root:
            places = [f"{folder}/{name}" for name in root.group(folder)]
            yield from (place for place in places if place not in known and stored_arrays(root, place))


def stored_arrays(root: StoredGroup, path: str) -> list[StoredArray]:
    """The arrays of one object, in order; none if the file has no group for it.

    Raises:
        ValueError: groups that are no numbers of arrays.
    """
    place = _place(root, path)
    if place is None:
        return []
    group = root.group(place)
    names = list(group)
    if len(names) > WEIGHTS_OF_A_LAYER or set(names) != {str(i) for i in range(len(names))}:
        raise DamagedFileError(f"{root.file}: {place} should hold arrays named 0, 1, ..., but has {listed(names, 10)}")
    return [group.array(str(i)) for i in range(len(names))]


def _place(root: StoredGroup, path: str) -> str | None:
    """The group of an object's arrays, if the file has one."""
    place = f"{path}/vars" if path else "vars"
    return next((name for name in (place, place.replace("layers", _OLD_CONTAINER)) if name in root), None)
