"""How layers and models are written by ``pickle`` and copied; see :mod:`kcompile.engine.pickling`."""

from __future__ import annotations

from typing import Any


class Picklable:
    """What ``pickle`` and ``copy`` ask a layer for; a part of :class:`~kcompile.engine.layer.Layer`."""

    _kind: str

    def __getstate__(self) -> dict[str, Any]:
        from kcompile.engine.pickling import layer_state, model_state

        state: dict[str, Any] = model_state(self) if self._kind == "model" else layer_state(self)  # type: ignore[arg-type]
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        from kcompile.engine.pickling import set_layer_state, set_model_state

        if self._kind == "model":
            set_model_state(self, state)  # type: ignore[arg-type]
        else:
            set_layer_state(self, state)  # type: ignore[arg-type]

    def __copy__(self) -> Any:
        other = object.__new__(type(self))
        vars(other).update(vars(self))
        return other
