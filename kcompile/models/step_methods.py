"""What a training step is made of, for subclasses to define anew: ``train_step`` and its kin."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from kcompile.common.errors import DataTypeError
from kcompile.data.unpacking import unpack_x_y_sample_weight
from kcompile.symbolic.gradient_tape import GradientTape
from kcompile.symbolic.step_trace import current_step
from kcompile.symbolic.tensor import Tensor, as_tensor
from kcompile.training.compiled_containers import CompiledLoss, CompiledMetrics
from kcompile.training.evaluation import logs_on_batch
from kcompile.training.overriding import hook, overridden
from kcompile.training.trainer import WithTrainer


class StepMethods(WithTrainer):
    """The default steps.

    A subclass that defines one of ``train_step``, ``test_step``, ``predict_step``, ``compute_loss`` or
    ``compute_metrics`` has it run by ``fit``, ``evaluate`` and ``predict``: traced on symbolic tensors when data of a
    new form arrives, and compiled into one graph.
    """

    @hook
    def train_step(self, data: Any) -> dict[str, Any]:
        """One training step, on symbolic tensors.

        Args:
            data: ``x``, ``(x,)``, ``(x, y)`` or ``(x, y, sample_weight)``, each in the structure that ``fit`` was
                given.

        Returns:
            logs: names with scalars.
        """
        x, y, sample_weight = unpack_x_y_sample_weight(data)
        with GradientTape() as tape:
            y_pred = self(x, training=True)
            loss = self._loss_of_step(x, y, y_pred, sample_weight, True)
        self.optimizer.minimize(loss, self.trainable_variables, tape=tape)
        return self._logs_of_step(x, y, y_pred, sample_weight)

    @hook
    def test_step(self, data: Any) -> dict[str, Any]:
        """One step of ``evaluate`` and of validation; arguments and result as for :meth:`train_step`."""
        x, y, sample_weight = unpack_x_y_sample_weight(data)
        y_pred = self(x, training=False)
        self._loss_of_step(x, y, y_pred, sample_weight, False)
        return self._logs_of_step(x, y, y_pred, sample_weight)

    @hook
    def predict_step(self, data: Any) -> Any:
        """The outputs for the data of one step of ``predict``."""
        x, _, _ = unpack_x_y_sample_weight(data)
        return self(x, training=False)

    @hook
    def compute_loss(
        self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None, training: bool = True
    ) -> Tensor:
        """The loss that ``compile`` was told, and the losses that layers add; a scalar."""
        return self.compiled_loss(y, y_pred, sample_weight, regularization_losses=self.losses)

    @hook
    def compute_metrics(self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None) -> dict[str, Any]:
        """Update the metrics that ``compile`` was told; the results of all metrics."""
        self.compiled_metrics.update_state(y, y_pred, sample_weight)
        return self.get_metrics_result()

    @hook
    def get_metrics_result(self) -> dict[str, Any]:
        """The results of :attr:`metrics` by name; results that are dictionaries bring names of their own.

        In a step, metrics that it does not update are left out: nothing was measured.
        """
        found: dict[str, Any] = {}
        step = current_step()
        for metric in self.metrics:
            if step is not None and metric.weights and not any(w in step.updates for w in metric.weights):
                continue
            result = metric.result()
            found.update(result if isinstance(result, Mapping) else {metric.name: result})
        return found

    @property
    def compiled_loss(self) -> CompiledLoss:
        """The losses that ``compile`` was told: call it with ``(y, y_pred, sample_weight, regularization_losses)``."""
        return self.fit_trainer.containers.loss

    @property
    def compiled_metrics(self) -> CompiledMetrics:
        """The metrics that ``compile`` was told: ``update_state(y, y_pred, sample_weight)``."""
        return self.fit_trainer.containers.metrics

    @hook
    def make_train_function(self, force: bool = False) -> Callable[[Any], dict[str, Any]]:
        """A function that trains on the next batch of an iterator; ``force``: steps are traced anew."""
        return self._function_on_iterators(True, force)

    @hook
    def make_test_function(self, force: bool = False) -> Callable[[Any], dict[str, Any]]:
        """A function that evaluates the next batch of an iterator; ``force`` as for :meth:`make_train_function`."""
        return self._function_on_iterators(False, force)

    @hook
    def make_predict_function(self, force: bool = False) -> Callable[[Any], Any]:
        """A function that gives the outputs for the next batch of an iterator."""
        if force:
            self.fit_trainer.predictor = None
        return lambda iterator: self.predict_on_batch(unpack_x_y_sample_weight(next(iterator))[0])

    def _function_on_iterators(self, training: bool, force: bool) -> Callable[[Any], dict[str, Any]]:
        if force:
            self.fit_trainer.forget_steps()

        def run(iterator: Any) -> dict[str, Any]:
            x, y, sample_weight = unpack_x_y_sample_weight(next(iterator))
            return logs_on_batch(self.fit_trainer, training, x, y, sample_weight, reset_metrics=False)

        return run

    # -- what the steps above share

    def _loss_of_step(self, x: Any, y: Any, y_pred: Any, sample_weight: Any, training: bool) -> Tensor:
        """``compute_loss``, with its result tracked as ``loss`` if it tracks nothing itself."""
        takes = inspect.signature(self.compute_loss).parameters
        more = {"training": training} if "training" in takes or _takes_any(takes) else {}
        found: Any = self.compute_loss(x, y, y_pred, sample_weight, **more)
        if found is None:
            raise DataTypeError(f"{type(self).__name__}.compute_loss returned None; return the loss, a tensor")
        loss = as_tensor(found)
        if overridden(self, "compute_loss") and not any(metric.name == "loss" for metric in self.metrics):
            self.fit_trainer.containers.track(loss)
        return loss

    def _logs_of_step(self, x: Any, y: Any, y_pred: Any, sample_weight: Any) -> dict[str, Any]:
        logs: Any = self.compute_metrics(x, y, y_pred, sample_weight)  # perhaps one of the user's own
        if not isinstance(logs, Mapping):
            owner = f"{type(self).__name__}.compute_metrics"
            raise DataTypeError(f"{owner} must return a dictionary of results, such as get_metrics_result() gives")
        tracked = self.fit_trainer.containers.tracker
        return {**({} if tracked is None else {"loss": tracked.result()}), **logs}


def _takes_any(parameters: Mapping[str, inspect.Parameter]) -> bool:
    return any(p.kind == p.VAR_KEYWORD for p in parameters.values())
