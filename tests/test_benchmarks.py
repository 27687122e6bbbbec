"""The benchmark harness: its rules for figures, its tables and arguments, and one real run of each kind."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest

from benchmarks import busy, grid, models, peers, report, shapes, threads
from benchmarks.__main__ import main, parser
from benchmarks.driver import PeerError, started
from benchmarks.grid_kcompile import Program
from benchmarks.grid_task import data
from benchmarks.inference import timed_calls
from benchmarks.installed import needed
from benchmarks.peers import Peer
from benchmarks.report import Result
from benchmarks.training import per_step, timed_epochs

# Without the columns that every command shows.
FIT_COLUMNS = """
| model | peer      | ms/step | ratio | cpu ms | ratio | spread | between epochs |
| ----- | --------- | ------: | ----: | -----: | ----: | -----: | -------------: |
| mlp   | kcompile  |    2.00 |  1.00 |   1.00 |  1.00 |     0% |        30.0 ms |
| mlp   | keras-jax |       - |     - |      - |     - |      - |              - |
"""
FACT_COLUMNS = """
 cores | first step |  import | peak MB | installed MB |
 ----: | ---------: | ------: | ------: | -----------: |
 0.990 |     1.50 s | 0.250 s |     200 |          310 |
     - |          - |       - |       - |            - |
