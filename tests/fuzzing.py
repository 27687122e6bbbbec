"""Files that are almost right, loaded in a process of its own: ``python -m tests.fuzzing TARGET COUNT [SEED]``.

Each must be loaded, or refused with an error of ours (or of the operating system), within 5 s and 300 MB. The process
of its own is for the HDF5 library, which is written in C.
"""

from __future__ import annotations

import contextlib
import faulthandler
import functools
import io
import resource
import sys
import tempfile
import time
import traceback
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from kcompile import Input, Model, layers
from kcompile.common.errors import KCompileError
from kcompile.inspecting.files import describe_file
from kcompile.models import load_model, model_from_json, model_from_yaml
from kcompile.saving.archive.archives import archive_bytes
from kcompile.saving.npz_files import npz_bytes
from kcompile.utils import HDF5Matrix
from tests.mutations import changed_bytes, changed_text
from tests.small_models import ZOO

SECONDS, MEBIBYTES = 5, 300
Random = np.random.Generator
TARGETS: dict[str, Callable[[Random], None]] = {}


def target(function: Callable[[Random], None]) -> Callable[[Random], None]:
    """Add a function that makes one file and loads it."""
    TARGETS[function.__name__] = function
    return function


# ---- good files


@functools.cache
def model() -> Any:
    """A model of many kinds of layers, trained for one step."""
    words, image = Input((5,), name="words"), Input((6, 6, 2), name="image")
    x = layers.Embedding(9, 4, mask_zero=True)(words)
    x = layers.Bidirectional(layers.LSTM(3, return_sequences=True), name="both")(x)
    x = layers.GRU(3, dropout=0.1)(layers.TimeDistributed(layers.Dense(3))(x))
    y = layers.BatchNormalization()(layers.Conv2D(2, 3, activation="relu", kernel_regularizer="l2", name="conv")(image))
    inner = Model(image_2 := Input((4, 4, 2)), layers.GlobalMaxPooling2D()(image_2), name="inner")
    both = layers.Dropout(0.5)(layers.concatenate([x, inner(y)]))
    made = Model([words, image], [layers.Dense(2, activation="softmax")(both), layers.Dense(1)(both)])
    made.compile("adam", ["categorical_crossentropy", "mse"], metrics=["acc"], loss_weights=[1, 2])
    made.train_on_batch([np.ones((2, 5)), np.ones((2, 6, 6, 2))], [np.ones((2, 2)) / 2, np.ones((2, 1))])
    return made


@functools.cache
def hdf5() -> bytes:
    buffer = io.BytesIO()
    model().save(buffer)
    return buffer.getvalue()


@functools.cache
def members(dialect: str) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(archive_bytes(model(), dialect=dialect))) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@functools.cache
def texts() -> list[str]:
    zoo = [build() for name, build in ZOO.items() if name != "operations"]  # which computes outside of layers
    return [made.to_json(version) for made in (model(), *zoo) for version in (2, 3)]


@functools.cache
def onnx() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        model().export(f"{folder}/model.onnx")
        return Path(folder, "model.onnx").read_bytes()


