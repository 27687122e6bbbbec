"""Arrays in npz, odd zips, and configurations with wrong values: tables of name -> (builder or value, its refusal)."""

from __future__ import annotations

import io
import json
import pickle
import zipfile
from collections.abc import Callable
from typing import Any

import numpy as np

from tests.hostile_archives import benign, layer, packed

NPZ: dict[str, tuple[Callable[[], bytes], str]] = {}
"""Weights for a model with one weight of shape (4, 4)."""


def npz(refusal: str) -> Callable[[Any], Any]:
    def add(build: Any) -> Any:
        NPZ[build.__name__] = build, refusal
        return build

    return add


def array(header: str, data: bytes = bytes(64), version: tuple[int, int] = (1, 0)) -> bytes:
    """A member with a header of one's own."""
    text = header.encode()
    size = len(text).to_bytes(2 if version[0] == 1 else 4, "little")
    return packed({"w.npy": b"\x93NUMPY" + bytes(version) + size + text + data})


@npz("elements of type object; weights are numbers")
def array_of_objects() -> bytes:
    file = io.BytesIO()
    np.savez(file, w=np.array([print, 1], dtype=object))
    return file.getvalue()


@npz("not an array of NumPy")
def pickle_in_place_of_an_array() -> bytes:
    return packed({"w.npy": pickle.dumps(print)})


@npz("elements of type")
def texts() -> bytes:
    file = io.BytesIO()
    np.savez(file, w=np.array(["a"] * 16))
    return file.getvalue()


@npz("elements of type")
def records() -> bytes:
    return array("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (4, 4)}")


@npz("declares shape .* TiB, but stores 64 bytes")
def shape_bomb() -> bytes:
    return array("{'descr': '<f4', 'fortran_order': False, 'shape': (4294967296, 4294967296)}")


@npz("has the shape|not an array")
def negative_shape() -> bytes:
    return array("{'descr': '<f4', 'fortran_order': False, 'shape': (-4, -4)}")


@npz("not an array of NumPy|has the shape")
def shape_of_texts() -> bytes:
    return array("{'descr': '<f4', 'fortran_order': False, 'shape': ('4', 4)}")


@npz("not an array of NumPy")
def header_that_is_code() -> bytes:
    return array("__import__('os').system('touch /tmp/kcompile-was-here')")


@npz("not an array of NumPy")
def header_nested_too_deep() -> bytes:
    return array("(" * 5000)


@npz("not an array of NumPy")
def header_of_a_gigabyte() -> bytes:
    return packed({"w.npy": b"\x93NUMPY\x02\x00" + (2**30).to_bytes(4, "little") + b"{"})


@npz("not an array of NumPy")
def unknown_version() -> bytes:
    return array("{'descr': '<f4', 'fortran_order': False, 'shape': (4, 4)}", version=(9, 9))


@npz("declare")
def bomb() -> bytes:
    return packed({"w.npy": bytes(200 * 2**20)}, compression=zipfile.ZIP_DEFLATED, compresslevel=9)


@npz("twice")
def array_that_occurs_twice() -> bytes:
    return packed([("w.npy", b"x"), ("w.npy", b"y")])


@npz("leaves the archive's folder")
def array_outside() -> bytes:
    return packed({"../w.npy": b"x"})


@npz("does not fit")
def array_of_another_shape() -> bytes:
    return array("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 8)}")


# ---- zips that are something else too, with what the good archive says


ZIPS: dict[str, tuple[Callable[[], bytes], str]] = {
    "zip_in_a_zip": (lambda: packed({"model.keras": packed(benign())}), "is not complete"),
    "weights_that_are_a_zip": (lambda: packed({**benign(), "model.weights.h5": packed(benign())}), "damaged"),
    "configuration_that_is_a_folder": (
        lambda: packed({**{k: v for k, v in benign().items() if k != "config.json"}, "config.json/": b""}),
        "is not complete",
    ),
    "name_with_a_nul": (lambda: packed({**benign(), "config.jsonx": b""}).replace(b".jsonx", b".json\0"), "NUL|damag"),
    "script_before_the_zip": (lambda: b"#!/bin/sh\n" + packed(benign()), "no model of Keras"),
    "HDF5_before_the_zip": (lambda: benign()["model.weights.h5"] + packed(benign()), "without an architecture"),
    "more_than_the_comment_may_be": (lambda: packed(benign()) + bytes(70_000), "damaged"),
    "directory_of_four_gigabytes": (
        lambda: (lambda data: data[:-10] + b"\xff" * 4 + data[-6:])(packed(benign())), "damaged",
    ),
    "configuration_that_is_no_text": (lambda: packed({**benign(), "config.json": b"\xff\xfe{}"}), "not text|not JSON"),
    "configuration_that_is_a_list": (lambda: packed({**benign(), "config.json": b"[1]"}), "does not describe a model"),
    "metadata_that_is_a_number": (lambda: packed({**benign(), "metadata.json": b"3"}), "names no keras_version"),
}  # fmt: skip


