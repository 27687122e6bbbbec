"""Record how tf_keras converts weights of earlier versions: ``python -m tests.golden.generate_legacy_weights``."""

from typing import Any

from tf_keras.src.saving.legacy.hdf5_format import preprocess_weights_for_loading

from tests.golden import data
from tests.golden.cases.legacy_weights import CASES
from tests.golden.oracle import SOURCE, keras
from tests.golden.storage import save


def record(name: str) -> dict[str, Any]:
    case = CASES[name]
    arguments = dict(case.arguments)
    if case.inner is not None:
        arguments["layer"] = getattr(keras.layers, case.inner[0])(**case.inner[1])
    layer = getattr(keras.layers, case.layer)(**arguments)
    layer.build((None, *case.input))
    stored = [data.normal(shape, name, position) for position, shape in enumerate(case.stored)]
    return {"source": SOURCE, "converted": preprocess_weights_for_loading(layer, list(stored), case.version)}


if __name__ == "__main__":
    path = save("legacy_weights", {name: record(name) for name in CASES})
    print(f"{path.name}: {len(CASES)} cases, {path.stat().st_size / 1000:.0f} kB")
