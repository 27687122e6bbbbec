"""The command ``kcompile``: what inspect prints, and one sentence for wrong use."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import warnings
from pathlib import Path

import onnx
import pytest

from kcompile import cli
from kcompile.inspecting import load_model_function
from kcompile.inspecting.files import flops, inferred_shapes
from tests.small_models import ZOO

MODEL = """
from kcompile import Sequential, layers

def build():
    model = Sequential([layers.Conv2D(4, 3, use_bias=False, input_shape=(8, 8, 2)), layers.BatchNormalization(),
                        layers.Flatten(), layers.Dropout(0.5), layers.Dense(3, activation="softmax")])
    model.compile("adam", "categorical_crossentropy")
    return model

plain = Sequential([layers.Dense(3, input_shape=(2,))])

def fails():
    raise RuntimeError("no such\\nluck")

number = 3
"""


@pytest.fixture
def source(tmp_path: Path) -> str:
    (tmp_path / "model.py").write_text(MODEL)
    return str(tmp_path / "model.py")


def run(*arguments: str) -> int:
    return cli.main(["inspect", *arguments])


def counts(output: str, operator: str) -> list[int]:
    """The numbers in the last line of the table that starts with ``operator``."""
    lines = [line.split() for line in output.splitlines() if line.split()[:1] == [operator]]
    return [int(cell.replace(",", "")) for cell in lines[-1][1:]]


def test_inspecting_a_function(source: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(f"{source}:build") == 0
    output = capsys.readouterr().out
    assert re.search(r"input +conv2d_\d+_input +float32\(batch, 8, 8, 2\)", output)
    assert counts(output, "parameters") == [4 * 9 * 2 + 4 * 4 + 3 * 36 * 4 + 3]
    assert counts(output, "trainable") == [4 * 9 * 2 + 2 * 4 + 3 * 36 * 4 + 3]
    # Dropout and normalization are there before the passes, and gone after them.
    assert counts(output, "dropout_mask") == [1, 0]
    assert counts(output, "batch_norm_inference") == [1, 0]
    assert counts(output, "conv") == [1, 1]
    before, after = counts(output, "FLOPs")
    assert before > after > 2 * 36 * 18 * 4 + 2 * 36 * 4 * 3
    assert output.count("def sequential") == 2


def test_inspecting_the_training_step(source: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(f"{source}:build", "--training", "--dump-after", "layout,fuse,group_updates") == 0
    captured = capsys.readouterr()
    assert counts(captured.out, "conv_weight_grad") == [0, 1]
    assert "def train_step" in captured.out
    assert re.findall(r"# ---- \w+ after (\w+)", captured.err) == ["layout", "fuse", "group_updates"]


def test_inspecting_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = ZOO["conv2d_channels_first"]()
    model.export(tmp_path / "model.onnx")
    assert run(str(tmp_path / "model.onnx")) == 0
    output = capsys.readouterr().out
    assert "opset ai.onnx 21" in output
    assert re.search(r"input +conv2d_\d+_input +float\(batch, 2, 6, 5\)", output)
    assert counts(output, "MatMul") == [2 * 24 * 3]
    assert counts(output, "Conv") == [2 * 30 * 4 * 12]
    assert "kcompile.config" in output


def test_hostile_files_are_shown_safely(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Names cannot steer the terminal, and functions that call each other 2**15 times are not expanded."""
    from onnx import TensorProto, helper

    opsets = [helper.make_opsetid("", 21), helper.make_opsetid("my", 1)]
    functions = []
    for i in range(15):
        calls = [(f"f{i + 1}", "x", "t"), (f"f{i + 1}", "t", "y")]
        body = [helper.make_node(name, [source], [result], domain="my") for name, source, result in calls]
        last = [helper.make_node("Relu", ["x"], ["y"])]
        functions.append(helper.make_function("my", f"f{i}", ["x"], ["y"], body if i < 14 else last, opsets))
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [2]) for name in ("in\x1b[31m\n", "y"))
    graph = helper.make_graph([helper.make_node("f0", [x.name], ["y"], domain="my")], "g", [x], [y])
    (tmp_path / "model.onnx").write_bytes(
        helper.make_model(graph, opset_imports=opsets, functions=functions).SerializeToString()
    )
    assert run(str(tmp_path / "model.onnx")) == 0
    output = capsys.readouterr().out
    assert r"in\x1b[31m\n" in output
    assert "\x1b" not in output
    assert "my.f0" in output


