"""Weights in HDF5, in the layout of Keras 1, Keras 2 and tf.keras.

A group has an attribute ``layer_names``; for each layer there is a group whose attribute ``weight_names`` lists its
arrays: those that train, then the others. A list of names that takes more than 64 kB is spread over several
attributes, the limit of HDF5.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from kcompile.common.errors import KCompileError, did_you_mean, listed, warn
from kcompile.common.limits import DamagedFileError
from kcompile.engine.layer import Layer
from kcompile.engine.network import Network
from kcompile.saving.hdf5.files import StoredArray, StoredGroup
from kcompile.saving.hdf5.legacy_weights import Origin, converted, needs_conversion
from kcompile.saving.weight_names import order_by_names, trained_inside_first
from kcompile.symbolic.tensor import Array
from kcompile.symbolic.variable import Variable

if TYPE_CHECKING:
    import h5py

KERAS_VERSION = "2.3.1"
"""The version of Keras that our files name: the one whose layout and names they have."""

_ATTRIBUTE_LIMIT = 64512
"""Bytes of one attribute; HDF5 keeps attributes in the header of their group, which ends at 64 kB."""
_ORDER = "kcompile_order"
"""The attribute that says where in ``layer.weights`` each array belongs, of layers with layers inside."""
_TOP_LEVEL = "top_level_model_weights"


# ---- order


def stored_order(layer: Layer) -> list[Variable]:
    """The weights of a layer in the order of files: those that train, then the others.

    This differs from ``layer.weights`` where there are layers inside a layer: flags change it.
    """
    return [*layer.trainable_weights, *layer.non_trainable_weights]


# ---- writing


def write_weights(group: h5py.Group, model: Network) -> None:
    """Write all weights of ``model`` into an ``h5py.Group``.

    Raises:
        ValueError: names of layers that HDF5 cannot hold.
    """
    for layer in model.layers:
        if any(part in ("", ".", "..") for part in layer.name.split("/")) or "\0" in layer.name:
            raise KCompileError(f"layer {layer.name!r} cannot be written to HDF5: its name is not one of a group there")
    write_texts(group, "layer_names", [layer.name for layer in model.layers])
    group.attrs["backend"] = b"tensorflow"
    group.attrs["keras_version"] = KERAS_VERSION.encode()
    # In order of names, so that a layer "a" is written before a layer "a/b" inside its group.
    for layer in sorted(model.layers, key=lambda item: item.name):
        place, order = group.require_group(layer.name), stored_order(layer)
        _write_arrays(place, order)
        if layer.layers_inside and order:
            numbers = {weight: number for number, weight in enumerate(layer.weights)}
            write_texts(place, _ORDER, [str(numbers[weight]) for weight in order])
    own = [*model.weights_of_its_own(True), *model.weights_of_its_own(False)]
    _write_arrays(group.require_group(_TOP_LEVEL), own)


def _write_arrays(group: h5py.Group, weights: Sequence[Variable]) -> None:
    write_arrays(group, [w.label for w in weights], [w.numpy() for w in weights])


def write_arrays(group: h5py.Group, names: Sequence[str], arrays: Sequence[Array]) -> None:
    """Write arrays, and their names in the attribute ``weight_names``; equal names are told apart by a number."""
    taken: dict[str, None] = {}
    for name in names:
        number, unused = 0, f"{name}:0"
        while unused in taken:
            number += 1
            unused = f"{name}_{number}:0"
        taken[unused] = None
    write_texts(group, "weight_names", taken)
    for name, array in zip(taken, arrays, strict=True):
        group.create_dataset(name, data=array)


def write_texts(group: h5py.Group, name: str, texts: Iterable[str]) -> None:
    """A list of names as an attribute, or as several if it takes more than 64 kB.

    Raises:
        ValueError: one name alone takes more.
    """
    encoded = [text.encode() for text in texts]
    if any(len(text) > _ATTRIBUTE_LIMIT for text in encoded):
        raise KCompileError(f"a name is longer than the {_ATTRIBUTE_LIMIT} bytes that an attribute of HDF5 can hold")
    if not encoded:
        group.attrs[name] = np.zeros((0,), "S1")
        return
    width = max(1, *(len(text) for text in encoded))
    count = -(-len(encoded) // (_ATTRIBUTE_LIMIT // width))
    parts = np.array_split(np.array(encoded, f"S{width}"), count)
    if count == 1:
        group.attrs[name] = parts[0]
        return
    for number, part in enumerate(parts):
        group.attrs[f"{name}{number}"] = part


# ---- reading


def read_weights(
    group: StoredGroup,
    model: Network,
    by_name: bool = False,
    skip_mismatch: bool = False,
    reshape: bool = False,
    from_file: bool = False,
) -> LoadedWeights:
    """Load weights into ``model``: all of them, or none if something does not fit.

    Args:
        group: what :func:`write_weights` or any version of Keras wrote.
        by_name: load into layers of the same names, in place of all layers in order.
        skip_mismatch: leave layers out whose weights do not fit, with a warning.
        reshape: arrays of the right size but another shape are reshaped.
        from_file: whether ``model`` was made of the configuration in the same file.

    Raises:
        ValueError: layers or shapes that differ, all of them named.
    """
    origin = Origin(group.text("keras_version") or "1", group.text("backend") or "")
    stored = {name: group.group(name) for name in group.texts("layer_names")}
    arrays = {name: _Stored(inner) for name, inner in stored.items()}
    pairs = _by_name(model, arrays, group) if by_name else _in_order(model, arrays, group)
    plan = _Plan(origin, reshape, skip_mismatch, from_file)
    for layer, found in pairs:
        plan.add(f"layer {layer.name!r}", layer, stored_order(layer), found)
    if _TOP_LEVEL in group:
        own = [*model.weights_of_its_own(True), *model.weights_of_its_own(False)]
        plan.add(f"model {model.name!r} itself", None, own, _Stored(group.group(_TOP_LEVEL)))
    plan.carry_out(group.file)
    return plan.loaded


@dataclass
class LoadedWeights:
    """What is known of weights that were loaded.

    Attributes:
        origin: who wrote them.
        names: the weights' names in the file, where each was one array.
        converted: whether some had another layout.
    """

    origin: Origin
    names: dict[Variable, str] = field(default_factory=dict)
    converted: bool = False


class _Stored:
    """The arrays of one layer in a file, with their names."""

    def __init__(self, group: StoredGroup) -> None:
        self.names = group.texts("weight_names")
        self.arrays: list[StoredArray] = [group.array(name) for name in self.names]
        self.order: list[int] | None = None
        if _ORDER in group.attributes():
            order = group.texts(_ORDER)
            if sorted(order) != sorted(map(str, range(len(self.names)))):
                where = f"{group.file}: attribute {_ORDER!r} of {group.path}"
                raise DamagedFileError(f"{where} is not an order of its arrays")
            self.order = [int(number) for number in order]

    @property
    def shapes(self) -> list[tuple[int, ...]]:
        return [array.shape for array in self.arrays]

    @property
    def size(self) -> int:
        return sum(math.prod(shape) for shape in self.shapes)

    def read(self) -> list[Array]:
        return [array.read() for array in self.arrays]

    def order_of(self, layer: Layer, usual: Sequence[Variable], from_file: bool) -> Sequence[Variable]:
        """The weights of ``layer`` in the order of the arrays."""
        if self.order is None or len(self.order) != len(usual):
            return order_by_names(layer, self.names, self.shapes, usual, from_file)
        weights = layer.weights
        return [weights[number] for number in self.order]


def _in_order(model: Network, stored: dict[str, _Stored], group: StoredGroup) -> list[tuple[Layer, _Stored]]:
    """Layers with weights and stored layers with arrays, one after the other."""
    found = {name: item for name, item in stored.items() if item.names}
    layers = [layer for layer in model.layers if layer.weights]
    if len(layers) != len(found):
        # Keras 1 stored the layers of a Sequential in a Sequential as if they stood in the outer one.
        flat = [layer for layer in _flattened(model) if layer.weights]
        layers = flat if len(flat) == len(found) else layers
    if len(layers) != len(found):
        hint = "" if model.built else "; the model is not built: call it on data, or build(input_shape)"
        raise KCompileError(
            f"{group.file} has weights of {len(found)} layers ({listed(found, 10)}), model {model.name!r} has "
            f"{len(layers)} layers with weights ({listed((layer.name for layer in layers), 10)}){hint}; by_name=True "
            "loads those of the same names"
        )
    return list(zip(layers, found.values(), strict=True))


def _flattened(model: Network) -> list[Layer]:
    found: list[Layer] = []
    for layer in model.layers:
        if isinstance(layer, Network) and layer.layers_as_added is not None:
            found += _flattened(layer)
        else:
            found.append(layer)
    return found


def _by_name(model: Network, stored: dict[str, _Stored], group: StoredGroup) -> list[tuple[Layer, _Stored]]:
    pairs = [(layer, stored[layer.name]) for layer in model.layers if layer.name in stored]
    if not any(found.names for _, found in pairs):
        mine = [layer.name for layer in model.layers if layer.weights]
        hint = next((text for name in mine if (text := did_you_mean(name, stored))), "")
        raise KCompileError(
            f"{group.file}: no layer of model {model.name!r} ({listed(mine, 10)}) has weights in the file, which are "
            f"those of {listed((name for name, item in stored.items() if item.names), 10)}{hint}"
        )
    return pairs


class _Plan:
    """What will be assigned, and what does not fit."""

    def __init__(self, origin: Origin, reshape: bool, skip_mismatch: bool, from_file: bool) -> None:
        self.origin = origin
        self.from_file = from_file
        self.loaded = LoadedWeights(origin)
        self.reshape = reshape
        self.skip_mismatch = skip_mismatch
        self.assignments: list[tuple[Variable, Array]] = []
        self.problems: list[str] = []

    def add(self, owner: str, layer: Layer | None, weights: Sequence[Variable], stored: _Stored) -> None:
        """Read the arrays of one layer, converted where an old file needs it."""
        if layer is not None and not needs_conversion(self.origin):
            weights = stored.order_of(layer, weights, self.from_file)
        wanted = [weight.storage.shape for weight in weights]
        fits = stored.shapes == wanted
        # Nothing is read for a layer that it cannot fit. Conversion keeps the number of elements, except that a
        # CuDNN layer has two biases for one.
        if layer is not None and (not fits or needs_conversion(self.origin)) and _similar(stored, wanted):
            if isinstance(layer, Network):
                weights = trained_inside_first(layer)
                wanted = [weight.storage.shape for weight in weights]
            before = stored.read()
            try:
                arrays = converted(layer, before, self.origin)
            except KCompileError as error:
                self.problems.append(str(error))
                return
            self.loaded.converted |= [id(x) for x in arrays] != [id(x) for x in before]
        elif fits:
            arrays = stored.read()
        else:
            self._mismatch(owner, weights, stored.shapes, stored.names)
            return
        if self.reshape and len(arrays) == len(wanted):
            arrays = [
                array.reshape(shape) if array.size == math.prod(shape) else array
                for array, shape in zip(arrays, wanted, strict=True)
            ]
        if [array.shape for array in arrays] == wanted:
            if len(stored.names) == len(weights):
                self.loaded.names.update(zip(weights, stored.names, strict=True))
            self.assignments += zip(weights, arrays, strict=True)
        else:
            self._mismatch(owner, weights, stored.shapes, stored.names)

    def _mismatch(
        self, owner: str, weights: Sequence[Variable], shapes: Sequence[tuple[int, ...]], names: Sequence[str]
    ) -> None:
        if len(shapes) != len(weights):
            text = f"{owner} has {len(weights)} weights, the file {len(shapes)} ({listed(names, 6)})"
        else:
            different = [
                f"{w.label} is {w.storage.shape}, the file has {shape}"
                for w, shape in zip(weights, shapes, strict=True)
                if w.storage.shape != shape
            ]
            text = f"{owner}: {'; '.join(different)}"
        self.problems.append(text)

    def carry_out(self, file: str) -> None:
        """Assign everything, or nothing.

        Raises:
            ValueError: what does not fit, unless it is to be skipped.
        """
        if self.problems:
            shown = "; ".join(self.problems[:10]) + ("; ..." if len(self.problems) > 10 else "")
            if not self.skip_mismatch:
                raise KCompileError(f"{file} does not fit: {shown}")
            warn(f"{file}: weights that do not fit are left as they were: {shown}", UserWarning)
        for variable, array in self.assignments:
            variable.assign(array)


def _similar(stored: _Stored, wanted: Sequence[tuple[int, ...]]) -> bool:
    size = sum(math.prod(shape) for shape in wanted)
    return size <= stored.size <= 2 * size or stored.size <= size <= 2 * stored.size
