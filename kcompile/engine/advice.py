"""What to do about the mistakes that are made most often: the second half of an error's sentence, or nothing."""

from __future__ import annotations

import inspect
import linecache
import os
import re
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kcompile.symbolic.tensor import Tensor

Shape = Sequence[int | None]

_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep


def on_axes(x: Tensor, expected: int) -> str:
    """For a layer that takes ``expected`` axes and gets ``x``."""
    got = len(x.shape)
    before = x.keras_history[0] if x.keras_history else None
    if getattr(before, "return_sequences", None) is False and got == expected - 1:
        return f"; give the layer before it, {before.name!r}, return_sequences=True"
    if type(before).__name__ == "InputLayer" and got == expected + 1:
        return _without_samples(tuple(x.shape)[1:])
    if type(before).__name__ == "InputLayer" and (expected, got) == (3, 2):
        return f"; the shape of its input is (steps, features), without the samples, not {tuple(x.shape)[1:]}"
    if expected == 4 and got == 3:
        return "; add a channel axis, for example with Reshape or x[..., None]"
    if expected == 2 and got > 2:
        return "; add Flatten() before it"
    if expected > 2 and got == 2:
        return "; Reshape gives it the axes that it lacks"
    return ""


def on_scalar(value: object) -> str:
    """For data that are no array."""
    if inspect.isgeneratorfunction(value):
        return f"; call it, {value.__name__}(), for its generator"
    if isinstance(value, type) or callable(value):
        return "; make an object of it, or call it, for the data"
    return ""


def on_batch_axis(given: Shape, expected: Shape) -> str:
    """For data of shape ``given`` where an input of shape ``expected`` (with the batch) was declared."""
    declared = expected[1:]
    if len(given) != len(declared) or len(given) < 2:
        return ""
    if any(b not in (a, None) for a, b in zip(given[1:], declared[1:], strict=True)):
        return ""
    return _without_samples(declared)


def on_loss_name(name: object) -> str:
    """For what is no loss but another argument of ``compile``."""
    from kcompile import metrics, optimizers

    if not isinstance(name, str):
        return ""
    wanted = name.lower()
    if wanted in optimizers._KNOWN:
        return "that is an optimizer, which comes first: compile(optimizer, loss)"
    if wanted in metrics._KNOWN or wanted in ("accuracy", "acc"):
        return f"that is a metric, for metrics=[{name!r}], and no loss"
    return ""


def on_positions(given: Shape, expected: Shape) -> str:
    """For targets of shape ``given`` where an output has more axes."""
    if len(given) > 2 or len(expected) < 3:
        return ""
    if len(expected) == 3:
        return (
            "; the output has a value for each step: the last recurrent layer needs return_sequences=False, "
            "or, without one, the last layer Flatten() or a global pooling layer before it"
        )
    return "; the output has a value for each position: add Flatten() or a global pooling layer before the last layer"


_OTHERWISE = {
    "T": "transpose", "astype": "cast", "detach": "stop_gradient", "item": "get_value", "permute": "permute_dimensions",
    "power": "pow", "size": "int_shape", "type": "cast", "unsqueeze": "expand_dims", "view": "reshape",
}  # fmt: skip
"""What NumPy's and PyTorch's methods are called in K."""


def on_tensor_attribute(name: str) -> str:
    """For ``x.mean()`` and its like: the function of K that does it."""
    from kcompile import backend
    from kcompile.common.errors import did_you_mean

    ours = _OTHERWISE.get(name, name)
    if ours in backend.__all__:
        return f"; use K.{ours} (K is kcompile.backend)"
    from kcompile.symbolic.tensor import Tensor

    return did_you_mean(name, [known for known in dir(Tensor) if not known.startswith("_")])


def on_attribute(layer: object, name: str) -> str:
    """For a name that a layer or model does not have."""
    from kcompile.common.errors import did_you_mean
    from kcompile.models.sequential import Sequential

    if name in ("predict_classes", "predict_proba") and not isinstance(layer, Sequential):
        return "; Sequential models have it: use predict(x)" + (".argmax(axis=-1)" if name == "predict_classes" else "")
    if name.startswith("_"):
        return ""
    return did_you_mean(name, [known for known in dir(layer) if not known.startswith("_")])


def on_numbers() -> str:
    """For NumPy's or math's functions on a tensor that has no number: those of K with the same names, if there are."""
    from kcompile import backend

    frame = sys._getframe(1)
    inside = (_PACKAGE, os.sep + "numpy" + os.sep)
    while frame.f_back is not None and any(part in frame.f_code.co_filename for part in inside):
        frame = frame.f_back
    line = linecache.getline(frame.f_code.co_filename, frame.f_lineno)
    used = re.findall(r"\b(np|numpy|math)\.(?:\w+\.)*(\w+)\(", line)
    known = dict.fromkeys(
        (module, name) for module, name in used if name in backend.__all__ and name in frame.f_code.co_names
    )
    if not known:
        return "; NumPy, math and float() take numbers only: compute with functions of kcompile.backend (K)"
    ours = ", ".join(f"K.{name}" for _, name in known)
    theirs = ", ".join(f"{module}.{name}" for module, name in known)
    return f"; write {ours} instead of {theirs} (K is kcompile.backend)"


def _without_samples(declared: Shape) -> str:
    return f"; an input's shape does not count the samples: {tuple(declared[1:])} instead of {tuple(declared)}"
