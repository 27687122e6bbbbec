"""The house stands on floors: a room imports what is below it, in whatever way, and nothing runs in a circle."""

import ast
import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "kcompile"

# Bottom first. Rooms in one line do not know each other.
STACK = (
    ("ir",),
    ("common",),
    ("passes", "data", "objects", "datasets"),
    ("runtime", "initializers", "preprocessing"),
    ("symbolic",),
    ("backend",),
    ("activations", "regularizers", "constraints", "losses", "optimizers", "callbacks"),
    ("engine",),
    ("layers", "metrics", "inference", "importing"),
    ("saving", "training"),
    ("export", "serving", "distribute", "utils"),
    ("models",),
    ("__init__", "applications", "errors", "inspecting"),
    ("converting", "demo"),
    ("cli", "as_keras"),
    ("__main__",),
)
FLOOR = {room: number for number, rooms in enumerate(STACK) for room in rooms}

# Files of two lines, which keep open the paths that Keras' users import: they stand wherever Keras has them.
DOORS = {
    "engine/__init__", "engine/base_layer", "engine/data_adapter", "engine/sequential", "engine/topology",
    "engine/training", "layers/convolutional_recurrent", "saving/__init__",
}  # fmt: skip
# What is imported inside functions, and why. Any other import there says it in its line: ``# late: it is not ... yet``.
LATE = {
    "google.protobuf": "comes with onnx",
    "h5py": "takes half as long to load as NumPy, for files of one kind",
    "onnx": "takes as long to load as NumPy, and making layers and models needs it not",
    "onnxruntime": "takes as long to load as NumPy, and its threads are set before",
    "yaml": "for files of one kind, which hardly anybody has",
    "kcompile.passes": "70 files, for what is compiled: making layers and models needs none",
    "kcompile.saving": "40 files, for what is saved or loaded: making and training models needs none",
    "kcompile.export": "for who exports",
}
# Private attributes of other objects (tools/counts.py): these may only become fewer.
REACH_INS = 45


def room(file: str) -> str:
    return file.partition("/")[0]


def imported(path: Path) -> Iterator[str]:
    """The files that a file imports: at once, late, or for type checkers only."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "kcompile":
            for alias in node.names:
                for name in (f"{node.module}.{alias.name}", str(node.module)):
                    inside = "/".join(name.split(".")[1:])
                    if (PACKAGE / f"{inside}.py").is_file():
                        yield inside
                        break
                    if (PACKAGE / inside / "__init__.py").is_file():
                        yield f"{inside}/__init__" if inside else "__init__"
                        break


ARROWS = {
    (file, other)
    for path in PACKAGE.rglob("*.py")
    if (file := path.relative_to(PACKAGE).with_suffix("").as_posix()) not in DOORS
    for other in imported(path)
}


def runs_up(file: str, other: str) -> bool:
    return room(file) != room(other) and FLOOR[room(file)] <= FLOOR[room(other)]


def in_circles() -> set[str]:
    """The files that reach themselves, inside their own room."""
    reach = {file: {b for a, b in ARROWS if a == file and room(a) == room(b) and a != b} for file, _ in ARROWS}
    while True:
        further = {file: seen.union(*(reach.get(other, set()) for other in seen)) for file, seen in reach.items()}
        if further == reach:
            return {file for file, seen in reach.items() if file in seen}
        reach = further


def test_no_circle_inside_a_room() -> None:
    assert not in_circles(), "these files import each other in a circle"


def test_imports_run_down() -> None:
    found = {arrow for arrow in ARROWS if runs_up(*arrow)}
    assert not found, "imports that run up: move the name down, or register it"


def counting() -> Any:
    """The tool that counts."""
    specification = importlib.util.spec_from_file_location("counts", ROOT / "tools" / "counts.py")
    assert specification
    assert specification.loader
    tool = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(tool)
    return tool


TOOL = counting()
TREES = TOOL.trees(PACKAGE)


def names_of(node: ast.Import | ast.ImportFrom) -> list[str]:
    """What an import names, in full."""
    module = f"{node.module}." if isinstance(node, ast.ImportFrom) else ""
    return [f"{module}{alias.name}" for alias in node.names]


def is_heavy(name: str) -> bool:
    return any(f"{name}.".startswith(f"{prefix}.") for prefix in LATE)


def has_reason(node: ast.Import | ast.ImportFrom, lines: list[str]) -> bool:
    """Whether an import inside a function is of something that takes long, or says why it is there."""
    marked = any("# late: " in line for line in lines[node.lineno - 1 : node.end_lineno])
    return marked or all(map(is_heavy, names_of(node)))


def test_reasons_to_import_late_are_used() -> None:
    late = [f"{name}." for tree in TREES.values() for node in TOOL.late_imports(tree) for name in names_of(node)]
    assert [prefix for prefix in LATE if not any(name.startswith(f"{prefix}.") for name in late)] == []


def test_late_imports_say_why() -> None:
    found = []
    for name, tree in TREES.items():
        lines = (PACKAGE / name).read_text(encoding="utf-8").splitlines()
        found += [f"{name}:{node.lineno}" for node in TOOL.late_imports(tree) if not has_reason(node, lines)]
    assert not found, "import at the top, or say why not, in LATE or behind the import: # late: ..."


def test_reach_ins_become_fewer() -> None:
    reached = sum(len(list(TOOL.reach_ins(tree))) for tree in TREES.values())
    assert reached == REACH_INS, "give what others need a public name; if there are fewer now, lower the number"


def picture() -> str:
    """The floors that exist, from the top, as docs/architecture.md shows them: ``python -m tests.test_stack``."""
    standing = {room(path.relative_to(PACKAGE).as_posix().removesuffix(".py")) for path in PACKAGE.rglob("*.py")}
    floors = [[name for name in rooms if name in standing] for rooms in reversed(STACK)]
    lines = [f'    floor{number}["{" · ".join(rooms)}"]' for number, rooms in enumerate(floors, start=1)]
    ways = " --> ".join(f"floor{number}" for number in range(1, len(floors) + 1))
    return "\n".join(["```mermaid", "flowchart TB", *lines, f"    {ways}", "```"])


def test_the_picture_shows_the_floors() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    assert picture() in text, "python -m tests.test_stack prints the picture"


if __name__ == "__main__":
    print(picture())
