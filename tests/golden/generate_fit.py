"""Record whole trainings: ``python -m tests.golden.generate_fit``. tf_keras, legacy optimizers, float32."""

from typing import Any

from tests.golden import data
from tests.golden.cases.fit import BATCH_SIZE, CASES, EPOCHS, Training
from tests.golden.oracle import SOURCE, keras, np, stored, tf
from tests.golden.storage import save


def initial_weights(model: Any, name: str) -> list[np.ndarray]:
    """Positive for batch normalization, normal and small for the rest."""
    return [
        data.positive(weight.shape, name, "weight", position)
        if "normalization" in weight.name
        else data.normal(weight.shape, name, "weight", position, scale=0.5)
        for position, weight in enumerate(model.weights)
    ]


def first_rows(values: Any, rows: int) -> Any:
    """The first rows of an array, or of every array in a list or dict."""
    if isinstance(values, dict):
        return {key: value[:rows] for key, value in values.items()}
    return [value[:rows] for value in values] if isinstance(values, list) else values[:rows]


def floats(values: Any) -> list[float]:
    return [float(value) for value in np.ravel(values)]


def split_as_keras_2_3_1(training: Training) -> tuple[Any, Any, dict[str, Any]]:
    """Validation data cut off by hand, with the class weights that Keras 2.3.1 applies to it and tf.keras does not."""
    arguments = dict(training.fit)
    if not {"validation_split", "class_weight"} <= set(arguments):
        return training.x, training.y, arguments
    cut = int(len(training.x) * (1.0 - arguments.pop("validation_split")))
    x, y = training.x[cut:], training.y[cut:]
    weights = np.array([arguments["class_weight"][label] for label in y])
    return training.x[:cut], training.y[:cut], {**arguments, "validation_data": (x, y, weights)}


def record(name: str) -> dict[str, Any]:
    keras.backend.clear_session()
    tf.keras.utils.set_random_seed(0)
    training = CASES[name](keras, keras.optimizers.legacy)
    model = training.model
    weights = initial_weights(model, name)
    model.set_weights(weights)
    x, y, arguments = split_as_keras_2_3_1(training)
    history = model.fit(x, y, epochs=EPOCHS, batch_size=BATCH_SIZE, shuffle=False, verbose=0, **arguments)
    fields: dict[str, Any] = {
        "source": SOURCE,
        "weights": weights,
        "final_weights": [stored(w) for w in model.get_weights()],
        "weight_names": [weight.name for weight in model.weights],
        "trainable_weight_names": [weight.name for weight in model.trainable_weights],
        "history": {key: floats(values) for key, values in history.history.items()},
        "metrics_names": model.metrics_names,
    }
    fields["evaluate"] = floats(
        model.evaluate(training.x, training.y, batch_size=BATCH_SIZE, verbose=0, **training.evaluate)
    )
    predictions = model.predict(training.x, batch_size=BATCH_SIZE, verbose=0)
    fields["predictions"] = [stored(p) for p in (predictions if isinstance(predictions, list) else [predictions])]
    x, y = first_rows(training.x, 5), first_rows(training.y, 5)
    fields["test_on_batch"] = floats(model.test_on_batch(x, y))
    fields["train_on_batch"] = floats(model.train_on_batch(x, y))
    fields["weights_after_train_on_batch"] = [stored(w) for w in model.get_weights()]
    return fields


def main() -> None:
    records = {name: record(name) for name in CASES}
    path = save("fit", records)
    print(f"{path.name}: {len(records)} cases, {path.stat().st_size / 1000:.0f} kB")
    for name, fields in records.items():
        print(name, {key: [round(v, 4) for v in values] for key, values in fields["history"].items()})


if __name__ == "__main__":
    main()
