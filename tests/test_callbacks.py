"""Every callback of Keras 2.3, run by a loop like fit's."""

import csv
import http.server
import json
import threading
import urllib.parse

import numpy as np
import pytest

from kcompile import callbacks as module
from kcompile.callbacks import (
    BaseLogger,
    Callback,
    CallbackList,
    CSVLogger,
    EarlyStopping,
    History,
    LambdaCallback,
    LearningRateScheduler,
    ModelCheckpoint,
    ProgbarLogger,
    ReduceLROnPlateau,
    RemoteMonitor,
    TerminateOnNaN,
)
from kcompile.common.errors import DataTypeError, KCompileError, UnknownNameError
from kcompile.optimizers import SGD
from tests.paper_model import Model, train

# EarlyStopping: arguments, values by epoch, epochs that are run. Checked against Keras 2.3.1's rules.
STOPPING = [
    ({}, [3, 2, 1, 1, 0], 4),
    ({"patience": 2}, [3, 2, 2, 2, 1], 4),
    ({"patience": 2}, [3, 2, 2, 1, 1, 1], 6),
    ({"min_delta": 0.5}, [3.0, 2.6, 2.0], 2),
    ({"min_delta": -0.5}, [3.0, 2.6, 2.0], 2),
    ({"mode": "max"}, [1, 2, 2, 3], 3),
    ({"monitor": "val_acc"}, [0.1, 0.2, 0.2, 0.3], 3),
    ({"baseline": 0.5, "patience": 2}, [0.9, 0.8, 0.4], 2),
    ({"baseline": 0.5, "patience": 2}, [0.4, 0.6, 0.3, 0.2], 4),
    ({}, [1, float("nan"), 0], 2),
]


@pytest.mark.parametrize(("arguments", "values", "epochs"), STOPPING)
def test_early_stopping(arguments, values, epochs):
    _, history = train([EarlyStopping(**arguments)], values, arguments.get("monitor", "val_loss"))
    assert history.epoch == list(range(epochs))


def test_early_stopping_restores_the_best_weights_and_says_so(capsys):
    model, _ = train([EarlyStopping(patience=2, restore_best_weights=True, verbose=1)], [3, 1, 2, 2, 2])
    assert model.weights == 1
    assert capsys.readouterr().out == (
        "Restoring model weights from the end of the best epoch\nEpoch 00004: early stopping\n"
    )


def test_early_stopping_starts_anew_with_each_training():
    stopping = EarlyStopping()
    assert [len(train([stopping], [2, 1, 1, 1])[1].epoch) for _ in range(2)] == [3, 3]


# ReduceLROnPlateau: arguments, values, rates at the end of each epoch (as logged, before the change).
PLATEAU = [
    ({"patience": 1, "factor": 0.5}, [1, 1, 1, 1], [0.1, 0.1, 0.05, 0.025]),
    ({"patience": 2, "factor": 0.5}, [1, 1, 1, 1, 1], [0.1, 0.1, 0.1, 0.05, 0.05]),
    ({"patience": 1, "factor": 0.5, "cooldown": 2}, [1, 1, 1, 1, 1, 1], [0.1, 0.1, 0.05, 0.05, 0.025, 0.025]),
    ({"patience": 1, "factor": 0.1, "min_lr": 0.05}, [1, 1, 1, 1], [0.1, 0.1, 0.05, 0.05]),
    ({"patience": 1, "factor": 0.5, "mode": "max"}, [1, 2, 3, 3], [0.1, 0.1, 0.1, 0.1]),
    ({"patience": 1, "factor": 0.5, "min_delta": 0.5}, [1, 0.6, 0.2], [0.1, 0.1, 0.05]),
]


@pytest.mark.parametrize(("arguments", "values", "rates"), PLATEAU)
def test_reduce_on_plateau(arguments, values, rates):
    _, history = train([ReduceLROnPlateau(**arguments)], values)
    np.testing.assert_allclose(history.history["lr"], rates, rtol=1e-12)


