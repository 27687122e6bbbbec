"""Record the losses: ``python -m tests.golden.generate_losses``. Everything is computed in float32."""

from typing import Any

from tests.golden import data
from tests.golden.cases.losses import CASES, LossCase
from tests.golden.oracle import SOURCE, keras, np, stored, tf
from tests.golden.storage import save

REDUCTIONS = ("sum_over_batch_size", "sum", "none")


def record(case: LossCase) -> dict[str, Any]:
    classes = case.shape[case.arguments.get("axis", -1)]
    y_true = data.values(case.target, case.target_shape or case.shape, case.name, "target", classes=classes)
    y_pred = data.values(case.prediction, case.shape, case.name, "prediction")
    sample_weight = data.positive(case.shape[:1], case.name, "sample_weight")
    # tf.keras averages over the last axis, as every loss does; Keras 2.3.1's huber_loss did not.
    function = getattr(keras.losses, {"huber_loss": "huber"}.get(case.function, case.function))

    with tf.GradientTape() as tape:
        prediction = tf.constant(y_pred)
        tape.watch(prediction)
        values = function(tf.constant(y_true), prediction, **case.arguments)
        cotangent = data.normal(values.shape, case.name, "cotangent")
        total = tf.reduce_sum(values * cotangent)
    gradient = tape.gradient(total, prediction)

    fields: dict[str, Any] = {
        "source": SOURCE,
        "y_true": [y_true],
        "y_pred": [y_pred],
        "sample_weight": [sample_weight],
        "values": [stored(values)],
        "cotangent": [cotangent],
        "gradient": [stored(gradient)],
    }
    for reduction in REDUCTIONS:
        loss = getattr(keras.losses, case.loss_class)(**case.arguments, reduction=reduction)
        fields[reduction] = [stored(loss(y_true, y_pred))]
        fields[f"{reduction}_weighted"] = [stored(loss(y_true, y_pred, sample_weight=sample_weight))]
    fields["config"] = loss.get_config()
    return fields


def main() -> None:
    records = {case.name: record(case) for case in CASES}
    assert len(records) == len(CASES), "case names must be unique"
    for name, fields in records.items():
        for field in ("values", "gradient"):
            assert np.isfinite(fields[field][0]).all(), f"{name}: {field} is not finite"
    path = save("losses", records)
    print(f"{path.name}: {len(records)} cases, {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
