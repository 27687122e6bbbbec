"""Models of which some outputs have no loss: what is trained, and what is not."""

from __future__ import annotations

from collections.abc import Sequence

from kcompile import ir
from kcompile.common.errors import listed, warn
from kcompile.engine.network import Network
from kcompile.symbolic.tensor import Tensor
from kcompile.symbolic.variable import Variable
from kcompile.training.compilation import OutputPlan


def weights_with_loss(
    model: Network, plans: Sequence[OutputPlan], trained: Sequence[Variable], loss: Tensor
) -> list[Variable]:
    """The weights to train: all of ``trained`` but those that only outputs without a loss depend on.

    Of these a warning tells, as in tf.keras; Keras 2.3 refuses such models.
    """
    weights = list(trained)
    judged = {plan.index for plan in plans if plan.loss is not None}
    free = {i: x.value for i, x in enumerate(model.outputs) if i not in judged}
    if not free or not judged:
        return weights
    elsewhere, read = _leaves(list(free.values())), _leaves([loss.value])
    idle = [w for w in weights if w.variable in elsewhere and w.variable not in read]
    if idle:
        warn(
            f"{', '.join(w.label for w in idle[:8])}{', ...' if len(idle) > 8 else ''} are not trained: only output "
            f"{listed(model.output_names[i] for i in free)} depends on them, which has no loss"
        )
    return [w for w in weights if all(w is not other for other in idle)]


def _leaves(values: list[ir.Value]) -> set[object]:
    return {node.op for node in ir.toposort(values) if isinstance(node.op, ir.Variable)}
