"""Record recurrent layers: ``python -m tests.golden.generate_recurrent``.

Of each case: outputs and last states, and the gradients of ``sum(output * cotangent)`` over all of these with respect
to inputs, initial states, constants and weights, in float64. And trainings, in float32, with legacy optimizers.
"""

from typing import Any

from tests.golden import data
from tests.golden.cases import recurrent, recurrent_training
from tests.golden.cases.recurrent import MASK, RecurrentCase
from tests.golden.oracle import SOURCE, keras, stored, tf
from tests.golden.storage import save


def call(layer: Any, case: RecurrentCase, given: dict[str, list[Any]]) -> list[Any]:
    inputs = [tf.transpose(x, (1, 0, 2)) if case.time_major else x for x in given["inputs"]]
    mask = (MASK.T if case.time_major else MASK) if case.mask else None
    outputs = layer(
        tuple(inputs) if len(inputs) > 1 else inputs[0],
        mask=None if mask is None else tf.constant(mask),
        initial_state=given["initial"] or None,
        constants=given["constants"] or None,
    )
    return tf.nest.flatten(outputs)


def record(case: RecurrentCase, group: str) -> dict[str, Any]:
    keras.backend.clear_session()
    keras.backend.set_floatx("float64")
    layer = case.make(keras)
    arrays = recurrent.tensors(case, group, data.normal)
    given = {kind: [tf.constant(a.astype("float64")) for a in listed] for kind, listed in arrays.items()}
    flat = [x for listed in given.values() for x in listed]
    call(layer, case, given)
    layer.set_weights([data.normal(w.shape, group, "weight", i, scale=0.7) for i, w in enumerate(layer.weights)])
    with tf.GradientTape() as tape:
        tape.watch(flat)
        outputs = call(layer, case, given)
        total = sum(
            tf.reduce_sum(y * data.normal(y.shape, group, "cotangent", i).astype("float64"))
            for i, y in enumerate(outputs)
        )
    gradients = tape.gradient(total, [*flat, *layer.trainable_weights], unconnected_gradients="zero")
    return {"source": SOURCE, "outputs": [stored(y) for y in outputs], "gradients": [stored(g) for g in gradients]}


def record_training(name: str) -> dict[str, Any]:
    keras.backend.clear_session()
    keras.backend.set_floatx("float32")
    training = recurrent_training.CASES[name](keras, keras.optimizers.legacy)
    model = training.model
    initial = [data.normal(w.shape, name, "weight", i, scale=0.5) for i, w in enumerate(model.weights)]
    model.set_weights(initial)
    return {"source": SOURCE, "initial": initial, **recurrent_training.answers(training)}


def main() -> None:
    for group, cases in recurrent.GROUPS.items():
        names = [case.name for case in cases]
        assert len(set(names)) == len(names), "case names must be unique"
        path = save(f"recurrent_{group}", {case.name: record(case, group) for case in cases})
        print(f"{path.name}: {len(cases)} cases, {path.stat().st_size / 1000:.0f} kB")
    records = {name: record_training(name) for name in recurrent_training.CASES}
    path = save("recurrent_training", records)
    print(f"{path.name}: {len(records)} cases, {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
