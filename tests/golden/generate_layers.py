"""Record what each layer of the tables computes: ``python -m tests.golden.generate_layers [FAMILY...]``.

Outputs, and gradients of ``sum(output * cotangent)`` for every float input and every trainable weight. The
oracle computes in float64 where TensorFlow's kernels allow it and in float32 for BatchNormalization (its
fused kernel is part of the semantics) and 3D pooling; what is stored is float32.
"""

import json
import sys
from typing import Any

from tests.golden import data
from tests.golden.cases.layer_case import LayerCase
from tests.golden.cases.layers import FAMILIES
from tests.golden.oracle import SOURCE, keras, np, stored, tf
from tests.golden.storage import save

FLOAT32_LAYERS = {"BatchNormalization", "MaxPooling3D", "AveragePooling3D"}


def to_channels_last(array: np.ndarray) -> np.ndarray:
    return np.moveaxis(array, 1, -1)


def to_channels_first(array: np.ndarray) -> np.ndarray:
    return np.moveaxis(array, -1, 1)


def runs_transposed(case: LayerCase) -> bool:
    """TensorFlow's CPU kernels know channels_last only, so the oracle runs the same layer on moved axes."""
    if case.layer == "BatchNormalization":
        return case.arguments.get("axis") == 1 and len(case.shapes[0]) == 4
    return case.arguments.get("data_format") == "channels_first" and case.layer != "Flatten"


def layer_inputs(case: LayerCase) -> list[np.ndarray]:
    if case.integers is not None:
        return [data.integers(s, case.integers, case.name, "input", i) for i, s in enumerate(case.shapes)]
    center = np.float32(20 if case.inputs == "far" else 0)
    return [data.normal(s, case.name, "input", i) + center for i, s in enumerate(case.shapes)]


def layer_weights(case: LayerCase, shapes: list[tuple[int, ...]]) -> list[np.ndarray]:
    if case.weights == "positive":
        return [data.positive(s, case.name, "weight", i) for i, s in enumerate(shapes)]
    return [data.normal(s, case.name, "weight", i, scale=0.5) for i, s in enumerate(shapes)]


def differentiate(
    layer: Any, inputs: list[np.ndarray], cotangent: np.ndarray | None, name: str, training: bool
) -> tuple:
    """Output, cotangent, gradients for the inputs (None for integers) and for the trainable weights."""
    dtype = layer.dtype
    tensors = [tf.constant(x if x.dtype == np.int32 else x.astype(dtype)) for x in inputs]
    with tf.GradientTape() as tape:
        tape.watch([t for t in tensors if t.dtype.is_floating])
        output = layer(tensors if len(tensors) > 1 else tensors[0], training=training)
        if cotangent is None:
            cotangent = data.normal(output.shape, name, "cotangent")
        total = tf.reduce_sum(output * tf.cast(cotangent, output.dtype))
    floats = [t for t in tensors if t.dtype.is_floating]
    gradients = tape.gradient(total, floats + list(layer.trainable_weights))
    gradients = [tf.convert_to_tensor(g) for g in gradients]  # Embedding's gradient is IndexedSlices
    return np.asarray(output), cotangent, gradients[: len(floats)], gradients[len(floats) :]


def record(case: LayerCase) -> dict[str, Any]:
    keras.backend.clear_session()
    keras.backend.set_floatx("float32")
    layer_class = getattr(keras.layers, case.layer)
    declared = layer_class(**case.arguments, name=case.name)
    config = json.loads(json.dumps(declared.get_config(), default=float))  # 0-d arrays become numbers

    transposed = runs_transposed(case)
    arguments = dict(case.arguments)
    move_in, move_out = (to_channels_last, to_channels_first) if transposed else (np.asarray, np.asarray)
    if transposed:
        arguments |= {"axis": -1} if case.layer == "BatchNormalization" else {"data_format": "channels_last"}
    keras.backend.set_floatx("float32" if case.layer in FLOAT32_LAYERS else "float64")
    layer = layer_class(**arguments)

    inputs = layer_inputs(case)
    oracle_inputs = [move_in(x) for x in inputs]
    shapes = [x.shape for x in oracle_inputs]
    layer.build(shapes if len(shapes) > 1 else shapes[0])
    weights = layer_weights(case, [tuple(w.shape) for w in layer.weights])
    layer.set_weights(weights)

    fields: dict[str, Any] = {"source": SOURCE, "config": config, "inputs": inputs}
    output, cotangent, input_gradients, weight_gradients = differentiate(layer, oracle_inputs, None, case.name, False)
    fields["output"] = [stored(kept(output, move_out))]
    fields["cotangent"] = [kept(cotangent, move_out)]
    fields["input_gradients"] = [stored(move_out(np.asarray(g))) for g in input_gradients]
    fields["weights"] = weights
    fields["weight_gradients"] = [stored(g) for g in weight_gradients]

    # Among these layers only BatchNormalization computes something else in training.
    output, _, input_gradients, weight_gradients = differentiate(layer, oracle_inputs, cotangent, case.name, True)
    if case.layer == "BatchNormalization":
        fields["training_output"] = [stored(kept(output, move_out))]
        fields["training_input_gradients"] = [stored(move_out(np.asarray(g))) for g in input_gradients]
        fields["training_weight_gradients"] = [stored(g) for g in weight_gradients]
        fields["updated_weights"] = [stored(w) for w in layer.get_weights()]
        fields["keras_2_3_1_moving_variance"] = [keras_2_3_1_moving_variance(layer, oracle_inputs[0], weights[-1])]
    else:
        np.testing.assert_array_equal(stored(kept(output, move_out)), fields["output"][0])
    return fields


def keras_2_3_1_moving_variance(layer: Any, x: np.ndarray, moving_variance: np.ndarray) -> np.ndarray:
    """The update of Keras 2.3.1: batch variance times n / (n - (1 + epsilon)) at every rank.

    tf.keras uses the sample variance, n / (n - 1), at rank 4 with the channels last or first (its fused
    kernel) and the population variance otherwise.
    """
    (axis,) = layer.axis
    x = np.moveaxis(x.astype(np.float64), axis, -1).reshape(-1, x.shape[axis])
    variance = x.var(axis=0) * len(x) / (len(x) - (1.0 + layer.epsilon))
    return stored(layer.momentum * moving_variance.astype(np.float64) + (1 - layer.momentum) * variance)


def kept(array: np.ndarray, move_out: Any) -> np.ndarray:
    """Move the channels back, unless the layer removed the spatial axes (global pooling)."""
    return move_out(array) if array.ndim > 2 else array


def main() -> None:
    for family in sys.argv[1:] or FAMILIES:
        cases = FAMILIES[family]
        names = [case.name for case in cases]
        assert len(set(names)) == len(names), "case names must be unique"
        path = save(f"layers_{family}", {case.name: record(case) for case in cases})
        print(f"{path.name}: {len(cases)} cases, {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
