"""The calls of layers in a step of a user's own that is being traced."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from kcompile.common import config
from kcompile.common.nest import map_structure
from kcompile.engine.layer_base import Before, LayerBase, noting, take_back
from kcompile.symbolic.step_trace import StepTrace
from kcompile.symbolic.tensor import as_tensor


class TracedCalls:
    """The calls of layers in a step that is being traced, of which the layers know nothing afterwards.

    Attributes:
        called: the layers that no other layer called.
    """

    def __init__(self) -> None:
        self.called: dict[LayerBase, None] = {}
        self._stack: list[LayerBase] = []
        self._before: Before = {}

    def call_layer(
        self,
        layer: LayerBase,
        call: Callable[..., Any],
        names: Sequence[str],
        inputs: Any,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Any:
        """What the layer gives; arrays are constants, and a layer that does not take ``training`` hands it on.

        Args:
            layer: what is called.
            call: calls it.
            names: of the arguments of its ``call`` method.
            inputs, args, kwargs: its arguments.
        """
        kwargs.update(zip(names[1:], args, strict=False))
        training = kwargs.get("training")
        if "training" not in names and "kwargs" not in names:
            kwargs.pop("training", None)
        with self._calling(layer, training):
            return call(map_structure(_numbers_as_tensors, inputs), **kwargs)

    @contextlib.contextmanager
    def _calling(self, layer: LayerBase, training: Any) -> Iterator[None]:
        """Inside, ``layer`` is called; what it calls is in the same phase, unless it says otherwise."""
        with contextlib.ExitStack() as inside:
            if not self._stack:  # losses are those of the last call
                before = inside.enter_context(noting())
                inside.callback(self._remember, before)
                self.called[layer] = None
                for item in layer.layer_and_those_inside():
                    if item.call_notes.losses:
                        item.call_notes = item.call_notes.but(losses=())
            self._stack.append(layer)
            inside.callback(self._stack.pop)
            if isinstance(training, (bool, int)):
                inside.enter_context(config.phase_of_context(bool(training)))
            yield

    def _remember(self, before: Before) -> None:
        for layer, notes in before.items():
            self._before.setdefault(layer, notes)

    def is_trained(self, layer: LayerBase) -> bool:
        """Whether updates of ``layer`` count: not while it, or a layer around it, is frozen."""
        return all(item.trainable or item.stateful for item in [*self._stack, layer])

    def restore(self) -> None:
        """Give the layers the notes from before."""
        take_back(self._before)


def _numbers_as_tensors(x: Any) -> Any:
    return as_tensor(x) if isinstance(x, (np.ndarray, np.generic, int, float)) else x


def calls_in(step: StepTrace) -> TracedCalls:
    """The calls of layers in a step."""
    if step.calls is None:
        step.calls = TracedCalls()
        step.at_end.callback(step.calls.restore)
    calls: TracedCalls = step.calls
    return calls
