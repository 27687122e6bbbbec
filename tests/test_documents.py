"""The README does what it says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent


def test_the_code_of_the_readme_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    found: dict[str, Any] = {}
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.S)
    assert len(blocks) >= 5
    for block in blocks:
        exec(block, found)
    assert (found["probabilities"].argmax(1) == found["y_test"]).mean() > 0.95
    assert found["loss"] < 0.3
    assert found["compiled"](found["x_test"]).shape == (360, 10)
    assert "1293/1293 [==============================]" in capsys.readouterr().out


def test_links_of_the_documents_lead_somewhere() -> None:
    for document in [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")]:
        for link in re.findall(r"\]\(([^)#:]+)\)", document.read_text(encoding="utf-8")):
            assert (document.parent / link).exists(), f"{document.name}: {link}"


def test_files_that_the_documents_name_exist() -> None:
    for document in (ROOT / "CONTRIBUTING.md", ROOT / "docs" / "architecture.md"):
        text = document.read_text(encoding="utf-8")
        for name in re.findall(r"`((?:kcompile|tests|benchmarks|docs|tools)/[\w./]*)`", text):
            assert (ROOT / name).exists(), f"{document.name}: {name}"
