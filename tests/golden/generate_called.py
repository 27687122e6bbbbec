"""Record losses and metrics called on tensors of unequal rank: ``python -m tests.golden.generate_called``.

What tf_keras refuses, with weights or without, has no entry.
"""

from collections.abc import Callable
from typing import Any

from tests.golden import data
from tests.golden.cases.called import CASES, REDUCTIONS, arguments
from tests.golden.oracle import SOURCE, keras, np, stored, tf
from tests.golden.storage import save


def attempted(compute: Callable[[], Any]) -> list[np.ndarray] | None:
    try:
        return [stored(compute())]
    except (ValueError, TypeError, tf.errors.InvalidArgumentError):
        return None


def metric_of(name: str, y_true: Any, y_pred: Any, w: Any) -> Any:
    metric = getattr(keras.metrics, name)(**arguments(name))
    metric.update_state(tf.constant(y_true), tf.constant(y_pred), sample_weight=w)
    return metric.result()


def loss_of(name: str, reduction: str, y_true: Any, y_pred: Any, w: Any) -> Any:
    return getattr(keras.losses, name)(reduction=reduction)(tf.constant(y_true), tf.constant(y_pred), sample_weight=w)


def record(module: str, name: str, shapes: tuple[tuple[int, ...], tuple[int, ...]]) -> dict[str, Any]:
    where = (module, name, str(shapes))
    sparse = name.startswith("Sparse")
    y_true = data.values("labels" if sparse else "binary", shapes[0], *where, "target", classes=3)
    y_pred = data.values("unit", shapes[1], *where, "prediction")
    weight = data.positive((5,), *where, "weight")
    fields: dict[str, Any] = {"source": SOURCE, "y_true": [y_true], "y_pred": [y_pred], "weight": [weight]}
    for kind, w in (("plain", None), ("weighted", weight)):
        if module == "metrics":
            fields[kind] = attempted(lambda w=w: metric_of(name, y_true, y_pred, w))
        else:
            for reduction in REDUCTIONS:
                found = attempted(lambda w=w, r=reduction: loss_of(name, r, y_true, y_pred, w))
                fields[f"{kind}_{reduction}"] = found
    return {key: value for key, value in fields.items() if value is not None}


def main() -> None:
    records = {f"{module}/{name}/{shape}": record(module, name, shapes) for module, name, (shape, shapes) in CASES}
    path = save("called", records)
    print(f"{path.name}: {len(records)} cases, {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
