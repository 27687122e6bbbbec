"""What the ``get`` and ``deserialize`` functions of all families share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from kcompile.common.errors import DataTypeError
from kcompile.objects import registry
from kcompile.objects.configs import read
from kcompile.objects.making import made_from

Config = str | Mapping[str, Any]
"""A name, or class name and arguments."""
Identifier = Config | Callable[..., Any] | type | None
"""What the ``get`` functions take: also a class or function itself, or an object."""


def deserialize_keras_object(
    identifier: Config,
    module_objects: Mapping[str, Any] | None = None,
    custom_objects: Mapping[str, Any] | None = None,
    printable_module_name: str = "object",
) -> Any:
    """The object that a name or a configuration describes, in the form of any version of Keras.

    A name alone gives the registered function itself, or an instance of the registered class.

    Args:
        identifier: a name or a configuration.
        module_objects: what is known, by name; default: everything that a file can name.
        custom_objects: what the user adds, by name; these come first.
        printable_module_name: the kind of object, for error messages.

    Raises:
        ValueError: the name is unknown, or the configuration has no name.
        TypeError: the object does not take the configuration's arguments.
    """
    kind = printable_module_name if printable_module_name in registry.KINDS else None
    if isinstance(identifier, Mapping) and (module_objects is None or kind is not None):
        identifier = read(identifier, custom_objects, kind=kind)
    if module_objects is None:
        module_objects = {
            name: item for each in reversed(registry.KINDS) for name, item in registry.known(each).items()
        }
    return made_from(identifier, module_objects, custom_objects, printable_module_name)


def deserialized(config: Config, kind: str, custom_objects: Mapping[str, Any] | None = None) -> Any:
    """What the ``deserialize`` functions share: :func:`deserialize_keras_object` among what there is of a kind."""
    return deserialize_keras_object(config, registry.known(kind), custom_objects, kind)


def lookup(identifier: Identifier, kind: str) -> Any:
    """What the ``get`` functions share: ``None``, names, configurations, classes and callables.

    Raises:
        ValueError: an unknown name. TypeError: something else altogether.
    """
    if identifier is None:
        return None
    if isinstance(identifier, (str, Mapping)):
        return deserialized(identifier, kind)
    if isinstance(identifier, type):
        return identifier()
    if callable(identifier):
        return identifier
    raise DataTypeError(
        f"{kind} must be a name, a configuration, a function or an object, got {identifier!r} "
        f"({type(identifier).__name__})"
    )
