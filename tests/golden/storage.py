"""Packed storage of golden records: one .npz of a few flat arrays and a JSON index.

A file with one zip entry per array would be mostly headers, for arrays of a few dozen numbers each. So all
arrays of one dtype lie behind each other in one flat array, and the index says where each begins.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np

DIRECTORY = Path(__file__).resolve().parent
PACKED_DTYPES = ("float32", "float64", "int32", "int64", "bool", "uint8")


class Golden(dict[str, Any]):
    """The record of one case: field name -> list of arrays, or a JSON fact (str, number, list, dict).

    Fields are also attributes: ``record.inputs``, ``record.weight_gradients``.
    """

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"golden record has no field {name!r}; it has {sorted(self)}") from None


def save(family: str, records: dict[str, dict[str, Any]]) -> Path:
    """Write the records of one family to ``<family>.npz``.

    A field whose value is a list of NumPy arrays is stored as arrays; everything else must be JSON.
    """
    pools: dict[str, list[np.ndarray]] = {dtype: [] for dtype in PACKED_DTYPES}
    used = dict.fromkeys(PACKED_DTYPES, 0)
    index: dict[str, dict[str, Any]] = {}
    for case, fields in records.items():
        entry: dict[str, Any] = {"arrays": {}, "facts": {}}
        for field, value in fields.items():
            if not (isinstance(value, list) and value and all(isinstance(item, np.ndarray) for item in value)):
                entry["facts"][field] = value
                continue
            entry["arrays"][field] = []
            for array in value:
                dtype = array.dtype.name
                entry["arrays"][field].append([dtype, list(array.shape), used[dtype]])
                pools[dtype].append(array.reshape(-1))
                used[dtype] += array.size
        index[case] = entry
    flat = {dtype: np.concatenate(pool) for dtype, pool in pools.items() if pool}
    index_bytes = json.dumps(index, separators=(",", ":"), sort_keys=True).encode()
    path = DIRECTORY / f"{family}.npz"
    np.savez_compressed(path, index=np.frombuffer(index_bytes, np.uint8), **flat)
    return path


def load(family: str) -> dict[str, Golden]:
    """Read ``<family>.npz``; returns case name -> record. Raises FileNotFoundError for an unknown family."""
    with np.load(DIRECTORY / f"{family}.npz", allow_pickle=False) as file:
        pools = {name: file[name] for name in file.files}
    index = json.loads(pools.pop("index").tobytes())
    records = {}
    for case, entry in index.items():
        record = Golden(entry["facts"])
        for field, places in entry["arrays"].items():
            record[field] = [
                pools[dtype][start : start + int(np.prod(shape, dtype=int))].reshape(shape)
                for dtype, shape, start in places
            ]
        records[case] = record
    return records
