"""Record the metrics: ``python -m tests.golden.generate_metrics``. Computed in float32."""

from typing import Any

from tests.golden import data
from tests.golden.cases.metrics import BATCHES, CASES, FUNCTIONS, FunctionCase, MetricCase
from tests.golden.oracle import SOURCE, keras, np, stored
from tests.golden.storage import save


def streamed(case: MetricCase, batches: list[tuple], weighted: bool) -> np.ndarray:
    """The result after each batch."""
    metric = getattr(keras.metrics, case.metric)(**case.arguments)
    results = []
    for *values, weight in batches:
        metric.update_state(*values, sample_weight=weight if weighted else None)
        results.append(np.asarray(metric.result()))
    return stored(np.stack(results))


def default_name(case: MetricCase) -> str:
    keras.backend.clear_session()  # or the second AUC is called auc_1
    return getattr(keras.metrics, case.metric)(**case.arguments).name


def record(case: MetricCase) -> dict[str, Any]:
    batches = []
    for position, size in enumerate(BATCHES):
        where = (case.name, position)
        y_pred = data.values(case.prediction, (size, *case.shape), *where, "prediction")
        weight = data.positive((size,), *where, "weight")
        if case.target is None:
            batches.append((y_pred, weight))
            continue
        shape = (size, *(case.shape if case.target_shape is None else case.target_shape))
        batches.append((data.values(case.target, shape, *where, "target"), y_pred, weight))
    fields: dict[str, Any] = {
        "source": SOURCE,
        "y_pred": [np.concatenate([batch[-2] for batch in batches])],
        "sample_weight": [np.concatenate([batch[-1] for batch in batches])],
        "results": [streamed(case, batches, weighted=False)],
        "weighted_results": [streamed(case, batches, weighted=True)],
        "metric_name": default_name(case),
    }
    if case.target is not None:
        fields["y_true"] = [np.concatenate([batch[0] for batch in batches])]
    return fields


def record_function(case: FunctionCase) -> dict[str, Any]:
    y_true = data.values(case.target, case.target_shape or case.shape, case.name, "target")
    y_pred = data.values(case.prediction, case.shape, case.name, "prediction")
    values = getattr(keras.metrics, case.function)(y_true, y_pred, **case.arguments)
    return {"source": SOURCE, "y_true": [y_true], "y_pred": [y_pred], "values": [stored(values)]}


def main() -> None:
    records = {case.name: record(case) for case in CASES}
    records |= {case.name: record_function(case) for case in FUNCTIONS}
    assert len(records) == len(CASES) + len(FUNCTIONS), "case names must be unique"
    path = save("metrics", records)
    print(f"{path.name}: {len(records)} cases, {path.stat().st_size / 1000:.0f} kB")
    for name, fields in records.items():
        if "results" in fields:
            print(name, fields["results"][0][-1], fields["weighted_results"][0][-1])


if __name__ == "__main__":
    main()
