"""The order of weights is that of tf.keras, in every way in which layers lie inside layers."""

from typing import Any

import h5py
import numpy as np
import pytest

import kcompile
from kcompile.saving.hdf5.weights import stored_order
from tests.golden.cases.weight_order import CASES, FILES, FROZEN, labels
from tests.golden.storage import load

GOLDEN = load("weight_order")


def named(weights: Any, found: dict[int, str]) -> list[str]:
    return [found[id(w)] for w in weights]


def by_name(model: Any) -> dict[str, Any]:
    return {layer.name: layer for layer in model.layer_and_those_inside()}


@pytest.mark.parametrize("name", CASES)
def test_order(name: str) -> None:
    record = GOLDEN[name]
    model = CASES[name](kcompile)
    found = labels(model, lambda layer: layer.layers_inside)
    assert named(model.weights, found) == record.all
    layers = by_name(model)
    for layer, order in record.layers.items():
        if layer in layers:
            assert named(layers[layer].weights, found) == order, layer
    values = model.get_weights()
    assert [x.shape for x in values] == [w.storage.shape for w in model.weights]
    for frozen in ["", *FROZEN[name]]:
        if frozen:
            layers[frozen].trainable = False
        expected = record.frozen[frozen]
        assert named(model.weights, found) == record.all, frozen
        assert named(model.trainable_weights, found) == expected["trainable"], frozen
        assert named(model.non_trainable_weights, found) == expected["others"], frozen
        for layer in model.layers if frozen != model.name else ():  # files tell which layers train, one by one
            if layer.name in expected["in_files"]:
                assert named(stored_order(layer), found) == expected["in_files"][layer.name], (frozen, layer.name)
        if frozen:
            layers[frozen].trainable = True


def two_inside(first: str, second: str, frozen: bool) -> Any:
    """A model in a model, of two equal layers around a BatchNormalization; ``frozen``: the first of them is."""
    layers = kcompile.layers
    inner = kcompile.Sequential(
        [
            layers.Dense(3, input_shape=(3,), name=first),
            layers.BatchNormalization(name=f"bn_{first}"),
            layers.Dense(3, name=second),
        ],
        name=f"inner_{first}",
    )
    inner.layers[0].trainable = not frozen
    return kcompile.Sequential([inner, layers.Dense(2, name=f"out_{first}")])


def distinct(model: Any) -> list[Any]:
    model.set_weights([np.full(w.shape, i, "float32") for i, w in enumerate(model.get_weights())])
    return [float(w.mean()) for w in model.get_weights()]


@pytest.mark.parametrize("ending", [".h5", ".weights.h5", ".npz", ".keras"])
@pytest.mark.parametrize(("written", "read"), [(True, False), (False, True), (True, True)])
@pytest.mark.parametrize("names", [("a", "b"), ("dense_7", "dense_8"), ("same", "same2")])
def test_flags_differ_between_writer_and_reader(
    ending: str, written: bool, read: bool, names: tuple[str, str], tmp_path: Any
) -> None:
    model = two_inside(*(names if names[0] == "same" else ("dense_1", "dense_2")), written)
    values = distinct(model)
    path = str(tmp_path / f"w{ending}")
    if ending == ".keras":
        model.save(path)
        other = kcompile.models.load_model(path)
        other.layers[0].layers[0].trainable = not read
    else:
        model.save_weights(path)
        other = two_inside(*names, frozen=read)
        other.load_weights(path)
    assert [float(w.mean()) for w in other.get_weights()] == values


def test_weights_go_around_a_freeze() -> None:
    for name in CASES:
        model = CASES[name](kcompile)
        values = distinct(model)
        taken = model.get_weights()
        for layer in model.layer_and_those_inside():
            layer.trainable = False
        model.set_weights(taken)
        assert [float(w.mean()) for w in model.get_weights()] == values


def filled_with(model: Any) -> list[float]:
    return [float(w.mean()) for w in model.get_weights()]


