"""What is found by name: the tables of all families, what is ours and what a user's, and custom objects by thread."""

import importlib
import pkgutil
import subprocess
import sys
import threading

import pytest

import kcompile as keras
from kcompile import constraints, initializers, losses, optimizers, regularizers
from kcompile.engine.layer import Layer
from kcompile.objects.registry import HOMES, find, is_ours, kind_of, known, our_base, users_own
from kcompile.utils import CustomObjectScope, custom_object_scope, get_custom_objects, register_keras_serializable

BASES = (
    Layer, losses.Loss, optimizers.Optimizer, initializers.Initializer, regularizers.Regularizer,
    constraints.Constraint,
)  # fmt: skip

# ---- ours or a user's


def test_every_class_of_a_family_is_ours() -> None:
    """What is derived inside the package is registered, or claimed: else it would be treated as a user's own."""
    checked = 0
    for found in pkgutil.walk_packages(keras.__path__, "kcompile."):
        if "scripts" in found.name or found.name.endswith("__main__"):
            continue
        for cls in vars(importlib.import_module(found.name)).values():
            if isinstance(cls, type) and issubclass(cls, BASES) and cls.__module__ == found.name:
                assert is_ours(cls), cls
                checked += 1
    assert checked > 200


@pytest.mark.parametrize("kind", HOMES)
def test_a_kind_is_loaded_when_it_is_asked_for(kind: str) -> None:
    code = f"from kcompile.objects.registry import known; assert known({kind!r}); print(len(known({kind!r})))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) == len(known(kind))


def test_a_users_own() -> None:
    class Mixin:
        def compute_mask(self, inputs, mask=None):
            return mask

    class Mine(Mixin, keras.layers.Dense):
        def call(self, inputs):
            return super().call(inputs)

    class Named(Mine):
        pass

    assert [is_ours(cls) for cls in (Named, Mine, Mixin, keras.layers.Dense, Layer, object)] == [False] * 3 + [
        True
    ] * 2 + [False]
    assert our_base(Named) is keras.layers.Dense
    assert users_own(Named, "call")
    assert users_own(Named, "compute_mask")
    assert not users_own(Named, "build")
    assert not users_own(keras.layers.Dense, "call")
    assert not users_own(Named, "nothing")
    assert kind_of(keras.layers.Dense) == "layer"
    assert kind_of(keras.metrics.AUC) == "metric"
    assert kind_of(Mine) is None
    assert kind_of("Dense") is None
    assert is_ours(keras.losses.mse)
    assert not is_ours(test_a_users_own)
    assert not is_ours([])
    assert find("K", "backend") is keras.backend


# ---- custom objects


def test_scopes_of_two_threads_do_not_meet() -> None:
    """Each sees its own, however their beginnings and ends fall; a process-wide table would lose one of them."""
    both_in, first_out, errors = threading.Barrier(2, timeout=20), threading.Event(), []

    def use(number: int) -> None:
        def mine(y_true, y_pred):
            return y_pred * number

        try:
            with custom_object_scope({"mine": mine}):
                both_in.wait()
                assert keras.losses.get("mine") is mine
                if number == 1:
                    first_out.wait(20)
                assert keras.losses.get("mine") is mine
                assert get_custom_objects()["mine"] is mine
            first_out.set()
            assert "mine" not in get_custom_objects()
        except BaseException as error:
            errors.append(error)
            first_out.set()
            raise

    threads = [threading.Thread(target=use, args=(number,)) for number in (1, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    assert "mine" not in get_custom_objects()


def test_the_dictionary_is_of_the_program_outside_and_of_the_scope_inside() -> None:
    """As in Keras 2.3: what is changed within a scope is forgotten at its end."""
    outside = get_custom_objects()
    one, two, three, four = (lambda y_true, y_pred: y_pred for _ in range(4))
    outside["one"] = one
    try:
        with CustomObjectScope({"two": two}):
            assert get_custom_objects()["one"] is one
            get_custom_objects()["three"] = three
            get_custom_objects()["one"] = two
            outside["four"] = four  # for the whole program, and so here too
            found = [keras.losses.get(name) for name in ("one", "two", "three", "four")]
            with CustomObjectScope({"two": one}):
                assert keras.losses.get("two") is one
                assert keras.losses.get("three") is three
            assert keras.losses.get("two") is two
        assert found == [two, two, three, four]
        assert get_custom_objects() is outside
        assert outside == {"one": one, "four": four}
    finally:
        outside.clear()


def test_what_is_registered_within_a_scope_stays() -> None:
    try:
        with CustomObjectScope({}):

            @register_keras_serializable("shop")
            def error(y_true, y_pred):
                return y_pred

            assert keras.losses.get("shop>error") is error
        assert keras.losses.get("shop>error") is error
    finally:
        get_custom_objects().pop("shop>error")
