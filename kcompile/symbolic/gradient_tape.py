"""``GradientTape``: gradients in the words of TensorFlow, of tensors inside of a ``train_step``."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from kcompile import ir
from kcompile.common.errors import DataTypeError, KCompileError, NotReadyError, shown
from kcompile.common.nest import flatten, map_structure, pack
from kcompile.symbolic.step_trace import StepTrace, current_step
from kcompile.symbolic.tensor import Tensor, as_tensor
from kcompile.symbolic.variable import Variable


class GradientTape:
    """Records what is computed inside ``with GradientTape() as tape:``, for ``tape.gradient(loss, variables)``.

    Gradients go through what was recorded; what was computed before or after is a constant to them. Nothing is kept in
    memory: the tape is used while a step is traced, and its gradients become a part of the compiled graph.

    Args:
        persistent: whether :meth:`gradient` may be called several times.
        watch_accessed_variables: whether gradients of all variables can be taken, or of those given to :meth:`watch`.
    """

    def __init__(self, persistent: bool = False, watch_accessed_variables: bool = True) -> None:
        self._persistent = persistent
        self._all_variables = watch_accessed_variables
        self._watched: set[ir.Value | Variable] = set()
        self._recorded: list[list[int | None]] = []
        self._everything = False
        self._used = False

    def __enter__(self) -> GradientTape:
        self._recorded.append([_now(), None])
        return self

    def __exit__(self, *error: object) -> None:
        self._pause()

    def watch(self, tensor: Any) -> None:
        """Note tensors as something that gradients are taken of; variables are noted by themselves."""
        for x in flatten(tensor):
            self._watched.add(x if isinstance(x, Variable) else as_tensor(x).value)

    def watched_variables(self) -> tuple[Variable, ...]:
        """The variables that were given to :meth:`watch`."""
        return tuple(x for x in self._watched if isinstance(x, Variable))

    @contextlib.contextmanager
    def stop_recording(self) -> Iterator[None]:
        """Inside, nothing is recorded."""
        self._pause()
        try:
            yield
        finally:
            self._recorded.append([_now(), None])

    def reset(self) -> None:
        """Forget what was recorded so far."""
        self._recorded = [[_now(), None]] if self._recorded and self._recorded[-1][1] is None else []

    def record_all(self) -> None:
        """Let gradients go through everything, whenever it was computed."""
        self._everything = True

    def gradient(
        self, target: Any, sources: Any, output_gradients: Any = None, unconnected_gradients: Any = "none"
    ) -> Any:
        """The gradients of the sum of ``target`` with respect to ``sources``.

        Args:
            target: a tensor, or several in a list or dictionary.
            sources: a variable or tensor, or several in a list or dictionary.
            output_gradients: the gradient of each target, default ones.
            unconnected_gradients: what stands for the gradient of a source on which no target depends: ``none`` or
                ``zero``.

        Returns:
            tensors in the form of ``sources``.

        Raises:
            RuntimeError (also a ValueError): a tape that is not persistent was used before.
            TypeError: arrays; outside of a step, layers compute arrays from arrays.
        """
        if self._used and not self._persistent:
            raise NotReadyError(
                "a GradientTape gives gradients once; make it with persistent=True to call gradient several times"
            )
        self._used = True
        unconnected = str(getattr(unconnected_gradients, "value", unconnected_gradients)).lower()
        if unconnected not in ("none", "zero"):
            raise KCompileError(f"GradientTape.gradient: unconnected_gradients is {shown(unconnected_gradients)}; "
                                "use 'none' or 'zero'")  # fmt: skip
        targets = [_symbolic("target", x) for x in flatten(target)]
        wanted = [_symbolic("sources", x) for x in flatten(sources)]
        seeds = None
        if output_gradients is not None:
            given = flatten(output_gradients)
            seeds = [as_tensor(1.0 if g is None else g) for g in given]
        step = current_step()
        trace = StepTrace() if step is None else step
        found = trace.gradients(targets, wanted, seeds, None if self._everything else self._is_recorded)
        if step is None:
            found = [None if g is None else Tensor(trace.expressions([g.value])[0]) for g in found]
        if not self._all_variables:
            found = [
                g if (x if isinstance(x, Variable) else x.value) in self._watched else None
                for x, g in zip(wanted, found, strict=True)
            ]
        if unconnected == "zero":
            found = [x * 0 if g is None else g for x, g in zip(wanted, found, strict=True)]
        if isinstance(sources, Tensor):
            return found[0]
        return pack(map_structure(lambda _: None, sources), found)

    def jacobian(self, *args: Any, **kwargs: Any) -> Any:
        """Not here.

        Raises:
            ValueError: always, with what to do.
        """
        raise KCompileError(
            "GradientTape computes gradients of sums, no Jacobians; call gradient for each component (persistent=True)"
        )

    batch_jacobian = jacobian

    def _pause(self) -> None:
        if self._recorded and self._recorded[-1][1] is None:
            self._recorded[-1][1] = _now()

    def _is_recorded(self, node: ir.Node) -> bool:
        return any(
            first is not None and first <= node.serial and (last is None or node.serial < last)
            for first, last in self._recorded
        )


def _now() -> int:
    """The number of the next node."""
    return ir.constant(0.0).node.serial


def _symbolic(argument: str, x: Any) -> Tensor:
    if not isinstance(x, Tensor):
        raise DataTypeError(
            f"GradientTape.gradient: {argument} must be symbolic tensors, got {shown(x)}; define "
            "train_step(self, data), which is traced on tensors, and call fit (layers called on arrays give arrays)"
        )
    return x
