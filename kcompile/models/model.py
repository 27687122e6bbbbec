"""Models: compile, fit, evaluate, predict."""

from __future__ import annotations

import contextlib
import operator
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from kcompile.common import config
from kcompile.common.arguments import arguments_of
from kcompile.common.errors import DataError, KCompileError, NotReadyError, check_no_extra_arguments, check_positive_int
from kcompile.common.lists import as_list
from kcompile.common.nest import flatten
from kcompile.common.tracebacks import short_traceback
from kcompile.data.adapters import is_array_like, raw_array
from kcompile.data.shuffling import Shuffling
from kcompile.data.standardize import FeedSpec, TargetSpec
from kcompile.engine.added_metrics import Means
from kcompile.engine.forms import form_of, names_of
from kcompile.engine.index_limits import index_limits
from kcompile.engine.network import Network
from kcompile.models.export_methods import ExportMethods
from kcompile.models.generator_methods import GeneratorMethods
from kcompile.models.saving_methods import SavingMethods
from kcompile.models.step_methods import StepMethods
from kcompile.symbolic.tensor import Array, Tensor
from kcompile.symbolic.variable import Variable
from kcompile.training import custom_prediction, custom_steps, prediction
from kcompile.training.compilation import Compilation, check_names, resolve, switches, warn_of_unfit_losses
from kcompile.training.compiled_containers import Containers
from kcompile.training.execution_options import ExecutionOptions
from kcompile.training.loss_weights import LossWeighting, live
from kcompile.training.step import Step, StepGraph
from kcompile.training.totals import Totals

if TYPE_CHECKING:
    from kcompile.callbacks import History