def packed(content: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in content.items():
            archive.writestr(name, data)
    return buffer.getvalue()


# ---- loaders


@contextlib.contextmanager
def refusals() -> Any:
    try:
        yield
    except OSError:
        pass
    except KCompileError as error:
        if not str(error).isprintable() or len(str(error)) > 2000:
            raise AssertionError(f"a message that is not one line: {error}") from error


def load(data: bytes) -> None:
    """As a model, and as weights in several ways, after which the model has its weights or those of the file."""
    with refusals():
        load_model(data)
    for options in ({}, {"by_name": True}, {"skip_mismatch": True}):
        with refusals():
            model().load_weights(io.BytesIO(data), **options)


def some(random: Random) -> int:
    return int(random.integers(1, 4))


# ---- targets


@target
def json_configs(random: Random) -> None:
    with refusals():
        model_from_json(changed_text(texts()[random.integers(len(texts()))], random, some(random)))


@target
def json_bytes(random: Random) -> None:
    with refusals():
        model_from_json(changed_bytes(texts()[random.integers(len(texts()))].encode(), random))


@target
def yaml_bytes(random: Random) -> None:
    with refusals():
        model_from_yaml(changed_bytes(ZOO["merges"]().to_yaml().encode(), random))


@target
def hdf5_configs(random: Random) -> None:
    buffer = io.BytesIO(hdf5())
    with h5py.File(buffer, "r+") as file:
        name = ("model_config", "training_config", "kcompile_state")[random.integers(3)]
        file.attrs[name] = changed_text(file.attrs[name], random, some(random))
    load(buffer.getvalue())


@target
def hdf5_objects(random: Random) -> None:
    load(_with_other_objects(hdf5(), random))


@target
def hdf5_bytes(random: Random) -> None:
    data = hdf5()
    # Most of the file is numbers, in which changes are no faults: they are made near what describes them.
    starts = [i for i in range(0, len(data), 512) if any(mark in data[i : i + 512] for mark in _MARKS)]
    start = starts[random.integers(len(starts))]
    changed = data[:start] + changed_bytes(data[start : start + 512], random).ljust(512, b"\0") + data[start + 512 :]
    load(changed[: len(data)] if random.integers(8) else changed_bytes(data, random))
    with refusals():
        HDF5Matrix(io.BytesIO(changed), "model_weights/conv/conv/kernel:0")[0:2]
    while HDF5Matrix._open:  # matrices keep their files open
        HDF5Matrix._open.popitem()[1][0].__exit__(None, None, None)


_MARKS = (b"\x89HDF", b"TREE", b"SNOD", b"HEAP", b"OHDR", b"GCOL", b"kernel", b"\x08\x00\x18\x00", b"\x01\x00\x18\x00")


@target
def archive_configs(random: Random) -> None:
    content = dict(members("23"[random.integers(2)]))
    for name in ("config.json", "metadata.json")[: some(random)]:
        content[name] = changed_text(content[name].decode(), random, some(random)).encode()
    load(packed(content))


@target
def archive_objects(random: Random) -> None:
    content = dict(members("23"[random.integers(2)]))
    content["model.weights.h5"] = _with_other_objects(content["model.weights.h5"], random)
    load(packed(content))
    load(content["model.weights.h5"])


@target
def archive_bytes_(random: Random) -> None:
    data = packed(members("3"))
    end = max(data.find(b"\x89HDF"), len(data) - 600)
    changed = bytearray(data)
    for start, stop in ((0, 200), (end, len(data)))[: some(random)]:
        changed[start:stop] = changed_bytes(data[start:stop], random)
    load(bytes(changed))


@target
def npz(random: Random) -> None:
    with zipfile.ZipFile(io.BytesIO(npz_bytes(model()))) as archive:
        content = {name: archive.read(name) for name in archive.namelist()}
    name = list(content)[random.integers(len(content))]
    data = content[name]
    content[name] = (
        changed_bytes(data[:128], random) + data[128:] if random.integers(4) else changed_bytes(data, random)
    )
    load(packed(content))


@target
def onnx_bytes(random: Random) -> None:
    with tempfile.NamedTemporaryFile(suffix=".onnx") as file:
        file.write(changed_bytes(onnx(), random))
        file.flush()
        with refusals():
            describe_file(file.name)


# ---- HDF5 files with other objects in them


def _with_other_objects(data: bytes, random: Random) -> bytes:
    buffer = io.BytesIO(data)
    with h5py.File(buffer, "r+") as file:
        for _ in range(some(random)):
            names: list[str] = []
            file.visit(names.append)
            if names:
                _change_object(file, names[random.integers(len(names))], names[random.integers(len(names))], random)
    return buffer.getvalue()


def _change_object(file: Any, name: str, other: str, random: Random) -> None:
    item, kind = file[name], random.integers(7)
    if kind == 0 or (kind < 5 and isinstance(item, h5py.Group) and not list(item.attrs)):
        del file[name]
    elif kind == 1 and not other.startswith(name) and other + "_" not in file:
        file.move(name, other + "_")
    elif kind == 2:
        del file[name]
        file[name] = file.get(other, np.zeros(3))  # a hard link, or numbers
    elif isinstance(item, h5py.Dataset):
        del file[name]
        dtype = ("f8", "f2", "i1", "u8", "?", "c8", "S3", ">f4", "V7")[random.integers(9)]
        file[name] = np.zeros(((), (0,), item.shape, item.shape[::-1], (2, 2), (1,) * 32)[random.integers(6)], dtype)
    elif kind < 6 and list(item.attrs):
        key = list(item.attrs)[random.integers(len(item.attrs))]
        values = ("x", b"\xff", 3, np.zeros((2, 2)), np.array([b"x", b"y:0"]), "é" * 9, np.array([], "S1"), ["a", "b"])
        item.attrs[key] = values[random.integers(len(values))]
        if random.integers(3) == 0:
            del item.attrs[key]
    else:
        file.require_group(f"{name}_/layers/x")


# ---- running


def run(name: str, count: int, seed: int) -> int:
    """How many examples were at fault; each is printed with its number, which is part of its seed."""
    warnings.simplefilter("ignore")
    TARGETS[name](np.random.default_rng(0))
    before, faults = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, 0
    for number in range(count):
        print(number, end="\r", file=sys.stderr, flush=True)
        faulthandler.dump_traceback_later(12 * SECONDS, exit=True)
        start = time.process_time()
        try:
            TARGETS[name](np.random.default_rng([seed, number]))
            took = time.process_time() - start
            assert took < SECONDS, f"took {took:.1f} s"
            now = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            assert now - before < MEBIBYTES * 1024, f"took {(now - before) // 1024} MiB"
        except BaseException:
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            faults += 1
            print(f"{name} {seed} {number}: {traceback.format_exc()}", flush=True)
    return faults


if __name__ == "__main__":
    sys.exit(1 if run(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else 0) else 0)
