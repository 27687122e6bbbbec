"""Exported files: valid ONNX of standard operators that stock ONNX Runtime runs with the numbers of kcompile."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx.reference import ReferenceEvaluator

import kcompile
from kcompile import Input, Model, Sequential, layers, optimizers
from kcompile.export import to_onnx
from kcompile.export.training import read_state
from kcompile.passes.onnx import initializers
from kcompile.passes.onnx.opsets import IR_VERSIONS, OPSETS
from kcompile.passes.onnx.protos import nodes
from tests.small_models import ZOO, random_inputs

RTOL = 1e-5


def session(path: Path | onnx.ModelProto) -> onnxruntime.InferenceSession:
    source = path.SerializeToString() if isinstance(path, onnx.ModelProto) else str(path)
    return onnxruntime.InferenceSession(source, providers=["CPUExecutionProvider"])


def check(proto: onnx.ModelProto, opset: int = 21) -> None:
    """The model is valid, of that opset, and every operator is a standard one."""
    onnx.checker.check_model(proto, full_check=True)
    assert proto.ir_version == IR_VERSIONS[opset]
    assert [(item.domain, item.version) for item in proto.opset_import] == [("", opset)]
    assert {node.domain for node in nodes(proto.graph)} == {""}


def shapes(values: Any) -> dict[str, list[Any]]:
    return {v.name: [d.dim_param or d.dim_value for d in v.type.tensor_type.shape.dim] for v in values}


def agree(got: Any, expected: Any) -> None:
    got, expected = np.asarray(got), np.asarray(expected)
    assert got.shape == expected.shape
    np.testing.assert_allclose(got, expected, rtol=RTOL, atol=RTOL * max(1e-3, np.abs(expected).max(initial=0)))


def as_list(x: Any) -> list[Any]:
    return x if isinstance(x, list) else [x]


@pytest.mark.parametrize("name", ZOO)
def test_exported_model_predicts_as_the_model(name: str, tmp_path: Path) -> None:
    np.random.seed(3)
    model = ZOO[name]()
    for weight in model.weights:  # statistics and biases that are not 0 or 1
        weight.assign(weight.numpy() + np.random.uniform(0.1, 0.5, weight.shape).astype("float32"))
    model.export(tmp_path / "model.onnx")
    proto = onnx.load(tmp_path / "model.onnx")
    check(proto)
    runtime = session(tmp_path / "model.onnx")
    assert [item.name for item in runtime.get_inputs()] == model.input_names
    assert [item.name for item in runtime.get_outputs()] == model.output_names
    for sizes in (*shapes(proto.graph.input).values(), *shapes(proto.graph.output).values()):
        assert sizes[0] == "batch"
    for samples in (1, 5):
        x = random_inputs(model, samples)
        expected = as_list(model.predict(x if len(x) > 1 else x[0]))
        for got, want in zip(runtime.run(None, dict(zip(model.input_names, x, strict=True))), expected, strict=True):
            agree(got, want)


@pytest.mark.parametrize("name", ZOO)
def test_exported_model_means_the_same_to_the_reference_of_onnx(name: str) -> None:
    model = ZOO[name]()
    proto = to_onnx(model)
    if {node.op_type for node in nodes(proto.graph)} & {"LSTM", "GRU", "RNN"}:
        pytest.skip("onnx.reference ignores the lengths of sequences")
    x = random_inputs(model, 3)
    got = ReferenceEvaluator(proto).run(None, dict(zip(model.input_names, x, strict=True)))
    for a, b in zip(got, as_list(model.predict(x if len(x) > 1 else x[0])), strict=True):
        agree(a, b)


@pytest.mark.parametrize("name", ZOO)
def test_exporting_twice_gives_the_same_bytes(name: str) -> None:
    model = ZOO[name]()
    first, second = (to_onnx(model).SerializeToString(deterministic=True) for _ in range(2))
    assert first == second


def test_weights_are_written_in_the_order_that_the_operators_want() -> None:
    model = Sequential([layers.Conv2D(4, 3, activation="relu", input_shape=(6, 6, 1)), layers.GlobalMaxPooling2D()])
    proto = to_onnx(model)
    assert [node.op_type for node in proto.graph.node] == ["Reshape", "Conv", "Relu", "ReduceMax"]
    assert (4, 1, 3, 3) in [tuple(tensor.dims) for tensor in proto.graph.initializer]
    read = {name for node in proto.graph.node for name in node.input}
    assert {tensor.name for tensor in proto.graph.initializer} <= read


def test_names_do_not_depend_on_what_was_built_before() -> None:
    ZOO["conv2d"]().predict(np.zeros((1, 7, 6, 3), "float32"))
    x = Input((3,), name="x")
    texts = []
    for _ in range(2):
        hidden = layers.Dense(4, kernel_initializer="ones", name="hidden")(x)
        y = layers.Dense(2, kernel_initializer="ones", name="y")(hidden)
        texts.append(str(to_onnx(Model(x, y, name="same"))))
    assert texts[0] == texts[1]


@pytest.mark.parametrize("opset", OPSETS)
def test_every_opset_that_is_offered(opset: int, tmp_path: Path) -> None:
    model = ZOO["conv2d"]()
    model.compile("adam", "categorical_crossentropy")
    model.export(tmp_path / "model.onnx", opset=opset)
    report = model.export_training(tmp_path, opset=opset)
    assert report.opset == opset
    x = random_inputs(model, 2)[0]
    for name in ("model", "train_step", "eval_step"):
        check(onnx.load(report.files[name]), opset)
        session(report.files[name])
    agree(session(tmp_path / "model.onnx").run(None, {model.input_names[0]: x})[0], model.predict(x))


@pytest.mark.parametrize("opset", [16, 27, "21", 21.0, None])
def test_other_opsets_are_refused(opset: Any, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"opset is .*; use 17 to 26"):
        ZOO["dense"]().export(tmp_path / "model.onnx", opset=opset)
    assert not list(tmp_path.iterdir())


def test_metadata(tmp_path: Path) -> None:
    model = ZOO["dense"]()
    model.export(tmp_path / "model.onnx", metadata={"author": "me"})
    found = session(tmp_path / "model.onnx").get_modelmeta().custom_metadata_map
    assert found["author"] == "me"
    assert found["kcompile.model"] == model.name
    config = json.loads(found["kcompile.config"])
    assert config["class_name"] == "Sequential"
    assert config["config"]["layers"][-1]["config"]["units"] == 3


def test_unusual_names_are_kept(tmp_path: Path) -> None:
    model = ZOO["unusual_names"]()
    model.compile("sgd", "mse")
    model.export_training(tmp_path)
    manifest = json.loads((tmp_path / "manifest.json").read_text(encoding="utf-8"))
    assert [item["name"] for item in manifest["train_step"]["inputs"]] == ["größe/in:1", "ergebnis ü_target"]
    assert manifest["model"]["outputs"] == ["ergebnis ü"]
    follow(model, tmp_path, random_inputs(model, 4), [np.ones((4, 2), "float32")])


@pytest.mark.parametrize("broken", ["folder is missing", "path is a folder", "parent is a file", "disk is full"])
def test_an_unwritable_path_keeps_the_old_file(broken: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = ZOO["dense"]()
    old = tmp_path / "model.onnx"
    old.write_bytes(b"old")
    path = {"folder is missing": tmp_path / "a" / "b.onnx", "path is a folder": tmp_path}.get(broken, old)
    if broken == "parent is a file":
        path = old / "model.onnx"
    if broken == "disk is full":
        monkeypatch.setattr(os, "fsync", _full)
    with pytest.raises(OSError, match=r".") as caught:
        model.export(path)
    assert str(path) in str(caught.value)
    assert old.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [old]


def _full(descriptor: int) -> None:
    raise OSError(28, "No space left on device")


def test_large_models_keep_their_weights_beside_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = Sequential([layers.Dense(40, input_shape=(30,)), layers.Dense(30)])
    monkeypatch.setattr(initializers, "INLINE_BYTES", 1000)
    x = random_inputs(model, 3)[0]
    seen: list[Path] = []
    for _ in range(3):
        report = model.export(tmp_path / "big.onnx")
        big, data = tmp_path / "big.onnx", report.files[1]
        # The weights of the model that was replaced stay for who is loading it, those of the one before are gone.
        assert sorted(tmp_path.iterdir()) == sorted({*report.files, *seen[-1:]})
        assert report.files == [big, data]
        assert re.fullmatch(r"big\.onnx\.[0-9a-f]{16}\.data", data.name)
        assert big.stat().st_size < 4 * 30 * 40
        onnx.checker.check_model(str(big), full_check=True)
        agree(session(big).run(None, {model.input_names[0]: x})[0], model.predict(x))
        seen.append(data)
        model.layers[0].set_weights([w + 1 for w in model.layers[0].get_weights()])
    assert len(set(seen)) == 3
    with pytest.raises(ValueError, match=r"9,\d\d\d bytes of weights, more than a ModelProto holds; use model.export"):
        to_onnx(model)


def test_large_models_run_without_being_one_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.random.seed(3)  # Adam makes as much of the tiny gradients that rounding leaves as of others
    convolution = layers.Conv2D(40, 3, activation="relu", input_shape=(6, 6, 8))
    model = Sequential([convolution, layers.Flatten(), layers.Dense(4)])
    x = random_inputs(model, 3)[0]
    expected = model.predict(x)
    monkeypatch.setattr(initializers, "INLINE_BYTES", 1000)
    compiled = kcompile.compile(model)
    assert compiled._executable._weights
    agree(compiled(x), expected)
    compiled.save(tmp_path / "native.onnx")
    agree(session(tmp_path / "native.onnx").run(None, {model.input_names[0]: x})[0], expected)
    model.compile("adam", "mse")
    model.export_training(tmp_path)
    follow(model, tmp_path, [x], [np.ones((3, 4), "float32")])


def test_a_kill_between_weights_and_model_leaves_the_old_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import kcompile.runtime.onnx_files as files

    model = Sequential([layers.Dense(40, input_shape=(30,))])
    monkeypatch.setattr(initializers, "INLINE_BYTES", 1000)
    model.export(tmp_path / "big.onnx")
    x = random_inputs(model, 3)[0]
    expected = model.predict(x)
    model.set_weights([w + 1 for w in model.get_weights()])
    write = files.write_together

    def killed(pairs: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(files, "write_together", killed)
    with pytest.raises(KeyboardInterrupt):
        model.export(tmp_path / "big.onnx")
    monkeypatch.setattr(files, "write_together", write)
    agree(session(tmp_path / "big.onnx").run(None, {model.input_names[0]: x})[0], expected)
    model.export(tmp_path / "big.onnx")
    model.export(tmp_path / "big.onnx")  # tidies up
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("broken", ["not converted", "disk is full"])
def test_both_formats_are_replaced_or_none(broken: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import hashlib

    import kcompile.common.files as plain
    import kcompile.runtime.ort_format as ort_format

    model = ZOO["dense"]()
    model.export(tmp_path / "m.onnx", ort=True)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    told = session(tmp_path / "m.onnx").get_modelmeta().custom_metadata_map["kcompile.ort.sha256"]
    assert told == hashlib.sha256(before["m.ort"]).hexdigest()
    model.set_weights([w + 1 for w in model.get_weights()])
    if broken == "disk is full":
        write, count = plain._written, iter(range(9))

        def full(target: Path, data: Any) -> str:
            if next(count) == 1:
                raise OSError(28, "No space left on device", str(target))
            return write(target, data)

        monkeypatch.setattr(plain, "_written", full)
    else:
        monkeypatch.setattr(ort_format, "converted", lambda *_: 1 / 0)
    with pytest.raises((OSError, ZeroDivisionError)):
        model.export(tmp_path / "m.onnx", ort=True)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_the_format_that_keras_3_names(tmp_path: Path) -> None:
    assert ZOO["dense"]().export(tmp_path / "m.onnx", format="onnx").files == [tmp_path / "m.onnx"]
    with pytest.raises(ValueError, match="format is 'tf_saved_model'; kcompile writes 'onnx'"):
        ZOO["dense"]().export(tmp_path / "n", format="tf_saved_model")
    assert [path.name for path in tmp_path.iterdir()] == ["m.onnx"]


def test_what_cannot_be_exported_is_said(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not built"):
        Sequential([layers.Dense(2)]).export(tmp_path / "model.onnx")
    with pytest.raises(ValueError, match="must be compiled"):
        ZOO["dense"]().export_training(tmp_path / "folder")
    assert not list(tmp_path.iterdir())


# ---- training goes on outside


def follow(
    model: Model, folder: Path, x: list[Any], y: list[Any], steps: int = 3, weights: list[Any] | None = None
) -> None:
    """Take some steps with nothing but ONNX Runtime and the manifest; ``train_on_batch`` must see the same."""
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    state: dict[str, Any] = dict(read_state(folder))
    step = manifest["train_step"]
    runtime = session(folder / step["file"])
    names = [item["name"] for item in step["inputs"]]
    batch = dict(zip(names, [*x, *y, *(weights or [])], strict=True))
    for _ in range(steps):
        feeds = {**batch, **{name: state[name] for name in step["state_inputs"]}}
        results = runtime.run([*step["outputs"], *step["state_outputs"]], feeds)
        count = len(step["outputs"])
        state.update(zip(step["state_outputs"].values(), results[count:], strict=True))
        single = len(y) == 1
        logs = model.train_on_batch(
            x if len(x) > 1 else x[0], y[0] if single else y,
            sample_weight=None if weights is None else weights[0] if single else weights,
        )  # fmt: skip
        agree(results[:count], as_list(logs)[:count])
    for name, weight in exported_names(model).items():
        agree(state[name], weight.numpy())

    evaluation = manifest["eval_step"]
    feeds = {**batch, **{name: state[name] for name in evaluation["state_inputs"]}}
    loss = session(folder / evaluation["file"]).run(["loss"], feeds)[0]
    if weights is None:
        agree(loss, as_list(model.evaluate(x if len(x) > 1 else x[0], y[0] if len(y) == 1 else y, verbose=0))[0])

    inference = manifest["model"]
    feeds = {**dict(zip(model.input_names, x, strict=True)), **{n: state[n] for n in inference["state_inputs"]}}
    expected = as_list(model.predict(x if len(x) > 1 else x[0]))
    for got, want in zip(session(folder / inference["file"]).run(inference["outputs"], feeds), expected, strict=True):
        agree(got, want)


def exported_names(model: Model) -> dict[str, Any]:
    """The weights by their tensors' names: their labels, with underscores for spaces, numbered where they repeat."""
    found: dict[str, Any] = {}
    for weight in (*model.weights, *model.optimizer.weights):
        name = label = weight.label.replace(" ", "_")
        count = 0
        while name in found:
            count += 1
            name = f"{label}_{count}"
        found[name] = weight
    return found


