"""Models: compile, fit, evaluate, predict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from kcompile import optimizers
from kcompile.common.arguments import arguments_of
from kcompile.common.checks import check_no_extra_arguments, check_positive_int
from kcompile.common.errors import KCompileError
from kcompile.common.lists import as_list
from kcompile.common.nest import flatten
from kcompile.common.tracebacks import short_traceback
from kcompile.engine.forms import form_of, names_of
from kcompile.models.export_methods import ExportMethods
from kcompile.models.generator_methods import GeneratorMethods
from kcompile.models.saving_methods import SavingMethods
from kcompile.models.step_methods import StepMethods
from kcompile.symbolic.tensor import Tensor
from kcompile.training.compilation import Compilation, CompileArguments, check_names
from kcompile.training.execution_options import ExecutionOptions
from kcompile.training.loss_weights import live
from kcompile.training.overriding import hook, refuse_functions
from kcompile.training.trainer import Trainer


class Model(StepMethods, SavingMethods, ExportMethods, GeneratorMethods, ExecutionOptions):
    """A network that can be trained.

    ``Model(inputs, outputs)`` groups the layers between tensors; a subclass that defines ``call`` builds its graph
    when it is first called or fitted.
    """

    _hook_kinds = ("Layer", "Model")

    @short_traceback
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fit_trainer = Trainer(self)
        self.optimizer = None
        self.loss = None
        self.stop_training = False
        self.history = None

    # -- compile

    @short_traceback
    def compile(
        self,
        optimizer: Any = "rmsprop",
        loss: Any = None,
        metrics: Any = None,
        loss_weights: Any = None,
        sample_weight_mode: Any = None,
        weighted_metrics: Any = None,
        target_tensors: Any = None,
        steps_per_execution: int | None = None,
        on_nan: str = "raise",
        run_eagerly: bool | None = None,
        jit_compile: bool | str | None = None,
        **kwargs: Any,
    ) -> None:
        """Choose how the model is trained.

        Args:
            optimizer: a name or an optimizer.
            loss: a name, a function ``(y_true, y_pred)`` or a Loss; several outputs: a list, or a dictionary by
                output (``None``: no loss).
            metrics: names, functions or Metrics, in a list, or a dictionary or list of lists by output.
            loss_weights: factors of the outputs' losses, a list or a dictionary of numbers or variables; a change of
                a variable, or of an entry of ``model.loss_weights``, counts from the next step on.
            sample_weight_mode: ``temporal`` for weights ``(samples, time)``; several outputs: a list or dictionary.
            weighted_metrics: metrics that are weighted as the loss is.
            target_tensors: not supported; only ``None``: targets are fed.
            steps_per_execution: batches per run of the compiled graph.
            on_nan: what ``fit`` does when the loss is not a finite number: ``raise`` (the weights stay those before
                that step) or ``ignore``.
            run_eagerly, jit_compile: taken as in tf.keras and Keras 3, and change nothing: a step is always traced
                once and compiled. A warning says so.

        Raises:
            ValueError: unknown names (with near matches), or entries that do not fit the outputs.
            TypeError: an unknown argument.
        """
        if kwargs:
            check_no_extra_arguments("compile", kwargs, arguments_of(Model.compile))
        if target_tensors is not None:
            raise KCompileError("compile: target_tensors is not supported; pass targets to fit as arrays")
        if on_nan not in ("raise", "ignore"):
            raise KCompileError(f"compile: on_nan is {on_nan!r}; use 'raise' or 'ignore'")
        self.run_eagerly, self.jit_compile = run_eagerly, jit_compile
        refuse_functions(self)
        # Everything is checked before anything changes; what depends on outputs waits for the graph.
        arguments = CompileArguments(
            optimizer, loss, metrics, live(loss_weights), sample_weight_mode, weighted_metrics, steps_per_execution
        )
        compiled: Compilation | None = None
        if self.has_layer_graph:
            compiled = self.fit_trainer.resolve(arguments)
            chosen = compiled.optimizer
        else:
            check_names(loss, metrics, weighted_metrics)
            if steps_per_execution is not None:
                check_positive_int("compile", "steps_per_execution", steps_per_execution)
            chosen = optimizers.get(optimizer)
        self.on_nan = on_nan
        self.loss, self.optimizer = loss, chosen
        self.fit_trainer.compile(replace(arguments, optimizer=chosen), compiled)

    @property
    def loss_weights(self) -> Any:
        """What ``compile`` was given; assigning to it, or to one of its entries, counts from the next step on.

        Raises:
            ValueError: a name that is no output, or no number.
        """
        return self.fit_trainer.loss_weights

    @loss_weights.setter
    def loss_weights(self, value: Any) -> None:
        self.fit_trainer.set_loss_weights(value)

    def append_ends(self, added: Sequence[Tensor]) -> None:
        super().append_ends(added)
        if added and self.has_layer_graph:
            self.fit_trainer.additions_changed()

    @property
    def metrics_names(self) -> list[str]:
        """The names of what evaluate returns: ``loss`` first; of metrics, where a step is the user's own."""
        if self.fit_trainer.has_own_steps:
            return [metric.name for metric in self.metrics]
        compiled = self.fit_trainer.compiled
        return ["loss"] if compiled is None else list(compiled.metrics_names)

    @property
    @hook
    def metrics(self) -> list[Any]:
        """The Metric objects, in the order of :attr:`metrics_names`."""
        return self.fit_trainer.metrics

    @property
    def total_loss(self) -> Tensor:
        """The loss that training minimizes: a function of inputs, :attr:`targets` and :attr:`sample_weights`."""
        return self.fit_trainer.symbolic_step("total_loss").total

    @property
    def targets(self) -> list[Tensor]:
        """Placeholders of the targets, one for each output with a loss."""
        return list(self.fit_trainer.symbolic_step("targets").y)

    @property
    def sample_weights(self) -> list[Tensor]:
        """Placeholders of the sample weights, one for each output with a loss."""
        return [w for w in self.fit_trainer.symbolic_step("sample_weights").w if w is not None]

    def reset_metrics(self) -> None:
        """Start all metrics anew."""
        for metric in self.metrics:
            metric.reset_states()
        if self.fit_trainer.totals is not None:
            self.fit_trainer.totals.clear()

    def build_from_inputs(self, inputs: Any) -> None:
        """Build the graph of a subclassed model from symbolic inputs: one, a list or a dictionary."""
        outputs = self(inputs)
        self._nested_output = isinstance(outputs, (list, tuple))
        self._input_form, self._output_form = form_of(inputs), form_of(outputs)
        self.inputs = as_list(inputs) if self._input_form is None else flatten(inputs)
        self.outputs = as_list(outputs) if self._output_form is None else flatten(outputs)
        self.input_names = [x.keras_history[0].name for x in self.inputs if x.keras_history]
        self.output_names = names_of(self._output_form, [f"output_{i + 1}" for i in range(len(self.outputs))])
        self._functional = True
        self._subclassed = True
        self.built = True
        if not self.fit_trainer.has_own_steps:
            self.fit_trainer.outputs_changed()

    def __copy__(self) -> Any:
        other = super().__copy__()
        other.fit_trainer = self.fit_trainer.of_copy(other)
        return other