def test_reduce_on_plateau_takes_keras_1_epsilon_and_says_what_it_does(capsys):
    with pytest.warns(DeprecationWarning, match="min_delta"):
        callback = ReduceLROnPlateau(patience=1, epsilon=0.5, verbose=1)
    train([callback], [1, 0.6])
    assert capsys.readouterr().out == (
        "\nEpoch 00002: ReduceLROnPlateau reducing learning rate to 0.010000000000000002.\n"
    )


# LearningRateScheduler [R59].
@pytest.mark.parametrize(
    ("schedule", "rates"),
    [
        (lambda epoch: 0.1 / (epoch + 1), [0.1, 0.05]),
        (lambda epoch, lr: lr / 2, [0.05, 0.025]),
        (lambda epoch, lr=3: lr / 2, [0.05, 0.025]),
        (lambda epoch: np.float32(0.5), [0.5, 0.5]),
        (lambda epoch: 1, [1, 1]),
    ],
)
def test_schedules_of_one_and_two_arguments(schedule, rates):
    _, history = train([LearningRateScheduler(schedule)], [1, 1])
    np.testing.assert_allclose(history.history["lr"], rates, rtol=1e-7)


@pytest.mark.parametrize(
    ("result", "words"),
    [
        (float("nan"), ["nan", "finite"]), (-0.1, ["-0.1", "at least 0"]), (float("inf"), ["inf"]),
        ("0.1", ["'0.1' (str)", "float"]), (None, ["None", "float"]),
    ],
)  # fmt: skip
def test_schedules_that_return_no_rate_are_refused_and_the_rate_kept(result, words):
    model = Model()
    with pytest.raises(KCompileError, match="schedule returned") as raised:
        train([LearningRateScheduler(lambda epoch: result)], [1], model=model)
    for word in [*words, "epoch 0"]:
        assert word in str(raised.value)
    assert model.optimizer.lr == 0.1


def test_a_schedule_sets_the_variable_of_a_real_optimizer():
    model = Model()
    model.optimizer = SGD(lr=0.1)
    variable = model.optimizer.lr
    _, history = train([LearningRateScheduler(lambda epoch, lr: lr / 2)], [1, 1], model=model)
    assert model.optimizer.lr is variable
    np.testing.assert_allclose(history.history["lr"], [0.05, 0.025], rtol=1e-6)


def test_an_error_inside_a_schedule_is_the_users_own():
    def schedule(epoch, lr):
        raise TypeError("mine")

    with pytest.raises(TypeError, match="mine"):
        train([LearningRateScheduler(schedule)], [1])


# ModelCheckpoint.
def test_checkpoints_of_every_epoch_and_of_the_best(tmp_path, capsys):
    values = [3, 2, 2.5, 1]
    pattern = str(tmp_path / "new" / "{epoch:02d}-{val_loss:.1f}.h5")
    names = [f"{i + 1:02d}-{v:.1f}.h5" for i, v in enumerate(values)]
    paths = [str(tmp_path / "new" / name) for name in names]
    assert train([ModelCheckpoint(pattern)], values)[0].saved == paths
    assert (tmp_path / "new").is_dir()
    assert train([ModelCheckpoint(pattern, period=2)], values)[0].saved == paths[1::2]
    model, _ = train([ModelCheckpoint(pattern, save_best_only=True, save_weights_only=True, verbose=1)], values)
    assert model.saved == [("weights", paths[i]) for i in (0, 1, 3)]
    assert capsys.readouterr().out.split("\n\n")[1:3] == [
        f"Epoch 00002: val_loss improved from 3.00000 to 2.00000, saving model to {paths[1]}",
        "Epoch 00003: val_loss did not improve from 2.00000",
    ]


def test_a_field_that_is_not_logged_names_those_that_are(tmp_path):
    with pytest.raises(UnknownNameError, match=r"'val_acc'.*known: 'epoch', 'loss', 'val_loss'"):
        train([ModelCheckpoint(str(tmp_path / "{val_acc}.h5"))], [1])


