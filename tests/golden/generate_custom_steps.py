"""Record steps of a user's own: ``python -m tests.golden.generate_custom_steps``. tf_keras, legacy optimizers."""

from typing import Any

from tests.golden.cases.custom_steps import BATCH_SIZE, CASES, EPOCHS
from tests.golden.generate_fit import floats, initial_weights
from tests.golden.oracle import SOURCE, backend, keras, np, stored, tf
from tests.golden.storage import save


def record(name: str) -> dict[str, Any]:
    keras.backend.clear_session()
    tf.keras.utils.set_random_seed(0)
    case = CASES[name](keras, backend, tf.GradientTape, keras.optimizers.legacy)
    weights = [initial_weights(part, f"{name}_{i}") for i, part in enumerate(case.parts)]
    for part, values in zip(case.parts, weights, strict=True):
        part.set_weights(values)
    history = case.model.fit(case.x, case.y, epochs=EPOCHS, batch_size=BATCH_SIZE, shuffle=False, verbose=0, **case.fit)
    fields: dict[str, Any] = {
        "source": SOURCE,
        "weights": [w for values in weights for w in values],
        "final_weights": [stored(w) for part in case.parts for w in part.get_weights()],
        "history": {key: floats(values) for key, values in history.history.items()},
        "evaluate": [],
    }
    if case.evaluate:
        fields["evaluate"] = floats(case.model.evaluate(case.x, case.y, batch_size=BATCH_SIZE, verbose=0))
    return fields


def main() -> None:
    np.seterr(all="raise", under="ignore")
    save("custom_steps", {name: record(name) for name in CASES})


if __name__ == "__main__":
    main()
