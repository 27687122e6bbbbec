"""HDF5 files that ask for what no model needs, each built by a few lines. ``CASES``: name -> (builder, its refusal)."""

from __future__ import annotations

import io
import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from kcompile import layers as L
from kcompile.models import Sequential

CANARY = b"the canary sings " * 4
CASES: dict[str, tuple[Callable[[Path], Any], str]] = {}
"""A builder gets an empty folder and returns the path of its file."""


def hostile(refusal: str) -> Callable[[Any], Any]:
    """Add a builder, with the pattern of the sentence that its file must get."""

    def add(build: Any) -> Any:
        CASES[build.__name__] = build, refusal
        return build

    return add


def benign(optimizer: bool = False) -> bytes:
    """The model that the files would hold."""
    model = Sequential([L.Dense(4, input_shape=(4,), name="dense", use_bias=False)], name="model")
    if optimizer:
        model.compile("adam", "mse")
        model.train_on_batch(np.ones((1, 4)), np.ones((1, 4)))
    buffer = io.BytesIO()
    model.save(buffer)
    return buffer.getvalue()


def changed(folder: Path, change: Callable[[Any], None], optimizer: bool = False) -> Path:
    """The benign model, with something done to its file."""
    path = folder / "model.h5"
    path.write_bytes(benign(optimizer))
    with h5py.File(path, "r+") as file:
        change(file)
    return path


KERNEL = "model_weights/dense/dense/kernel:0"


def in_place_of_the_kernel(folder: Path, make: Callable[[Any, str], None]) -> Path:
    def change(file: Any) -> None:
        group, name = file["model_weights/dense/dense"], "kernel:0"
        del group[name]
        make(group, name)

    return changed(folder, change)


def with_config(folder: Path, text: Any, name: str = "model_config") -> Path:
    return changed(folder, lambda file: file.attrs.__setitem__(name, text))


# ---- out of the file


@hostile("/model_weights/dense/dense/kernel:0 is an external link to another file")
def external_link(folder: Path) -> Path:
    with h5py.File(folder / "secret.h5", "w") as secret:
        secret["x"] = np.ones((4, 4), "float32")
    return in_place_of_the_kernel(folder, lambda g, name: g.__setitem__(name, h5py.ExternalLink("secret.h5", "/x")))


@hostile("/model_weights/dense is an external link")
def external_link_to_a_group(folder: Path) -> Path:
    def change(file: Any) -> None:
        file.copy("model_weights/dense", h5py.File(folder / "other.h5", "w"))
        del file["model_weights/dense"]
        file["model_weights/dense"] = h5py.ExternalLink("other.h5", "/dense")

    return changed(folder, change)


@hostile("/optimizer_weights/.* is an external link")
def external_link_in_the_optimizer(folder: Path) -> Path:
    def change(file: Any) -> None:
        name = "optimizer_weights/Adam/dense/kernel/m:0"
        del file[name]
        file[name] = h5py.ExternalLink("secret.h5", "/x")

    return changed(folder, change, optimizer=True)


@hostile("/model_weights/dense/dense/kernel:0 is a soft link")
def soft_link(folder: Path) -> Path:
    return in_place_of_the_kernel(folder, lambda g, name: g.__setitem__(name, h5py.SoftLink("/elsewhere")))


@hostile("/unused is a soft link")
def soft_link_that_is_not_used(folder: Path) -> Path:
    return changed(folder, lambda file: file.__setitem__("unused", h5py.SoftLink("/model_weights")))


@hostile(r"kernel:0 is stored outside, in .*secret")
def external_storage(folder: Path) -> Path:
    (folder / "secret").write_bytes(CANARY)
    external = [(str(folder / "secret"), 0, 64)]
    return in_place_of_the_kernel(folder, lambda g, n: g.create_dataset(n, (4, 4), "float32", external=external))


@hostile("kernel:0 is a virtual dataset")
def virtual_dataset(folder: Path) -> Path:
    layout = h5py.VirtualLayout((4, 4), "float32")
    layout[:] = h5py.VirtualSource("secret.h5", "x", (4, 4))
    return in_place_of_the_kernel(folder, lambda g, name: g.create_virtual_dataset(name, layout))


# ---- more than is there


@hostile("declares 4.0 TiB but stores")
def shape_bomb(folder: Path) -> Path:
    return in_place_of_the_kernel(folder, lambda g, name: g.create_dataset(name, (2**40,), "float32"))


@hostile("declares|of which only 0 bytes are stored")
def shape_that_is_not_stored(folder: Path) -> Path:
    return in_place_of_the_kernel(folder, lambda g, name: g.create_dataset(name, (4, 4), "float32"))


@hostile("of which only .* are stored")
def chunks_that_are_not_stored(folder: Path) -> Path:
    def make(group: Any, name: str) -> None:
        group.create_dataset(name, (4, 4), "float32", chunks=(2, 4))[:2] = 1

    return in_place_of_the_kernel(folder, make)


