"""``predict_step`` of a user's own, traced into an inference graph."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from kcompile.common.errors import DataTypeError, shown
from kcompile.common.nest import flatten, map_structure, pack
from kcompile.data.free_data import Form, FreeSpecs
from kcompile.data.standardize import FeedSpec
from kcompile.engine.forms import arranged
from kcompile.engine.inference_graph import without_idle_counters
from kcompile.symbolic.tensor import Array, Tensor
from kcompile.symbolic.variable import placeholder
from kcompile.training.custom_steps import closed_graph, overridden, settled, traced

if TYPE_CHECKING:
    from kcompile.models.model import Model
    from kcompile.training.prediction import Predictor


def specs(model: Model) -> Sequence[FeedSpec]:
    """What predict feeds: what the model takes, or whatever its own ``predict_step`` gets."""
    if not overridden(model, "predict_step"):
        return model._feed_specs()
    return FreeSpecs(model._feed_specs() if model._functional else [])


@contextlib.contextmanager
def ready(model: Model, x: Any) -> Iterator[None]:
    """Inside, the model can predict: it is built for ``x``, or builds what its own step uses."""
    if overridden(model, "predict_step") and (model._functional or not model._one_input):
        yield
        return
    with model._built_for(x):
        yield


def packed(model: Model, outputs: list[Array]) -> Any:
    """Outputs in the form in which predict returns them."""
    if overridden(model, "predict_step"):
        return pack(model._own_output_form, outputs)
    return arranged(model._output_form, outputs, model._nested_output)


def predictor_for(model: Model, form: Form) -> Predictor:
    """What runs the model's ``predict_step`` on data of this form."""
    found = model._own_predictors.get(form.key)
    if found is None:
        found = model._own_predictors[form.key] = _predictor(model, form)
    predictor, model._own_output_form = found
    return predictor


def _predictor(model: Model, form: Form) -> tuple[Predictor, Any]:
    from kcompile.training.prediction import Predictor

    feeds = [placeholder(shape=leaf.shape, dtype=leaf.dtype, name=leaf.name) for leaf in form.leaves()]
    owner = f"predict_step of model {model.name!r}"

    def checked(outputs: Any) -> Any:
        for y in flatten(outputs):
            if not isinstance(y, Tensor) or y.ndim == 0:
                raise DataTypeError(f"{owner} must return tensors with one row for each sample, got {shown(y)}")
        return outputs

    trace, outputs = settled(
        owner, lambda: traced(model, "predict_step", model.predict_step, form.filled(feeds), checked), flatten
    )
    named = {f"output_{i}": y for i, y in enumerate(flatten(outputs))}
    graph = closed_graph(model, trace, feeds, named, False, "predict_step", None)
    return Predictor(without_idle_counters(graph)), map_structure(lambda _: None, outputs)
