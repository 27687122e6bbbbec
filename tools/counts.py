"""Counts what keeps the code easy to change, or not; ``tests/test_stack.py`` lets no count of its own rise.

python tools/counts.py              the tree that this file stands in
python tools/counts.py OTHER_TREE   another one, as of an older commit
"""

import ast
import statistics
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
NESTED = {
    "x", "y", "inputs", "data", "sample_weight", "class_weight", "validation_data", "states", "mask", "constants",
    "initial_state", "y_true", "y_pred", "callbacks", "value", "config", "target", "targets",
}  # fmt: skip
"""Parameters for which Keras itself takes numbers, arrays, tensors, and any structure of them."""
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


def trees(package: Path) -> dict[str, ast.Module]:
    """The syntax trees of all files, by their names relative to the package; scripts that are exported are left out."""
    files = sorted(path for path in package.rglob("*.py") if "scripts" not in path.parts)
    return {path.relative_to(package).as_posix(): ast.parse(path.read_text(encoding="utf-8")) for path in files}


def late_imports(tree: ast.AST, inside: bool = False) -> Iterator[ast.Import | ast.ImportFrom]:
    """The imports that are made inside functions."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            if inside:
                yield node
        else:
            yield from late_imports(node, inside or isinstance(node, FUNCTIONS))


def reach_ins(tree: ast.AST) -> Iterator[ast.Attribute]:
    """Private attributes of other objects: ``x._y``, where ``x`` is not the object or class itself."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr.startswith("_") and not node.attr.startswith("__"):
            match node.value:
                case ast.Name("self" | "cls" | "mcs") | ast.Call(func=ast.Name("super" | "type")):
                    pass
                case _:
                    yield node


def parameters(tree: ast.AST) -> Iterator[ast.arg]:
    """The parameters of all functions but ``self`` and ``cls``."""
    for node in ast.walk(tree):
        if isinstance(node, FUNCTIONS):
            taken = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
            yield from (argument for argument in taken if argument.arg not in ("self", "cls", "mcs"))


def is_any(argument: ast.arg) -> bool:
    """Whether a parameter takes anything, or is not annotated."""
    return argument.annotation is None or ast.unparse(argument.annotation) in ("Any", "object")


def lengths(tree: ast.AST) -> Iterator[int]:
    """The lines of each function."""
    for node in ast.walk(tree):
        if isinstance(node, FUNCTIONS):
            yield (node.end_lineno or node.lineno) - node.lineno + 1


def main(root: Path) -> None:
    package = root / "kcompile"
    found = trees(package)
    largest = max(found, key=lambda name: len((package / name).read_text(encoding="utf-8").splitlines()))
    taken = [argument for tree in found.values() for argument in parameters(tree)]
    folders: dict[Path, int] = {}
    for name in found:
        folders[Path(name).parent] = folders.get(Path(name).parent, 0) + 1
    fullest = max(folders, key=lambda folder: folders[folder])
    rows = {
        "files": len(found),
        "imports inside functions": sum(len(list(late_imports(tree))) for tree in found.values()),
        "... of this package": sum(
            "kcompile" in (getattr(node, "module", None) or "")
            for tree in found.values()
            for node in late_imports(tree)
        ),
        "private attributes of others": sum(len(list(reach_ins(tree))) for tree in found.values()),
        "parameters that take anything": f"{sum(map(is_any, taken)) / len(taken):.1%} of {len(taken)}",
        "... but not in Keras": f"{sum(is_any(x) and x.arg not in NESTED for x in taken) / len(taken):.1%}",
        "largest file": f"{largest}, {len((package / largest).read_text(encoding='utf-8').splitlines())} lines",
        "fullest folder": f"{fullest}, {folders[fullest]} files",
        "median function": f"{statistics.median(n for tree in found.values() for n in lengths(tree)):g} lines",
    }
    for name, value in rows.items():
        print(f"{name:32}{value}")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT)
