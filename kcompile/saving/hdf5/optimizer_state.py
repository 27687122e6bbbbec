"""The state of optimizers in HDF5, ``optimizer_weights``: iterations, then the slots of all weights.

We write names and order of Keras 2 and of ``tf.keras.optimizers.legacy``: all slots of one kind, then those of the
next. Later versions store the slots of one weight together, Keras 3 adds the learning rate, and Keras 1 names nothing;
all of them are read.

Our slots hold some quantities divided by a constant (see :class:`kcompile.optimizers.base.Optimizer`). Files hold the
quantities themselves; dividing again would lose the last bit, so what rounding changed is kept beside them, in a
group that Keras ignores, and training goes on with exactly the numbers with which it stopped.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from kcompile.common.errors import KCompileError
from kcompile.common.limits import DamagedFileError
from kcompile.optimizers import Optimizer
from kcompile.saving.hdf5.files import StoredArray, StoredGroup
from kcompile.saving.hdf5.weights import LoadedWeights, write_arrays
from kcompile.symbolic.tensor import Array
from kcompile.symbolic.variable import Variable

if TYPE_CHECKING:
    import h5py

GROUP = "optimizer_weights"
CORRECTIONS = "kcompile_optimizer_corrections"

_SCALARS = {"m_schedule": ("momentum_cache", "m_schedule")}
"""Numbers that optimizers (Nadam) keep beside the slots, with their names in files."""

_RATES = ("learning_rate", "current_learning_rate")


# ---- our state


@dataclass
class State:
    """The variables of an optimizer, by kind."""

    scalars: dict[str, Variable]
    slots: dict[str, dict[Variable, Variable]]


def state_of(optimizer: Optimizer, params: Sequence[Variable]) -> State:
    """All state of ``optimizer`` for these weights, which is made if it does not exist yet."""
    rule = optimizer.prepare([])
    for weight in params:
        rule(weight, weight)  # any tensor of its shape: only the slots are wanted
    scalars = {name: v for (name, param), v in optimizer._slots.items() if param is None}
    found: dict[str, dict[Variable, Variable]] = {}
    for (name, param), variable in optimizer._slots.items():
        if param is not None:
            found.setdefault(name, {})[param] = variable
    order = [*optimizer.names_of_slots_in_files, *found]
    slots = {kind: {p: found[kind][p] for p in params} for kind in dict.fromkeys(order) if kind in found}
    return State(scalars, slots)


# ---- writing


def write_optimizer(root: h5py.Group, optimizer: Optimizer, params: Sequence[Variable]) -> None:
    """Write the state into the group ``optimizer_weights`` of an ``h5py.Group``."""
    names = [f"{optimizer.name}/iter"]
    arrays: list[Array] = [optimizer.iterations.numpy()]
    corrections: dict[str, Array] = {}
    if optimizer._slots:  # none before the first step
        kinds = optimizer.names_of_slots_in_files
        state = state_of(optimizer, params)
        for name, scalar in state.scalars.items():
            names.append(f"{optimizer.name}/{_SCALARS.get(name, (name,))[0]}")
            arrays.append(scalar.numpy())
        for kind, variables in state.slots.items():
            for number, (param, variable) in enumerate(variables.items()):
                names.append(f"{optimizer.name}/{param.label}/{kinds.get(kind, (kind,))[0]}")
                value = variable.numpy()
                scale = optimizer._scales.get(variable, 1.0)
                arrays.append(_scaled(value, scale))
                difference = _correction(value, arrays[-1], scale)
                if difference.any():
                    corrections[f"{kind}/{number}"] = difference
    write_arrays(root.create_group(GROUP), names, arrays)
    for name, difference in corrections.items():
        # Mostly zeros and ones, which take little.
        root.require_group(CORRECTIONS).create_dataset(name, data=difference, **_packed(difference))


def _packed(array: Array) -> dict[str, Any]:
    return {"compression": "gzip", "compression_opts": 1} if array.size > 64 else {}


def _scaled(raw: Array, scale: float) -> Array:
    return raw if scale == 1 else raw * raw.dtype.type(scale)


def _unscaled(value: Array, scale: float) -> Array:
    return value if scale == 1 else value / value.dtype.type(scale)


def _correction(raw: Array, value: Array, scale: float) -> Array:
    """By how many units in the last place ``value / scale`` misses ``raw``."""
    whole = np.dtype(f"i{raw.dtype.itemsize}")
    difference = _bits(raw, whole) - _bits(_unscaled(value, scale), whole)
    small = difference.astype(np.int8)
    return small if np.array_equal(small, difference) else difference


def _bits(x: Array, whole: Any) -> Array:
    return np.ascontiguousarray(x).view(whole)


# ---- reading


def read_optimizer(root: StoredGroup, optimizer: Optimizer, params: Sequence[Variable], loaded: LoadedWeights) -> None:
    """Load the state that any version of Keras, or we, wrote; nothing changes if something does not fit.

    Args:
        root: the file.
        params: the weights that train, in the model's order.
        loaded: what is known of the weights in the file.

    Raises:
        ValueError: state of another optimizer, or of other weights.
    """
    group = root.group(GROUP)
    names = group.texts("weight_names")
    stored = [group.array(name) for name in names]
    parts = _Parts(optimizer, [name.removesuffix(":0") for name in names], stored, group.file)
    assignments: list[tuple[Variable, Array]] = []
    if parts.iterations is not None:
        assignments.append((optimizer.iterations, _number(parts.iterations).astype(np.int64)))
    if parts.arrays or parts.scalars:  # else saved before the first step, or nothing but steps to remember
        if loaded.converted:
            raise KCompileError(f"{root.file}: the state of the optimizer is that of kernels in another layout")
        before = dict(optimizer._slots), dict(optimizer._scales)
        try:
            assignments += _slots(root, parts, state_of(optimizer, params), _orders(params, loaded))
        except KCompileError:
            optimizer._slots, optimizer._scales = before
            raise
    for variable, array in assignments:
        variable.assign(array)


def _slots(
    root: StoredGroup, parts: _Parts, state: State, orders: Sequence[Sequence[Variable]]
) -> list[tuple[Variable, Array]]:
    """The slots and scalars of a file, for the first order of weights that they fit."""
    optimizer = parts.optimizer
    found = [(order, arrays) for order in orders if (arrays := parts.by_kind(state, order)) is not None]
    if not found:
        raise KCompileError(
            f"{root.file}: the state of the optimizer is not that of {type(optimizer).__name__} with {len(orders[0])} "
            f"weights that train ({len(state.slots)} arrays for each), but has {len(parts.arrays)} arrays"
        )
    order, arrays = found[0]
    corrections = root.group(CORRECTIONS) if CORRECTIONS in root else None
    result: list[tuple[Variable, Array]] = []
    for kind, variables in state.slots.items():
        for number, (param, array) in enumerate(zip(order, arrays[kind], strict=True)):
            variable, name = variables[param], f"{kind}/{number}"
            raw = _unscaled(array.read().astype(variable.dtype, copy=False), optimizer._scales.get(variable, 1.0))
            if corrections is not None and kind in corrections and name in corrections:
                raw = _corrected(raw, corrections.array(name))
            result.append((variable, raw))
    return result + [(scalar, parts.scalar(name)) for name, scalar in state.scalars.items()]


def _orders(params: Sequence[Variable], loaded: LoadedWeights) -> list[list[Variable]]:
    """The orders in which a file may have the slots: that of the model, or, up to Keras 2.0.5 or so, that of names."""
    by_name = sorted(params, key=lambda param: loaded.names.get(param, param.label))
    orders = [list(params), by_name]
    return orders[::-1] if loaded.origin.release < (2, 0, 6) else orders


def _corrected(raw: Array, stored: StoredArray) -> Array:
    if stored.shape != raw.shape:
        raise DamagedFileError(f"{stored.where} has shape {stored.shape}, not {raw.shape}")
    whole = np.dtype(f"i{raw.dtype.itemsize}")
    return (_bits(raw, whole) + stored.read()).astype(whole, copy=False).view(raw.dtype)


def _number(array: StoredArray) -> Array:
    if array.nbytes > 8:
        raise DamagedFileError(f"{array.where} should be one number, but has shape {array.shape}")
    return array.read().reshape(())


class _Parts:
    """The arrays of a file, sorted into counters, scalars and slots."""

    def __init__(self, optimizer: Optimizer, names: Sequence[str], stored: Sequence[StoredArray], file: str) -> None:
        self.optimizer = optimizer
        self.file = file
        self.iterations: StoredArray | None = None
        self.scalars: dict[str, StoredArray] = {}
        self.arrays: list[tuple[str, StoredArray]] = []
        for name, array in zip(names, stored, strict=True):
            last = name.rpartition("/")[2]
            if array.shape != ():
                self.arrays.append((name, array))
            elif last in _RATES:
                continue  # the configuration has it too
            elif self.iterations is None and not self.arrays:
                self.iterations = array  # Keras 1 and 2 give it no name of its own, but it comes first
            elif (scalar := self._scalar_name(last)) is not None:
                self.scalars[scalar] = array
            else:
                self.arrays.append((name, array))  # a slot of a scalar weight

    def _scalar_name(self, last: str) -> str | None:
        if not hasattr(self.optimizer, "schedule_decay") or self.scalars:
            return None
        unnamed = last.lower().startswith("variable")
        return next((ours for ours, theirs in _SCALARS.items() if last in theirs or unnamed), None)

    def by_kind(self, state: State, params: Sequence[Variable]) -> dict[str, list[StoredArray]] | None:
        """The arrays of each kind of slot, one for each weight; ``None`` if they do not fit these weights.

        Slots that our optimizer does not have are passed over: SGD of later versions has momentum also where it is 0.
        """
        found = self._named() or self._unnamed(state, len(params))
        shapes = [param.storage.shape for param in params]
        if any([array.shape for array in found.get(kind, [])] != shapes for kind in state.slots):
            return None
        return found

    def _named(self) -> dict[str, list[StoredArray]]:
        """By the names of the arrays; nothing if some do not tell."""
        known = {name: kind for kind, names in self.optimizer.names_of_slots_in_files.items() for name in names}
        found: dict[str, list[StoredArray]] = {}
        for name, array in self.arrays:
            kind = _kind_in(name, known)
            if kind is None:
                return {}
            found.setdefault(kind, []).append(array)
        return found

    def _unnamed(self, state: State, count: int) -> dict[str, list[StoredArray]]:
        """All slots of one kind, then those of the next; Adam of Keras 2 ends with numbers that only amsgrad needs."""
        arrays = [array for _, array in self.arrays]
        rest = arrays[count * len(state.slots) :]
        if state.slots and any(array.shape != (1,) for array in rest):
            return {}
        return {kind: arrays[i * count : (i + 1) * count] for i, kind in enumerate(state.slots)}

    def scalar(self, name: str) -> Array:
        """A number of the optimizer, computed where old files lack it."""
        if name in self.scalars:
            return _number(self.scalars[name])
        steps = 0 if self.iterations is None else int(_number(self.iterations))
        if name == "m_schedule" and hasattr(self.optimizer, "schedule_decay"):
            return np.asarray(_momentum_schedule(self.optimizer, steps), np.float32)
        raise KCompileError(f"{self.file}: {name} of {type(self.optimizer).__name__} is missing")


def _kind_in(name: str, known: Mapping[str, str]) -> str | None:
    """The kind of slot that a name tells: ``Adam/dense/kernel/m``, ``Adam/m/dense/kernel`` or ``..._momentum``."""
    parts = name.split("/")
    if parts[-1] in known:
        return known[parts[-1]]
    if len(parts) > 2 and parts[1] in known:
        return known[parts[1]]
    endings = [slot for slot in known if parts[-1].endswith(f"_{slot}")]
    return known[max(endings, key=len)] if endings else None


def _momentum_schedule(optimizer: Any, steps: int) -> float:
    """Nadam's product of momenta after that many steps (Dozat, 2016)."""
    product = 1.0
    for step in range(1, steps + 1):
        lacking = 0.5 * 0.96 ** (step * optimizer.schedule_decay)
        if lacking < 2**-54:  # files can tell any number of steps
            return float(product * optimizer.beta_1 ** (steps - step + 1))
        product *= optimizer.beta_1 * (1 - lacking)
        if product == 0:
            break
    return product
