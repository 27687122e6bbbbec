"""What tracebacks keep: whatever a user wrote, and what they caught; bugs of kcompile whole."""

from __future__ import annotations

import pickle
import traceback
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import kcompile as keras
from kcompile import backend as K
from kcompile import layers as L
from kcompile.common import tracebacks

X, Y = np.zeros((8, 10), "float32"), np.zeros((8, 1), "float32")


def fit(loss: Any = "mse", **options: Any) -> None:
    model = keras.Sequential([L.Dense(1, input_shape=(10,))])
    model.compile("sgd", loss, metrics=options.pop("metrics", None))
    model.fit(X, Y, verbose=0, **options)


def implicit(y_true: Any, y_pred: Any) -> Any:
    try:
        return {}["first"]
    except KeyError:
        raise LookupError("second")  # noqa: B904


def explicit(y_true: Any, y_pred: Any) -> Any:
    try:
        return {}["first"]
    except KeyError as error:
        raise LookupError("second") from error


def by_numpy(y_true: Any, y_pred: Any) -> Any:
    return np.concatenate([np.ones(2), np.ones((2, 2))])


def group(y_true: Any, y_pred: Any) -> Any:
    raise ExceptionGroup("two", [ValueError("one"), TypeError("other")])


class Predicting(keras.callbacks.Callback):
    """Catches an error of kcompile's, and raises one of its own."""

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        try:
            self.model.predict(X[0])
        except ValueError as error:
            raise RuntimeError("no prediction") from error


class OneArgument(keras.callbacks.Callback):
    def on_epoch_end(self, epoch: int) -> None:  # type: ignore[override]
        pass


class Recursive(L.Layer):
    def call(self, inputs: Any) -> Any:
        return self.again(inputs)

    def again(self, inputs: Any) -> Any:
        return self.again(inputs)


class Wrong(L.Layer):
    """A layer of the user's whose line is to be shown, whatever it calls."""

    def call(self, inputs: Any, mistake: Any = None) -> Any:
        return mistake(self, inputs)


class Subclass(keras.Model):
    def call(self, inputs: Any) -> Any:
        return inputs


class NoArgument(L.Layer):
    def call(self) -> Any:  # type: ignore[override]
        pass


class Broken(keras.utils.Sequence):
    def __len__(self) -> int:
        return 2

    def __getitem__(self, index: int) -> Any:
        raise KeyError("no such file")


def wrong(mistake: Callable[[Any, Any], Any]) -> Callable[[], Any]:
    return lambda: Wrong()(L.Input((3,)), mistake=mistake)


CASES: dict[str, tuple[Callable[[], Any], list[str], list[str]]] = {
    "during handling": (lambda: fit(implicit), ["fit", "implicit"], ["LookupError", "KeyError"]),
    "raise from": (lambda: fit(explicit), ["fit", "explicit"], ["LookupError", "KeyError"]),
    "a group": (lambda: fit(group), ["fit", "group"], ["ExceptionGroup"]),
    "an error of ours as a cause": (
        lambda: fit(callbacks=[Predicting()]), ["fit", "on_epoch_end"], ["RuntimeError", "ShapeError"],
    ),
    "data": (
        lambda: keras.models.clone_model(keras.Sequential([L.Dense(1, input_shape=(10,))])).predict(Broken()),
        ["__getitem__"], ["KeyError"],
    ),
    "shapes that K cannot join": (
        wrong(lambda self, x: K.dot(x, K.zeros((7, 2)))), ["call", "<lambda>"], ["ShapeError"],
    ),
    "a truth value": (wrong(lambda self, x: x if x > 0 else -x), ["call", "<lambda>"], ["DataTypeError"]),
    "an index": (wrong(lambda self, x: x[:, 5]), ["call", "<lambda>"], ["PlaceError"]),
    "an attribute": (wrong(lambda self, x: x * self.kernel), ["call", "<lambda>"], ["AbsentError"]),
    "a method of a tensor": (wrong(lambda self, x: x.mean()), ["call", "<lambda>"], ["AbsentError"]),
    "a library that a user's function calls": (lambda: fit(by_numpy), ["fit", "by_numpy"], ["ValueError"]),
    "what subclasses do not have": (lambda: Subclass().to_json(), [], ["NotImplementedError"]),
    "arguments of a loss": (lambda: fit(lambda y_pred: y_pred), ["fit"], ["TypeError"]),
    "arguments of a metric": (lambda: fit(metrics=[lambda y_pred: y_pred]), ["fit"], ["TypeError"]),
    "arguments of a callback": (lambda: fit(callbacks=[OneArgument()]), ["fit"], ["TypeError"]),
    "arguments of call": (lambda: NoArgument()(L.Input((3,))), [], ["TypeError"]),
    "arguments of an initializer": (lambda: L.Dense(3, kernel_initializer=lambda: 1)(L.Input((3,))), [], ["TypeError"]),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_what_users_wrote_and_caught_is_shown(name: str) -> None:
    action, functions, chain = CASES[name]
    with pytest.raises(Exception) as caught:  # noqa: PT011
        action()
    error: BaseException | None = caught.value
    frames = traceback.extract_tb(caught.tb)
    doors = [frame.name for frame in frames if frame.filename.startswith(tracebacks._PACKAGE)]
    assert [frame.name for frame in frames if frame.filename == __file__][2:] == functions
    assert doors == ["door"]
    others = [frame for frame in frames if frame.filename not in (__file__, tracebacks.__file__)]
    assert all(np.__path__[0] in frame.filename for frame in others)
    found = []
    while error is not None:
        found.append(type(error).__name__)
        inner = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.name not in ("door", "called")]
        assert all(frame.filename == __file__ for frame in inner)
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    assert found == chain


def test_endless_recursion_is_shown_as_such() -> None:
    with pytest.raises(RecursionError) as caught:
        Recursive()(L.Input((3,)))
    assert caught.value.__context__ is None
    frames = traceback.extract_tb(caught.tb)
    assert {frame.name for frame in frames[3:]} == {"again"}
    assert len(frames) > 100


def test_bugs_of_an_installed_package_keep_their_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracebacks, "_LIBRARIES", (tracebacks._PACKAGE,))  # as in site-packages
    monkeypatch.setattr("kcompile.engine.node.InputSpec.check", int)  # takes no tensors
    with pytest.raises(TypeError) as caught:
        L.Dense(3)(L.Input((3,)))
    assert "_check" in [frame.name for frame in traceback.extract_tb(caught.tb)]
    # Also calls with wrong arguments, of functions that are not a user's.
    assert not tracebacks._wrong_call_of_the_user(
        TypeError("Dense.build() missing 1 required positional argument: 'x'")
    )
    assert tracebacks._wrong_call_of_the_user(TypeError("Mine.build() missing 1 required positional argument: 'x'"))


def test_errors_about_attributes_can_be_pickled() -> None:
    with pytest.raises(AttributeError) as caught:
        L.Input((3,)).mean()
    again = pickle.loads(pickle.dumps(caught.value))
    assert type(again) is type(caught.value)
    assert str(again) == str(caught.value)
    assert "use K.mean" in str(again)
