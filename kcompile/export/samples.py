"""Random inputs that a model accepts, the same for the same seed."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from kcompile.engine.index_limits import index_limits
from kcompile.engine.network import Network
from kcompile.ir.core import Array
from kcompile.ir.dims import as_integers, named, names_in, substitute

FREE_SIZE = 16
"""What a free size other than the batch is by default."""

WHOLE_NUMBERS = 10
"""Integers that no Embedding reads are below this."""


def random_feeds(
    model: Network, samples: int, sizes: Mapping[str, int] | None = None, seed: int = 0
) -> dict[str, Array]:
    """An array for each input: normally distributed numbers, or indices that every Embedding has.

    Args:
        model: a built model.
        samples: the batch size.
        sizes: of the other free sizes, by name; those left out are :data:`FREE_SIZE`.
        seed: of the random numbers.
    """
    rng = np.random.default_rng(seed)
    limits = index_limits(model)
    found = {}
    for name, x in zip(model.input_names, model.inputs, strict=True):
        known = {size: FREE_SIZE for dim in x.value.shape for size in names_in(dim)} | {"batch": samples}
        shape = as_integers(substitute(dim, {**known, **(sizes or {})}) for dim in x.value.shape)
        limit = limits.get(name)
        if limit is not None or not x.value.type.is_float:
            highest = 2 if x.dtype == "bool" else WHOLE_NUMBERS if limit is None else limit[0]
            found[name] = rng.integers(0, highest, shape).astype(x.dtype)
        else:
            found[name] = rng.standard_normal(shape).astype(x.dtype)
    return found


def with_numbers(kind: str, feeds: Mapping[str, Array], model: Network, largest: float) -> dict[str, Array] | None:
    """The inputs of other numbers: ``negative``, ``zero``, ``equal`` or ``large`` ones.

    Args:
        kind: which.
        feeds: as :func:`random_feeds` gives them.
        model: whose inputs they are.
        largest: about the largest number of ``large``.

    Returns:
        the inputs; ``None`` if these numbers are none of that kind, because all of them are indices.
    """
    limits = index_limits(model)
    found, changed = {}, False
    for name, array in feeds.items():
        if name in limits or array.dtype.kind != "f":
            usual = kind in ("zero", "equal")
            highest = limits[name][0] - 1 if name in limits else int(array.max(initial=0))
            found[name] = np.full_like(array, 0 if kind == "zero" else highest) if usual else array
            changed = changed or usual
            continue
        changed = True
        if kind == "negative":
            found[name] = -np.abs(array) - array.dtype.type(0.5)
        elif kind == "large":
            found[name] = array * array.dtype.type(largest / 4)
        else:
            found[name] = np.full_like(array, 0.0 if kind == "zero" else 0.75)
    return found if changed else None


def free_sizes(model: Network) -> list[str]:
    """The names of the inputs' sizes that are neither known nor the batch."""
    names = {name for x in model.inputs for dim in x.value.shape for name in names_in(dim)}
    return sorted(names - names_in(named("batch")))
