"""``.keras`` archives, JSON and YAML that ask for what no model needs. ``CASES``: name -> (builder, its refusal).

Builders of ``ARCHIVES`` return the bytes of an archive, those of ``TEXTS`` the text of a configuration.
"""

from __future__ import annotations

import base64
import functools
import io
import json
import marshal
import pickle
import warnings
import zipfile
from collections.abc import Callable
from typing import Any

import h5py
import numpy as np

from kcompile import layers as L
from kcompile.models import Sequential
from kcompile.saving.archive.archives import archive_bytes

Builder = Callable[[], Any]
ARCHIVES: dict[str, tuple[Builder, str]] = {}
TEXTS: dict[str, tuple[Builder, str]] = {}


def _adding(table: dict[str, tuple[Builder, str]]) -> Callable[[str], Callable[[Any], Any]]:
    def hostile(refusal: str) -> Callable[[Any], Any]:
        """Add a builder, with the pattern of the sentence that its file must get."""

        def add(build: Any) -> Any:
            table[build.__name__] = build, refusal
            return build

        return add

    return hostile


archive, text = _adding(ARCHIVES), _adding(TEXTS)


# ---- a good one, and how to change it


@functools.cache
def benign() -> dict[str, bytes]:
    """The members of the archive that all others begin with."""
    model = Sequential([L.Dense(4, input_shape=(4,), name="dense", use_bias=False)], name="model")
    model.compile("adam", "mse")
    model.train_on_batch(np.ones((1, 4)), np.ones((1, 4)))
    with zipfile.ZipFile(io.BytesIO(archive_bytes(model))) as file:
        return {name: file.read(name) for name in file.namelist()}


def packed(members: Any, **options: Any) -> bytes:
    """A zip of names (or entries) and bytes."""
    buffer = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(buffer, "w", **options) as file:
        warnings.simplefilter("ignore")
        for name, data in members.items() if isinstance(members, dict) else members:
            file.writestr(name, data)
    return buffer.getvalue()


def with_config(change: Callable[[Any], Any]) -> bytes:
    """With ``config.json`` changed in place, or replaced by what ``change`` returns."""
    config = json.loads(benign()["config.json"])
    changed = change(config)
    data = changed if isinstance(changed, bytes) else json.dumps(changed or config).encode()
    return packed({**benign(), "config.json": data})


def with_layer(entry: Any) -> bytes:
    """With another layer at the end."""
    return with_config(lambda config: config["config"]["layers"].append(entry))


def with_weights(change: Callable[[Any], None]) -> bytes:
    buffer = io.BytesIO(benign()["model.weights.h5"])
    with h5py.File(buffer, "r+") as file:
        change(file)
    return packed({**benign(), "model.weights.h5": buffer.getvalue()})


def layer(name: str, config: Any, module: str = "keras.layers", **more: Any) -> dict[str, Any]:
    return {"module": module, "class_name": name, "config": config, "registered_name": None, **more}


def bytecode() -> dict[str, Any]:
    """A function that would leave a trace."""
    code = marshal.dumps((lambda x: open("/tmp/kcompile-was-here", "w")).__code__)  # noqa: SIM115 - never run
    return {"class_name": "__lambda__", "config": {"value": base64.b64encode(code).decode(), "defaults": None}}


# ---- code


@archive("bytecode.*safe_mode=False.*custom_objects")
def lambda_bytecode() -> bytes:
    return with_layer(layer("Lambda", {"name": "evil", "function": bytecode()}))


@archive("bytecode.*safe_mode=False")
def lambda_bytecode_of_keras_2() -> bytes:
    code = bytecode()["config"]["value"]
    return with_layer(layer("Lambda", {"name": "evil", "function": [code, None, None], "function_type": "lambda"}))


@archive("bytecode.*safe_mode=False")
def lambda_that_allows_itself() -> bytes:
    return with_layer(layer("Lambda", {"function": bytecode(), "safe_mode": False}, safe_mode=False))


