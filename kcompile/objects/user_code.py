"""Errors of a user's own classes and functions, told apart from those of a file."""

from __future__ import annotations

import os
from types import FrameType

from kcompile.objects.registry import kind_of, our_base

_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep


def culprit(error: BaseException) -> str | None:
    """What of the user's raised an error: ``layer 'name' (Class), in call``; ``None`` if it was not the user's code.

    The innermost method of a layer counts whose code stands outside of this package.
    """
    found, inner = None, error.__traceback__
    while inner is not None:
        found = _described(inner.tb_frame) or found
        inner = inner.tb_next
    return found


def _described(frame: FrameType) -> str | None:
    """The layer or function whose code a frame runs, if it is a user's."""
    if frame.f_code.co_filename.startswith(_PACKAGE):
        return None
    owner = frame.f_locals.get("self", frame.f_locals.get("cls"))
    kind = owner if isinstance(owner, type) else type(owner)
    if kind_of(our_base(kind)) in ("layer", "metric"):
        name = None if isinstance(owner, type) else getattr(owner, "name", None)
        title = f"layer {name!r} ({kind.__name__})" if name else f"layer class {kind.__name__}"
        return f"{title}, in {frame.f_code.co_name}"
    return None
