"""What is imported from outside: ONNX and ONNX Runtime in few places, and late; NumPy alone by ir and passes."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FILES = sorted(path for path in (ROOT / "kcompile").rglob("*.py") if "scripts" not in path.parts)
# fmt: off
HEAVY = {
    "onnxruntime": ("runtime/session.py", "runtime/devices.py", "runtime/ort_format.py", "export/"),
    "onnx": ("passes/onnx/", "runtime/", "export/", "inspecting/", "saving/"),
    "h5py": ("saving/",),
}
# fmt: on
NEVER = {"tensorflow", "torch", "keras", "tf_keras", "jax"}


def imports(tree: ast.AST, late: bool = False) -> Iterator[tuple[str, bool]]:
    """The modules that are imported, and whether late: inside a function, or for type checkers only."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, late) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from ((f"{node.module}.{alias.name}", late) for alias in node.names)
        else:
            typing = isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
            yield from imports(node, late or typing or isinstance(node, ast.FunctionDef))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT / "kcompile").as_posix())
def test_imports(path: Path) -> None:
    inside = path.relative_to(ROOT / "kcompile").as_posix()
    for module, late in imports(ast.parse(path.read_text(encoding="utf-8"))):
        top = module.split(".")[0]
        if top in HEAVY:
            assert inside.startswith(HEAVY[top]), f"{inside} imports {module}"
            assert late, f"{inside} imports {module} when it is loaded; import it inside the function that needs it"
        elif top != "kcompile" and inside.startswith(("ir/", "passes/")):
            assert top in sys.stdlib_module_names or top == "numpy", f"{inside} imports {module}"
        assert top not in NEVER
