"""Steps from gradients that the caller has: ``apply_gradients`` and ``minimize`` of tf.keras and Keras 3."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from kcompile import initializers
from kcompile.common.errors import DataTypeError, KCompileError, listed, shown, warn
from kcompile.objects.lookup import Identifier
from kcompile.objects.registry import users_own
from kcompile.symbolic.concrete import evaluated
from kcompile.symbolic.gradient_tape import GradientTape
from kcompile.symbolic.step_trace import updates_of
from kcompile.symbolic.tensor import Tensor, TensorLike, as_tensor
from kcompile.symbolic.trace import at_once, current_trace
from kcompile.symbolic.variable import Variable

Update = tuple[Variable, Tensor]
Loss = Tensor | Callable[[], Tensor]
Variables = Sequence[Variable] | Callable[[], Sequence[Variable]]

HOOKS = ("minimize", "compute_gradients", "apply_gradients", "apply", "update_step")
"""What subclasses may define, in place of ``get_updates``, to say how a step is made."""


class ApplyingMethods:
    """A part of :class:`~kcompile.optimizers.base.Optimizer`."""

    iterations: Variable
    lr: Variable
    slot: Callable[..., Variable]
    scalar: Callable[..., Variable]
    clipped: Callable[[list[Tensor]], list[Tensor]]
    updates_for: Callable[[Sequence[Tensor], Sequence[Variable]], list[Update]]
    get_updates: Callable[..., list[Update]]
    get_gradients: Any
    _slots: dict[tuple[str, Variable | None], Variable]
    _rule: Any = None
    _extra: list[Update]
    _trained: list[Variable]
    built = False

    # -- for train_step

    def minimize(
        self,
        loss: Loss,
        var_list: Variables,
        tape: GradientTape | None = None,
        grad_loss: TensorLike | None = None,
        name: str | None = None,
    ) -> None:
        """Make a step that lowers ``loss``.

        Args:
            loss: a tensor, or a function without arguments that returns one.
            var_list: the variables to change.
            tape: a :class:`~kcompile.GradientTape` that recorded the loss.
            grad_loss: the gradient of the loss, default ones.
            name: not used here: nodes are named after layers.

        Raises:
            ValueError: the loss depends on none of the variables.
        """
        self.apply_gradients(self.compute_gradients(loss, var_list, grad_loss=grad_loss, tape=tape), name=name)

    def compute_gradients(
        self, loss: Loss, var_list: Variables, grad_loss: TensorLike | None = None, tape: GradientTape | None = None
    ) -> list[tuple[Tensor | None, Variable]]:
        """Pairs of a gradient and its variable; arguments as for :meth:`minimize`."""
        variables = list(var_list() if callable(var_list) else var_list)
        if tape is None:
            with GradientTape() as tape:
                loss = loss() if callable(loss) else loss
            tape.record_all()
        seeds = None if grad_loss is None else [grad_loss]
        return list(zip(tape.gradient(loss, variables, seeds), variables, strict=True))

    def apply_gradients(self, grads_and_vars: Iterable[Any], name: str | None = None, **kwargs: Any) -> Variable:
        """Make a step with gradients that are known.

        Inside a ``train_step`` the step becomes a part of the compiled graph; elsewhere, gradients must be arrays (or
        tensors that depend on variables only), and the variables change at once. Gradients are clipped as this
        optimizer clips.

        Args:
            grads_and_vars: pairs of a gradient and its variable. Where the gradient is ``None``, the variable stays as
                it is, with a warning.
            name: not used here.
            kwargs: ``skip_gradients_aggregation`` and ``experimental_aggregate_gradients``, which mean nothing on one
                machine.

        Returns:
            the number of steps, a variable.

        Raises:
            ValueError: all gradients are ``None``. TypeError: other arguments, or no pairs.
        """
        for key in kwargs:
            if key not in ("skip_gradients_aggregation", "experimental_aggregate_gradients"):
                raise DataTypeError(f"{type(self).__name__}.apply_gradients does not take {key!r}")
        self.apply(*self._checked_pairs(grads_and_vars))
        return self.iterations

    def apply(self, grads: Sequence[Any], trainable_variables: Sequence[Variable] | None = None) -> None:
        """Keras 3's form of :meth:`apply_gradients`: two lists; variables default to those of the last step."""
        variables = getattr(self, "_trained", None) if trainable_variables is None else list(trainable_variables)
        if variables is None:
            raise KCompileError(f"{type(self).__name__}.apply needs trainable_variables in its first call")
        found, variables = self._checked_pairs(zip(grads, variables, strict=True))
        clipped = self.clipped([as_tensor(g) for g in found])
        if users_own(type(self), "update_step"):
            self._run(lambda: self._update_each(clipped, variables))
        elif users_own(type(self), "get_updates"):
            self._assign(self._own_updates(clipped, variables))
        else:
            self._assign(self.updates_for(clipped, variables))

    def _checked_pairs(self, grads_and_vars: Iterable[Any]) -> tuple[list[Any], list[Variable]]:
        owner = f"{type(self).__name__}.apply_gradients"
        pairs = [tuple(pair) if isinstance(pair, (list, tuple)) else (pair,) for pair in grads_and_vars]
        for pair in pairs:
            if len(pair) != 2 or not isinstance(pair[1], Variable):
                what = pair[1] if len(pair) == 2 else pair
                raise DataTypeError(f"{owner} takes pairs (gradient, variable), as zip(gradients, variables) gives; "
                                    f"got {shown(what)}")  # fmt: skip
        missing = [v.label for g, v in pairs if g is None]
        if missing and len(missing) == len(pairs):
            raise KCompileError(
                f"{owner}: there is no gradient for any variable ({listed(missing[:5])}); compute the loss from them "
                "inside `with GradientTape() as tape:`, and check for K.argmax, K.round and K.stop_gradient"
            )
        if missing:
            warn(f"{owner}: the loss does not depend on {listed(missing)}; they stay as they are.", UserWarning)
        self._trained = [v for _, v in pairs]
        return [g for g, _ in pairs if g is not None], [v for g, v in pairs if g is not None]

    def _assign(self, updates: Sequence[Update]) -> None:
        if current_trace() is not None:
            for variable, value in updates:
                variable.assign(value)
            return
        for (variable, _), array in zip(updates, evaluated([as_tensor(v) for _, v in updates]), strict=True):
            variable.assign(array)

    def _run(self, function: Callable[[], Any]) -> None:
        """Run code that assigns, in the step that is being traced or at once."""
        if current_trace() is not None:
            function()
        else:
            self._assign(updates_of(function))

    def _own_updates(self, grads: list[Tensor], variables: list[Variable]) -> list[Update]:
        """What a subclass's ``get_updates`` makes of gradients that are known."""
        self.get_gradients = lambda loss, params: grads
        try:
            return self.get_updates(None, variables)
        finally:
            del self.get_gradients

    # -- for subclasses

    def steps_by_hooks(self) -> bool:
        """Whether a subclass defines one of :data:`HOOKS`."""
        return any(users_own(type(self), hook) for hook in HOOKS)

    def updates_by_hooks(self, loss: Tensor, params: Sequence[Variable]) -> list[Update]:
        """The updates of one step as the hooks of a subclass make it."""
        return updates_of(lambda: self.minimize(loss, params)) if params else self.updates_for([], params)

    def update_step(self, gradient: Tensor, variable: Variable, learning_rate: Any = None) -> None:
        """Change one variable by its gradient; subclasses define it with ``assign``, as in tf.keras and Keras 3.

        Args:
            gradient: clipped.
            variable: what changes.
            learning_rate: handed to subclasses that take it, as Keras 3's do.
        """
        if self._rule is None:
            self._extra = []
            self._rule = self.prepare(self._extra)  # type: ignore[attr-defined]  # of Optimizer
        new, slots = self._rule(variable, gradient)
        for slot, value in slots:
            slot.assign(value)
        variable.assign(new)

    def build(self, var_list: Sequence[Variable]) -> None:
        """Called with all variables before the first step: subclasses make their state here."""
        self.built = True
        self._index_dict = {self._var_key(v): i for i, v in enumerate(var_list)}

    def add_variable_from_reference(
        self,
        model_variable: Variable | None = None,
        variable_name: str | None = None,
        shape: Sequence[int] | None = None,
        initial_value: ArrayLike | None = None,
        *,
        reference_variable: Variable | None = None,
        name: str | None = None,
        initializer: Identifier = None,
    ) -> Variable:
        """State of the shape of a variable, zero at first; by the argument names of tf.keras and Keras 3."""
        variable = reference_variable if model_variable is None else model_variable
        if variable is None:
            raise DataTypeError(f"{type(self).__name__}.add_variable_from_reference needs a variable")
        if shape is not None and tuple(shape) != tuple(variable.shape):
            raise KCompileError(f"{type(self).__name__}: state of a variable has its shape, {tuple(variable.shape)}")
        with at_once():
            slot = self.slot(variable_name or name or "slot", variable)
            if initial_value is not None:
                slot.assign(np.asarray(initial_value))
            elif initializer not in (None, "zeros"):
                slot.assign(np.asarray(initializers.get(initializer)(tuple(variable.shape))))
        return slot

    def add_variable(
        self,
        shape: Sequence[int] = (),
        initializer: Identifier = "zeros",
        dtype: str | None = None,
        name: str | None = None,
    ) -> Variable:
        """State of any shape, as Keras 3 makes it."""
        with at_once():
            value = np.asarray(initializers.get(initializer)(tuple(shape)))
            label = name or f"variable_{len(self._slots)}"
            variable = Variable(value, dtype, f"{type(self).__name__}/{label}", role="slot", trainable=False)
        self._slots[label, None] = variable
        return variable

    def assign(self, variable: Variable, value: TensorLike) -> None:
        """Give a variable a value (Keras 3)."""
        variable.assign(value)

    def assign_add(self, variable: Variable, value: TensorLike) -> None:
        """Add to a variable (Keras 3)."""
        variable.assign_add(value)

    def assign_sub(self, variable: Variable, value: TensorLike) -> None:
        """Subtract from a variable (Keras 3)."""
        variable.assign_sub(value)

    def _get_variable_index(self, variable: Variable) -> int:
        return self._index_dict[self._var_key(variable)]

    def _var_key(self, variable: Variable) -> Any:
        return variable.variable

    def _update_each(self, grads: Sequence[Tensor], variables: Sequence[Variable]) -> None:
        if not self.built:
            with at_once():
                self.build(list(variables))
            self.built = True
        takes = inspect.signature(type(self).update_step).parameters
        more = [self.lr] if len(takes) > 3 else []
        self._rule = None
        for gradient, variable in zip(grads, variables, strict=True):
            self.update_step(gradient, variable, *more)
            if variable.constraint is not None:
                variable.assign(variable.constraint(variable))
        if self._rule is not None:
            for extra, value in self._extra:
                extra.assign(value)
            self._rule = None
        self.iterations.assign(self.iterations + 1)