@pytest.mark.parametrize("name", ZOO)
def test_every_shape_of_an_inference_graph_is_known(name: str, tmp_path: Path) -> None:
    ZOO[name]().export(tmp_path / "model.onnx")
    model = onnx.load(tmp_path / "model.onnx")
    shapes = inferred_shapes(model)
    straight = [node for node in model.graph.node if not any(a.HasField("g") for a in node.attribute)]
    assert all(flops(node, shapes) is not None for node in straight)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["{model}"], "name the function that returns the model: .*:FUNCTION"),
        (["{model}:biuld"], "defines no 'biuld'; did you mean 'build'"),
        (["{model}:number"], "'number' in .* gives int; expected a function that returns a model"),
        (["{model}:fails"], r"fails\(\) in .* raised RuntimeError: no such luck"),
        (["{model}:plain", "--training"], "must be compiled before"),
        (["{model}:build", "--dump-after", "fuze"], "there is no pass 'fuze'; did you mean 'fuse'"),
        (["{model}x.py:build"], "there is no file"),
        (["missing.onnx"], "'missing.onnx': No such file"),
        (["{model}.onnx", "--training"], "not an ONNX file"),
        (["LICENSE"], "is not an ONNX model"),
        (["tests"], "'tests' is a folder, not a file"),
        (["{folder}/saved"], "'.*saved' is a SavedModel of TensorFlow, .* save it as .h5 or .keras"),
        (["{folder}/training"], "is a folder of export_training; its manifest.json names the ONNX files"),
        (["{folder}/weights.h5"], "holds weights only, without an architecture: give it with --arch"),
        (["{folder}/lambda.h5"], "if you trust who made it, load with --unsafe-lambdas, .* with --custom-objects"),
    ],
)
def test_wrong_use_is_said_in_one_line(
    arguments: list[str], sentence: str, source: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "saved").mkdir()
    (tmp_path / "saved" / "saved_model.pb").touch()
    (tmp_path / "training").mkdir()
    (tmp_path / "training" / "manifest.json").touch()
    if arguments[0].endswith(".h5"):
        with_a_lambda(tmp_path)
    assert run(*(argument.format(model=source, folder=tmp_path) for argument in arguments)) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert re.match(f"kcompile inspect: .*{sentence}", captured.err)
    assert captured.err.count("\n") == 1


def with_a_lambda(folder: Path) -> None:
    """Files that options are needed for: one with weights only, one with code, and an architecture."""
    from kcompile import Sequential, layers

    model = Sequential([layers.Dense(2, input_shape=(3,))])
    model.save_weights(folder / "weights.h5")
    (folder / "model.json").write_text(model.to_json())
    model.add(layers.Lambda(lambda x: x * 2, name="twice"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.save(folder / "lambda.h5")


@pytest.mark.parametrize(
    "arguments", [["model.json"], ["weights.h5", "--arch", "model.json"], ["lambda.h5", "--unsafe-lambdas"]]
)
def test_inspecting_with_the_options_that_messages_name(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with_a_lambda(tmp_path)
    monkeypatch.chdir(tmp_path)
    assert run(*arguments) == 0
    assert "Total params: 8" in capsys.readouterr().out


@pytest.mark.parametrize("ending", ["h5", "keras"])
@pytest.mark.parametrize("training", [False, True])
def test_inspecting_a_file_of_keras(
    ending: str, training: bool, source: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = load_model_function(source, "build")
    model.save(tmp_path / f"m.{ending}")
    assert run(str(tmp_path / f"m.{ending}"), *(["--training"] if training else [])) == 0
    output = capsys.readouterr().out
    assert re.search(r"Total params: ", output)
    assert counts(output, "parameters") == [4 * 9 * 2 + 4 * 4 + 3 * 36 * 4 + 3]
    assert ("training step" in output) == training


def test_the_command_alone_prints_its_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([]) == 0
    output = capsys.readouterr().out
    assert all(command in output for command in ("demo", "inspect", "convert"))


def test_the_package_is_found_beside_its_clone(tmp_path: Path) -> None:
    """There a folder of the same name, which holds no module, comes first on the path."""
    (tmp_path / "kcompile" / "kcompile").mkdir(parents=True)
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    code = "import kcompile; print(kcompile.Sequential.__name__)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.stdout == "Sequential\n", done.stderr


def processor_time_of_children() -> float:
    times = os.times()
    return times.children_user + times.children_system


def test_the_module_runs_and_imports_quickly() -> None:
    """``import kcompile`` loads neither ONNX nor ONNX Runtime, and takes less than 0.3 s of a processor."""
    code = "import sys, kcompile; sys.exit(sum(m in sys.modules for m in ('onnx', 'onnxruntime', 'h5py', 'yaml')))"
    seconds = []
    for _ in range(3):
        start = processor_time_of_children()
        assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
        middle = processor_time_of_children()
        subprocess.run([sys.executable, "-c", "pass"], check=True)
        seconds.append((middle - start) - (processor_time_of_children() - middle))
    assert min(seconds) < 0.3
    done = subprocess.run([sys.executable, "-m", "kcompile", "--version"], capture_output=True, text=True, check=True)
    assert re.fullmatch(r"kcompile \d+\.\d+\.\d+\n", done.stdout)
