"""Objects by name: custom objects, and the configurations from which users and files make objects.

A configuration is a name (``"relu"``), or ``{"class_name": name, "config": arguments}`` as Keras 2 and 3
write it. Names are looked up among the objects that kcompile knows and those that the user registered;
nothing is ever imported by name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from kcompile.common.errors import DataTypeError, KCompileError, shown, unknown_name
from kcompile.common.user_code import culprit

_custom_objects: dict[str, Any] = {}


def get_custom_objects() -> dict[str, Any]:
    """The registered custom objects by name; change the dict to register one for the whole program."""
    return _custom_objects


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
        taken = _custom_objects.get(full)
        if taken is not None and taken is not item and taken.__module__ != item.__module__:
            raise KCompileError(f"{full!r} is registered, by {taken.__module__}; choose another package or name")
        _custom_objects[full] = item
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
    for known in (_custom_objects, custom_objects or {}, module_objects or {}):
        if name in known:
            return known[name]
    return None


class CustomObjectScope:
    """Within a ``with`` block, names refer to the given objects as well.

    For example::

        with CustomObjectScope({"my_loss": my_loss}):
            model = load_model("model.h5")
    """

    def __init__(self, *args: Mapping[str, Any]) -> None:
        self.custom_objects = args
        self._before: dict[str, Any] = {}

    def __enter__(self) -> CustomObjectScope:
        self._before = dict(_custom_objects)
        for objects in self.custom_objects:
            _custom_objects.update(objects)
        return self

    def __exit__(self, *error: object) -> None:
        _custom_objects.clear()
        _custom_objects.update(self._before)


def custom_object_scope(*args: Mapping[str, Any]) -> CustomObjectScope:
    """As :class:`CustomObjectScope`."""
    return CustomObjectScope(*args)


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
    return name if str(getattr(function, "__module__", "")).startswith("kcompile.") else FunctionName(name, function)


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


def deserialize_keras_object(
    identifier: Any,
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
    from kcompile.objects import configs
    from kcompile.objects import registry as known

    if isinstance(identifier, Mapping) and (module_objects is None or printable_module_name in known.KINDS):
        kind = printable_module_name if printable_module_name in known.KINDS else None
        identifier = configs.read(identifier, custom_objects, kind=kind)
    if module_objects is None:
        module_objects = {name: item for kind in reversed(known.KINDS) for name, item in known.known(kind).items()}
    return made_from(identifier, module_objects, custom_objects, printable_module_name)


def made_from(
    identifier: Any,
    module_objects: Mapping[str, Any],
    custom_objects: Mapping[str, Any] | None = None,
    printable_module_name: str = "object",
) -> Any:
    """As :func:`deserialize_keras_object`, for a configuration that is in the form of this version already."""
    name, config = _name_and_config(identifier, printable_module_name)
    own = {**_custom_objects, **(custom_objects or {})}
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
            return _made(lambda: found.from_config(dict(config)), printable_module_name, short, config)
    return _made(lambda: found(**config), printable_module_name, short, config)


def in_any_case(name: str, table: Mapping[str, Any], configured: bool = False) -> str | None:
    """The name of the table that differs from ``name`` in upper and lower case only, as in Keras 2.3; or ``None``.

    ``configured``: there are arguments with it, so that of a class and a function the class is meant.
    """
    found = [key for key in table if key.lower() == name.lower()]
    wanted = [key for key in found if isinstance(table[key], type) == configured]
    return next(iter(wanted or found), None)


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


def _made(make: Callable[[], Any], kind: str, name: str, config: Mapping[str, Any]) -> Any:
    try:
        return make()
    except TypeError as error:
        if isinstance(error, KCompileError) or culprit(error) is not None:
            raise  # also one that the user's own code raised
        hint = ""
        if "missing" in str(error):
            hint = "; its get_config must return what its __init__ takes"
        elif kind == "layer" and "unexpected keyword argument" in str(error):
            hint = "; its __init__ must take **kwargs and hand them to super().__init__"
        raise DataTypeError(f"{kind} {name!r} cannot be made from {shown(dict(config))}: {error}{hint}") from error


def lookup(identifier: Any, kind: str, options: Mapping[str, Any]) -> Any:
    """What the ``get`` functions share: ``None``, names, configurations, classes and callables.

    Raises:
        ValueError: an unknown name. TypeError: something else altogether.
    """
    if identifier is None:
        return None
    if isinstance(identifier, (str, Mapping)):
        return deserialize_keras_object(identifier, options, printable_module_name=kind)
    if isinstance(identifier, type):
        return identifier()
    if callable(identifier):
        return identifier
    raise DataTypeError(
        f"{kind} must be a name, a configuration, a function or an object, got {identifier!r} "
        f"({type(identifier).__name__})"
    )


def names_of(namespace: Mapping[str, Any], base: type) -> dict[str, type]:
    """The public names in a module of the proper subclasses of ``base``."""
    return {
        name: item
        for name, item in namespace.items()
        if isinstance(item, type) and issubclass(item, base) and item is not base and not name.startswith("_")
    }