@archive("bytecode.*safe_mode=False")
def bytecode_in_a_regularizer() -> bytes:
    return with_layer(layer("Dense", {"units": 2, "kernel_regularizer": bytecode()}))


@archive("os.mkdir")
def function_of_a_module() -> bytes:
    function = {"module": "os", "class_name": "function", "config": "mkdir", "registered_name": "mkdir"}
    return with_layer(layer("Lambda", {"name": "evil", "function": function}))


@archive("os.system")
def activation_of_a_module() -> bytes:
    activation = {"module": "os", "class_name": "function", "config": "system", "registered_name": "system"}
    return with_layer(layer("Dense", {"units": 2, "activation": activation}))


@archive("subprocess.Popen")
def class_of_a_module() -> bytes:
    return with_layer(layer("Popen", {"args": ["touch", "/tmp/kcompile-was-here"]}, module="subprocess"))


@archive("somewhere.Dense")
def class_that_shares_a_name() -> bytes:
    return with_layer(layer("Dense", {"units": 2}, module="somewhere"))


@archive("get_file")
def gadget_that_downloads() -> bytes:
    function = {"module": "keras.utils", "class_name": "function", "config": "get_file", "registered_name": "get_file"}
    return with_layer(layer("Lambda", {"name": "evil", "function": function, "arguments": {"origin": "http://[::1]/"}}))


@archive("set_floatx")
def gadget_of_global_state() -> bytes:
    function = {"module": "keras.config", "class_name": "function", "config": "set_floatx", "registered_name": "x"}
    return with_layer(layer("Lambda", {"name": "evil", "function": function}))


@archive("enable_unsafe_deserialization")
def gadget_that_disables_the_safe_mode() -> bytes:
    name = "enable_unsafe_deserialization"
    function = {"module": "keras.config", "class_name": "function", "config": name, "registered_name": name}
    return with_layer(layer("Activation", {"activation": function}))


@archive("TorchModuleWrapper")
def foreign_module_in_a_pickle() -> bytes:
    module = base64.b64encode(pickle.dumps(print)).decode()
    return with_layer(layer("TorchModuleWrapper", {"module": module}))


@archive("TFSMLayer")
def saved_model_from_a_path() -> bytes:
    return with_layer(layer("TFSMLayer", {"filepath": "/etc"}))


@archive("StringLookup")
def vocabulary_from_a_path() -> bytes:
    return with_layer(layer("StringLookup", {"vocabulary": "/etc/passwd"}))


def schedule_of_unknown_class() -> bytes:
    def change(config: Any) -> None:
        config["compile_config"]["optimizer"]["config"]["learning_rate"] = layer("Evil", {}, "os")

    members = {**benign(), "metadata.json": b'{"keras_version": "3.8.0"}'}
    config = json.loads(members["config.json"])
    change(config)
    return packed({**members, "config.json": json.dumps(config).encode()})


@archive("npz")
def weights_as_a_pickle() -> bytes:
    members = {name: data for name, data in benign().items() if name != "model.weights.h5"}
    return packed({**members, "model.weights.npz": pickle.dumps(print)})


# ---- the archive


@archive("leaves the archive's folder")
def member_that_leaves_its_folder() -> bytes:
    return packed({**benign(), "../outside": b"x"})


@archive("absolute path")
def member_with_an_absolute_path() -> bytes:
    return packed({**benign(), "/tmp/outside": b"x"})


@archive("absolute path")
def member_with_backslashes() -> bytes:
    return packed({**benign(), "..\\outside": b"x"}).replace(b"../outside", b"..\\outside")


@archive("is a link or device")
def member_that_is_a_link() -> bytes:
    entry = zipfile.ZipInfo("assets/passwords")
    entry.external_attr = 0o120777 << 16
    return packed([*benign().items(), (entry, b"/etc/passwd")])


@archive("twice")
def member_that_occurs_twice() -> bytes:
    return packed([*benign().items(), ("config.json", b"{}")])


@archive("is encrypted")
def member_that_is_encrypted() -> bytes:
    data = bytearray(packed(benign()))
    for signature, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(signature) + place] |= 1
    return bytes(data)