@hostile("declares 1.0 GiB but stores|does not fit: .*kernel is")
def gzip_bomb(folder: Path) -> Path:
    def make(group: Any, name: str) -> None:
        data = group.create_dataset(name, (2**28,), "float32", chunks=(2**22,), compression="gzip")
        data[: 2**22] = 0

    return in_place_of_the_kernel(folder, make)


@hostile("does not fit: .*kernel is")
def gzip_bomb_of_the_wrong_shape(folder: Path) -> Path:
    """64 MiB of zeros, packed as tightly as deflate can."""

    def make(group: Any, name: str) -> None:
        group.create_dataset(name, data=np.zeros((4096, 4096), "float32"), chunks=(512, 4096), compression="gzip")

    return in_place_of_the_kernel(folder, make)


@hostile("declares .* but stores")
def chunk_that_is_larger_than_the_array(folder: Path) -> Path:
    def make(group: Any, name: str) -> None:
        group.create_dataset(name, (4, 4), "float32", maxshape=(None, None), chunks=(2**14, 2**14))

    return in_place_of_the_kernel(folder, make)


@hostile("the model needs more than 3.6 TiB of weights .* but the file has")
def units_bomb(folder: Path) -> Path:
    text = json.loads(h5py.File(io.BytesIO(benign())).attrs["model_config"])
    text["config"]["layers"][-1]["config"]["units"] = 10**12 // 4 + 1
    return with_config(folder, json.dumps(text))


@hostile("model_config has .* more than the 16.0 MiB that are allowed")
def long_config(folder: Path) -> Path:
    return with_config(folder, " " * (2**24 + 1))


@hostile("nested deeper|is not JSON")
def deep_config(folder: Path) -> Path:
    return with_config(folder, "[" * 100_000)


@hostile("groups are nested deeper than 64")
def deep_groups(folder: Path) -> Path:
    return changed(folder, lambda file: file.create_group("/".join("x" * 500)))


@hostile("is a group that contains it: groups in a circle")
def circle(folder: Path) -> Path:
    return changed(folder, lambda file: file["model_weights/dense"].__setitem__("again", file["model_weights"]))


# ---- not what it should be


@hostile("filter number 32015")
def unknown_filter(folder: Path) -> Path:
    def make(group: Any, name: str) -> None:
        plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        plist.set_chunk((4, 4))
        plist.set_filter(32015, h5py.h5z.FLAG_OPTIONAL, (1,))
        h5py.h5d.create(group.id, name.encode(), h5py.h5t.IEEE_F32LE, h5py.h5s.create_simple((4, 4)), plist)

    return in_place_of_the_kernel(folder, make)


@hostile("is stored with the same filter twice")
def deflated_twice(folder: Path) -> Path:
    def make(group: Any, name: str) -> None:
        plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        plist.set_chunk((4, 4))
        plist.set_deflate(9)
        plist.set_deflate(9)
        h5py.h5d.create(group.id, name.encode(), h5py.h5t.IEEE_F32LE, h5py.h5s.create_simple((4, 4)), plist)

    return in_place_of_the_kernel(folder, make)


@hostile("kernel:0 has elements of type object; weights are numbers")
def texts_of_variable_length(folder: Path) -> Path:
    return in_place_of_the_kernel(folder, lambda g, name: g.create_dataset(name, (4, 4), h5py.string_dtype()))


@hostile("kernel:0 has elements of type object; weights are numbers")
def references(folder: Path) -> Path:
    return in_place_of_the_kernel(folder, lambda g, name: g.create_dataset(name, (4, 4), h5py.ref_dtype))


@hostile("kernel:0 has elements of type .*; weights are numbers")
def records(folder: Path) -> Path:
    dtype = np.dtype([("a", "f4"), ("b", "i4")])
    return in_place_of_the_kernel(folder, lambda g, name: g.create_dataset(name, (4, 4), dtype))


@hostile("a text at [0-9]+ claims 3690987530 bytes")
def text_that_claims_gigabytes(folder: Path) -> Path:
    """The length beside the reference to the first object of the heap is changed."""
    content = bytearray(benign())
    heap = content.find(b"GCOL\x01\x00\x00\x00")
    place = content.find(struct.pack("<QI", heap, 1)) - 4
    content[place : place + 4] = struct.pack("<I", 3690987530)
    path = folder / "model.h5"
    path.write_bytes(content)
    return path


@hostile("kernel:0 has elements of an unknown type")
def numbers_without_an_exponent(folder: Path) -> Path:
    def make(group: Any, name: str) -> None:
        kind = h5py.h5t.IEEE_F32LE.copy()
        kind.set_ebias(0)
        h5py.h5d.create(group.id, name.encode(), kind, h5py.h5s.create_simple((4, 4)))

    return in_place_of_the_kernel(folder, make)


