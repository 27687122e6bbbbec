"""The arguments of layers that make their own cell: those of the cell, and between them those of the layer."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Concatenate, ParamSpec, TypeVar

from kcompile.common.errors import DataTypeError
from kcompile.layers.recurrent.step import Recurrent

Arguments = ParamSpec("Arguments")
SomeLayer = TypeVar("SomeLayer", bound=Recurrent)

RUN = ("return_sequences", "return_state", "go_backwards", "stateful", "unroll")
"""How the cell runs over time."""

_OF_LAYERS = inspect.signature(Recurrent.__init__).parameters
_POSITIONAL, _BY_NAME = inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY


def takes_arguments_of(
    cell: Callable[Arguments, Any],
    after: Mapping[str, Sequence[str]],
    *,
    by_name: Sequence[str] = (),
    fixed: Mapping[str, Any] | None = None,
) -> Callable[[Callable[[SomeLayer, Any], None]], Callable[Concatenate[SomeLayer, Arguments], None]]:
    """A decorator of constructors that take a cell, which makes the cell, an instance of the layer's ``_cell``.

    The constructor then takes the arguments of the cell, and has its own by name.

    Args:
        cell: whose arguments these are.
        after: which arguments of the layer follow one of the cell.
        by_name: arguments of the layer that have no position.
        fixed: values of the cell's arguments that the layer has no choice about, so it does not take them.
    """
    of_cell = inspect.signature(cell).parameters
    settled = {name: value for name, value in (fixed or {}).items() if name in of_cell}
    taken = {name: parameter for name, parameter in of_cell.items() if name not in settled}
    signature = inspect.Signature(list(_joined(taken.values(), after, by_name)), return_annotation="None")

    def decorate(init: Callable[[SomeLayer, Any], None]) -> Callable[Concatenate[SomeLayer, Arguments], None]:
        def makes_cell(self: SomeLayer, /, *args: Arguments.args, **kwargs: Arguments.kwargs) -> None:
            try:
                given = signature.bind(self, *args, **kwargs).arguments
            except TypeError as error:
                raise DataTypeError(f"{type(self).__name__}: {error}") from None
            own = {name: value for name, value in given.items() if name not in ("self", "kwargs")}
            own |= given.get("kwargs", {})
            own_of_cell = {name: own.pop(name) for name in taken if name in own}
            if "dtype" in own:  # whether the cell is trained, the layer alone says, also later on
                own_of_cell["dtype"] = own["dtype"]
            init(self, self._cell(**settled, **own_of_cell), **own)

        functools.update_wrapper(makes_cell, init)
        makes_cell.__signature__ = signature  # type: ignore[attr-defined]
        annotated = {name: parameter.annotation for name, parameter in signature.parameters.items() if name != "self"}
        makes_cell.__annotations__ = {**annotated, "return": "None"}
        return makes_cell

    return decorate


def _joined(
    of_cell: Iterable[inspect.Parameter], after: Mapping[str, Sequence[str]], by_name: Sequence[str]
) -> Iterator[inspect.Parameter]:
    """The parameters of the constructor in order."""
    yield _OF_LAYERS["self"]
    told = False
    for parameter in of_cell:
        if parameter.kind != _POSITIONAL and not told:
            told = True
            yield from (_OF_LAYERS[name].replace(kind=_BY_NAME) for name in by_name)
        yield parameter
        yield from (_OF_LAYERS[name].replace(kind=_POSITIONAL) for name in after.get(parameter.name, ()))
