"""How much disk space a peer's installation takes. Runs inside the peer's environment."""

from __future__ import annotations

import importlib.util
import re
from importlib import metadata
from pathlib import Path

# Used where the package runs from a source tree and pip knows nothing of its dependencies.
SOURCE_TREES = {"kcompile": ("numpy", "onnx", "onnxruntime", "h5py", "pyyaml")}
# One module, two distributions of it.
ALTERNATIVES = {"onnxruntime": ("onnxruntime-gpu",)}


def requirements(distribution: metadata.Distribution) -> list[str]:
    """Names of the distributions this one needs, optional extras left out."""
    names = []
    for line in distribution.requires or ():
        requirement, _, marker = line.partition(";")
        if "extra" not in marker:
            names.append(re.match(r"[A-Za-z0-9._-]+", requirement.strip())[0])
    return names


def needed(roots: tuple[str, ...]) -> dict[str, metadata.Distribution]:
    """The installed distributions among `roots` and everything they require, directly or not."""
    found: dict[str, metadata.Distribution] = {}
    waiting = list(roots)
    while waiting:
        name = re.sub(r"[-_.]+", "-", waiting.pop()).lower()
        if name in found:
            continue
        try:
            found[name] = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            waiting.extend((*SOURCE_TREES.get(name, ()), *ALTERNATIVES.get(name, ())))
            continue  # not installed on this platform, or a source tree
        waiting.extend(requirements(found[name]))
    return found


def installed_bytes(roots: tuple[str, ...]) -> int:
    """Sum of the sizes of all files of the distributions that `roots` need.

    A package that runs from a source tree (kcompile before it is installed, or installed as editable)
    counts with its folder's .py files and data, without byte code.
    """
    paths = set()
    for distribution in needed(roots).values():
        paths.update(Path(distribution.locate_file(file)).resolve() for file in distribution.files or ())
    for name in set(roots) & set(SOURCE_TREES):
        specification = importlib.util.find_spec(name)
        for folder in specification.submodule_search_locations or () if specification else ():
            paths.update(path.resolve() for path in Path(folder).rglob("*") if path.suffix != ".pyc")
    return sum(path.stat().st_size for path in paths if path.is_file())