@hostile("kernel:0 is not an array")
def group_in_place_of_an_array(folder: Path) -> Path:
    return in_place_of_the_kernel(folder, lambda g, name: g.create_group(name))


@hostile("/model_weights/dense is not a group")
def array_in_place_of_a_group(folder: Path) -> Path:
    def change(file: Any) -> None:
        del file["model_weights/dense"]
        file["model_weights/dense"] = np.ones(3)

    return changed(folder, change)


@hostile("attribute 'weight_names' of /model_weights/dense should be text")
def numbers_for_names(folder: Path) -> Path:
    return changed(folder, lambda file: file["model_weights/dense"].attrs.__setitem__("weight_names", [1, 2]))


@hostile("refers to '/model_weights/dense', which is no name inside it")
def name_from_the_root(folder: Path) -> Path:
    return changed(
        folder, lambda file: file["model_weights"].attrs.__setitem__("layer_names", ["/model_weights/dense"])
    )


@hostile(r"refers to '\.\./x', which is no name inside it")
def name_that_leaves(folder: Path) -> Path:
    return changed(folder, lambda file: file["model_weights/dense"].attrs.__setitem__("weight_names", ["../x"]))


@hostile("there is no /model_weights/other")
def missing_layer(folder: Path) -> Path:
    return changed(folder, lambda file: file["model_weights"].attrs.__setitem__("layer_names", ["other"]))


@hostile("is not UTF-8 text")
def bytes_for_names(folder: Path) -> Path:
    return changed(folder, lambda f: f["model_weights"].attrs.__setitem__("layer_names", np.array([b"\xff\xfe"])))


@hostile("texts of variable length, more than")
def many_texts(folder: Path) -> Path:
    path = folder / "model.h5"
    with h5py.File(path, "w", libver="latest") as file, h5py.File(io.BytesIO(benign())) as source:
        file.attrs["model_config"] = source.attrs["model_config"]
        file.create_group("model_weights").attrs["layer_names"] = ["dense"] * 5000
    return path


@hostile("model_config is not JSON")
def config_that_is_no_json(folder: Path) -> Path:
    return with_config(folder, "{'class_name': 1}")


@hostile("dict with 'class_name'|is a dict")
def config_that_is_a_number(folder: Path) -> Path:
    return with_config(folder, "3")


@hostile("attribute 'model_config' of / should be text")
def config_that_is_an_array(folder: Path) -> Path:
    return with_config(folder, np.arange(3))


@hostile("Unknown function 'os.mkdir'.*nothing is imported from a file")
def class_from_a_module(folder: Path) -> Path:
    layer = {"class_name": "function", "module": "os", "config": "mkdir", "registered_name": "mkdir"}
    return with_config(folder, json.dumps({"class_name": "Sequential", "config": {"layers": [layer]}}))


@hostile("bytecode.*safe_mode=False|safe_mode")
def bytecode(folder: Path) -> Path:
    code = ["4wEAAAAAAAAAAAAAAAEAAAACAAAAQwAAAA==", None, None]
    layer = {"class_name": "Lambda", "config": {"name": "x", "function": code, "function_type": "lambda"}}
    return with_config(folder, json.dumps({"class_name": "Sequential", "config": {"layers": [layer]}}))


@hostile("training configuration")
def training_configuration_that_is_a_list(folder: Path) -> Path:
    return with_config(folder, "[1]", "training_config")


@hostile("kcompile_state is damaged")
def state_of_the_wrong_kind(folder: Path) -> Path:
    return with_config(folder, json.dumps({"seeds": {"dense": "x"}}), "kcompile_state")


@hostile(r"kcompile_optimizer_corrections/m/0 has shape \(7,\), not \(4, 4\)")
def corrections_of_another_shape(folder: Path) -> Path:
    def change(file: Any) -> None:
        group = file.require_group("kcompile_optimizer_corrections/m")
        if "0" in group:
            del group["0"]
        group["0"] = np.ones(7, "int8")

    return changed(folder, change, optimizer=True)


@hostile("no HDF5 file, or a damaged one|damaged")
def cut_off(folder: Path) -> Path:
    path = folder / "model.h5"
    content = benign()
    path.write_bytes(content[: len(content) // 2])
    return path


@hostile("no HDF5 file, or a damaged one|damaged")
def signature_alone(folder: Path) -> Path:
    path = folder / "model.h5"
    path.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(100))
    return path


@hostile("a Python pickle, which can run code and is never opened")
def pickle_by_another_name(folder: Path) -> Path:
    path = folder / "model.h5"
    path.write_bytes(b"\x80\x04\x95" + bytes(20))
    return path


@hostile("an empty file")
def empty(folder: Path) -> Path:
    path = folder / "model.h5"
    path.write_bytes(b"")
    return path


@hostile("not a regular file but a pipe")
def pipe(folder: Path) -> Path:
    import os

    os.mkfifo(folder / "model.h5")
    return folder / "model.h5"
