"""Record files with layers that normalize samples: ``python -m tests.golden.generate_normalization_files``.

Written by tf_keras and Keras 3 in both formats, each after one epoch of training.
"""

import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from tests.golden.cases.normalization_files import CASES, FORMATS, ONLY_IN_KERAS_3
from tests.golden.generate_files import libraries
from tests.golden.storage import save

WRITERS = {"tf_keras": "tf_keras_new", "keras_3": "keras_3"}


def record(writer: str, name: str, ending: str) -> dict[str, Any]:
    keras, optimizers, source = libraries(WRITERS[writer])
    keras.backend.clear_session()
    keras.utils.set_random_seed(1)
    case = CASES[name](keras, optimizers)
    model = case.model
    model.fit(case.x, case.y, epochs=1, batch_size=4, shuffle=False, verbose=0)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"model.{ending}"
        model.save(path)
        content = np.frombuffer(path.read_bytes(), np.uint8)
    fields: dict[str, Any] = {"source": source, "file": [content]}
    fields["predictions"] = [model.predict(case.x, verbose=0)]
    model.fit(case.x, case.y, epochs=1, batch_size=4, shuffle=False, verbose=0)
    fields["predictions_after_another_epoch"] = [model.predict(case.x, verbose=0)]
    return fields


def main() -> None:
    warnings.simplefilter("ignore")  # HDF5 is a legacy format to Keras 3
    records = {
        f"{writer}_{name}_{ending}": record(writer, name, ending)
        for writer in WRITERS
        for name in CASES
        for ending in FORMATS
        if writer == "keras_3" or name not in ONLY_IN_KERAS_3
    }
    path = save("normalization_files", records)
    print(f"{path.name}: {len(records)} cases, {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
