"""Models and layers from their configurations, of any version of Keras."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from typing import Any

from kcompile.common import loading, ways
from kcompile.common.errors import DataTypeError, KCompileError, shown
from kcompile.ir.errors import IRError
from kcompile.objects.custom import CustomObjectScope
from kcompile.objects.dialects import conventions
from kcompile.objects.dialects.conventions import Convention
from kcompile.objects.dialects.lambdas import of_stored_code
from kcompile.objects.dialects.reader import convention_of, upgraded
from kcompile.objects.making import made_from
from kcompile.objects.registry import known
from kcompile.objects.structure import check_structure
from kcompile.objects.user_code import culprit


def model_from_config(
    config: Any,
    custom_objects: Mapping[str, Any] | None = None,
    keras_version: str | None = None,
    safe_mode: bool = True,
    own: bool = False,
) -> Any:
    """A new model (or layer), with fresh weights, from the configuration of any version of Keras.

    Args:
        config: ``{"class_name": ..., "config": ...}``.
        custom_objects: classes and functions by name, besides those of Keras.
        keras_version: the version that wrote it, where the file tells; else the configuration itself shows it.
        safe_mode: refuse functions stored as Python bytecode. Only the caller can allow them, never a file.
        own: whether kcompile wrote it, whatever version it names.

    Raises:
        ValueError: classes that are not known (all in one sentence), functions as bytecode, arguments that no layer
            here has, calls that do not fit together, or a structure beyond :mod:`kcompile.common.limits`.
        TypeError: not a dict.
    """
    if isinstance(config, list):
        raise DataTypeError(
            "model_from_config takes {'class_name': ..., 'config': ...}, got a list; Sequential.from_config reads the "
            "list of layers that Keras 1 wrote"
        )
    if not isinstance(config, Mapping) or not isinstance(config.get("class_name"), str):
        raise DataTypeError(
            f"the configuration of a model is a dict with 'class_name' and 'config', got {shown(config)}"
        )
    convention = None if own else convention_of(config, keras_version)
    with reading("the configuration does not describe a model", convention):
        return build(read(config, custom_objects, keras_version, safe_mode, "layer"), custom_objects)


_FAULTS = (
    ArithmeticError, AssertionError, AttributeError, LookupError, MemoryError, RuntimeError, TypeError, ValueError,
)  # fmt: skip


@contextlib.contextmanager
def sentences(problem: str) -> Iterator[None]:
    """Whatever goes wrong inside, as our error: in a configuration anything can stand where a layer expects a number.

    Raises:
        ValueError: ``problem``, and the reason.
    """
    try:
        yield
    except (KCompileError, NotImplementedError):
        raise
    except IRError as error:
        raise KCompileError(f"{problem}: {_one_line(error)}") from error
    except NameError as error:
        if culprit(error) is not None or not error.name or not of_stored_code(error):
            raise
        raise KCompileError(
            f"{problem}: a function in it reads {error.name!r}, which it does not hold; "
            f"give that as {ways.to_give(error.name)}"
        ) from error
    except _FAULTS as error:
        if (owner := culprit(error)) is not None:
            raise KCompileError(
                f"{owner}, which is the user's own code, raised {type(error).__name__}: {_one_line(error)}"
            ) from error
        raise KCompileError(f"{problem}: {type(error).__name__} ({_one_line(error)})") from error


def _one_line(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text if len(text) <= 300 else text[:297] + "..."


@contextlib.contextmanager
def reading(problem: str, convention: Convention | None = None) -> Iterator[None]:
    """What all doors for configurations share: errors are sentences, and weights are counted.

    Those of an architecture without a file are drawn, but not beyond the memory that is free.

    Raises:
        ValueError: ``problem``, and the reason.
    """
    with contextlib.ExitStack() as stack:
        stack.enter_context(sentences(problem))
        if loading.current() is None:
            stack.enter_context(loading.loading(loading.Loading("the configuration", None)))
            stack.enter_context(conventions.as_written(convention))
        stack.enter_context(_sharing())
        yield


def read(
    config: Any,
    custom_objects: Mapping[str, Any] | None = None,
    keras_version: str | None = None,
    safe_mode: bool = True,
    kind: str | None = None,
) -> Any:
    """A configuration, checked, and in the form of :func:`kcompile.objects.dialects.reader.upgraded`."""
    check_structure(config)
    if custom_objects is not None and not isinstance(custom_objects, Mapping):
        raise DataTypeError(f"custom_objects is a dict of classes and functions by name, got {shown(custom_objects)}")
    with sentences("the configuration cannot be read"):
        return upgraded(config, custom_objects, keras_version, safe_mode, kind)


def layer_from_config(config: Any, custom_objects: Mapping[str, Any] | None = None) -> Any:
    """A new layer (or model) from its class name and configuration, as any version of Keras writes it.

    Raises:
        ValueError: unknown classes, or a configuration that does not fit its class.
    """
    with reading("the configuration does not describe a layer"):
        return build(read(config, custom_objects, kind="layer"), custom_objects)


def build(config: Mapping[str, Any], custom_objects: Mapping[str, Any] | None = None) -> Any:
    """The layer or model of a configuration that :func:`read` returned.

    Layers that a file marks as one and the same (they share weights across models or wrappers) are made once.

    Raises:
        ValueError: a configuration that does not fit its class.
    """
    if not isinstance(config, Mapping):
        raise KCompileError(f"a layer is a dict with 'class_name' and 'config', got {shown(config)}")
    with _sharing() as made, CustomObjectScope(custom_objects or {}):
        shared = config.get("shared_object_id")
        if shared is not None and not isinstance(shared, (int, str)):
            raise KCompileError(f"a shared_object_id is a number, got {shown(shared)}")
        if shared is not None and shared in made:
            return made[shared]
        layer = made_from(config, known("layer"), custom_objects, "layer")
        if (file := loading.current()) is not None:
            file.restore_seeds(layer)
        if (convention := conventions.of_file()) is not None:
            conventions.give(layer, convention)
        conventions.restore(layer, config)
        _build_weights(layer, config.get("build_config"))
        if shared is not None:
            made[shared] = layer
        return layer


_made: ContextVar[dict[Any, Any] | None] = ContextVar("_made", default=None)


@contextlib.contextmanager
def _sharing() -> Iterator[dict[Any, Any]]:
    """The layers made so far in the outermost :func:`build` of this thread, by the file's number for them."""
    made = _made.get()
    if made is not None:
        yield made
        return
    made = {}
    token = _made.set(made)
    try:
        yield made
    finally:
        _made.reset(token)


def _build_weights(layer: Any, build_config: Any) -> None:
    """Give a model that does not know its input (subclassed, or Sequential) the shape that Keras recorded."""
    if build_config is not None and (own := getattr(type(layer), "build_from_config", None)) is not None:
        own(layer, build_config)
        return
    shape = build_config.get("input_shape") if isinstance(build_config, Mapping) else None
    # Layers are built when they are called, and models of inputs and outputs have been.
    if shape is None or getattr(layer, "_functional", True) or layer.built:
        return
    try:
        layer.build(_as_tuples(shape))
    except NotImplementedError as error:
        raise KCompileError(
            f"model {layer.name!r} cannot be built for the input shape {shown(shape)}: {error}"
        ) from error


def _as_tuples(shape: Any) -> Any:
    nested = isinstance(shape, (list, tuple)) and any(isinstance(item, (list, tuple)) for item in shape)
    return [_as_tuples(item) for item in shape] if nested else tuple(shape)