# ---- one value of a configuration that is not what it should be


def with_value(*path: Any, value: Any) -> str:
    """A functional model in which one value is replaced."""
    start = {"name": "i", "batch_input_shape": [None, 4]}
    dense = {"name": "d", "units": 3, "activation": "relu", "use_bias": True, "kernel_initializer": "zeros"}
    layers = [
        {**layer("InputLayer", start), "name": "i", "inbound_nodes": []},
        {**layer("Dense", dense), "name": "d", "inbound_nodes": [[["i", 0, 0, {}]]]},
    ]
    config = {"name": "m", "layers": layers, "input_layers": [["i", 0, 0]], "output_layers": [["d", 0, 0]]}
    data: dict[str, Any] = {"class_name": "Functional", "config": config}
    target: Any = data
    for key in path[:-1]:
        target = target[key]
    target[path[-1]] = value
    return json.dumps(data)


_D = ("config", "layers", 1)
VALUES: dict[str, tuple[str, str]] = {
    **{
        f"units_{text}": (with_value(*_D, "config", "units", value=value), "units must be|units")
        for text, value in {"minus": -1, "zero": 0, "text": "64", "true": True, "list": [3], "none": None, "half": 2.5,
                            "dict": {}}.items()
    },
    "units_of_terabytes": (with_value(*_D, "config", "units", value=10**12), "not enough memory"),
    "units_beyond_64_bits": (with_value(*_D, "config", "units", value=10**30), "not enough memory"),
    "name_that_is_a_list": (with_value(*_D, "name", value=["d"]), "the name of a layer"),
    "name_that_occurs_twice": (with_value(*_D, "name", value="i"), "two layers are named 'i'"),
    "config_that_is_text": (with_value(*_D, "config", value="x"), "the config of 'Dense'"),
    "activation_of_os": (with_value(*_D, "config", "activation", value="os.system"), "Unknown activation 'os.system'"),
    "activation_of_builtins": (with_value(*_D, "config", "activation", value="eval"), "Unknown activation 'eval'"),
    "initializer_that_is_code": (
        with_value(*_D, "config", "kernel_initializer", value="__import__('os')"), "Unknown initializer",
    ),
    "unknown_argument": (with_value(*_D, "config", "unitz", value=3), "unitz"),
    "private_argument": (with_value(*_D, "config", "__class__", value=3), "__class__"),
    "input_of_itself": (with_value(*_D, "inbound_nodes", value=[[["d", 0, 0, {}]]]), "inputs that no layer makes"),
    "input_that_does_not_exist": (with_value(*_D, "inbound_nodes", value=[[["q", 0, 0, {}]]]), "inputs that no layer"),
    "call_that_does_not_exist": (with_value(*_D, "inbound_nodes", value=[[["i", 9, 0, {}]]]), "inputs that no layer"),
    "output_that_does_not_exist": (with_value(*_D, "inbound_nodes", value=[[["i", 0, 9, {}]]]), "inputs that no layer"),
    "call_that_is_a_text": (with_value(*_D, "inbound_nodes", value="i"), "inbound_nodes"),
    "call_of_numbers": (with_value(*_D, "inbound_nodes", value=[[1, 2, 3]]), "cannot be read"),
    "layer_that_is_a_number": (with_value(*_D, value=3), "a layer is given as 3"),
    "layers_that_are_a_number": (with_value("config", "layers", value=3), "layers"),
    "output_layer_that_does_not_exist": (
        with_value("config", "output_layers", value=[["q", 0, 0]]), "Unknown tensor in output_layers",
    ),
    "no_outputs": (with_value("config", "output_layers", value=[]), "output_layers"),
    "shape_of_texts": (with_value("config", "layers", 0, "config", "batch_input_shape", value=["4"]), "shape"),
    "negative_shape": (with_value("config", "layers", 0, "config", "batch_input_shape", value=[None, -4]), "-4"),
    "class_that_is_a_list": (with_value(*_D, "class_name", value=["Dense"]), "Dense"),
    "class_that_is_a_method": (with_value(*_D, "class_name", value="Dense.__init__"), r"Unknown .*Dense.__init__"),
}  # fmt: skip