@archive("packed in a way")
def member_in_another_compression() -> bytes:
    return packed(benign(), compression=zipfile.ZIP_LZMA)


@archive("overlaps")
def members_that_overlap() -> bytes:
    data = bytearray(packed(benign()))
    second = data.index(b"PK\x01\x02", data.index(b"PK\x01\x02") + 4)
    data[second + 42 : second + 46] = (0).to_bytes(4, "little")
    return bytes(data)


@archive("members, more than")
def too_many_members() -> bytes:
    return packed({**benign(), **{f"assets/{i}": b"" for i in range(10_001)}})


@archive("declare")
def bomb_of_weights() -> bytes:
    members = {**benign(), "model.weights.h5": bytes(200 * 2**20)}
    return packed(members, compression=zipfile.ZIP_DEFLATED, compresslevel=9)


@archive("16.0 MiB")
def bomb_of_a_configuration() -> bytes:
    return packed({**benign(), "config.json": b" " * (40 * 2**20)}, compression=zipfile.ZIP_DEFLATED)


@archive("damaged zip archive")
def member_longer_than_it_says() -> bytes:
    data = bytearray(packed(benign(), compression=zipfile.ZIP_DEFLATED))
    for signature, place in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        start = data.index(signature)
        data[start + place : start + place + 4] = (10).to_bytes(4, "little")
    return bytes(data)


@archive("damaged|cut off")
def cut_off() -> bytes:
    return packed(benign())[:-200]


@archive("it is not complete")
def without_a_configuration() -> bytes:
    return packed({name: data for name, data in benign().items() if name != "config.json"})


@archive("keras_version")
def without_a_version() -> bytes:
    return packed({**benign(), "metadata.json": b"[]"})


# ---- weights


@archive("external")
def weights_elsewhere() -> bytes:
    def change(file: Any) -> None:
        del file["layers/dense/vars/0"]
        file["layers/dense/vars/0"] = h5py.ExternalLink("/etc/passwd", "/x")

    return with_weights(change)


@archive("stor")
def weights_in_a_file_outside() -> bytes:
    def change(file: Any) -> None:
        del file["layers/dense/vars/0"]
        file["layers/dense/vars"].create_dataset("0", (4, 4), "f4", external=[("/etc/passwd", 0, 64)])

    return with_weights(change)


@archive("declares|stored")
def weights_that_are_not_there() -> bytes:
    def change(file: Any) -> None:
        del file["layers/dense/vars/0"]
        file["layers/dense/vars"].create_dataset("0", (2**20, 2**20), "f4", chunks=(1024, 1024))

    return with_weights(change)


@archive("weights")
def configuration_that_asks_for_terabytes() -> bytes:
    def change(config: Any) -> None:
        config["config"]["layers"][-1]["config"]["units"] = 2**40

    return with_config(change)


@archive("named 0, 1")
def weights_under_other_names() -> bytes:
    def change(file: Any) -> None:
        file.move("layers/dense/vars/0", "layers/dense/vars/5")

    return with_weights(change)


@archive("does not fit")
def weights_of_another_shape() -> bytes:
    def change(file: Any) -> None:
        del file["layers/dense/vars/0"]
        file["layers/dense/vars/0"] = np.zeros((4, 5), "f4")

    return with_weights(change)


@archive("state of the optimizer|elements")
def optimizer_state_of_texts() -> bytes:
    def change(file: Any) -> None:
        del file["optimizer/vars/2"]
        file["optimizer/vars/2"] = "text"

    return with_weights(change)


# ---- configurations: each also as text


def _nested(depth: int) -> dict[str, Any]:
    config: dict[str, Any] = {"name": "inner", "layers": [layer("Dense", {"units": 2, "name": "d"})]}
    for number in range(depth):
        config = {"name": f"m{number}", "layers": [layer("Sequential", config, "keras")]}
    return {"class_name": "Sequential", "config": config}


