"""Record small ``.keras`` archives and what their models compute: ``python -m tests.golden.generate_archives``.

Written by tf_keras (the v3 format of tf.keras 2.13 and later) and by Keras 3, each after one epoch of training; and the
weights alone, as ``.weights.h5``.
"""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from tests.golden.cases.archives import CASES
from tests.golden.generate_files import arrays, libraries
from tests.golden.storage import save

WRITERS = {"tf_keras": "tf_keras_new", "keras_3": "keras_3"}


def record(writer: str, name: str) -> dict[str, Any]:
    keras, optimizers, source = libraries(WRITERS[writer])
    keras.backend.clear_session()
    keras.utils.set_random_seed(1)
    case = CASES[name](keras, optimizers)
    model = case.model
    model.fit(case.x, case.y, epochs=1, batch_size=4, shuffle=False, verbose=0)
    fields: dict[str, Any] = {"source": source}
    with tempfile.TemporaryDirectory() as folder:
        for field, file in (("archive", "model.keras"), ("weights_file", "model.weights.h5")):
            path = Path(folder) / file
            (model.save if field == "archive" else model.save_weights)(path)
            fields[field] = [np.frombuffer(path.read_bytes(), np.uint8)]
    fields["predictions"] = arrays(model.predict(case.x, verbose=0))
    model.fit(case.x, case.y, epochs=1, batch_size=4, shuffle=False, verbose=0)
    fields["predictions_after_another_epoch"] = arrays(model.predict(case.x, verbose=0))
    return fields


def main() -> None:
    records = {f"{writer}_{name}": record(writer, name) for writer in WRITERS for name in CASES}
    path = save("archives", records)
    print(f"{path.name}: {len(records)} cases, {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