def test_a_folder_that_cant_be_made_fails_before_training(tmp_path):
    (tmp_path / "file").write_text("")
    model = Model()
    with pytest.raises(OSError, match="file"):
        train([ModelCheckpoint(str(tmp_path / "file" / "model.h5"))], [1], model=model)
    assert model.weights is None


# Monitors [R59].
MONITORS = [EarlyStopping, ReduceLROnPlateau, lambda **a: ModelCheckpoint("m.h5", save_best_only=True, **a)]


@pytest.mark.parametrize("make", MONITORS)
def test_a_mode_that_does_not_exist_is_refused(make):
    with pytest.raises(UnknownNameError, match=r"mode must be one of .*'maxx'; did you mean 'max'\?"):
        make(mode="maxx")


@pytest.mark.parametrize("make", MONITORS)
def test_a_monitor_that_is_not_logged_is_warned_of_at_the_start(make):
    with pytest.warns(RuntimeWarning) as caught:
        train([make(monitor="val_los")], [1])
    first = str(caught[0].message)
    assert "'val_los' is not logged by this training" in first
    assert "did you mean 'val_loss'?" in first
    assert "Available: 'loss', 'acc', 'val_loss', 'val_acc'" in first


def test_a_missing_validation_is_named_as_the_reason():
    with pytest.warns(RuntimeWarning) as caught:
        train([EarlyStopping()], [1], name="acc", validates=False)
    assert "no validation_data" in str(caught[0].message)


def test_epochs_without_validation_are_skipped_in_silence(recwarn):
    stopping = EarlyStopping()
    stopping.set_params({"metrics": ["loss", "val_loss"], "do_validation": True})
    stopping.on_train_begin()
    stopping.on_epoch_end(0, {"loss": 1.0})
    assert not recwarn.list
    assert stopping.wait == 0


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: EarlyStopping(patience=-1), "patience"),
        (lambda: EarlyStopping(patience=1.5), "patience"),
        (lambda: EarlyStopping(monitor=None), "monitor"),
        (lambda: EarlyStopping(min_delta="a"), "min_delta"),
        (lambda: ReduceLROnPlateau(factor=1.0), "factor"),
        (lambda: ReduceLROnPlateau(patince=3), "did you mean 'patience'"),
        (lambda: ModelCheckpoint(3), "filepath"),
        (lambda: ModelCheckpoint("a", period=0), "period"),
        (lambda: LearningRateScheduler(0.1), "schedule"),
        (lambda: CSVLogger("a", separator=";;"), "separator"),
        (lambda: RemoteMonitor("localhost:9000"), "root"),
        (lambda: LambdaCallback(on_epoch_finish=print), "did you mean 'on_epoch_begin'|on_epoch_end"),
        (lambda: LambdaCallback(on_epoch_end=3), "on_epoch_end"),
        (lambda: ProgbarLogger("batches"), "count_mode"),
        (lambda: CallbackList([EarlyStopping]), r"pass an instance: EarlyStopping\(...\)"),
        (lambda: CallbackList([History(), print]), r"callbacks\[1\]: expected a Callback instance"),
        (lambda: CallbackList(3), "list of Callback"),
    ],
)
def test_arguments_that_cant_be_meant_are_refused(make, words):
    with pytest.raises(KCompileError, match=words):
        make()


def test_history_holds_python_numbers():
    history = History()
    history.on_train_begin()
    history.on_epoch_end(0, {"loss": np.float32(0.5), "acc": np.array(1)})
    assert history.history == {"loss": [0.5], "acc": [1]}
    assert type(history.history["loss"][0]) is float


def test_base_logger_weighs_by_batch_size():
    logger = BaseLogger(stateful_metrics=["acc"])
    logger.set_params({"metrics": ["loss", "acc"]})
    logger.on_epoch_begin(0)
    logger.on_batch_end(0, {"batch": 0, "size": 3, "loss": 1.0, "acc": 0.1})
    logger.on_batch_end(1, {"batch": 1, "size": 1, "loss": 5.0, "acc": 0.2})
    logs = {"val_loss": 9.0}
    logger.on_epoch_end(0, logs)
    assert logs == {"val_loss": 9.0, "loss": 2.0, "acc": 0.2}


