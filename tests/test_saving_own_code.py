"""Files and code of their users: registered names, functions in place of bytecode, errors of layers, file objects."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import kcompile as keras
from kcompile import layers as L
from kcompile.models import Model, Sequential, load_model, model_from_json
from kcompile.objects import custom
from tests.saving_samples import assert_equal, saved, small

X = np.array([[1.0, -2.0, 3.0]], "float32")

# ---- names in packages


@pytest.fixture
def registry() -> Iterator[None]:
    before = dict(custom.get_custom_objects()), dict(custom._registered)
    yield
    for table, old in zip((custom.get_custom_objects(), custom._registered), before, strict=True):
        table.clear()  # type: ignore[attr-defined]
        table.update(old)  # type: ignore[attr-defined]


@pytest.mark.parametrize("save_format", ["h5", "keras", "tf_keras", "json"])
@pytest.mark.usefixtures("registry")
def test_registered_classes_and_functions_need_no_custom_objects(save_format: str) -> None:
    @keras.utils.register_keras_serializable("shop")
    class Scaled(L.Layer):
        def __init__(self, factor: float, **options: Any) -> None:
            super().__init__(**options)
            self.factor = factor

        def call(self, x: Any) -> Any:
            return x * self.factor

        def get_config(self) -> dict[str, Any]:
            return {**super().get_config(), "factor": self.factor}

    @keras.saving.register_keras_serializable("shop", name="error")
    def own_error(y_true: Any, y_pred: Any) -> Any:
        return keras.backend.abs(y_true - y_pred) * 3

    @keras.utils.register_keras_serializable()
    def halved(x: Any) -> Any:
        return x / 2

    model = Sequential([Scaled(2.0, input_shape=(3,)), L.Dense(2, activation=halved)])
    model.compile("sgd", own_error, metrics=[own_error])
    assert keras.utils.get_registered_name(Scaled) == "shop>Scaled"
    assert keras.saving.get_registered_object("shop>error") is own_error
    if save_format == "json":
        assert model_from_json(model.to_json()).layers[0].factor == 2
        return
    content = saved(model, save_format=save_format)
    again = load_model(content)
    assert_equal(again.predict(X), model.predict(X))
    y = np.ones((1, 2), "float32")
    assert again.evaluate(X, y, verbose=0) == model.evaluate(X, y, verbose=0)
    if save_format == "h5":
        with h5py.File(io.BytesIO(content)) as file:
            config = json.loads(file.attrs["model_config"])
        assert "shop>Scaled" in [layer["class_name"] for layer in config["config"]["layers"]]
    else:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            layers = json.loads(archive.read("config.json"))["config"]["layers"]
        assert ("Scaled", "shop>Scaled") in [(each["class_name"], each["registered_name"]) for each in layers]


# ---- functions stored as bytecode


class Tripled(L.Layer):
    def call(self, x: Any) -> Any:
        return x * 3


REPLACEMENTS: list[tuple[dict[str, Any], float]] = [
    ({"Lambda": Tripled}, 3.0),
    ({"twice": Tripled}, 3.0),
    ({"twice": lambda x: x * 4}, 4.0),
]


@pytest.mark.parametrize("save_format", ["h5", "keras"])
@pytest.mark.filterwarnings("ignore:.*is saved as bytecode")
def test_a_lambda_whose_code_is_refused_can_be_given(save_format: str) -> None:
    model = Sequential([L.Lambda(lambda x: x * 2, input_shape=(3,), name="twice"), L.Activation("linear")])
    content = saved(model, save_format=save_format)
    with pytest.raises(ValueError, match=r"'twice'.*safe_mode=False.*custom_objects=\{'twice': twice\}"):
        load_model(content)
    for custom_objects, factor in REPLACEMENTS:
        again = load_model(content, custom_objects=custom_objects)
        assert again.layers[0].name == "twice"
        np.testing.assert_array_equal(again.predict(X), X * factor)
    np.testing.assert_array_equal(load_model(content, safe_mode=False).predict(X), X * 2)


@pytest.mark.filterwarnings("ignore:.*is saved as bytecode")
def test_bytecode_that_the_caller_allows_sees_custom_objects() -> None:
    def squared(x: Any) -> Any:
        return x * x

    namespace: dict[str, Any] = {"L": L, "squared": squared}
    layer = eval("L.Lambda(lambda x: squared(x), input_shape=(3,))", namespace)
    again = load_model(saved(Sequential([layer])), custom_objects={"squared": squared}, safe_mode=False)
    np.testing.assert_array_equal(again.predict(X), X * X)


# ---- errors of the user's own code


def failing(method: str) -> type:
    """A layer class ``Own`` of which one method fails; none: it works."""

    class Own(L.Layer):
        def __init__(self, **options: Any) -> None:
            super().__init__(**options)
            self.fail("__init__")

        def fail(self, here: str) -> None:
            if here == method:
                raise TypeError("of mine") if here == "__init__" else LookupError("of mine")

        def build(self, input_shape: Any) -> None:
            self.fail("build")

        def call(self, x: Any) -> Any:
            self.fail("call")
            return x

    return Own


class Settings:
    factor = 2


def test_what_bytecode_reads_and_the_file_does_not_hold_is_asked_for() -> None:
    scope: dict[str, Any] = {"settings": Settings()}
    exec("function = lambda t: t * settings.factor", scope)  # reads a module's variable, as in a script
    with pytest.warns(RuntimeWarning, match="settings"):
        content = Sequential([L.Lambda(scope["function"], input_shape=(3,), name="times")]).to_json()
    with pytest.raises(ValueError, match=r"reads 'settings', .*custom_objects=\{'settings': settings\}"):
        model_from_json(content, safe_mode=False)
    again = model_from_json(content, safe_mode=False, custom_objects={"settings": Settings()})
    np.testing.assert_array_equal(again.predict(X), 2 * X)


@pytest.mark.parametrize("method", ["__init__", "build", "call"])
@pytest.mark.parametrize("save_format", ["h5", "keras"])
def test_errors_of_a_layer_are_its_own(method: str, save_format: str) -> None:
    content = saved(Sequential([failing("")(input_shape=(3,), name="mine")]), save_format=save_format)
    with pytest.raises(ValueError, match=r"layer 'mine' \(Own\), in .*the user's own code.*of mine") as caught:
        load_model(content, custom_objects={"Own": failing(method)})
    assert type(caught.value.__cause__) is (TypeError if method == "__init__" else LookupError)


# ---- file objects


def test_open_files(tmp_path: Path) -> None:
    """Whatever is open: HDF5 files and groups, binary files, buffers; wherever they were read to before."""
    model, other = small(), small(2)
    model.compile("sgd", "mse")
    with h5py.File(tmp_path / "a.h5", "w") as file:
        model.save(file.create_group("model"))
        model.save_weights(file.create_group("weights"))
        with pytest.raises(ValueError, match=r"'/model'.*'model_weights' already.*create_group"):
            model.save(file["model"])
    with h5py.File(tmp_path / "a.h5", "r") as file:
        assert load_model(file["model"]).optimizer is not None
        other.load_weights(file["weights"])
        with pytest.raises(ValueError, match="open for reading only"):
            model.save_weights(file)
    for write in (load_model, other.load_weights):
        with pytest.raises(ValueError, match=r"closed.*open it again"):
            write(file)
    for save_format in ("h5", "keras"):
        with open(tmp_path / f"b.{save_format}", "w+b") as stream:
            model.save(stream, save_format=save_format)
            assert_equal(load_model(stream).get_weights(), model.get_weights())
            other.load_weights(stream)
    model.save_weights(tmp_path / "c.weights.h5")
    with open(tmp_path / "c.weights.h5", "rb") as stream:
        other.load_weights(stream)
        content = (tmp_path / "c.weights.h5").read_bytes()
    other.load_weights(memoryview(content))
    assert_equal(other.get_weights(), model.get_weights())


class Full(io.RawIOBase):
    """A file object with room for a few bytes, of which it takes few at a time."""

    def __init__(self, room: int) -> None:
        self.room, self.taken = room, b""

    def write(self, data: Any) -> int:
        if len(self.taken) >= self.room:
            raise OSError(28, "No space left on device")
        self.taken += bytes(data[:1000])
        return len(data[:1000])


REFUSING: list[tuple[Callable[[], Any], type, str]] = [
    (lambda: Full(5000), OSError, r"at least 5000 of \d+ bytes.*No space left.*is lost; save to a path"),
    (io.StringIO, TypeError, "binary file object.*mode 'wb'"),
    (lambda: open(__file__, "rb"), ValueError, "nothing can be written.*mode 'wb'"),  # noqa: SIM115 - closed at the end
    (lambda: 3, TypeError, "a path or a binary file object"),
]


@pytest.mark.parametrize(("make", "kind", "words"), REFUSING)
def test_file_objects_that_do_not_take_all(make: Callable[[], Any], kind: type, words: str) -> None:
    for write in (small().save, small().save_weights):
        with pytest.raises(kind, match=words):
            write(make())
    whole = Full(10**9)
    small().save(whole)
    assert_equal(load_model(whole.taken).get_weights(), small().get_weights())


@pytest.mark.parametrize("name", ["a.h5", "a.keras", "a.weights.h5"])
def test_a_name_that_no_file_can_hold(tmp_path: Path, name: str) -> None:
    model = Sequential([L.Dense(1, input_shape=(1,), name="a\0b")])
    with pytest.raises(ValueError, match=r"layer 'a\\x00b'.*its name"):
        (model.save_weights if "weights" in name else model.save)(tmp_path / name)


@pytest.mark.parametrize("save_format", ["h5", "keras", "tf_keras"])
def test_a_model_compiled_without_a_loss(save_format: str) -> None:
    model: Model = small()
    model.compile("rmsprop")
    again = load_model(saved(model, save_format=save_format))
    assert type(again.optimizer) is keras.optimizers.RMSprop
    assert again.loss is None
