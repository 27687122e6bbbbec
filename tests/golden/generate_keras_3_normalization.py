"""Record what Keras 3 computes where tf_keras has no such layer, or argument.

``python -m tests.golden.generate_keras_3_normalization``, in float64 with TensorFlow behind it; stored is float32.
"""

import json
import warnings
from typing import Any

from tests.golden.cases.layer_case import LayerCase
from tests.golden.cases.normalization import OF_KERAS_3
from tests.golden.generate_layers import differentiate, layer_inputs, layer_weights
from tests.golden.oracle import stored
from tests.golden.storage import save


def record(case: LayerCase) -> dict[str, Any]:
    import keras

    declared = getattr(keras.layers, case.layer)(**case.arguments, name=case.name)
    layer = getattr(keras.layers, case.layer)(**case.arguments, dtype="float64")
    inputs = layer_inputs(case)
    layer.build(inputs[0].shape)
    weights = layer_weights(case, [tuple(w.shape) for w in layer.weights])
    layer.set_weights(weights)
    output, cotangent, of_inputs, of_weights = differentiate(layer, inputs, None, case.name, training=True)
    return {
        "source": f"keras {keras.__version__}",
        "config": json.loads(json.dumps(declared.get_config(), default=float)),
        "inputs": inputs,
        "weights": weights,
        "output": [stored(output)],
        "cotangent": [cotangent],
        "input_gradients": [stored(g) for g in of_inputs],
        "weight_gradients": [stored(g) for g in of_weights],
    }


def main() -> None:
    warnings.simplefilter("ignore")  # rms_scaling is deprecated
    path = save("keras_3_normalization", {case.name: record(case) for case in OF_KERAS_3})
    print(f"{path.name}: {len(OF_KERAS_3)} cases, {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
