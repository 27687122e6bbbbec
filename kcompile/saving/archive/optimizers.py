"""The state of optimizers in a ``.keras`` archive: ``optimizer/vars``, arrays without names.

Their order is that in which the optimizers of Keras 3 and tf.keras make them. As in our HDF5 files, what rounding
changes in scaled slots is kept beside them, so that training goes on with exactly the same numbers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from kcompile.common.errors import KCompileError
from kcompile.common.lists import unique
from kcompile.engine.network import Network
from kcompile.optimizers import Optimizer
from kcompile.saving.archive.configs import KERAS_3
from kcompile.saving.archive.weights import layers_in_order, stored_arrays, write_arrays
from kcompile.saving.hdf5.files import StoredArray, StoredGroup
from kcompile.saving.hdf5.optimizer_state import (
    CORRECTIONS,
    State,
    _corrected,
    _correction,
    _momentum_schedule,
    _number,
    _packed,
    _scaled,
    _unscaled,
    state_of,
)
from kcompile.symbolic.tensor import Array
from kcompile.symbolic.variable import Variable

PATH = "optimizer"

_SCALARS = "kcompile_optimizer_scalars"


def _groups(optimizer: Optimizer, state: State) -> list[tuple[str, ...]]:
    groups = [tuple(kind for kind in group if kind in state.slots) for group in optimizer.groups_of_slots_in_files]
    listed = {kind for group in groups for kind in group}
    return [group for group in (*groups, *((kind,) for kind in state.slots if kind not in listed)) if group]


def _slots(optimizer: Optimizer, state: State, order: Sequence[Variable]) -> Iterator[tuple[str, Variable]]:
    """Every slot in the order of the file, with a name of its own."""
    for group in _groups(optimizer, state):
        for number, param in enumerate(order):
            for kind in group:
                yield f"{kind}/{number}", state.slots[kind][param]


def trained_in_order(model: Network, config: Any = None) -> list[Variable]:
    """The weights that train, in the order in which the file's layers have them."""
    collected = _trained(model)
    trained = set(collected)
    found = unique(w for layer in layers_in_order(model, config) for w in layer.weights if w in trained)
    rest = trained.difference(found)
    return [*found, *(w for w in collected if w in rest)]


def _trained(model: Network) -> list[Variable]:
    """The weights that train; a subclassed model that was just loaded has no graph yet in which they were collected."""
    return model.fit_trainer.trained_weights or model.trainable_weights


# ---- writing


def write_optimizer(root: Any, model: Any, dialect: str) -> None:
    """Write the state into an ``h5py.Group``."""
    optimizer = model.optimizer
    state = state_of(optimizer, _trained(model))
    arrays: list[Array] = [optimizer.iterations.numpy()]
    if dialect == KERAS_3 and not optimizer.initial_decay:  # a schedule is no variable there
        arrays.append(optimizer.lr.numpy())
    corrections: dict[str, Array] = {}
    for name, variable in _slots(optimizer, state, trained_in_order(model)):
        raw, scale = variable.numpy(), optimizer._scales.get(variable, 1.0)
        arrays.append(_scaled(raw, scale))
        difference = _correction(raw, arrays[-1], scale)
        if difference.any():
            corrections[name] = difference
    if dialect == KERAS_3:
        arrays += [scalar.numpy() for scalar in state.scalars.values()]
    group = root.create_group(f"{PATH}/vars")
    group.attrs["name"] = optimizer.name
    write_arrays(group, arrays)
    for name, scalar in state.scalars.items():
        root.require_group(_SCALARS).create_dataset(name, data=scalar.numpy())
    for name, difference in corrections.items():
        root.require_group(CORRECTIONS).create_dataset(name, data=difference, **_packed(difference))


# ---- reading


def read_optimizer(root: StoredGroup, model: Any, config: Any) -> None:
    """Load the state that Keras 3, tf.keras or we wrote; nothing changes if something does not fit.

    Raises:
        ValueError: the state of another optimizer, or of other weights.
    """
    optimizer, order = model.optimizer, trained_in_order(model, config)
    stored = stored_arrays(root, PATH)
    if not stored:
        return
    before = dict(optimizer._slots), dict(optimizer._scales)
    try:
        state = state_of(optimizer, _trained(model))
        plan = _plan(root, stored, optimizer, state, order)
    except KCompileError:
        optimizer._slots, optimizer._scales = before
        raise
    for variable, array in plan:
        variable.assign(array)


def _plan(
    root: StoredGroup, stored: Sequence[StoredArray], optimizer: Any, state: State, order: Sequence[Variable]
) -> list[tuple[Variable, Array]]:
    """What is to be assigned to each variable."""
    slots = list(_slots(optimizer, state, order))
    rest = list(stored[1:])
    if rest and rest[0].shape == () and len(rest) > len(slots):
        rest = rest[1:]  # the learning rate, which the configuration has too
    unused = not slots and len(rest) == len(order)  # tf.keras' SGD has momentum also where it is 0
    if len(rest) not in (len(slots), len(slots) + len(state.scalars)) and not unused:
        raise KCompileError(
            f"{root.file}: the state of the optimizer has {len(stored)} arrays, which are not those of "
            f"{type(optimizer).__name__} with {len(order)} weights that train"
        )
    plan: list[tuple[Variable, Array]] = [(optimizer.iterations, _number(stored[0]).astype(np.int64))]
    corrections = root.group(CORRECTIONS) if CORRECTIONS in root else None
    for (name, variable), array in zip(slots, rest, strict=False):
        if array.shape != variable.storage.shape:
            raise KCompileError(
                f"{root.file}: the state of the optimizer does not fit: {variable.label} has shape "
                f"{variable.storage.shape}, {array.where} has {array.shape}"
            )
        raw = _unscaled(array.read().astype(variable.dtype), optimizer._scales.get(variable, 1.0))
        if corrections is not None and name in corrections:
            raw = _corrected(raw, corrections.array(name))
        plan.append((variable, raw))
    own = root.group(_SCALARS) if _SCALARS in root else None
    for number, (name, scalar) in enumerate(state.scalars.items(), len(slots)):
        if own is not None and name in own:
            plan.append((scalar, _number(own.array(name))))
        elif len(rest) > number:
            plan.append((scalar, _number(rest[number])))
        else:  # tf.keras does not store it
            plan.append((scalar, np.asarray(_momentum_schedule(optimizer, int(plan[0][1])), np.float32)))
    return plan