class Model(StepMethods, SavingMethods, ExportMethods, GeneratorMethods, ExecutionOptions, LossWeighting, Network):
    """A network that can be trained.

    ``Model(inputs, outputs)`` groups the layers between tensors; a subclass that defines ``call`` builds its graph
    when it is first called or fitted.
    """

    _hook_kinds = ("Layer", "Model")
    _one_input = False  # whether a list is always the samples of one input
    _totals: Totals | None = None  # the losses since the metrics were last reset
    _shuffling: Shuffling | None = None  # the order of samples in fit
    _step_seed: int | None = None  # the first of those that a step of the user's own draws

    @short_traceback
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._steps: dict[Any, Step] = {}
        self._symbolic: StepGraph | None = None
        self._predictor: prediction.Predictor | None = None
        self._compiled: Any = None
        self._specs: tuple[list[Tensor], list[FeedSpec]] | None = None
        self._own_targets: dict[str, tuple[int | None, ...]] = {}
        self._random: Variable | None = None
        self._compile_arguments: dict[str, Any] | None = None
        self._collected_trainable_weights: list[Variable] = []
        self._told_of_flags = False
        self._flag_checks = 0
        self._collected_updates: list[Any] = []
        self._collected_switches: dict[Variable, bool] = {}
        self._means = Means()
        self._containers = Containers(self)
        self._forms: dict[bool, list[Any]] = {}
        self._own_predictors: dict[str, Any] = {}
        self._own_output_form: Any = None
        self.optimizer: Any = None
        self.loss: Any = None
        self.stop_training = False
        self.history: History | None = None

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
        arguments = {
            "optimizer": optimizer, "loss": loss, "metrics": metrics, "loss_weights": live(loss_weights),
            "sample_weight_mode": sample_weight_mode, "weighted_metrics": weighted_metrics,
            "steps_per_execution": steps_per_execution,
        }  # fmt: skip
        custom_steps.refuse_functions(self)
        # Everything is checked before anything changes; what depends on outputs waits for the graph.
        if self._functional:
            compiled = self._resolve(arguments)
            arguments["optimizer"] = compiled.optimizer
        else:
            from kcompile import optimizers

            check_names(loss, metrics, weighted_metrics)
            if steps_per_execution is not None:
                check_positive_int("compile", "steps_per_execution", steps_per_execution)
            arguments["optimizer"] = optimizers.get(optimizer)
            compiled = None
        self._compile_arguments = arguments
        self.on_nan = on_nan
        self._forget_steps()
        self._totals = self._shuffling = None
        self._own_targets = {}
        self.loss = loss
        self.optimizer, self._compiled = arguments["optimizer"], None
        if compiled is not None:
            self._use(compiled)

    def _resolve(self, arguments: dict[str, Any]) -> Compilation:
        """The arguments of ``compile`` for the outputs of this model."""
        compiled = resolve(self, **arguments)
        warn_of_unfit_losses(self, compiled.outputs)
        return compiled

    def _forget_steps(self) -> None:
        """Compiled steps are made anew when they are next needed."""
        self._steps.clear()
        self._forms.clear()
        self._containers = Containers(self)

    def _finish_compile(self) -> None:
        assert self._compile_arguments is not None
        self._use(self._resolve(self._compile_arguments))

    def _use(self, compiled: Compilation) -> None:
        self._compiled = compiled
        self._follow_loss_weights()
        self._symbolic = None
        self.optimizer = compiled.optimizer
        # What is trainable counts as of now: a GAN's discriminator is frozen after it was compiled.
        self._collected_trainable_weights = self.trainable_weights
        self._told_of_flags, self._flag_checks = False, 0
        self._collected_updates = self.updates
        self._collected_switches = switches(self)

    def _append(self, added: Sequence[Tensor]) -> None:
        super()._append(added)
        if added and self._functional:
            self._steps.clear()
            if self._compile_arguments is not None and self._compiled is not None:
                self._finish_compile()

    @property
    def metrics_names(self) -> list[str]:
        """The names of what evaluate returns: ``loss`` first; of metrics, where a step is the user's own."""
        if custom_steps.own_steps(self):
            return [metric.name for metric in self.metrics]
        return list(self._compiled.metrics_names) if self._compiled else ["loss"]

    @property
    def metrics(self) -> list[Any]:
        """The Metric objects, in the order of :attr:`metrics_names`."""
        if custom_steps.own_steps(self):
            return custom_steps.metrics_of(self)
        if self._compiled is None:
            return []
        return [*self._compiled.metrics, *(added.metric for added in self._compiled.added)]

    @property
    def total_loss(self) -> Tensor:
        """The loss that training minimizes: a function of inputs, :attr:`targets` and :attr:`sample_weights`."""
        return self._symbolic_step("total_loss").total

    @property
    def targets(self) -> list[Tensor]:
        """Placeholders of the targets, one for each output with a loss."""
        return list(self._symbolic_step("targets").y)

    @property
    def sample_weights(self) -> list[Tensor]:
        """Placeholders of the sample weights, one for each output with a loss."""
        return [w for w in self._symbolic_step("sample_weights").w if w is not None]

    def _symbolic_step(self, what: str) -> StepGraph:
        """The step from which scripts take symbolic tensors; the same ones until ``compile``."""
        self._require_compiled(what)
        if custom_steps.own_steps(self):
            raise NotReadyError(f"model {self.name!r} has a step of its own, so only that step knows its {what}")
        if self._symbolic is None:
            specs = self._target_specs()
            ranks = [2 if spec.sample_weight_mode == "temporal" else 1 for spec in specs]
            self._symbolic = StepGraph(self, [self._target_shape(spec, None) for spec in specs], ranks, training=True)
        return self._symbolic

    def reset_metrics(self) -> None:
        """Start all metrics anew."""
        for metric in self.metrics:
            metric.reset_states()
        if self._totals is not None:
            self._totals.clear()

    def _random_counter(self) -> Variable:
        """The model's own count of steps that drew random numbers, so that training is the same in every run."""
        if self._random is None:
            label = f"{self.name}/random_counter"
            self._random = Variable(np.zeros((), np.uint32), "uint32", label, role="rng", trainable=False)
        return self._random

    @property
    def _steps_per_execution(self) -> int:
        given = (self._compile_arguments or {}).get("steps_per_execution")
        return 1 if given is None else int(given)

    def _require_compiled(self, what: str) -> None:
        if self._compile_arguments is None:
            raise NotReadyError(
                f"model {self.name!r} must be compiled before {what}: call model.compile(optimizer, loss)"
            )

    # -- what data must look like

    def _feed_specs(self) -> list[FeedSpec]:
        """What each input takes; found once for a graph: a walk over all layers takes longer than a small predict."""
        graph = [*self.inputs, *self.outputs]
        if self._specs is None or len(graph) != len(self._specs[0]) or any(map(operator.is_not, graph, self._specs[0])):
            limits = index_limits(self)
            found = [
                FeedSpec(name, tuple(x.shape), x.dtype, *limits.get(name, (None, "")))
                for name, x in zip(self.input_names, self.inputs, strict=True)
            ]
            self._specs = graph, found
        return self._specs[1]

    def _all_layers(self) -> list[Any]:
        found, stack = [], list(self.layers)
        while stack:
            layer = stack.pop()
            found.append(layer)
            stack.extend(layer.sublayers)
        return found

    def _target_specs(self) -> list[TargetSpec]:
        if self._compiled is None or not self._functional:
            return []
        return [plan.target(tuple(self.outputs[plan.index].shape), config.floatx()) for plan in self._compiled.outputs]

    def _target_shape(self, spec: TargetSpec, y: Any) -> tuple[int | None, ...]:
        """The shape of one target in the graph, without the batch axis."""
        shape = spec.shape or ()
        if spec.kind == "sparse":
            return tuple(1 if i == spec.class_axis % len(shape) else d for i, d in enumerate(shape))[1:]
        if spec.kind == "any":  # a user's own loss: what it was given last, or else like the output
            return self._own_targets.get(spec.name, tuple(shape[1:])) if y is None else tuple(y.shape[1:])
        return tuple(shape[1:])

    @contextlib.contextmanager
    def _built_for(self, x: Any) -> Iterator[None]:
        """Inside, the model is built for ``x``; an error leaves one that was not built before as it was."""
        if self._functional:
            yield
            return
        before = [(layer, _copied(vars(layer))) for layer in (self, *self._all_layers())]
        try:
            self._ensure_built(x)
            yield
        except BaseException:
            for layer, attributes in before:
                vars(layer).clear()
                vars(layer).update(attributes)
            raise

    def _ensure_built(self, x: Any) -> None:
        """Build the graph of a subclassed or unshaped model from the first data that it sees."""
        from kcompile.engine.input_layer import Input

        inputs: list[Any] = []
        for path, name, value in self._first_arrays(x):
            a = raw_array(value, path)
            dtype = "int32" if a.dtype.kind in "iu" and a.dtype != np.uint8 else config.floatx()
            inputs.append(Input(shape=a.shape[1:] or (1,), dtype=dtype, name=name))
        if isinstance(x, dict) and not self._one_input:
            self._build_graph(dict(zip(x, inputs, strict=True)))
            return
        self._build_graph(inputs if len(inputs) > 1 else inputs[0])

    def _first_arrays(self, x: Any) -> list[tuple[str, str | None, Any]]:
        """The first data of a model that is not built: for each input what to call it, its name, its array."""
        if x is None:
            raise DataError(f"x is missing: model {self.name!r} is built from its first data.")
        if isinstance(x, dict) and x:
            return [(f"x[{name!r}]", str(name), value) for name, value in x.items()]
        arrays = isinstance(x, (list, tuple)) and bool(x) and all(is_array_like(item) for item in x)
        if arrays and (len(x) == 1 or not self._one_input):
            return [(f"x[{i}]", None, value) for i, value in enumerate(x)]
        return [("x", None, x)]

    def _build_graph(self, inputs: Any) -> None:
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
        if self._compile_arguments is not None and not custom_steps.own_steps(self):
            self._finish_compile()

    # -- steps

    def _step(self, training: bool, y: Sequence[Array], weights: Sequence[Array | None]) -> Step:
        """The compiled step for targets and weights of these shapes."""
        specs = self._target_specs()
        targets = tuple(self._target_shape(s, a) for s, a in zip(specs, y, strict=True))
        self._own_targets = dict(zip((spec.name for spec in specs), targets, strict=True))
        weighted = tuple(0 if w is None else w.ndim for w in weights)
        key = (training, targets, weighted)
        if key not in self._steps:
            name = "train_step" if training else "eval_step"
            self._steps[key] = StepGraph(self, targets, weighted, training).compile(name)
        return self._steps[key]

    # -- prediction

    def _predict_arrays(self, arrays: Sequence[Array], form: Any = None) -> list[Array]:
        if form is not None:
            return custom_prediction.predictor_for(self, form)(arrays)
        if self._predictor is None:
            custom_steps.refuse_functions(self)
            self._predictor = prediction.Predictor.of(self)
        return self._predictor(arrays)


# ---- helpers


def _copied(attributes: dict[str, Any]) -> dict[str, Any]:
    """Attributes of a layer, with lists and dictionaries that do not grow with the layer's own."""
    return {key: value.copy() if isinstance(value, (list, dict)) else value for key, value in attributes.items()}


__all__ = ["Compilation", "Model"]
