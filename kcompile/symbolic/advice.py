"""What to do instead of what tensors do not have: the second half of an error's sentence, or nothing."""

from __future__ import annotations

import linecache
import os
import re
import sys
from collections.abc import Iterable

from kcompile.common.errors import did_you_mean

_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep

names_of_k: set[str] = set()
"""The functions of K, which says here what it has."""

_OTHERWISE = {
    "T": "transpose", "astype": "cast", "detach": "stop_gradient", "item": "get_value", "permute": "permute_dimensions",
    "power": "pow", "size": "int_shape", "type": "cast", "unsqueeze": "expand_dims", "view": "reshape",
}  # fmt: skip
"""What NumPy's and PyTorch's methods are called in K."""


def on_tensor_attribute(name: str, known: Iterable[str]) -> str:
    """For ``x.mean()`` and its like: the function of K that does it, or one of the ``known`` attributes."""
    ours = _OTHERWISE.get(name, name)
    if ours in names_of_k:
        return f"; use K.{ours} (K is kcompile.backend)"
    return did_you_mean(name, [other for other in known if not other.startswith("_")])


def on_numbers() -> str:
    """For NumPy's or math's functions on a tensor that has no number: those of K with the same names, if there are."""
    frame = sys._getframe(1)
    inside = (_PACKAGE, os.sep + "numpy" + os.sep)
    while frame.f_back is not None and any(part in frame.f_code.co_filename for part in inside):
        frame = frame.f_back
    line = linecache.getline(frame.f_code.co_filename, frame.f_lineno)
    used = re.findall(r"\b(np|numpy|math)\.(?:\w+\.)*(\w+)\(", line)
    known = dict.fromkeys(
        (module, name) for module, name in used if name in names_of_k and name in frame.f_code.co_names
    )
    if not known:
        return "; NumPy, math and float() take numbers only: compute with functions of kcompile.backend (K)"
    ours = ", ".join(f"K.{name}" for _, name in known)
    theirs = ", ".join(f"{module}.{name}" for module, name in known)
    return f"; write {ours} instead of {theirs} (K is kcompile.backend)"