@pytest.mark.parametrize("loss", [float("nan"), float("inf")])
def test_terminate_on_nan(loss, capsys):
    _, history = train([TerminateOnNaN()], [1.0, loss, 1.0], batches=3)
    assert history.epoch == [0, 1]
    assert capsys.readouterr().out == "Batch 0: Invalid loss, terminating training\n"


def rows(path, separator=","):
    with open(path, newline="") as file:
        return list(csv.reader(file, delimiter=separator))


def test_csv_logger(tmp_path):
    path = tmp_path / "log.csv"
    train([CSVLogger(path)], [0.5, 0.25])
    header = ["epoch", "loss", "val_loss"]
    first = [header, ["0", "1.0", "0.5"], ["1", "1.0", "0.25"]]
    assert rows(path) == first
    train([CSVLogger(path, append=True)], [0.125])
    assert rows(path) == [*first, ["0", "1.0", "0.125"]]
    train([CSVLogger(path, separator=";")], [3])
    assert rows(path, ";") == [header, ["0", "1.0", "3"]]


def test_csv_logger_keeps_its_columns_when_a_value_is_missing(tmp_path):
    path = tmp_path / "log.csv"
    logger = CSVLogger(path)
    logger.on_train_begin()
    logger.on_epoch_end(0, {"loss": np.float32(0.5), "val_loss": 2.0, "rates": np.array([1, 2])})
    logger.on_epoch_end(1, {"loss": 0.25})
    logger.on_train_end()
    assert rows(path) == [["epoch", "loss", "rates", "val_loss"], ["0", "0.5", "[1, 2]", "2.0"],
                          ["1", "0.25", "NA", "NA"]]  # fmt: skip


def test_csv_logger_fails_before_training_when_it_cant_write(tmp_path):
    with pytest.raises(OSError, match="missing"):
        train([CSVLogger(tmp_path / "missing" / "log.csv")], [1])


@pytest.mark.parametrize("as_json", [False, True])
def test_remote_monitor_posts_the_logs(as_json):
    posted = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            posted.append((self.path, self.headers["Content-Type"], self.headers["X-Run"], body))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *arguments):
            pass

    server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        root = f"http://127.0.0.1:{server.server_port}"
        monitor = RemoteMonitor(root, headers={"X-Run": "7"}, send_as_json=as_json)
        monitor.on_epoch_end(2, {"loss": np.float32(0.5)})
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
    ((path, kind, run, body),) = posted
    assert (path, run) == ("/publish/epoch/end/", "7")
    text = body if as_json else urllib.parse.parse_qs(body)["data"][0]
    assert kind == ("application/json" if as_json else "application/x-www-form-urlencoded")
    assert json.loads(text) == {"epoch": 2, "loss": 0.5}


def test_remote_monitor_only_warns_when_nobody_answers():
    with pytest.warns(RuntimeWarning, match=r"could not reach http://127\.0\.0\.1:9 .*training goes on"):
        RemoteMonitor("http://127.0.0.1:9").on_epoch_end(0, {"loss": 1.0})


def test_lambda_callback_calls_every_hook_it_is_given():
    calls = []
    callback = LambdaCallback(
        on_epoch_begin=lambda epoch, logs: calls.append(("epoch", epoch)),
        on_train_end=lambda logs: calls.append("end"),
        on_train_batch_begin=lambda batch, logs: calls.append(("batch", batch)),
        tag="mine",
    )
    train([callback], [1], batches=2)
    assert calls == [("epoch", 0), ("batch", 0), ("batch", 1), "end"]
    assert callback.tag == "mine"


def test_all_of_keras_2_3_is_there():
    names = {
        "BaseLogger", "Callback", "CallbackList", "CSVLogger", "EarlyStopping", "History", "LambdaCallback",
        "LearningRateScheduler", "ModelCheckpoint", "ProgbarLogger", "ReduceLROnPlateau", "RemoteMonitor",
        "TerminateOnNaN",
    }  # fmt: skip
    assert names <= set(module.__all__)
    with pytest.raises(DataTypeError):
        CallbackList([Callback])