def twice_named() -> Model:
    """Labels that repeat: in nested models, and where characters are replaced."""

    def inner(name: str) -> Model:
        return Sequential([layers.Dense(3, activation="tanh", input_shape=(3,), name="dense")], name=name)

    x = Input((3,), name="dense")
    y = layers.Dense(3, activation="tanh", name="a b")(inner("second")(inner("first")(x)))
    y = layers.Dense(2, name="c" * 300)(layers.Dense(3, name="a_b")(y))
    return Model(x, layers.Dense(1, name="loss")(y))


def test_labels_that_repeat_are_numbered_alike_in_all_files(tmp_path: Path) -> None:
    model = twice_named()
    model.compile("adam", "mse")
    model.export_training(tmp_path)
    follow(model, tmp_path, random_inputs(model, 4), [np.ones((4, 1), "float32")])


@pytest.mark.parametrize("name", ZOO)
def test_training_goes_on_in_plain_onnx_runtime(name: str, tmp_path: Path) -> None:
    np.random.seed(5)
    model = ZOO[name]()
    model.compile(optimizers.SGD(0.05, momentum=0.9), "mse", metrics=["mae"])
    x = random_inputs(model, 6)
    y = [np.random.RandomState(1).rand(6, *output.shape[1:]).astype("float32") for output in model.outputs]
    report = model.export_training(tmp_path)
    for file in ("train_step", "eval_step", "model"):
        check(onnx.load(report.files[file]))
    follow(model, tmp_path, x, y)


