"""JSON and YAML, read with limits: size, depth, digits, duplicate keys, no tags that make objects."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from kcompile.common import limits
from kcompile.common.errors import DataTypeError, KCompileError, shown
from kcompile.common.limits import UnsafeFileError, check_size
from kcompile.objects.structure import check_structure

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
