"""``model.load_state``: back from a training that another program went on with."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from kcompile.common.errors import DataTypeError, KCompileError, listed, shown
from kcompile.engine.network import Network
from kcompile.export.generations import MANIFEST, json_of
from kcompile.export.training import FORMAT, read_state, state_names, training_graphs
from kcompile.ir.core import Array, Variable
from kcompile.runtime.guards import together
from kcompile.runtime.storage import storage_of

PREFIX = "state:"
"""What names begin with in files that hold other arrays too, such as losses."""


def load_state(model: Network, source: str | os.PathLike[str]) -> None:
    """Take over weights, slots of the optimizer, counters and metrics, all or none of them.

    Args:
        model: compiled as the one that was exported.
        source: the folder that ``export_training`` made, in which the other program has put its state; or a ``.npz``
            file that holds each tensor under its name in the manifest, or under that name after ``state:``.

    Raises:
        TypeError: ``source`` is no path.
        ValueError: the model is not compiled; or the state is incomplete, or that of another model or optimizer.
        OSError: a file cannot be read.
    """
    if not isinstance(source, (str, os.PathLike)):
        raise DataTypeError(f"load_state: a folder of export_training or a .npz file is needed, got {shown(source)}")
    place = Path(source)
    if not place.exists():
        raise FileNotFoundError(f"load_state: there is nothing at {str(place)!r}")
    sample_weight = False
    if place.is_dir():
        manifest = _manifest(place)
        sample_weight = _is_weighted(model, manifest)
        arrays: Mapping[str, Array] = read_state(place)
    else:
        arrays = _arrays_of(place)
    graphs = training_graphs(model, sample_weight, "load_state")
    names = state_names(model, list(graphs.values()))
    used = dict.fromkeys(variable for graph in graphs.values() for variable in graph.variables())
    wanted = {names[variable]: variable for variable in used}
    arrays = _renamed(list(wanted), arrays)
    _check(model, place, wanted, arrays)
    storages = {name: storage_of(variable) for name, variable in wanted.items()}
    with together(storages.values()):
        for name, storage in storages.items():
            storage.write(arrays[name])


def _manifest(folder: Path) -> dict[str, Any]:
    if not (folder / MANIFEST).is_file():
        raise FileNotFoundError(f"load_state: the folder {str(folder)!r} has no {MANIFEST}; export_training writes one")
    manifest = json_of(folder / MANIFEST)
    if manifest.get("format") != FORMAT:
        raise KCompileError(f"load_state: {str(folder / MANIFEST)!r} is not of export_training")
    return manifest


def _is_weighted(model: Network, manifest: Mapping[str, Any]) -> bool:
    """Whether the steps were exported with sample weights: names of the state can depend on those of inputs."""
    model.fit_trainer.require_compiled("load_state")
    inputs = {item.get("name") for item in manifest.get("train_step", {}).get("inputs", [])}
    return any(f"{spec.name}_sample_weight" in inputs for spec in model.fit_trainer.targets)


def _arrays_of(path: Path) -> dict[str, Array]:
    """The state in a file of NumPy's.

    Raises:
        ValueError: it is none, or holds Python objects.
    """
    try:
        with np.load(path, allow_pickle=False) as found:
            arrays = {name: found[name] for name in found.files}
    except (ValueError, EOFError, AttributeError, TypeError, OSError) as error:
        raise KCompileError(f"load_state: {str(path)!r} is no .npz file of numbers: {error}") from None
    prefixed = {name[len(PREFIX) :]: array for name, array in arrays.items() if name.startswith(PREFIX)}
    return prefixed or arrays


def _renamed(wanted: Sequence[str], arrays: Mapping[str, Array]) -> Mapping[str, Array]:
    """The arrays under the model's names, where these differ by the numbers of layers only, and the order is the same.

    ``dense_1`` of one process is ``dense_3`` in another that has made models before.
    """
    if set(wanted) == set(arrays) or [_unnumbered(n) for n in wanted] != [_unnumbered(n) for n in arrays]:
        return arrays
    return dict(zip(wanted, arrays.values(), strict=True))


def _unnumbered(name: str) -> str:
    return re.sub(r"_\d+(?=/|_|$)", "", name)


def _check(model: Network, place: Path, wanted: Mapping[str, Variable], arrays: Mapping[str, Array]) -> None:
    """Raise unless each tensor of the state is there, and nothing else, in its shape and type.

    Raises:
        ValueError: otherwise, with the first that is wrong.
    """
    what = f"load_state: the state in {str(place)!r} is not of model {model.name!r} as it is compiled"
    if missing := [name for name in wanted if name not in arrays]:
        raise KCompileError(f"{what}: it has no {listed(missing[:3])}{_more(missing)}")
    if unknown := [name for name in arrays if name not in wanted]:
        raise KCompileError(f"{what}: the model has no {listed(unknown[:3])}{_more(unknown)}")
    for name, variable in wanted.items():
        array, shape = arrays[name], storage_of(variable).shape
        if array.shape != tuple(shape) or array.dtype.newbyteorder("=") != np.dtype(variable.type.dtype):
            raise KCompileError(
                f"{what}: {name!r} is {array.dtype.name} {array.shape}, "
                f"the model's {variable.type.dtype} {tuple(shape)}"
            )


def _more(names: list[str]) -> str:
    return f" and {len(names) - 3} more" if len(names) > 3 else ""
