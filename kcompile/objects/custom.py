"""What the user adds to the names that are known: custom objects, for the whole program or within a scope."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import Any

from kcompile.common.errors import DataTypeError, KCompileError, shown

_of_program: dict[str, Any] = {}
_scopes: ContextVar[tuple[dict[str, Any], ...]] = ContextVar("_scopes", default=())
"""Those of the scopes that this thread is in, the innermost last; each holds what was in force when it began, too."""


def get_custom_objects() -> dict[str, Any]:
    """The custom objects by name; change the dict to register one for the whole program.

    Within a :class:`CustomObjectScope` it is that of the scope: changes are forgotten at its end, as in Keras 2.3.
    """
    scopes = _scopes.get()
    return scopes[-1] if scopes else _of_program


def in_force(more: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """All custom objects by name: of the program, of the scopes of this thread, and those that are given, which come
    first."""
    return {**_of_program, **get_custom_objects(), **(more or {})}


_registered: dict[Any, str] = {}
"""Names in packages, by what was registered under them."""


def register_keras_serializable(package: str = "Custom", name: str | None = None) -> Callable[[Any], Any]:
    """A decorator for classes and functions of one's own: files then hold ``package>name``, and need no custom objects.

    Args:
        package: groups names, so that those of different programs do not meet. name: default: that of the object.

    Raises:
        TypeError: neither a class with ``get_config`` nor a function.
        ValueError: the name is taken by something else of another module.
    """

    def register(item: Any) -> Any:
        if isinstance(item, type) and not hasattr(item, "get_config"):
            raise DataTypeError(f"class {item.__name__} cannot be registered: it has no get_config")
        if not callable(item) or not hasattr(item, "__name__"):
            raise DataTypeError(f"a class or a function can be registered, got {shown(item)}")
        full = f"{package}>{name or item.__name__}"
        taken = in_force().get(full)
        if taken is not None and taken is not item and taken.__module__ != item.__module__:
            raise KCompileError(f"{full!r} is registered, by {taken.__module__}; choose another package or name")
        for objects in (_of_program, *_scopes.get()):
            objects[full] = item
        _registered[item] = full
        return item

    return register


def get_registered_name(obj: Any) -> str:
    """The name under which files hold a class or function: ``package>name`` if it was registered, else its own."""
    try:
        found = _registered.get(obj) or _registered.get(getattr(obj, "__wrapped__", None))
    except TypeError:  # what cannot be hashed was not registered
        found = None
    return found if found is not None else str(obj.__name__)


def get_registered_object(
    name: str, custom_objects: Mapping[str, Any] | None = None, module_objects: Mapping[str, Any] | None = None
) -> Any:
    """The class or function of a name: of those registered, then of the given ones; ``None`` if there is none."""
    for known in (in_force(), custom_objects or {}, module_objects or {}):
        if name in known:
            return known[name]
    return None


class CustomObjectScope:
    """Within a ``with`` block, names refer to the given objects as well, for the thread that is in it.

    For example::

        with CustomObjectScope({"my_loss": my_loss}):
            model = load_model("model.h5")
    """

    def __init__(self, *args: Mapping[str, Any]) -> None:
        self.custom_objects = args

    def __enter__(self) -> CustomObjectScope:
        objects = in_force()
        for given in self.custom_objects:
            objects.update(given)
        _scopes.set((*_scopes.get(), objects))
        return self

    def __exit__(self, *error: object) -> None:
        _scopes.set(_scopes.get()[:-1])


def custom_object_scope(*args: Mapping[str, Any]) -> CustomObjectScope:
    """As :class:`CustomObjectScope`."""
    return CustomObjectScope(*args)
