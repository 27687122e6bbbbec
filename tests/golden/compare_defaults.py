"""Which defaults of constructors differ between Keras 2.3.1, tf.keras, Keras 3 and kcompile.

``python -m tests.golden.compare_defaults FOLDER`` prints the table that docs/keras_versions.md holds. ``FOLDER`` is
that of Keras 2.3.1's sources (it runs with no TensorFlow of today, so it is read, not imported); tf_keras and keras are
imported.
"""

import ast
import importlib
import inspect
import sys
from pathlib import Path
from typing import Any

KINDS = ("layers", "optimizers", "losses", "metrics", "regularizers", "initializers", "constraints", "callbacks")
ABSENT = "–"


def of_sources(folder: Path) -> dict[tuple[str, str], dict[str, str]]:
    """The defaults of all classes in the sources, by kind and name."""
    found = {}
    for path in sorted((folder / "keras").rglob("*.py")):
        relative = path.relative_to(folder / "keras")
        kind = relative.parts[0].removesuffix(".py")
        if kind not in KINDS:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            functions = node.body if isinstance(node, ast.ClassDef) else []
            for function in functions:
                if isinstance(function, ast.FunctionDef) and function.name == "__init__":
                    arguments, values = function.args.args, function.args.defaults
                    pairs = zip(arguments[len(arguments) - len(values) :], values, strict=True)
                    found[kind, node.name] = {
                        argument.arg: meant(argument.arg, shown(ast.unparse(value))) for argument, value in pairs
                    }
    return found


def of_module(module: Any, kind: str, name: str) -> dict[str, str]:
    """The defaults of a class of an importable Keras."""
    cls = getattr(importlib.import_module(f"{module}.{kind}"), name, None)
    if not isinstance(cls, type):
        return {}
    parameters = inspect.signature(cls.__init__).parameters.values()
    names = {"lr": "learning_rate"}
    found = {names.get(p.name, p.name): p.default for p in parameters if p.default is not inspect.Parameter.empty}
    return {key: meant(key, shown(value)) for key, value in found.items()}


def meant(argument: str, text: str) -> str:
    """What ``None`` stands for where it is a default."""
    standing_for = {"data_format": "channels_last", "epsilon": "1e-07", "sparse": "False", "ragged": "False"}
    return standing_for.get(argument, text) if text == "None" else text


def shown(value: Any) -> str:
    """A default as text, in which 1, 1.0 and (1, 1), and a class and its name are the same."""
    if isinstance(value, str):
        try:
            value = ast.literal_eval(value)
        except (ValueError, SyntaxError):
            return value.rpartition(".")[2].strip("'")
    if isinstance(value, bool) or value is None or isinstance(value, str):
        return str(value)
    if isinstance(value, (int, float)):
        return f"{value:g}"
    if isinstance(value, (list, tuple)):
        items = [shown(item) for item in value]
        return items[0] if len(set(items)) == 1 else f"({', '.join(items)})"
    return getattr(value, "__name__", type(value).__name__).lower()


def differences(folder: Path) -> list[tuple[str, str, str, str, str]]:
    """Rows: class and argument, then the default in each version and in kcompile."""
    old = of_sources(folder)
    rows = []
    for kind in KINDS:
        ours = importlib.import_module(f"kcompile.{kind}")
        for name in sorted(dir(ours)):
            cls = getattr(ours, name)
            if not isinstance(cls, type) or name != cls.__name__ or name.startswith("_"):
                continue
            modules = [of_module(module, kind, name) for module in ("tf_keras", "keras", "kcompile")]
            versions = [old.get((kind, name), {}), *modules]
            for argument in dict.fromkeys(key for version in versions for key in version):
                values = [version.get(argument, ABSENT) for version in versions]
                known = {value for value in values if value != ABSENT}
                if len(known) > 1 and argument not in ("name", "dtype", "reduction", "kwargs"):
                    rows.append((f"`{name}({argument})`", *values))
    return rows


if __name__ == "__main__":
    print("| argument | Keras 2.3.1 | tf.keras | Keras 3 | kcompile |\n|---|---|---|---|---|")
    for row in differences(Path(sys.argv[1])):
        print("| " + " | ".join(row) + " |")