"""


def result(peer: str, *rounds: list[float], model: str = "mlp", error: str | None = None) -> Result:
    return Result(model, peer, rounds={"step": list(rounds)} if rounds else {}, error=error)


@pytest.mark.parametrize(
    ("rounds", "figure", "spread"),
    [
        ([[3.0]], 3.0, 0.0),
        ([[9.0, 2.0, 5.0], [4.0, 3.0], [7.0, 8.0]], 3.0, 5 / 3),  # fastest blocks 2, 3, 7
        ([[1.0, 100.0], [2.0, 100.0]], 1.5, 2 / 3),
    ],
)
def test_the_figure_is_the_median_of_the_fastest_blocks(rounds, figure, spread):
    assert report.robust(rounds) == figure
    assert report.spread(rounds) == pytest.approx(spread)


def test_ratios_are_to_kcompile_or_else_to_the_fastest():
    jax, torch = result("keras-jax", [2.0]), result("keras-torch", [8.0])
    ours, other_model = result("kcompile", [4.0]), result("pytorch", [1.0], model="cnn")
    everyone = [jax, torch, ours, other_model]
    assert [report.ratio(one, everyone, "step") for one in everyone] == [0.5, 2.0, 1.0, 1.0]
    broken = result("kcompile", [4.0], error="stopped")
    assert [report.ratio(one, [jax, torch, broken], "step") for one in (jax, torch, broken)] == [
        1.0,
        4.0,
        None,
    ]


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "-"), (0.0421, "0.042"), (1.449, "1.45"), (11.94, "11.9"), (387.4, "387"), (0.0, "0.000")],
)
def test_numbers_have_three_digits(value, text):
    assert report.number(value) == text


def test_fit_table():
    fast = result("kcompile", [0.002, 0.004], [0.002])
    fast.rounds |= {"step, processor": [[0.001]], "between epochs": [[0.03, 0.04]]}
    fast.figures = {"import": 0.25, "first step": 1.5}
    fast.facts = {"peak_bytes": 200e6, "installed_bytes": 310e6}
    fast.cores = [0.9, 0.99]
    missing = result("keras-jax", error="no such file")
    halves = zip(FIT_COLUMNS.split("\n"), FACT_COLUMNS.split("\n"), strict=True)
    assert report.fit_table([fast, missing]) == "\n".join(left + right for left, right in halves).strip()
    assert report.failures([fast, missing]) == "missing: keras-jax on mlp: no such file"
    assert report.overview([fast, missing], "step").splitlines()[2] == "| kcompile  | 2.00 (1.00) |"


def test_time_per_step_leaves_out_the_first_epoch():
    starts, ends = [(0.0, 0.0), (5.5, 1.0), (8.0, 2.0)], [(5.0, 1.0), (6.0, 1.5), (10.0, 4.5)]
    assert per_step(starts, ends, steps=2) == {
        "step": [0.25, 1.0],
        "step, processor": [0.25, 1.25],
        "between epochs": [0.5, 2.0],
    }
    runs = []
    assert len(timed_epochs(lambda: runs.append(0), seconds=0, steps=1)["step"]) == 2
    assert len(runs) == 3


def test_calls_are_timed_in_blocks():
    calls = []
    blocks = timed_calls(lambda: calls.append(0), seconds=0)
    assert len(blocks) == 3
    assert len(calls) > 30  # a block is many calls when a call is short
    assert all(0 < block < 1e-3 for block in blocks)


def test_peers_are_parsed():
    parsed = peers.parse("kcompile, keras-jax=/opt/jax/bin/python", "fit")
    assert parsed == [Peer("kcompile", sys.executable), Peer("keras-jax", "/opt/jax/bin/python")]
    inference = peers.parse("openvino=/a,kcompile=/b", "predict")
    assert {peer.name: peer.python for peer in inference} == {
        "kcompile": "/b", "kcompile-compiled": "/b", "bare": "/b", "openvino": "/a",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["fit", "--peers", "keras"], "unknown peer 'keras'; choose from kcompile"),
        (["fit", "--peers", "pytorch,pytorch"], "'pytorch' is given twice"),
        (["fit", "--peers", "openvino"], "'openvino' does not take part in `fit`; choose from kcompile, keras"),
        (["fit", "mnist"], "unknown model 'mnist'; choose from mlp_small"),
        (["fit", "resnet21"], "unknown model 'resnet21'"),
        (["predict", "--rounds", "0"], "expected a whole number of at least 1, got '0'"),
        (["fit", "--threads", "4096"], "processor cores are available"),
        (["busy", "--also", "threads"], "'threads': expected 'default' or NAME=VALUE"),
        (["grid", "--peers", "keras-jax"], "'keras-jax' does not take part in `grid`; choose from kcompile, pytorch"),
        (["grid", "conv4d"], "no row of the grid has the word 'conv4d'"),
        (["grid", "conv2d 8x8x3 k3 f4"], "'conv2d 8x8x3 k3 f4': 4 sizes are needed: batch, 2 spatial, channels"),
        (["grid", "dense 8x8 q4"], "'dense 8x8 q4': 'q4' is no option"),
        (["grid", "dense2d 8x8 f4"], "'dense2d 8x8 f4' is no row of the grid; its first word is one of conv2d"),
        (["grid", "--parts", "forward,back"], "no part 'back'; choose from forward, input, filter, inference"),
        ([], "required: command"),
    ],
)
def test_wrong_arguments_are_named(arguments, message, capsys):
    with pytest.raises(SystemExit) as exit_status:
        main(arguments)
    assert exit_status.value.code == 2
    assert message in capsys.readouterr().err


def test_defaults():
    arguments = parser().parse_args(["fit", "mlp", "resnet20"])
    assert (arguments.models, arguments.threads, arguments.rounds) == (["mlp", "resnet20"], 1, 3)


@pytest.mark.parametrize("name", models.NAMES)
def test_data_is_seeded_and_fits_the_model(name):
    benchmark = models.find(name)
    x, y = models.data(name, 40)
    assert x.shape == (40, *benchmark.input_shape)
    assert x.dtype == benchmark.input_dtype
    if benchmark.reconstructs:
        assert y is x
    else:
        assert y.shape == (40, benchmark.classes)
        assert set(np.unique(y)) == {0, 1}
    np.testing.assert_array_equal(x, models.data(name, 40)[0])


def test_every_thread_pool_is_limited_and_the_users_configuration_left_out(monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    monkeypatch.setenv("XLA_FLAGS", "--xla_dump_to=/somewhere")
    monkeypatch.setenv("OMP_NUM_THREADS", "64")
    settings = peers.variables(Peer("keras-jax", sys.executable), 1, "/scratch")
    assert settings["KERAS_BACKEND"] == "jax"
    assert settings["XLA_FLAGS"] == "--xla_cpu_multi_thread_eigen=false"
    assert settings["OMP_NUM_THREADS"] == settings["KCOMPILE_THREADS"] == settings["NPROC"] == "1"


def test_no_thread_pool_is_limited_where_the_default_is_measured(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "64")
    monkeypatch.setenv("KCOMPILE_SPINNING", "64")
    settings = peers.variables(Peer("kcompile", sys.executable), None, "/scratch")
    assert not {"OMP_NUM_THREADS", "KCOMPILE_THREADS", "KCOMPILE_SPINNING", "NPROC"} & set(settings)


def test_settings_of_threads_are_compared_within_rounds():
    assert busy.variables("A=1 B=x=y") == {"A": "1", "B": "x=y"}
    assert busy.variables("default") == {}
    milliseconds = {("default", "quiet"): [1, 2, 9], ("default", "busy"): [2, 30, 3]}
    milliseconds |= {(busy.ALONE, "quiet"): [2, 2, 6], (busy.ALONE, "busy"): [2, 20, 4]}
    times = [
        busy.Times("mlp", setting, kind, {"step": [one / 1e3 for one in found]}, [0.5])
        for (setting, kind), found in milliseconds.items()
    ]
    rows = busy.table(times).splitlines()[2:]
    assert [[cell.strip() for cell in row.split("|")[1:-1]] for row in rows] == [
        ["mlp", "step", "default", "2.00", "1.00", "0.500", "3.00", "1.00", "0.500"],
        ["mlp", "step", busy.ALONE, "2.00", "1.00", "0.500", "4.00", "1.00", "0.500"],
    ]


@pytest.mark.parametrize(("task", "figures"), [("fit", ["step"]), ("predict", ["batch 1", "batch 32"])])
def test_busy_processes_end_with_the_measurement(task, figures, tmp_path, capsys):
    started_here, popen = [], subprocess.Popen

    def start(command, **options):
        started_here.append((command[-1], popen(command, **options)))
        return started_here[-1][1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(subprocess, "Popen", start)
        file = tmp_path / "raw.json"
        arguments = ["mlp_small", "--task", task, "--processes", "2", "--rounds", "1", "--seconds", "0"]
        assert main(["busy", *arguments, "--json", str(file)]) == 0
    assert [last for last, _ in started_here].count("while True: pass") == 2
    assert all(process.poll() is not None for _, process in started_here)
    results = json.loads(file.read_text())["results"]
    assert [(one["setting"], one["machine"]) for one in results] == [
        ("default", "quiet"), (busy.ALONE, "quiet"), ("default", "busy"), (busy.ALONE, "busy")
    ]  # fmt: skip
    assert all(list(one["rounds"]) == figures for one in results)
    assert f"| {busy.ALONE}" in capsys.readouterr().out


def test_two_threads_are_compared_with_one(tmp_path, capsys):
    file = tmp_path / "raw.json"
    assert main(["threads", "mlp_small", "--rounds", "2", "--seconds", "0", "--json", str(file)]) == 0
    (times,) = json.loads(file.read_text())["results"]
    assert list(times["rounds"]) == [name for way in threads.WAYS for name in (way, f"{way}, processor")]
    assert all(len(found) == 2 and min(found) > 0 for found in times["rounds"].values())
    assert "| mlp_small" in capsys.readouterr().out


def test_ratios_of_threads_are_those_within_rounds():
    times = threads.Times("mlp", {"one after the other": [4.0, 8.0, 3.0], "two threads": [2.0, 6.0, 1.0]})
    assert times.ratio("two threads", "one after the other") == 0.5


def test_needed_distributions_are_followed():
    found = set(needed(("OnnxRuntime", "not-installed-at-all")))
    assert {"numpy", "protobuf"} <= found
    assert found & {"onnxruntime", "onnxruntime-gpu"}


def test_a_worker_measures_its_own_environment(tmp_path):
    with started(Peer("bare", sys.executable), 1, str(tmp_path), timeout=60) as process:
        figures = process.ask(do="prepare", task="import", peer="bare", model="", threads=1)
        assert 0 < figures["import"] < 60
        facts = process.ask(do="finish")
        assert 10e6 < facts["peak_bytes"] < 1e9
        assert facts["installed_bytes"] > 20e6
        assert {"onnxruntime", "onnxruntime-gpu"} & set(facts["versions"])
        with pytest.raises(PeerError, match="unknown request 'dance'"):
            process.ask(do="dance")


def test_a_dead_and_a_missing_peer_are_reported(tmp_path):
    dead = started(Peer("bare", "/bin/false"), 1, str(tmp_path), timeout=60)
    with dead as process, pytest.raises(PeerError, match="its process ended"):
        process.ask(do="finish")
    with (
        pytest.raises(PeerError, match="does not exist"),
        started(Peer("bare", "/x/y"), 1, str(tmp_path), 60),
    ):
        pass


def test_nothing_measured_is_a_failure(capsys):
    assert main(["fit", "mlp_small", "--peers", "kcompile=/does/not/exist"]) == 1
    assert "missing: kcompile on mlp_small: /does/not/exist does not exist" in capsys.readouterr().out


def test_kcompile_trains(tmp_path, capsys):
    file = tmp_path / "raw.json"
    assert main(["fit", "mlp_small", "--rounds", "1", "--seconds", "0", "--json", str(file)]) == 0
    assert "| mlp_small | kcompile |" in capsys.readouterr().out
    (measured,) = json.loads(file.read_text())["results"]
    assert 0 < measured["robust"]["step"] < 0.1
    assert measured["cores"][0] < 1.5


def test_kcompile_predicts_like_a_bare_session(capsys):
    assert main(["predict", "mlp_small", "--rounds", "1", "--seconds", "0"]) == 0
    printed = capsys.readouterr().out
    assert "missing" not in printed
    for peer in ("kcompile", "kcompile-compiled", "bare"):
        assert f"| mlp_small | {peer} " in printed


GRID_TIMES = """
| row          | part    | kcompile ms | tensorflow ms | pytorch ms |
| ------------ | ------- | ----------: | ------------: | ---------: |
| dense 4x8 f2 | filter  |        6.00 |          4.00 |       2.00 |
| relu 4x8     | forward |        1.00 |             - |       2.00 |
| dense 4x8 f2 | forward |           - |          1.00 |       1.00 |
"""
GRID_RATIOS = """
 to slower | to tensorflow | to pytorch | kcompile MB | tensorflow MB | pytorch MB |
 --------: | ------------: | ---------: | ----------: | ------------: | ---------: |
      1.50 |          1.50 |       3.00 |        2.00 |          2.00 |       2.00 |
     0.500 |             - |      0.500 |        2.00 |             - |       2.00 |
         - |             - |          - |           - |          2.00 |       2.00 |