@pytest.mark.parametrize("case", FILES, ids="-".join)
def test_files_of_keras(case: tuple[str, str, str, str], tmp_path: Any) -> None:
    """They load, whatever was frozen then; what tf_keras leaves out of a file (lists in lists) is named."""
    writer, name, ending, _ = case
    path = tmp_path / f"w{ending}"
    path.write_bytes(GOLDEN["-".join(case)].file[0].tobytes())
    model = CASES[name](kcompile)
    lost = [] if (writer, ending, name) != ("tf_keras", ".weights.h5", "containers_in_layer") else ["n", "t1"]
    if lost:
        with pytest.raises(ValueError, match="'n0'"):
            model.load_weights(str(path))
        with pytest.warns(UserWarning, match="left as it was"):
            model.load_weights(str(path), skip_mismatch=True)
    else:
        model.load_weights(str(path))
    for i, (label, value) in enumerate(zip(GOLDEN[name].all, filled_with(model), strict=True)):
        assert value == i or label.startswith(tuple(lost)), label


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("ending", [".h5", ".weights.h5", ".npz"])
def test_own_files(name: str, ending: str, tmp_path: Any) -> None:
    model = CASES[name](kcompile)
    values = distinct(model)
    layers = by_name(model)
    layers[FROZEN[name][1]].trainable = False
    model.save_weights(str(tmp_path / f"w{ending}"))
    other = CASES[name](kcompile)
    other.load_weights(str(tmp_path / f"w{ending}"))
    assert filled_with(other) == values


class Two(kcompile.layers.Layer):
    """Two equal layers, whose names are automatic whatever a file says."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.first, self.second = kcompile.layers.Dense(3), kcompile.layers.Dense(3)

    def call(self, inputs: Any) -> Any:
        return self.second(self.first(inputs))


def made_backwards() -> Any:
    """A model in a model, whose layers were made in another order than they stand in, twice."""
    layers = kcompile.layers
    last, first = Two(), layers.Dense(3)
    x = layers.Input((3,))
    inner = kcompile.Model(x, last(first(x)))
    x = layers.Input((3,))
    outer = kcompile.Model(x, layers.BatchNormalization()(inner(x)))
    x = layers.Input((3,))
    return kcompile.Model(x, outer(x))


@pytest.mark.parametrize("ending", [".h5", ".weights.h5", ".w.h5", ".npz", ".keras"])
@pytest.mark.parametrize("attribute", [True, False])
def test_layers_made_in_another_order(ending: str, attribute: bool, tmp_path: Any) -> None:
    """Whatever automatic names have counted to, also in files from before they said their order."""
    model = made_backwards()
    values = distinct(model)
    path = str(tmp_path / f"m{ending}")
    whole = ending in (".h5", ".keras")
    (model.save if whole else model.save_weights)(path)
    if not attribute and ending in (".h5", ".w.h5"):
        with h5py.File(path, "r+") as file:
            removed: list[str] = []
            file.visititems(lambda name, item: removed.append(name) if "kcompile_order" in item.attrs else None)
            assert removed
            for name in removed:
                del file[name].attrs["kcompile_order"]
    for unused in range(4):
        kcompile.backend.clear_session()
        for _ in range(unused):
            kcompile.layers.Dense(1)
        if whole:
            other = kcompile.models.load_model(path, custom_objects={"Two": Two})
        else:
            other = made_backwards()
            other.get_layer(index=1).layers[1].trainable = unused % 2 == 0
            other.load_weights(path)
        assert filled_with(other) == values, unused


def test_archives_of_arrays_from_before(tmp_path: Any) -> None:
    """They had what trains first at every depth: here the model in the middle was frozen as a whole."""
    layers = kcompile.layers
    inner = kcompile.Sequential([layers.Dense(3, input_shape=(3,)), layers.BatchNormalization(), layers.Dense(3)])
    model = kcompile.Sequential([layers.Dense(3, input_shape=(3,)), inner, layers.Dense(3)])
    values = distinct(model)
    inner.trainable = False
    order = [0, 1, 10, 11, 2, 3, 4, 5, 8, 9, 6, 7]
    arrays, labels_there = model.get_weights(), [w.label.split("/") for w in model.weights]
    names = [f"{owner.replace('_', '')}x/{last}" for owner, last in labels_there]  # of kinds that are not known here
    np.savez(tmp_path / "w.npz", **{names[i]: arrays[i] for i in order})
    other = kcompile.models.clone_model(model)
    other.layers[1].trainable = False
    other.load_weights(str(tmp_path / "w.npz"))
    assert filled_with(other) == values