OPTIMIZERS: dict[str, Any] = {
    "sgd": {"nesterov": True, "momentum": 0.9, "decay": 0.1},
    "rmsprop": {"clipnorm": 1.0},
    "adagrad": {},
    "adadelta": {},
    "adam": {"amsgrad": True},
    "adamax": {"clipvalue": 0.1},
    "nadam": {},
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_goes_on(name: str, tmp_path: Path) -> None:
    np.random.seed(5)
    model = ZOO["dense"]()
    optimizer = optimizers.get({"class_name": name, "config": OPTIMIZERS[name]})
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
    x, y = random_inputs(model, 8)[0], np.arange(8) % 3
    model.fit(x, y, epochs=2, batch_size=4, verbose=0)  # the state is not the initial one
    model.export_training(tmp_path)
    follow(model, tmp_path, [x], [y.astype("float32")[:, None]])


def test_sample_weights_and_several_losses(tmp_path: Path) -> None:
    model = ZOO["several_outputs"]()
    model.compile("adam", ["sparse_categorical_crossentropy", "mse"], loss_weights=[1.0, 0.2])
    model.export_training(tmp_path, sample_weight=True)
    manifest = json.loads((tmp_path / "manifest.json").read_text(encoding="utf-8"))
    assert [item["name"] for item in manifest["train_step"]["inputs"]] == [
        "image", "number", "kind_target", "size_target", "kind_sample_weight", "size_sample_weight",
    ]  # fmt: skip
    assert manifest["train_step"]["outputs"] == ["loss", "kind_loss", "size_loss"]
    y = [np.array([[0.0], [2.0], [1.0]], "float32"), np.ones((3, 1), "float32")]
    weights = [np.array([1.0, 0.5, 2.0], "float32"), np.array([0.0, 1.0, 1.0], "float32")]
    follow(model, tmp_path, random_inputs(model, 3), y, weights=weights)


def test_exporting_the_training_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    model = ZOO["conv2d"]()
    model.compile("adam", "categorical_crossentropy", metrics=["accuracy"])
    for name in ("a", "b"):
        model.export_training(tmp_path / name)
    for file in (tmp_path / "a").iterdir():
        assert file.read_bytes() == (tmp_path / "b" / file.name).read_bytes(), file.name


def test_the_manifest_tells_metrics_and_roles(tmp_path: Path) -> None:
    model = ZOO["conv2d"]()
    model.compile("adam", "categorical_crossentropy", metrics=["accuracy"])
    report = model.export_training(tmp_path)
    manifest = json.loads(report.manifest.read_text(encoding="utf-8"))
    state = {entry["name"]: entry for entry in manifest["state"]}
    assert (manifest["format"], manifest["version"]) == ("kcompile-training", 2)
    assert {"weight", "statistic", "slot", "hyper"} <= {entry["role"] for entry in state.values()}
    assert set(manifest["metrics"]["accuracy"]["state"]) <= set(state)
    assert sum(entry["bytes"] for entry in state.values()) == report.files["state"].stat().st_size


def test_an_unwritable_folder_for_training(tmp_path: Path) -> None:
    model = ZOO["dense"]()
    model.compile("sgd", "mse")
    (tmp_path / "file").write_bytes(b"old")
    with pytest.raises(OSError, match="file"):
        model.export_training(tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == b"old"
