"""What is said about a name that a module does not have: what was meant, who has it, or what to use instead."""

from __future__ import annotations

import dis
import functools
import json
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from types import FrameType
from typing import NoReturn

from kcompile.common.errors import did_you_mean
from kcompile.common.version import __version__

_SESSION = "there are no sessions here: what is needed is compiled when it is used; kcompile.configure sets threads"
INSTEAD = {
    "backend": {"get_session": _SESSION, "set_session": _SESSION, "tf": "kcompile runs without TensorFlow; use K"},
    "layers": {
        "AtrousConvolution1D": "use Conv1D(..., dilation_rate=...)",
        "AtrousConvolution2D": "use Conv2D(..., dilation_rate=...)",
        "Merge": "use add, multiply, average, maximum, concatenate or dot",
        "TimeDistributedDense": "use TimeDistributed(Dense(...))",
    },
    "models": {"Graph": "use Model(inputs, outputs)"},
    "": {"Tensor": "tensors are made by Input, layers and kcompile.backend"},
}
"""Names of old versions, by module, and what there is here."""


def absent(module: str) -> Callable[[str], NoReturn]:
    """The ``__getattr__`` of the public module of this name: an AttributeError, or ImportError, that helps."""

    def __getattr__(name: str) -> NoReturn:
        if _is_imported():
            # An AttributeError would become "cannot import name", without the advice.
            raise ImportError(_sentence(module, name), name=module)
        raise AttributeError(_sentence(module, name))

    return __getattr__


def _is_imported() -> bool:
    """Whether ``from module import name`` asks for the name, in CPython."""
    frame: FrameType | None = sys._getframe(2)
    while frame is not None and frame.f_code.co_name == "__getattr__":
        frame = frame.f_back
    return frame is not None and frame.f_code.co_code[frame.f_lasti] == dis.opmap["IMPORT_FROM"]


def _sentence(module: str, name: str) -> str:
    start = f"module {module!r} has no attribute {name!r}"
    if name.startswith("_"):
        return start
    short = module.partition(".")[2]
    if advice := INSTEAD.get(short, {}).get(name):
        return f"{start}; {advice}"
    if versions := keras_names().get(short, {}).get(name):
        *most, last = versions
        have = f"{', '.join(most)} and {last} have" if most else f"{last} has"
        return f"{start}: {have} it, kcompile {__version__} does not"
    return f"{start}{did_you_mean(name, _public_names(module))}"


def _public_names(module: str) -> list[str]:
    """Without what its file imports from elsewhere."""
    found = sys.modules[module]
    listed: Iterable[str] = getattr(found, "__all__", ())
    own = (n for n, item in vars(found).items() if str(getattr(item, "__module__", "")).startswith("kcompile"))
    return sorted({name for name in (*listed, *own) if not name.startswith("_")})


@functools.cache
def keras_names() -> dict[str, dict[str, list[str]]]:
    """By module, the public names of the versions of Keras, each with those that have it (``tools/keras_names.py``)."""
    path = Path(__file__).with_name("keras_names.json")
    found: dict[str, dict[str, list[str]]] = json.loads(path.read_text(encoding="utf-8"))
    return found
