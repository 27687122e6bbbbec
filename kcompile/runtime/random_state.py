"""Counters of the runs that drew random numbers: the one piece of random state (variables of role ``rng``)."""

from __future__ import annotations

from collections.abc import Sequence
from weakref import WeakKeyDictionary

import numpy as np

from kcompile.ir.core import Op, Value, Variable, toposort, variable_value
from kcompile.ir.ops.elementwise.random import RandomBits
from kcompile.runtime.storage import Storage, attach

_own: WeakKeyDictionary[Op, Value] = WeakKeyDictionary()


def new_counter(label: str = "random_counter") -> Value:
    """A count of runs that starts with the first."""
    counter = variable_value(label, "uint32", (), "rng")
    assert isinstance(counter.op, Variable)
    attach(counter.op, Storage(np.zeros((), np.uint32), "uint32"))
    return counter


_shared = new_counter()


def shared_counter() -> Value:
    """What random numbers depend on that belong to no model or function yet."""
    return _shared


def own_counter(values: Sequence[Value]) -> Value | None:
    """The counter of a function that draws random numbers: how often its first random op was evaluated so far.

    So what a seed gives depends on nothing else that was evaluated before.
    """
    ops = [node.op for node in toposort(values) if isinstance(node.op, RandomBits)]
    if not ops:
        return None
    found = next((_own[op] for op in ops if op in _own), None)
    found = new_counter() if found is None else found
    for op in ops:
        _own.setdefault(op, found)
    return found
