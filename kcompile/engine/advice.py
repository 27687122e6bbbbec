"""What to do about the mistakes that are made most often: the second half of an error's sentence, or nothing."""

from __future__ import annotations

from kcompile.common.advice import without_samples
from kcompile.common.errors import did_you_mean
from kcompile.objects.registry import known
from kcompile.symbolic.tensor import Tensor


def on_axes(x: Tensor, expected: int) -> str:
    """For a layer that takes ``expected`` axes and gets ``x``."""
    got = len(x.shape)
    before, node_index, _ = x.keras_history or (None, 0, 0)
    calls = [] if before is None else before.inbound_nodes[node_index : node_index + 1]  # none while it is being called
    is_input = any(each is x for call in calls for each in call.input_tensors)  # an input comes from itself
    if before is not None and getattr(before, "return_sequences", None) is False and got == expected - 1:
        return f"; give the layer before it, {before.name!r}, return_sequences=True"
    if is_input and got == expected + 1:
        return without_samples(tuple(x.shape)[1:])
    if is_input and (expected, got) == (3, 2):
        return f"; the shape of its input is (steps, features), without the samples, not {tuple(x.shape)[1:]}"
    if expected == 4 and got == 3:
        return "; add a channel axis, for example with Reshape or x[..., None]"
    if expected == 2 and got > 2:
        return "; add Flatten() before it"
    if expected > 2 and got == 2:
        return "; Reshape gives it the axes that it lacks"
    return ""


def on_loss_name(name: object) -> str:
    """For what is no loss but another argument of ``compile``."""
    if not isinstance(name, str):
        return ""
    wanted = name.lower()
    if wanted in known("optimizer"):
        return "that is an optimizer, which comes first: compile(optimizer, loss)"
    if wanted in known("metric") or wanted in ("accuracy", "acc"):
        return f"that is a metric, for metrics=[{name!r}], and no loss"
    return ""


def on_attribute(layer: object, name: str) -> str:
    """For a name that a layer or model does not have."""
    if name in ("predict_classes", "predict_proba"):
        return "; Sequential models have it: use predict(x)" + (".argmax(axis=-1)" if name == "predict_classes" else "")
    if name.startswith("_"):
        return ""
    return did_you_mean(name, [each for each in dir(layer) if not each.startswith("_")])
