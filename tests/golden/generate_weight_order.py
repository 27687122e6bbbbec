"""Record in what order tf_keras lists weights: ``python -m tests.golden.generate_weight_order``.

For every case the order of all weights, and, with each layer of ``FROZEN`` frozen in turn, of those that train and the
others, of the model and of each of its layers (in that order its HDF5 files have them).
And files of weights, of tf_keras and Keras 3.
"""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from tests.golden import oracle
from tests.golden.cases.weight_order import CASES, FILES, FROZEN, labels
from tests.golden.storage import save


def children(layer: Any) -> list[Any]:
    return list(layer._flatten_layers(recursive=False, include_self=False))


def record(name: str) -> dict[str, Any]:
    oracle.keras.backend.clear_session()
    model = CASES[name](oracle.keras)
    found = labels(model, children)
    fields: dict[str, Any] = {"source": oracle.SOURCE, "all": [found[id(w)] for w in model.weights]}
    fields["layers"] = {layer.name: [found[id(w)] for w in layer.weights] for layer in model._flatten_layers()}
    by_name = {layer.name: layer for layer in model._flatten_layers()}
    fields["frozen"] = {}
    for frozen in ["", *FROZEN[name]]:
        for layer in model._flatten_layers():
            layer._trainable = True
        if frozen:
            by_name[frozen].trainable = False
        fields["frozen"][frozen] = {
            "trainable": [found[id(w)] for w in model.trainable_weights],
            "others": [found[id(w)] for w in model.non_trainable_weights],
            "in_files": {
                layer.name: [found[id(w)] for w in [*layer.trainable_weights, *layer.non_trainable_weights]]
                for layer in model.layers
            },
        }
    return fields


def file(writer: str, name: str, ending: str, frozen: str, order: list[str]) -> dict[str, Any]:
    import keras as keras_3

    keras = oracle.keras if writer == "tf_keras" else keras_3
    keras.backend.clear_session()
    model = CASES[name](keras)
    inner = children if writer == "tf_keras" else lambda layer: layer._layers
    found = labels(model, inner)
    for weight in model.weights:
        weight.assign(np.full(weight.shape, order.index(found[id(weight)]), "float32"))
    for layer in model._flatten_layers():
        if layer.name == frozen:
            layer.trainable = False
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"w{ending}"
        model.save_weights(str(path))
        return {"source": f"{keras.__name__} {keras.__version__}", "file": [np.frombuffer(path.read_bytes(), np.uint8)]}


def main() -> None:
    records = {name: record(name) for name in CASES}
    for case in FILES:
        records["-".join(case)] = file(*case, records[case[1]]["all"])
    path = save("weight_order", records)
    print(f"{path.name}: {len(CASES)} cases, {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