def as_both(refusal: str) -> Callable[[Any], Any]:
    """A configuration, in an archive and as text."""

    def add(build: Any) -> Any:
        name = build.__name__
        TEXTS[name] = build, refusal
        ARCHIVES[f"archive_with_{name}"] = lambda: packed({**benign(), "config.json": build().encode()}), refusal
        return build

    return add


@as_both("64 levels")
def json_nested_too_deep() -> str:
    return "[" * 200_000


@as_both("64 levels")
def models_nested_too_deep() -> str:
    return json.dumps(_nested(40))


@as_both("twice")
def key_that_occurs_twice() -> str:
    return '{"class_name": "Sequential", "class_name": "Functional", "config": {"layers": []}}'


@as_both("digits")
def number_with_a_million_digits() -> str:
    return '{"class_name": "Sequential", "config": {"layers": [], "x": ' + "1" * 10**6 + "}}"


@as_both("NaN")
def not_a_number() -> str:
    return '{"class_name": "Sequential", "config": {"name": NaN, "layers": []}}'


@as_both("not JSON")
def no_json() -> str:
    return "import os"


@as_both("inputs that no layer makes")
def calls_in_a_circle() -> str:
    entries = [
        {**layer("Dense", {"units": 2, "name": a}), "name": a, "inbound_nodes": [[[b, 0, 0, {}]]]}
        for a, b in ("ab", "ba")
    ]
    config = {"name": "m", "layers": entries, "input_layers": [["a", 0, 0]], "output_layers": [["b", 0, 0]]}
    return json.dumps({"class_name": "Functional", "config": config})


@as_both("must be a positive|must be an integer|at least 1")
def negative_units() -> str:
    layers = [layer("InputLayer", {"batch_shape": [None, 2], "name": "i"}), layer("Dense", {"units": -1})]
    return json.dumps({"class_name": "Sequential", "config": {"name": "m", "layers": layers}})


@as_both("config of")
def configuration_that_is_a_number() -> str:
    return json.dumps({"class_name": "Sequential", "config": {"name": "m", "layers": [layer("Dense", 5)]}})


@as_both("Unknown classes or functions: 'Foo', 'Bar'")
def classes_that_nobody_knows() -> str:
    layers = [layer("Foo", {}, "my"), layer("Bar", {}, "my")]
    return json.dumps({"class_name": "Sequential", "config": {"name": "m", "layers": layers}}).replace("my", "builtins")


# ---- YAML


YAML: dict[str, tuple[str, str]] = {
    "object": ("!!python/object/apply:os.system ['touch /tmp/kcompile-was-here']", "tag.*os.system"),
    "name": ("!!python/name:os.system ''", "tag"),
    "module": ("!!python/module:antigravity ''", "tag"),
    "aliases": (
        "a: &a [x,x,x,x,x,x,x,x,x]\n"
        + "".join(f"{b}: &{b} [{','.join([f'*{a}'] * 9)}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)),
        "values that are allowed",
    ),
    "merges": (
        "a: &a {k: 1}\n"
        + "".join(
            f"{b}: &{b} {{<<: [{','.join([f'*{a}'] * 9)}]}}\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)
        ),
        "merge key",
    ),
    "deep": ("[" * 100_000, "64 levels"),
    "deep_map": ("{a: " * 100_000, "64 levels"),
    "deep_quoted": ('["a]", ' * 100_000, "64 levels"),
    "deep_commented": ("[ # ]\n" * 100_000, "64 levels"),
    "deep_dashes": ("- " * 100_000, "64 levels"),
    "deep_questions": ("? " * 100_000, "64 levels"),
    "deep_block": ("".join(" " * i + "-\n" for i in range(100)), "64 levels"),
    "circle": ("&a [*a]", "recursive|itself"),
    "twice": ("{class_name: Sequential, class_name: Model}", "twice"),
    "set": ("!!set {a}", "tag"),
    "binary": ("!!binary aGk=", "tag"),
    "digits": ("x: " + "1" * 10**6, "digits"),
    "keys": ("? [a]\n: b", "key"),
    "two_documents": ("a: 1\n---\nb: 2", "not YAML"),
    "control_characters": ("a: \x00", "not YAML"),
}
