"""README and docs do what they say: their code and commands run as written, in order."""

from __future__ import annotations

import importlib.util
import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kcompile.cli import main

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = ("README.md", *(f"docs/{name}.md" for name in ("guide", "migration", "exporting", "overriding")))
ELSEWHERE = ("make ", "pip ", "python -m benchmarks", "python -m pytest", "pytest ", "python tools/")
"""Commands of a shell that other tests run, or that need what the line beside them says."""


def blocks(document: str) -> list[tuple[str, str]]:
    """The language of each block, and its text."""
    text = (ROOT / document).read_text(encoding="utf-8")
    return re.findall(r"^```(\w*)\n(.*?)^```$", text, re.S | re.M)


def commands(block: str) -> list[str]:
    """The commands of a block without their comments; a line that ends with a backslash goes on in the next one."""
    lines = re.sub(r"\\\n\s*", "", block).splitlines()
    return [line for line in (re.sub(r"(^|\s)#.*", "", line).strip() for line in lines) if line]


def without_numbers(text: str) -> str:
    return re.sub(r"\d+(\.\d+)?(e[+-]\d+)?", "0", text).strip()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))
    yield tmp_path
    for name in [name for name in sys.modules if name.partition(".")[0] == "keras" or name == "kcompile.as_keras"]:
        del sys.modules[name]


@pytest.mark.parametrize("document", DOCUMENTS)
@pytest.mark.filterwarnings("ignore::RuntimeWarning", "ignore::UserWarning")
def test_what_a_document_shows_runs(document: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scope: dict[str, Any] = {"__name__": "document"}
    printed, count = "", 0
    prepare(document)
    for language, block in blocks(document):
        if language == "python":
            exec(compile(block, document, "exec"), scope)
            printed = capsys.readouterr().out
        elif language == "text":
            assert without_numbers(block) == without_numbers(printed), document
        elif not language:
            for command in commands(block):
                name, *arguments = shlex.split(command)
                if name == "kcompile":
                    expanded = [found for argument in arguments for found in glob(argument)]
                    assert main([*expanded, *(["--force"] if "convert" in arguments else [])]) == 0, command
                else:
                    assert command.startswith(ELSEWHERE), command
        count += 1
    assert count
    check(document, scope)


def glob(argument: str) -> list[str]:
    """What a shell makes of ``*.h5``."""
    return sorted(str(path) for path in Path().glob(argument)) if "*" in argument else [argument]


def prepare(document: str) -> None:
    """The files that a document supposes its reader to have; it says so."""
    if document != "docs/exporting.md":
        return
    import numpy as np

    text = (
        "from kcompile import Input, Model, layers\n\n\ndef make():\n"
        "    image = Input((None, None, 3), name='image')\n"
        "    return Model(image, layers.GlobalAveragePooling2D()(layers.Conv2D(2, 3)(image)))\n"
    )
    Path("build.py").write_text(text)
    Path("models").mkdir()
    Path("layers.py").write_text("from kcompile.layers import Layer\n\n\nclass Scale(Layer):\n    pass\n")
    scope: dict[str, Any] = {}
    exec(text, scope)
    model = scope["make"]()
    model.save("model.h5")
    model.save("model.keras")
    model.save("models/a.h5")
    model.save("models/b.keras")
    model.save_weights("weights.h5")
    Path("model.json").write_text(model.to_json())
    np.save("samples.npy", np.zeros((4, 8, 8, 3), "float32"))
    np.savez("samples.npz", x=np.random.default_rng(0).random((40, 8, 8, 3), "float32"))


def check(document: str, scope: dict[str, Any]) -> None:
    """What the examples should have come to."""
    if document == "README.md":
        assert (scope["probabilities"].argmax(1) == scope["y_test"]).mean() > 0.95
        assert scope["loss"] < 0.3
        assert scope["model"].optimizer.iterations.numpy() == 15 * 45 + 20
    if document == "docs/guide.md":
        assert (scope["probabilities"].argmax(1) == scope["y_test"]).mean() > 0.9


def test_the_table_of_what_is_supported_is_that_of_today() -> None:
    spec = importlib.util.spec_from_file_location("supported", ROOT / "tools" / "supported.py")
    assert spec is not None
    assert spec.loader is not None
    supported = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(supported)
    again = "; run python tools/supported.py"
    assert (ROOT / "docs" / "supported.md").read_text(encoding="utf-8") == supported.document(), again
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert supported.readme(text) == text, again
    assert "| `layers` |" in text


def test_links_of_the_documents_lead_somewhere() -> None:
    for document in [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")]:
        for link in re.findall(r"\]\(([^)#:]+)\)", document.read_text(encoding="utf-8")):
            assert (document.parent / link).exists(), f"{document.name}: {link}"


def test_files_that_the_documents_name_exist() -> None:
    """Those of CONTRIBUTING.md, some of which come to be only there, are found by tests/test_recipes.py."""
    for document in (ROOT / "README.md", *ROOT.glob("docs/*.md")):
        text = document.read_text(encoding="utf-8")
        for name in re.findall(r"`((?:kcompile|tests|benchmarks|docs|tools)/[\w./]*)`", text):
            assert (ROOT / name).exists(), f"{document.name}: {name}"
        for name in re.findall(r"`((?:[a-z_0-9]+/)+[a-z_0-9]+\.py)`", text):
            assert any((base / name).exists() for base in (ROOT, ROOT / "kcompile")), f"{document.name}: {name}"


def test_no_document_names_places_of_one_machine() -> None:
    for document in [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("tests/golden/*.md")]:
        assert not re.search(r"(?<![\w.])/(envs|home|root|work)/", document.read_text(encoding="utf-8")), document.name
