"""``run_eagerly`` and ``jit_compile``: what they mean where every step is one compiled graph."""

from __future__ import annotations

from typing import Any

from kcompile.common.checks import check_flag
from kcompile.common.errors import warn

_SENTENCES = {
    "run_eagerly": (
        "run_eagerly=True changes no numbers here: layers, losses and metrics are Python that runs once, when a step "
        "is traced; to look at values while training, predict with a model that ends at the layer in question"
    ),
    "jit_compile": "jit_compile=True changes nothing here: every step is compiled already",
}
_said: set[str] = set()


class ExecutionOptions:
    """The two attributes; a part of :class:`~kcompile.models.model.Model`."""

    _run_eagerly: bool = False
    _jit_compile: bool = False

    @property
    def run_eagerly(self) -> bool:
        """As given to ``compile``, or set (tf.keras); steps are compiled all the same."""
        return self._run_eagerly

    @run_eagerly.setter
    def run_eagerly(self, value: Any) -> None:
        self._run_eagerly = _checked("run_eagerly", value)

    @property
    def jit_compile(self) -> bool:
        """As given to ``compile``, or set (tf.keras); steps are compiled all the same."""
        return self._jit_compile

    @jit_compile.setter
    def jit_compile(self, value: Any) -> None:
        # Keras 3 calls its own choice "auto".
        self._jit_compile = _checked("jit_compile", None if value == "auto" else value)


def _checked(option: str, value: Any) -> bool:
    """The option as a flag; says once in a program what it means here."""
    if value is None:
        return False
    chosen = check_flag("compile", option, value)
    if chosen and option not in _said:
        _said.add(option)
        warn(f"{_SENTENCES[option]}.", UserWarning)
    return chosen
