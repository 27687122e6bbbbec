"""Signatures of constructors that are made from tables: what ``help`` shows, and how arguments are bound."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from kcompile.common.errors import DataTypeError, did_you_mean


def with_signature(
    init: Callable[..., None], ordered: Mapping[str, Any], by_name: Mapping[str, Any] | None = None
) -> inspect.Signature:
    """Give a constructor the signature of these arguments and defaults; those in ``by_name`` are keyword-only."""
    found = [inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY)]
    for kind, arguments in (
        (inspect.Parameter.POSITIONAL_OR_KEYWORD, ordered),
        (inspect.Parameter.KEYWORD_ONLY, by_name or {}),
    ):
        found += [inspect.Parameter(name, kind, default=default) for name, default in arguments.items()]
    signature = inspect.Signature(found)
    init.__signature__ = signature  # type: ignore[attr-defined]  # functions take attributes
    return signature


def bound_arguments(owner: str, signature: inspect.Signature, *args: Any, **kwargs: Any) -> dict[str, Any]:
    """All arguments but ``self`` by name, with defaults filled in.

    Raises:
        TypeError: too many, or unknown ones (with near matches).
    """
    names = list(signature.parameters)[1:]
    unknown = [key for key in kwargs if key not in names]
    hint = did_you_mean(unknown[0], names) if unknown else ""
    try:
        bound = signature.bind(*args, **kwargs)
    except TypeError as error:
        raise DataTypeError(f"{owner} takes {', '.join(names)}: {error}{hint}") from None
    bound.apply_defaults()
    return {name: bound.arguments[name] for name in names}
