"""Writes kcompile/common/keras_names.json: the public names of each module of Keras 2.3.1, tf.keras 2 and Keras 3.

They tell a name that kcompile lacks from one that no Keras has, and make the table of what is supported. Run it where
``tf_keras`` and ``keras`` (3) are installed, with the unpacked sources of Keras 2.3.1:

    python tools/keras_names.py Keras-2.3.1
"""

from __future__ import annotations

import ast
import importlib
import inspect
import json
import sys
from pathlib import Path

MODULES = (
    "", "activations", "applications", "backend", "callbacks", "constraints", "datasets", "initializers", "layers",
    "losses", "metrics", "models", "optimizers", "preprocessing", "regularizers", "utils",
)  # fmt: skip
NOISE = {"absolute_import", "division", "print_function", "tests", "src", "experimental", "dtensor", "protobuf"}
OURS = Path(__file__).resolve().parent.parent / "kcompile" / "common" / "keras_names.json"


def of_the_sources(folder: Path, module: str) -> set[str]:
    """Public classes and functions of Keras 2.3.1, which cannot be imported without TensorFlow 1."""
    place = folder / "keras" / module
    files = [place.with_suffix(".py")] if place.with_suffix(".py").is_file() else sorted(place.glob("*.py"))
    if module in ("", "applications"):
        files = [place / "__init__.py"]
    elif module == "backend":
        files = [place / "tensorflow_backend.py"]
    found: set[str] = set()
    for file in files:
        for node in ast.parse(file.read_text(encoding="utf-8")).body:
            if isinstance(node, (ast.ClassDef, ast.FunctionDef)):
                found.add(node.name)
            elif isinstance(node, ast.Assign):
                found |= {target.id for target in node.targets if isinstance(target, ast.Name)}
            elif isinstance(node, ast.ImportFrom) and module in ("", "applications"):
                found |= {alias.asname or alias.name for alias in node.names}
    if module in ("", "applications", "datasets", "preprocessing"):
        found |= {entry.stem for entry in place.iterdir() if entry.is_dir() or entry.suffix == ".py"}
    return {name for name in found if not name.startswith("_") and not name.isupper()} - NOISE


def of_the_package(package: str, module: str) -> set[str]:
    """Public names of an installed package, without the modules that its files import."""
    try:
        found = importlib.import_module(f"{package}.{module}".rstrip("."))
    except ImportError:
        return set()
    return {
        name
        for name, item in vars(found).items()
        if not name.startswith("_")
        and name not in NOISE
        and (not inspect.ismodule(item) or str(getattr(item, "__name__", "")).startswith(package))
    }


def main(sources: Path) -> None:
    names: dict[str, dict[str, list[str]]] = {}
    for module in MODULES:
        versions = {
            "Keras 2": of_the_sources(sources, module),
            "tf.keras": of_the_package("tf_keras", module),
            "Keras 3": of_the_package("keras", module),
        }
        for name in sorted(set().union(*versions.values())):
            having = [version for version, found in versions.items() if name in found]
            names.setdefault(module, {})[name] = having
    lines = [f' "{module}": {{\n  ' for module in names]
    text = ",\n".join(
        start
        + ",\n  ".join(f"{json.dumps(name)}: {json.dumps(having)}" for name, having in names[module].items())
        + "\n }"
        for module, start in zip(names, lines, strict=True)
    )
    OURS.write_text("{\n" + text + "\n}\n", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
