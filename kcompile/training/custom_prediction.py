"""``predict_step`` of a user's own, traced into an inference graph."""

from __future__ import annotations

from typing import Any

from kcompile.common.errors import DataTypeError, shown
from kcompile.common.nest import flatten, map_structure
from kcompile.data.free_data import Form
from kcompile.engine.inference_graph import without_idle_counters
from kcompile.symbolic.tensor import Tensor
from kcompile.symbolic.variable import placeholder
from kcompile.training.own_step import closed_graph, settled, traced
from kcompile.training.plan import TrainingPlan
from kcompile.training.predictor import Predictor


def own_predictor(plan: TrainingPlan, form: Form) -> tuple[Predictor, Any]:
    """What runs the ``predict_step`` of a user's own on data of this form, and the form of what it returns."""
    model = plan.model
    feeds = [placeholder(shape=leaf.shape, dtype=leaf.dtype, name=leaf.name) for leaf in form.leaves()]
    owner = f"predict_step of model {model.name!r}"

    def checked(outputs: Any) -> Any:
        for y in flatten(outputs):
            if not isinstance(y, Tensor) or y.ndim == 0:
                raise DataTypeError(f"{owner} must return tensors with one row for each sample, got {shown(y)}")
        return outputs

    trace, outputs = settled(
        owner, lambda: traced(plan, "predict_step", model.predict_step, form.filled(feeds), checked), flatten
    )
    named = {f"output_{i}": y for i, y in enumerate(flatten(outputs))}
    graph = closed_graph(plan, trace, feeds, named, False, "predict_step", None)
    return Predictor(without_idle_counters(graph)), map_structure(lambda _: None, outputs)
