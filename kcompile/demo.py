"""``kcompile demo``: from real data to exported files that stock ONNX Runtime trains on, each step checked."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kcompile import Input, Model
from kcompile.callbacks import LearningRateScheduler
from kcompile.common.checks import check_positive_int
from kcompile.common.errors import KCompileError
from kcompile.datasets import digits as data
from kcompile.layers import Activation, BatchNormalization, Conv2D, Dense, Dropout, Flatten, MaxPooling2D
from kcompile.runtime.executable import Executable
from kcompile.runtime.options import configure

Array = NDArray[Any]
Data = tuple[Array, Array]

ACCURACY = 0.98
VALIDATION = 137
"""So many of the 1,437 images for training are kept for validation."""
SEED = 1
ROUNDS = 15
CONTINUED_STEPS = 10
CONTINUED_BATCH = 32
OUTPUT_TOLERANCE = 1e-5
LOSS_TOLERANCE = 1e-4
STATE_TOLERANCE = 1e-2
"""Greatest differences from the exported files, relative to the largest number of each tensor.

The additions are done in another order, so float32 rounds differently: some 1e-6. Once in a while this takes a number
that is all but zero to the other side of a relu, whose gradient is then seen or not; hence the wide tolerance of the
state, in which a missing update would still show as a difference of the size of the tensor itself.
"""


def digits() -> tuple[Data, Data, Data]:
    """Data for training, validation and the test.

    Images are float32 ``(samples, 8, 8, 1)`` from 0 to 1, labels uint8 ``(samples,)``. What the curves show while the
    network is trained is not what it is judged by.
    """
    (x_train, y_train), (x_test, y_test) = data.load_data()
    scale = np.float32(1 / 16)
    x, y = x_train[..., None] * scale, y_train
    return (x[VALIDATION:], y[VALIDATION:]), (x[:VALIDATION], y[:VALIDATION]), (x_test[..., None] * scale, y_test)


def build() -> Model:
    """A small convolutional network, compiled."""
    image = Input((8, 8, 1), name="image")
    x: Any = image
    for filters, pooled in ((32, False), (32, True), (64, True)):
        # The normalization that follows has a bias of its own.
        x = Conv2D(filters, 3, padding="same", use_bias=False)(x)
        x = BatchNormalization()(x)
        x = Activation("relu")(x)
        if pooled:
            x = MaxPooling2D(2)(x)
            x = Dropout(0.25)(x)
    x = Dense(64, activation="relu")(Flatten()(x))
    x = Dropout(0.5)(x)
    digit = Dense(10, activation="softmax", name="digit")(x)
    model = Model(image, digit, name="digits")
    model.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def run(epochs: int = 30, folder: str | Path = "demo_output", threads: int = 0, verbose: bool = False) -> int:
    """Train (on the CPU), evaluate, export, and compare with a process that knows only onnxruntime and numpy.

    Args:
        epochs: how long to train.
        folder: where files are written.
        threads: per operator; 0: all cores.
        verbose: whether to show what each pass did.

    Returns:
        the exit status: 0 if the accuracy and every comparison are as they should be, else 1.

    Raises:
        OSError: the folder cannot be written.
        ValueError: the number of epochs or threads is out of range.
    """
    check_positive_int("demo", "epochs", epochs)
    configure(threads=threads, device="cpu")  # as the process that it is compared with
    root = Path(folder)
    root.mkdir(parents=True, exist_ok=True)
    started = time.perf_counter()
    np.random.seed(SEED)
    train, validation, test = digits()
    model = build()
    model.summary()
    slower_at_the_end = LearningRateScheduler(lambda epoch: 1e-3 if epoch < 3 * epochs // 4 else 1e-4)
    history = model.fit(*train, batch_size=32, epochs=epochs, validation_data=validation, callbacks=[slower_at_the_end])
    accuracy = float(model.evaluate(*test, verbose=0)[1])
    print(f"\nTest accuracy: {accuracy:.4f} on {len(test[0])} images (at least {ACCURACY} expected)")
    wrong = [] if accuracy >= ACCURACY else [f"the test accuracy is {accuracy:.4f}, below {ACCURACY}"]
    if verbose:
        print("\nWhat each pass did to the training step:")
        print(model.fit_trainer.step(True, [train[1]], [None]).executable.report())

    model.export(root / "model.onnx")
    model.export_training(root / "training")
    curve = [history.history[name] for name in ("accuracy", "val_accuracy")]
    (root / "training_curve.svg").write_text(draw_curves(curve, ("training", "validation")), encoding="utf-8")
    wrong += [*compare_inference(model, test[0], root), *compare_training(model, train, root)]
    print(f"\nWritten to {root}: " + ", ".join(sorted(entry.name for entry in root.iterdir())))
    print(what_was_won(model, train))
    took = f"{time.perf_counter() - started:.0f} s"
    print(f"FAILED after {took}: {'; '.join(wrong)}" if wrong else f"All checks passed in {took}")
    return 1 if wrong else 0


def what_was_won(model: Model, train: Data) -> str:
    """In a sentence: operators and time of a training step, before and after the passes."""
    x, y = train[0][:32], train[1][:32, None].astype(np.float32)
    batch = [np.ascontiguousarray(x), y]
    step = model.fit_trainer.step(True, [y], [None])
    step(batch)  # a compiled model for this size
    before = Executable(model.fit_trainer.step_graph(training=True).as_written("as_written"), (), native=False)
    steps = (before, step.executable)
    seconds: list[list[float]] = [[], []]
    for _ in range(ROUNDS):
        for executable, found in zip(steps, seconds, strict=True):
            start = time.perf_counter()
            executable.run(batch)  # without keeping what it computes
            found.append(time.perf_counter() - start)
    slow, fast = (1000 * float(np.median(found)) for found in seconds)
    nodes = [len(executable.graph.nodes()) for executable in steps]
    return (
        f"The passes made {nodes[1]} operations of {nodes[0]}, so that a step on 32 images takes {fast:.1f} ms "
        f"instead of {slow:.1f} ms ({slow / fast:.1f} times as fast)."
    )


def compare_inference(model: Model, x: Array, root: Path) -> list[str]:
    """How the exported inference graph differs from ``predict``: nothing if it is right."""
    (name,) = model.input_names
    images: dict[str, Any] = {name: x}
    np.savez(root / "images.npz", **images)
    outputs = run_script("run_model.py", root, "model.onnx", "images.npz", "predictions.npz")
    difference = relative_difference(outputs[model.output_names[0]], model.predict(x))
    what = f"model.onnx in a fresh process (only onnxruntime and numpy), {len(x)} images"
    return _verdict(f"{what}: greatest difference from predict", {"": difference}, OUTPUT_TOLERANCE)


def compare_training(model: Model, train: Data, root: Path) -> list[str]:
    """How training that goes on from the exported files differs from training here: nothing if it is right."""
    order = np.random.RandomState(SEED).permutation(len(train[0]))[: CONTINUED_STEPS * CONTINUED_BATCH]
    x = train[0][order].reshape(CONTINUED_STEPS, CONTINUED_BATCH, *train[0].shape[1:])
    y = train[1][order].reshape(CONTINUED_STEPS, CONTINUED_BATCH, 1).astype(np.float32)
    np.savez(root / "batches.npz", image=x, digit_target=y)
    result = run_script("continue_training.py", root, "training", "batches.npz", "continued.npz")
    losses = [model.train_on_batch(images, labels)[0] for images, labels in zip(x, y, strict=True)]
    tensors = {w.label: w.numpy() for w in [*model.weights, *model.optimizer.weights]}
    missing = sorted(name for name in tensors if f"state:{name}" not in result)
    if missing:
        return [f"the exported state lacks {missing[0]!r}"]
    differences = {name: relative_difference(result[f"state:{name}"], array) for name, array in tensors.items()}
    where = f"training/ in a fresh process, {CONTINUED_STEPS} further steps"
    loss = {"": relative_difference(result["losses"], np.array(losses))}
    return [
        *_verdict(f"{where}: losses, greatest difference from train_on_batch", loss, LOSS_TOLERANCE),
        *_verdict(f"{where}: {len(tensors)} tensors of the state, greatest difference", differences, STATE_TOLERANCE),
    ]


def run_script(name: str, root: Path, *arguments: str) -> Mapping[str, Array]:
    """Copy one of the scripts to ``root``, run it there in a fresh process, and read the file that it writes.

    Raises:
        ValueError: the script fails; the message is what it printed last.
    """
    shutil.copyfile(Path(__file__).parent / "export" / "scripts" / name, root / name)
    # -I: neither the environment nor the working directory adds modules.
    command = [sys.executable, "-I", name, *arguments]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr.strip() or "no output").splitlines()[-1]
        raise KCompileError(f"{name} ended with status {done.returncode}: {last}")
    with np.load(root / arguments[-1]) as file:
        return {key: file[key] for key in file.files}


def relative_difference(got: Array, expected: Array) -> float:
    """The greatest difference between two arrays, as a part of the largest number that is expected."""
    if got.shape != expected.shape:
        return float("inf")
    got, expected = np.asarray(got, np.float64), np.asarray(expected, np.float64)
    difference, scale = np.abs(got - expected).max(initial=0), np.abs(expected).max(initial=0)
    return float(difference / scale) if scale else float(difference)


def _verdict(what: str, differences: Mapping[str, float], tolerance: float) -> list[str]:
    """Print the comparison in a line; the same as a reason to fail if a difference (or NaN) is beyond the tolerance."""
    worst = max(differences, key=lambda name: np.nan_to_num(differences[name], nan=np.inf))
    passed = bool(differences[worst] <= tolerance)
    place = f" in {worst}" if worst else ""
    line = f"{what} {differences[worst]:.1e}{place} (at most {tolerance:.0e})"
    print(f"{'ok' if passed else 'FAILED'}: {line}")
    return [] if passed else [line]


COLOURS = ("#1f77b4", "#d62728")


def draw_curves(curves: Sequence[Sequence[float]], names: Sequence[str], width: int = 640, height: int = 360) -> str:
    """Curves over epochs as an SVG picture; the vertical axis goes from 0.8 (or the least value) to 1."""
    low = min(0.8, *(value for curve in curves for value in curve))
    left, top, right, bottom = 50, 20, width - 20, height - 40
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif">',
        f'<rect width="{width}" height="{height}" fill="white"/>',
        f'<text x="{(left + right) // 2}" y="{height - 8}" text-anchor="middle">epoch</text>',
    ]
    for tick in range(5):
        y = bottom - (bottom - top) * tick / 4
        parts.append(f'<line x1="{left}" y1="{y}" x2="{right}" y2="{y}" stroke="#dddddd"/>')
        parts.append(f'<text x="{left - 6}" y="{y + 4}" text-anchor="end">{low + (1 - low) * tick / 4:.2f}</text>')
    scale = (bottom - top) / max(1 - low, 1e-9)
    for number, (curve, name) in enumerate(zip(curves, names, strict=True)):
        step = (right - left) / max(1, len(curve) - 1)
        points = " ".join(f"{left + step * i:.1f},{bottom - scale * (v - low):.1f}" for i, v in enumerate(curve))
        colour, y = COLOURS[number % len(COLOURS)], bottom - 12 - 18 * number
        parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts.append(f'<text x="{right - 8}" y="{y}" text-anchor="end" fill="{colour}">{name}</text>')
    return "\n".join([*parts, "</svg>", ""])
