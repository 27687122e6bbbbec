"""What is computed once for each class."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar, cast

Function = TypeVar("Function", bound=Callable[..., Any])


def cached(function: Function) -> Function:
    """``functools.lru_cache``, but to type checkers the function takes what it says, also where that is a class."""
    return cast(Function, functools.lru_cache(maxsize=1024)(function))
