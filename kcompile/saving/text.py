"""Configurations as JSON and YAML, read with limits: size, depth, digits, duplicate keys, no tags that make objects."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from kcompile.common import limits
from kcompile.common.errors import DataTypeError, KCompileError, check_one_of, shown
from kcompile.common.limits import UnsafeFileError, check_size
from kcompile.common.tracebacks import short_traceback
from kcompile.objects.dialects import lambdas
from kcompile.objects.lookup import FunctionName, get_registered_name
from kcompile.objects.structure import check_structure

KERAS_VERSION = "2.3.1"
"""The version of Keras that our configurations name: the one whose form they have."""

OWN_FORM = "kcompile_form"
"""Under what our configurations tell that they are ours, and of which form; other readers skip it."""

# ---- models


def architecture(model: Any) -> dict[str, Any]:
    """What describes a model without its weights, in the form of Keras 2 and of plain values only.

    Raises:
        ValueError: a model, or an argument of a layer, that no configuration can describe.
        NotImplementedError: a subclassed model, as in Keras.
    """
    config = plain(model.get_config(), model.name)
    return {
        "class_name": get_registered_name(type(model)),
        "config": config,
        "keras_version": KERAS_VERSION,
        OWN_FORM: 2,
        "backend": "tensorflow",  # readers that know no other take channels-last kernels for granted then
    }


def to_json(model: Any, keras_version: int = 2, **options: Any) -> str:
    """The architecture as JSON.

    Args:
        model: the model.
        keras_version: 2: for Keras 2, tf.keras and kcompile; 3: for Keras 3 and kcompile.
        options: those of ``json.dumps``.
    """
    from kcompile.saving.archive.configs import KERAS_3, archive_config

    check_one_of("to_json", "keras_version", keras_version, (2, 3))
    config = {**archive_config(model, KERAS_3), OWN_FORM: 2} if keras_version == 3 else architecture(model)
    return json.dumps(config, **{"allow_nan": False, **options})


def to_yaml(model: Any, **options: Any) -> str:
    """The architecture as YAML; ``options`` are those of ``yaml.safe_dump``."""
    import yaml

    text: str = yaml.safe_dump(architecture(model), **{"sort_keys": False, **options})
    return text


@short_traceback
def model_from_json(
    json_string: str | bytes, custom_objects: Mapping[str, Any] | None = None, safe_mode: bool = True
) -> Any:
    """A new model, with fresh weights, from the JSON of any version of Keras.

    Args:
        json_string: the text.
        custom_objects: classes and functions by name, besides those of Keras.
        safe_mode: refuse functions stored as Python bytecode.

    Raises:
        ValueError: no JSON, or as :func:`kcompile.objects.configs.model_from_config`.
    """
    return _model(read_json(json_string), custom_objects, safe_mode)


@short_traceback
def model_from_yaml(
    yaml_string: str | bytes, custom_objects: Mapping[str, Any] | None = None, safe_mode: bool = True
) -> Any:
    """A new model, with fresh weights, from the YAML of Keras 1 or 2; arguments as for :func:`model_from_json`."""
    return _model(read_yaml(yaml_string), custom_objects, safe_mode)


def _model(data: Any, custom_objects: Mapping[str, Any] | None, safe_mode: bool) -> Any:
    from kcompile.objects.configs import model_from_config

    version = data.get("keras_version") if isinstance(data, Mapping) else None
    version, own = (version if isinstance(version, str) else None), isinstance(data, Mapping) and OWN_FORM in data
    return model_from_config(data, custom_objects, version, safe_mode, own)


# ---- writing


def plain(value: Any, owner: str = "the object") -> Any:
    """A configuration of nothing but what JSON has: lists for tuples, numbers for NumPy's, bytecode for lambdas.

    Raises:
        ValueError: something that JSON has no form for; ``owner`` says where it is.
    """
    if isinstance(value, Mapping):
        if value.get("class_name") == "Lambda" and isinstance(value.get("config"), Mapping):
            owner = f"layer {value['config'].get('name')!r} (Lambda)"
        return {str(key): plain(item, owner) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item, owner) for item in value]
    if isinstance(value, (np.ndarray, np.generic)):
        return plain(value.tolist(), owner)
    if isinstance(value, FunctionName):
        return str(value)
    if value is None or isinstance(value, (str, bool, int, float)):
        return value
    if isinstance(value, slice):
        return {part: plain(getattr(value, part), owner) for part in ("start", "stop", "step")}
    if value is Ellipsis:
        return {"class_name": "__ellipsis__", "config": {}}
    if callable(value):
        if getattr(value, "__name__", "<lambda>") != "<lambda>":
            return get_registered_name(value)
        config = lambdas.written(value, owner)["config"]
        return [config["value"], plain(config["defaults"], owner), plain(config["closure"], owner)]
    raise KCompileError(f"{owner} cannot be saved: its configuration holds {shown(value)}, for which JSON has no form")


# ---- reading JSON


def read_json(text: str | bytes, what: str = "the configuration") -> Any:
    """JSON within the limits.

    Args:
        text: the text, or its bytes.
        what: what to call it in messages.

    Raises:
        ValueError: no JSON, keys that occur twice, NaN, numbers with too many digits, or beyond a limit.
        TypeError: no text.
    """
    text = _text(text, what)
    try:
        data = json.loads(
            text, object_pairs_hook=_unique(what), parse_constant=_no_constant(what), parse_int=_short(what)
        )
    except RecursionError:
        raise _too_deep(what) from None
    except KCompileError:
        raise
    except ValueError as error:
        named = text.endswith((".json", ".yaml", ".yml", ".h5", ".keras")) and len(text) < 300
        hint = "; it is the name of a file, whose text is needed: open(name).read()" if named else ""
        raise KCompileError(f"{what} is not JSON: {error}{hint}") from None
    check_structure(data, what)
    return data


def _text(text: Any, what: str) -> str:
    if not isinstance(text, (str, bytes)):
        raise DataTypeError(f"{what} must be text, got {shown(text)}")
    check_size(what, len(text), limits.CONFIG_BYTES)
    if isinstance(text, str):
        return text
    try:
        return text.decode("utf-8")
    except UnicodeDecodeError as error:
        raise KCompileError(f"{what} is not text: {error}") from None


def _unique(what: str) -> Callable[[list[tuple[str, Any]]], dict[str, Any]]:
    """Readers differ in which of two equal keys counts, so that one file could mean two things."""

    def check(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            keys = [key for key, _ in pairs]
            twice = next(key for key in keys if keys.count(key) > 1)
            raise UnsafeFileError(f"{what} has the key {shown(twice)} twice")
        return found

    return check


def _no_constant(what: str) -> Callable[[str], Any]:
    def refuse(name: str) -> Any:
        raise KCompileError(f"{what} holds {name}, which is no number of JSON")

    return refuse


def _short(what: str) -> Callable[[str], int]:
    def check(digits: str) -> int:
        if len(digits) > limits.INTEGER_DIGITS:
            raise UnsafeFileError(f"{what} holds a number with {len(digits)} digits")
        return int(digits)

    return check


# ---- reading YAML


def read_yaml(text: str | bytes, what: str = "the configuration") -> Any:
    """YAML within the limits, made of lists, dicts, strings and numbers only (and tuples, which Keras 2 wrote).

    Raises:
        ValueError: no YAML, tags that make objects, keys that occur twice, or beyond a limit.
        TypeError: no text.
    """
    import yaml

    text = _text(text, what)
    _check_brackets(text, what)
    try:
        _check_events(text, what)
        data = yaml.load(text, Loader=_loader(what))
    except RecursionError:
        raise _too_deep(what) from None
    except KCompileError:
        raise
    except (yaml.YAMLError, ValueError) as error:
        raise KCompileError(f"{what} is not YAML: {' '.join(str(error).split())}") from None
    check_structure(data, what)
    return data


_PLAIN_TAGS = {
    "tag:yaml.org,2002:" + name
    for name in ("str", "int", "float", "bool", "null", "seq", "map", "python/tuple", "python/unicode", "python/str")
}


_BRACKETS = re.compile(
    r"""(?x)
    (?<![^\s\[{,:]) (?: "(?:[^"\\]|\\.)*+" | '(?:[^']|'')*+' )  # quoted, where a value may begin
    | (?<!\S) \#[^\n]*                                         # a comment
    | (?<![^\s\[{,:?-]) (?P<opened>[\[{])
    | (?P<closed>[\]}])""",
    re.DOTALL,
)


def _check_brackets(text: str, what: str) -> None:
    """Depth of brackets, before any parser sees them: parsers read far ahead, and have limits of their own."""
    depth = 0
    for match in _BRACKETS.finditer(text):
        if match["opened"]:
            depth += 1
            if depth > limits.CONFIG_DEPTH:
                raise _too_deep(what)
        elif match["closed"]:
            depth = max(depth - 1, 0)


def _too_deep(what: str) -> UnsafeFileError:
    return UnsafeFileError(f"{what} is nested deeper than the {limits.CONFIG_DEPTH} levels that are allowed")


def _check_events(text: str, what: str) -> None:
    """Depth, tags and numbers, from the stream of events: nothing recurses, and nothing is made yet."""
    import yaml

    depth = 0
    for event in yaml.parse(text, Loader=_safe_loader()):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > limits.CONFIG_DEPTH:
                raise _too_deep(what)
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        tag = getattr(event, "tag", None)
        if tag is not None and tag not in ("!", *_PLAIN_TAGS):
            raise UnsafeFileError(f"{what} has the tag {shown(tag)}, which could make any object of Python")
        if isinstance(event, yaml.ScalarEvent) and event.implicit[0]:
            if event.value == "<<":  # merging copies, and copies of copies grow without bounds
                raise UnsafeFileError(f"{what} has a merge key '<<', which no configuration needs")
            if len(event.value) > limits.INTEGER_DIGITS and event.value.lstrip("+-")[:1].isdigit():
                raise UnsafeFileError(f"{what} holds a number with {len(event.value)} digits")


def _safe_loader() -> Any:
    import yaml

    return getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def _loader(what: str) -> type:
    """The safe loader, with tuples, without dates, and without keys that occur twice."""
    safe = _safe_loader()

    class Loader(safe):  # type: ignore[misc, valid-type]  # which of the two depends on how PyYAML was built
        yaml_implicit_resolvers = {
            first: [(tag, pattern) for tag, pattern in found if not tag.endswith(":timestamp")]
            for first, found in safe.yaml_implicit_resolvers.items()
        }

    def mapping(loader: Any, node: Any) -> Any:
        loader.flatten_mapping(node)
        pairs = [(loader.construct_object(k, deep=True), loader.construct_object(v, deep=True)) for k, v in node.value]
        for key, _ in pairs:
            if not isinstance(key, (str, int, float, bool)) and key is not None:
                raise DataTypeError(f"{what} has a key that is not a string: {shown(key)}")
        return _unique(what)(pairs)

    def sequence(loader: Any, node: Any) -> Any:
        return loader.construct_sequence(node, deep=True)

    prefix = "tag:yaml.org,2002:"
    Loader.add_constructor(prefix + "map", mapping)
    Loader.add_constructor(prefix + "seq", sequence)
    Loader.add_constructor(prefix + "python/tuple", lambda loader, node: tuple(sequence(loader, node)))
    for name in ("python/unicode", "python/str"):
        Loader.add_constructor(prefix + name, lambda loader, node: loader.construct_scalar(node))
    return Loader
