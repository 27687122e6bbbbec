"""Configurations of objects, and objects from configurations.

A configuration is a name (``"relu"``), or ``{"class_name": name, "config": arguments}`` as Keras 2 and 3
write it. Names are looked up among the objects that kcompile knows and those that the user registered;
nothing is ever imported by name.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from kcompile.common.errors import DataTypeError, KCompileError, shown, unknown_name
from kcompile.objects.custom import CustomObjectScope, get_registered_name, in_force
from kcompile.objects.registry import in_any_case, is_ours
from kcompile.objects.user_code import culprit


class FunctionName(str):
    """The name of a user's function in a configuration, by which this program finds the function itself again.

    A file holds the name alone.
    """

    function: Any

    def __new__(cls, name: str, function: Any = None) -> FunctionName:
        made = super().__new__(cls, name)
        made.function = function
        return made


def function_name(function: Any) -> str:
    """The name of a function; one that is not ours is found by it: see :class:`FunctionName`."""
    name: str = get_registered_name(function)
    return name if is_ours(function) else FunctionName(name, function)


def serialize_keras_object(instance: Any) -> Any:
    """The configuration of an object: its class and arguments, or a function's name; ``None`` for ``None``.

    Raises:
        ValueError: it has neither ``get_config`` nor a name.
    """
    if instance is None:
        return None
    if hasattr(instance, "get_config") and not isinstance(instance, type):
        return {"class_name": get_registered_name(type(instance)), "config": instance.get_config()}
    if hasattr(instance, "__name__"):
        return function_name(instance)
    raise KCompileError(f"cannot serialize {instance!r}: it has neither get_config() nor a __name__")


def made_from(
    identifier: Any,
    module_objects: Mapping[str, Any],
    custom_objects: Mapping[str, Any] | None = None,
    printable_module_name: str = "object",
) -> Any:
    """The object that a name or a configuration describes, which is in the form of this version already.

    Args:
        identifier: a name, or class name and arguments.
        module_objects: what is known, by name.
        custom_objects: what the user adds, by name; these come first.
        printable_module_name: the kind of object, for error messages.

    Raises:
        ValueError: the name is unknown, or the configuration has no name.
        TypeError: the object does not take the configuration's arguments.
    """
    name, config = _name_and_config(identifier, printable_module_name)
    own = in_force(custom_objects)
    known = {**module_objects, **own}
    short = name.rpartition(">")[2]  # Keras 3 names an object registered in a package "package>name"
    if isinstance(name, FunctionName) and name not in own and name.function is not None:
        return name.function
    near = None if printable_module_name == "layer" else in_any_case(short, module_objects, config is not None)
    if name not in known and short not in known and near is None:
        raise unknown_name(printable_module_name, name, known)
    found = known[name] if name in known else known[short] if short in known else module_objects[str(near)]
    if config is None:
        return found() if isinstance(found, type) else found
    if hasattr(found, "from_config"):
        with CustomObjectScope(custom_objects or {}):
            return _made(found.from_config, found, printable_module_name, short, config)
    return _made(lambda arguments: found(**arguments), found, printable_module_name, short, config)


def _name_and_config(identifier: Any, kind: str) -> tuple[str, Mapping[str, Any] | None]:
    if isinstance(identifier, str):
        return identifier, None
    if not isinstance(identifier, Mapping) or not isinstance(identifier.get("class_name"), str):
        raise KCompileError(f"{kind} configuration {shown(identifier)} is not a name or a dict with 'class_name'")
    name, config = identifier["class_name"], identifier.get("config", {})
    if isinstance(config, str) and name == "function":  # how Keras 3 writes a function
        return config, None
    if not isinstance(config, Mapping):
        raise KCompileError(f"the config of {kind} {name!r} is not a dict of arguments, but {shown(config)}")
    return name, config


def _made(make: Callable[[Any], Any], found: Any, kind: str, name: str, config: Mapping[str, Any]) -> Any:
    try:
        return make(dict(config))
    except TypeError as error:
        if isinstance(error, KCompileError) or culprit(error) is not None:
            raise  # also one that the user's own code raised
        hint = _hint(found, kind, config)
        raise DataTypeError(f"{kind} {name!r} cannot be made from {shown(dict(config))}: {error}{hint}") from error


def _hint(found: Any, kind: str, config: Mapping[str, Any]) -> str:
    """What is wrong with the arguments of a class, as far as its signature shows it."""
    try:
        takes = inspect.signature(found).parameters.values()
    except (TypeError, ValueError):  # some built-in classes have no signature
        return ""
    named = [each for each in takes if each.kind not in (each.VAR_POSITIONAL, each.VAR_KEYWORD)]
    if any(each.default is each.empty and each.name not in config for each in named):
        return "; its get_config must return what its __init__ takes"
    takes_others = any(each.kind is each.VAR_KEYWORD for each in takes)
    if kind == "layer" and not takes_others and config.keys() - {each.name for each in named}:
        return "; its __init__ must take **kwargs and hand them to super().__init__"
    return ""


def names_of(namespace: Mapping[str, Any], base: type) -> dict[str, type]:
    """The public names in a module of the proper subclasses of ``base``."""
    return {
        name: item
        for name, item in namespace.items()
        if isinstance(item, type) and issubclass(item, base) and item is not base and not name.startswith("_")
    }
