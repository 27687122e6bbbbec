"""Writes docs/supported.md and the table in README.md: which public names of Keras kcompile has, asked of the code.

python tools/supported.py
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import kcompile as keras
from kcompile.common.absent_names import keras_names

ROOT = Path(__file__).resolve().parent.parent
VERSIONS = {"Keras 2": "Keras 2.3.1", "tf.keras": "tf.keras 2.21", "Keras 3": "Keras 3.15"}
MODULES = (
    "layers", "losses", "metrics", "optimizers", "callbacks", "activations", "initializers", "regularizers",
    "constraints", "backend", "models", "utils", "datasets", "preprocessing", "applications",
)  # fmt: skip
INTRODUCTION = """Which public names of Keras kcompile has; made by `python tools/supported.py`, which asks the code.
What a name that is there does not do ends in a sentence when it is used: no argument is accepted and ignored."""
MARKS = "<!-- supported: made by tools/supported.py -->", "<!-- end of supported -->"


def module_of(name: str) -> Any:
    return getattr(keras, name) if name in dir(keras) else None


def counts(module: str) -> list[str]:
    """For each version, how many of the names of ``module`` there are here."""
    names, ours = keras_names().get(module, {}), module_of(module)
    cells = []
    for version in VERSIONS:
        wanted = [name for name, versions in names.items() if version in versions]
        cells.append(f"{sum(hasattr(ours, name) for name in wanted)} of {len(wanted)}" if wanted else "-")
    return cells


def table() -> str:
    lines = [f"| public names of | {' | '.join(VERSIONS.values())} |", "|---|---|---|---|"]
    lines += [f"| `{module}` | {' | '.join(counts(module))} |" for module in MODULES]
    return "\n".join(lines)


def document() -> str:
    parts = [
        "# What is supported\n",
        f"{INTRODUCTION}\n",
        table() + "\n",
    ]
    for module in MODULES:
        names, ours = keras_names().get(module, {}), module_of(module)
        there = [name for name in names if hasattr(ours, name)]
        lacking = [name for name in names if name not in there]
        parts.append(f"## {module}\n")
        if there:
            parts.append("There: " + ", ".join(f"`{name}`" for name in there) + ".\n")
        if lacking:
            parts.append("Not there: " + ", ".join(f"`{name}`" for name in lacking) + ".\n")
    return "\n".join(parts)


def readme(text: str) -> str:
    """``text`` with the table of today between its marks."""
    start, end = MARKS
    return re.sub(f"{re.escape(start)}.*?{re.escape(end)}", f"{start}\n{table()}\n{end}", text, flags=re.S)


def main() -> None:
    (ROOT / "docs" / "supported.md").write_text(document(), encoding="utf-8")
    path = ROOT / "README.md"
    path.write_text(readme(path.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
