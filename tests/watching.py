"""What a piece of code does besides computing: files it opens, code it runs, processes, the network."""

from __future__ import annotations

import contextlib
import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_state: dict[str, Any] = {"allowed": (), "seen": None}
_SUSPICIOUS = ("socket.", "subprocess.", "os.system", "os.exec", "marshal.", "pickle.", "shutil.", "urllib.", "ctypes.")


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    if _state["seen"] is None:
        return
    if event == "open" and isinstance(arguments[0], (str, bytes, Path)):
        name = str(arguments[0])
        if name not in _state["allowed"] and not name.endswith((".py", ".pyc")):
            _state["seen"].append((event, name))
    elif event == "marshal.loads" and "importlib" in sys._getframe(1).f_code.co_filename:
        pass  # Python's own modules
    elif event == "import" and arguments[0].partition(".")[0] in ("os", "keras", "antigravity", "this"):
        _state["seen"].append((event, arguments[0]))
    elif event.startswith(_SUSPICIOUS):
        _state["seen"].append((event, str(arguments)[:100]))


sys.addaudithook(_hook)
for _module in ("saving.hdf5.models", "saving.archive.archives", "saving.training_config", "objects.dialects.lambdas"):
    importlib.import_module(f"kcompile.{_module}")  # so that importing them is not mistaken for a file's doing


@contextlib.contextmanager
def watched(*allowed: Any) -> Iterator[list[tuple[str, str]]]:
    """Inside, the list grows by what must not happen; ``allowed`` are the files that may be opened."""
    _state["allowed"] = (*(str(path) for path in allowed), "/proc/meminfo")
    seen: list[tuple[str, str]] = []
    _state["seen"] = seen
    try:
        yield seen
    finally:
        _state["seen"] = None
