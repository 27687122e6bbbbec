"""Record files whose penalties versions of Keras count differently: ``python -m tests.golden.generate_penalties``.

Written by tf_keras and by Keras 3, untrained; with each the loss, and the weights after one step on six samples.
"""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from tests.golden.generate_files import libraries
from tests.golden.storage import save

X = np.arange(12, dtype="float32").reshape(6, 2) / 10
Y = np.arange(6, dtype="float32").reshape(6, 1)


def model_of(keras: Any, optimizers: Any) -> Any:
    layers, regularizers = keras.layers, keras.regularizers
    start = layers.Input((2,)) if keras.__name__ == "keras" else layers.InputLayer((2,))
    model = keras.Sequential(
        [
            start,
            layers.Dense(3, kernel_initializer="ones", kernel_regularizer=regularizers.L2(0.1), trainable=False),
            layers.Dense(
                2,
                kernel_initializer="ones",
                activity_regularizer=regularizers.L1(0.1),
                kernel_regularizer=regularizers.L2(0.01),
            ),
            layers.ActivityRegularization(l2=0.02),
            layers.Dense(1, kernel_initializer="ones"),
        ]
    )
    model.compile(optimizers.SGD(0.01), "mse")
    return model


def record(writer: str, ending: str) -> dict[str, Any]:
    keras, optimizers, source = libraries("tf_keras_new" if writer == "tf_keras" else writer)
    model = model_of(keras, optimizers)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"model.{ending}"
        model.save(path)
        content = np.frombuffer(path.read_bytes(), np.uint8)
    loss = model.evaluate(X, Y, batch_size=6, verbose=0)
    model.train_on_batch(X, Y)
    weights = [np.asarray(w) for w in model.get_weights()]
    return {"source": source, "file": [content], "loss": float(loss), "weights": weights}


def main() -> None:
    writers = [(writer, ending) for writer in ("tf_keras", "keras_3") for ending in ("h5", "keras")]
    print(save("penalties", {f"{writer}_{ending}": record(writer, ending) for writer, ending in writers}))


if __name__ == "__main__":
    main()
