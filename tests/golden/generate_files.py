"""Record small HDF5 files and what their models compute: ``python -m tests.golden.generate_files``.

Written by tf_keras with its legacy optimizers (``tf_keras``) and with those of later versions (``tf_keras_new``), and
by Keras 3 (``keras_3``); each after one epoch of training.
"""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from tests.golden.cases.files import CASES
from tests.golden.storage import save

WRITERS = ("tf_keras", "tf_keras_new", "keras_3")


def libraries(writer: str) -> tuple[Any, Any, str]:
    """The Keras module, its optimizers, and what it is."""
    from tests.golden import oracle

    if writer == "keras_3":
        import keras

        return keras, keras.optimizers, f"keras {keras.__version__}"
    optimizers = oracle.keras.optimizers
    return oracle.keras, optimizers.legacy if writer == "tf_keras" else optimizers, oracle.SOURCE


def arrays(values: Any) -> list[Any]:
    return list(values) if isinstance(values, (list, tuple)) else [values]


def record(writer: str, name: str) -> dict[str, Any]:
    keras, optimizers, source = libraries(writer)
    keras.backend.clear_session()
    keras.utils.set_random_seed(1)
    case = CASES[name](keras, optimizers)
    model = case.model
    model.fit(case.x, case.y, epochs=1, batch_size=4, shuffle=False, verbose=0)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.h5"
        model.save(path)
        content = np.frombuffer(path.read_bytes(), np.uint8)
    fields: dict[str, Any] = {
        "source": source,
        "file": [content],  # HDF5 is mostly zeros: as arrays they take a tenth
        "predictions": arrays(model.predict(case.x, verbose=0)),
        "weights": [
            w.numpy() for layer in model.layers for w in [*layer.trainable_weights, *layer.non_trainable_weights]
        ],
    }
    model.fit(case.x, case.y, epochs=1, batch_size=4, shuffle=False, verbose=0)
    fields["predictions_after_another_epoch"] = arrays(model.predict(case.x, verbose=0))
    return fields


def main() -> None:
    records = {f"{writer}_{name}": record(writer, name) for writer in WRITERS for name in CASES}
    path = save("files", records)
    print(f"{path.name}: {len(records)} cases, {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
