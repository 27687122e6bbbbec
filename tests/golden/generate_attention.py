"""Record what attention layers and EinsumDense compute: ``python -m tests.golden.generate_attention``.

All outputs, and gradients of ``sum(output * cotangent)`` of all outputs for the inputs and the weights, in float64;
and the names of the weights. Attributes of Keras 3 alone are asked from it, the rest from tf_keras.
"""

import json
from typing import Any

import keras as keras_3

from tests.golden import data
from tests.golden.cases.attention import CASES, KERAS_3, AttentionCase
from tests.golden.oracle import SOURCE, keras, stored, tf
from tests.golden.storage import save


def record(case: AttentionCase) -> dict[str, Any]:
    is_3 = case.oracle == KERAS_3
    library = keras_3 if is_3 else keras
    library.backend.clear_session()
    layer_class = getattr(library.layers, case.layer)
    library.backend.set_floatx("float32")
    declared = layer_class(**case.arguments, name=case.name)
    inputs, masks = case.inputs(), case.mask_arrays()
    case.call(library, declared, [tf.constant(x) for x in inputs], {k: tf.constant(m) for k, m in masks.items()})
    config = json.loads(json.dumps(declared.get_config(), default=list))
    names = [weight.path if is_3 else weight.name.removesuffix(":0") for weight in declared.weights]

    # Where no step counts, scores and a large negative number make equal weights by what float32 rounds off.
    dtype = "float32" if 0 in case.marked else "float64"
    library.backend.set_floatx(dtype)
    layer = layer_class(**case.arguments)
    tensors = [tf.constant(x.astype(dtype)) for x in inputs]
    given = {name: tf.constant(mask) for name, mask in masks.items()}
    case.call(library, layer, tensors, given)
    weights = [data.normal(w.shape, case.name, "weight", i, scale=0.5) for i, w in enumerate(layer.weights)]
    layer.set_weights(weights)
    values = [w.value if is_3 else w for w in layer.trainable_weights]
    with tf.GradientTape() as tape:
        tape.watch(tensors)
        outputs = case.call(library, layer, tensors, given)
        cotangents = [data.normal(y.shape, case.name, "cotangent", i) for i, y in enumerate(outputs)]
        total = sum(tf.reduce_sum(y * tf.cast(c, y.dtype)) for y, c in zip(outputs, cotangents, strict=True))
    gradients = tape.gradient(total, [*tensors, *values], unconnected_gradients="zero")
    library.backend.set_floatx("float32")
    return {
        "source": f"keras {keras_3.__version__}" if is_3 else SOURCE,
        "config": config,
        "names": names,
        "inputs": inputs,
        "masks": list(masks.values()),
        "weights": weights,
        "outputs": [stored(y) for y in outputs],
        "cotangents": cotangents,
        "input_gradients": [stored(g) for g in gradients[: len(tensors)]],
        "weight_gradients": [stored(g) for g in gradients[len(tensors) :]],
    }


def main() -> None:
    names = [case.name for case in CASES]
    assert len(set(names)) == len(names), "case names must be unique"
    path = save("attention", {case.name: record(case) for case in CASES})
    print(f"{path.name}: {len(CASES)} cases, {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