"""
GRID_SUMMARY = """
| family     | part    | rows | to slower | > 1.5 | to tensorflow | > 1.5 | to pytorch | > 1.5 |
| ---------- | ------- | ---: | --------: | ----: | ------------: | ----: | ---------: | ----: |
| dense      | forward |    1 |         - |     0 |             - |     0 |          - |     0 |
| activation | forward |    1 |     0.500 |     0 |             - |     0 |      0.500 |     0 |
| dense      | filter  |    1 |      1.50 |     0 |          1.50 |     0 |       3.00 |     1 |
| all        | forward |    2 |     0.500 |     0 |             - |     0 |      0.500 |     0 |
| all        | filter  |    1 |      1.50 |     0 |          1.50 |     0 |       3.00 |     1 |
| all        | all     |    3 |     0.866 |     0 |          1.50 |     0 |       1.22 |     1 |
"""


def test_rows_of_the_grid_are_many_bounded_and_named_once():
    rows = shapes.table()
    assert 150 <= len(rows) == len({row.name for row in rows}) <= 260
    assert 30 <= sum(row.quick for row in rows) <= 50
    assert {row.kind for row in rows} == set(shapes.KINDS)
    for row in rows:
        assert row.operations() <= 4e9, row.name
        assert 4 * row.elements() <= 0.3e9, row.name
        assert min(row.output(), default=1) > 0, row.name


@pytest.mark.parametrize(
    ("name", "family", "weight", "output", "operations"),
    [
        ("conv2d 2x9x8x4 k3x1 f6 s2 g2", "grouped", (3, 1, 2, 6), (2, 5, 4, 6), 2 * 2 * 20 * 6 * 6),
        ("conv1d 1x10x4 k3 f6 d2 valid", "dilated", (3, 4, 6), (1, 6, 6), 2 * 6 * 12 * 6),
        ("depthwise2d 1x8x8x4 k3 s2", "depthwise", (3, 3, 4, 1), (1, 4, 4, 4), 2 * 64 * 9),
        ("transposed1d 1x8x4 k4 f6 s2", "transposed", (4, 6, 4), (1, 16, 6), 2 * 8 * 96),
        ("maxpool2d 1x9x9x4 p3 s2 valid", "pooling", (), (1, 4, 4, 4), 324),
        ("avgpool2d 1x8x8x4 p2", "pooling", (), (1, 4, 4, 4), 256),
        ("dense 2x3x4 f5", "dense", (4, 5), (2, 3, 5), 2 * 6 * 20),
        ("embedding 2x3 v7 f5", "embedding", (7, 5), (2, 3, 5), 30),
        ("upsample2d 1x4x4x2 p2", "upsample", (), (1, 8, 8, 2), 128),
        ("concat 2x4x3 n3", "join", (), (2, 4, 9), 72),
        ("softmax 2x5", "softmax", (), (), 10),
    ],
)  # fmt: skip
def test_a_row_is_its_name(name, family, weight, output, operations):
    row = shapes.parse(name)
    assert (row.family, row.weight(), row.output(), row.operations()) == (family, weight, output, operations)


def test_rows_are_chosen_by_words_and_made_of_names():
    everything = shapes.table()
    assert shapes.chosen([]) == everything
    assert {row.kind for row in shapes.chosen(["depthwise", "maxpool1d"])} == {"depthwise", "maxpool"}
    assert all("k7" in row.name for row in shapes.chosen(["k7"]))
    assert [row.name for row in shapes.chosen(["dense 3x5 f7"], quick=True)] == ["dense 3x5 f7"]


def test_the_worst_of_the_grid_come_first_and_are_summed_up():
    def case(name: str, part: str, **seconds: float) -> grid.Case:
        found = {}
        for peer in ("kcompile", "tensorflow", "pytorch"):
            taken = {part: [[0.1, seconds[peer] + 0.001]]} if peer in seconds else {}
            error = None if taken else "cannot"
            found[peer] = Result(f"{name}, {part}", peer, {"growth": 2e6, "empty": 0.001}, taken, error=error)
        return grid.Case(shapes.parse(name), part, found)

    cases = [
        case("dense 4x8 f2", "forward", tensorflow=0.001, pytorch=0.001),
        case("relu 4x8", "forward", kcompile=0.001, pytorch=0.002),
        case("dense 4x8 f2", "filter", kcompile=0.006, tensorflow=0.004, pytorch=0.002),
    ]
    halves = zip(GRID_TIMES.split("\n"), GRID_RATIOS.split("\n"), strict=True)
    assert grid.case_table(grid.worst_first(cases)) == "\n".join(left + right for left, right in halves).strip()
    assert grid.summary_table(cases) == GRID_SUMMARY.strip()
    for peer, sums in (("kcompile", [1.0]), ("tensorflow", [2.0]), ("pytorch", [1.1])):
        cases[2].results[peer].facts["sums"] = sums
    assert grid.remarks(cases).splitlines() == [
        "missing: kcompile on dense 4x8 f2, forward: cannot",
        "missing: tensorflow on relu 4x8, forward: cannot",
        "different results: dense 4x8 f2, filter: tensorflow [2.0] where [1.0] was expected",
    ]


def test_kcompile_runs_rows_of_the_grid_and_a_peer_that_is_missing_is_listed(tmp_path, capsys):
    file = tmp_path / "raw.json"
    names = ["conv2d 2x6x6x3 k3 f4", "embedding 2x3 v7 f5", "batchnorm 2x4x4x3", "softmax 4x5"]
    options = ["--rounds", "1", "--seconds", "0", "--json", str(file), "--peers", "kcompile,pytorch=/bin/false"]
    assert main(["grid", *names, "--parts", "forward,input,filter,inference", *options]) == 0
    printed = capsys.readouterr().out
    assert printed.count("missing: pytorch on ") == 13
    assert "missing: pytorch on softmax 4x5, input: its process ended" in printed
    assert "different results" not in printed
    measured = json.loads(file.read_text())["results"]
    assert [(case["row"].split()[0], case["part"]) for case in measured] == [
        *(("conv2d", part) for part in ("forward", "input", "filter", "inference")),
        *(("embedding", part) for part in ("forward", "filter", "inference")),
        *((kind, part) for kind in ("batchnorm", "softmax") for part in ("forward", "input", "inference")),
    ]
    assert all(0 < case["peers"]["kcompile"]["robust"][case["part"]] < 0.1 for case in measured)
    empty = {case["peers"]["kcompile"]["figures"]["empty"] for case in measured}
    assert len(empty) == 1
    assert 0 < min(empty) < 1e-3


@pytest.mark.parametrize("name", ["conv1d 2x6x3 k3 f4", "depthwise2d 1x6x6x3 k3 s2", "dense 3x4 f5", "pad1d 1x4x3 p2"])
def test_rows_of_the_grid_compute_what_they_are_called(name):
    row = shapes.parse(name)
    for part in row.parts():
        found = data(row, part)
        program = Program(row, part, found)
        program.build()
        program.call()
        (result,) = program.results()
        expected = {"input": row.sizes, "filter": row.weight()}.get(part, row.output())
        assert sorted(result.shape) == sorted(expected)
        if part in ("input", "filter"):  # a linear map and its transpose: <y, seed> = <x, gradient>
            forward = Program(row, "forward", found)
            forward.feeds = forward.feeds[:1]
            forward.build()
            forward.call()
            (y,), (_, seed) = forward.results(), program.feeds
            with_gradient = program.feeds[0] if part == "input" else found.weights[0]
            np.testing.assert_allclose(np.vdot(y, seed), np.vdot(with_gradient, result), rtol=1e-3)
