"""Record wrappers and convolutional recurrence: ``python -m tests.golden.generate_wrappers``.

Of each small model: outputs and masks, gradients of ``sum(output * cotangent)`` over all outputs for every float input
and every trainable weight; and some steps of training. In float64, but with batch normalization in float32.
"""

from typing import Any

from tests.golden import data
from tests.golden.cases import conv_lstm, wrappers
from tests.golden.cases.model_case import ModelCase
from tests.golden.oracle import SOURCE, keras, np, stored, tf
from tests.golden.storage import save

FAMILIES = {"wrappers": wrappers.CASES, "conv_lstm": conv_lstm.CASES}
RATE = 0.1


def weights_of(model: Any, name: str) -> list[np.ndarray]:
    """Normal and small; variances positive."""
    return [
        data.positive(w.shape, name, "weight", i)
        if "variance" in w.name
        else data.normal(w.shape, name, "weight", i, scale=0.5)
        for i, w in enumerate(model.weights)
    ]


def as_list(outputs: Any) -> list[Any]:
    return list(outputs) if isinstance(outputs, (list, tuple)) else [outputs]


def differentiate(model: Any, arrays: list[np.ndarray], cotangents: list[np.ndarray], training: bool) -> tuple:
    tensors = [tf.constant(x if x.dtype == np.int32 else x.astype(keras.backend.floatx())) for x in arrays]
    floats = [t for t in tensors if t.dtype.is_floating]
    with tf.GradientTape() as tape:
        tape.watch(floats)
        outputs = as_list(model(tensors if len(tensors) > 1 else tensors[0], training=training))
        total = sum(tf.reduce_sum(y * tf.cast(g, y.dtype)) for y, g in zip(outputs, cotangents, strict=True))
    found = tape.gradient(total, floats + list(model.trainable_weights), unconnected_gradients="zero")
    found = [stored(tf.convert_to_tensor(g)) for g in found]
    return [stored(y) for y in outputs], found[: len(floats)], found[len(floats) :]


def masks_of(case: ModelCase, arrays: list[np.ndarray]) -> list[Any]:
    """The mask of each output as nested lists of numbers, or None. They depend on no weights, so new layers will do."""
    tensors = [tf.constant(x if x.dtype == np.int32 else x.astype(keras.backend.floatx())) for x in arrays]
    outputs = as_list(case.apply(keras.layers, tensors if len(tensors) > 1 else tensors[0]))
    masks = [getattr(y, "_keras_mask", None) for y in outputs]
    return [None if mask is None else np.asarray(mask).astype(int).tolist() for mask in masks]


def record(case: ModelCase) -> dict[str, Any]:
    keras.backend.clear_session()
    dtype = "float32" if case.training else "float64"  # the fused kernel of batch normalization is its meaning
    keras.backend.set_floatx(dtype)
    model, _, outputs = case.build(keras, dtype)
    weights, arrays = weights_of(model, case.name), case.inputs()
    model.set_weights(weights)
    fields: dict[str, Any] = {"source": SOURCE, "weights": weights, "masks": masks_of(case, arrays)}
    if case.calls:
        fields["shapes"] = [list(y.shape) for y in outputs]
        for call in range(case.calls):
            fields[f"call_{call}"] = [stored(y) for y in as_list(model.predict_on_batch(case.inputs(call)))]
        for layer in model.layers:
            if hasattr(layer, "reset_states"):
                layer.reset_states()
            elif hasattr(layer, "layer"):
                layer.layer.reset_states()
        again = [stored(y) for y in as_list(model.predict_on_batch(case.inputs(0)))]
        for one, other in zip(again, fields["call_0"], strict=True):
            np.testing.assert_array_equal(one, other)
        return fields
    cotangents = [data.normal((len(arrays[0]), *y.shape[1:]), case.name, "cotangent", i) for i, y in enumerate(outputs)]
    fields["cotangents"] = cotangents
    for key, training in {"": False, "training_": True}.items():
        if training and not case.training:
            continue
        results = differentiate(model, arrays, cotangents, training)
        for what, values in zip(("outputs", "input_gradients", "weight_gradients"), results, strict=True):
            fields[key + what] = values
    if case.steps:
        model.set_weights(weights)
        model.compile(keras.optimizers.legacy.SGD(RATE), "mse")
        x, y = (values if len(values) > 1 else values[0] for values in (arrays, cotangents))
        losses = [np.ravel(model.train_on_batch(x, y))[0] for _ in range(case.steps)]
        fields["losses"] = [float(loss) for loss in losses]
        fields["trained_weights"] = [stored(w) for w in model.get_weights()]
    return fields


def main() -> None:
    for family, cases in FAMILIES.items():
        names = [case.name for case in cases]
        assert len(set(names)) == len(names), "case names must be unique"
        path = save(family, {case.name: record(case) for case in cases})
        print(f"{path.name}: {len(cases)} cases, {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
