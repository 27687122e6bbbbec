"""What trains a model: its steps by kind, its predictors, and how far training has come."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from kcompile.common.errors import DataTypeError, KCompileError, NotReadyError, shown
from kcompile.common.nest import pack
from kcompile.data.adapters import FeedSpec, LazyRows
from kcompile.data.fixed_batches import fixed_batch_size
from kcompile.data.free_data import Form, FreeSpecs, Leaf, leaves_of, widened
from kcompile.data.model_data import ModelData
from kcompile.data.shuffling import Shuffling
from kcompile.engine.inference_graph import predict_graph
from kcompile.engine.input_layer import Input
from kcompile.engine.network import Network
from kcompile.symbolic.tensor import Array
from kcompile.training.added_metrics import Means, added_metrics
from kcompile.training.building import inputs_for, undone_by_errors
from kcompile.training.compilation import (
    Compilation,
    CompileArguments,
    resolve,
    switches,
    warn_of_unfit_losses,
)
from kcompile.training.compiled_containers import Containers
from kcompile.training.custom_prediction import own_predictor
from kcompile.training.overriding import overridden, own_steps, refuse_functions
from kcompile.training.own_step import OwnStep
from kcompile.training.plan import TrainingPlan
from kcompile.training.predictor import Predictor
from kcompile.training.step import Step
from kcompile.training.step_graph import StepGraph
from kcompile.training.totals import Totals
from kcompile.training.trainable_flags import FlagWatch
from kcompile.training.trained_network import TrainedNetwork


class Trainer(TrainingPlan):
    """Trains, evaluates and predicts with one model, which owns it.

    Loops, exports and files ask it for what they need; what ``compile`` settled stands in :class:`TrainingPlan`. A
    trainer of another kind (one of several that share their gradients) is a subclass that the model is given.

    Attributes:
        containers: what ``compile`` was told, for steps of the user's own.
        means: the metrics of what layers add.
        totals: the losses since the metrics were last reset.
        shuffling: the order of samples in fit; ``None`` before it shuffles.
        steps: those that were compiled, by phase and by what they are fed.
        predictor: what predicts, once it was needed.
    """

    def __init__(self, model: TrainedNetwork) -> None:
        super().__init__(model)
        self.containers = Containers(self)
        self.means = Means()
        self.totals: Totals | None = None
        self.shuffling: Shuffling | None = None
        self.steps: dict[Any, Step] = {}
        self._forms: dict[bool, list[Form]] = {}  # of data that steps of the user's own have seen
        self._symbolic: StepGraph | None = None
        self.predictor: Predictor | None = None
        self._own_predictors: dict[str, tuple[Predictor, Any]] = {}
        self._own_output_form: Any = None
        self._flags = FlagWatch()

    # -- compile

    def resolve(self, arguments: CompileArguments) -> Compilation:
        """The arguments of ``compile`` for the outputs of the model.

        Raises:
            ValueError: they do not fit.
        """
        compiled = resolve(self.model, arguments, added_metrics(self.model, self.means))
        warn_of_unfit_losses(self.model, compiled.outputs)
        return compiled

    def compile(self, arguments: CompileArguments, compiled: Compilation | None) -> None:
        """Start anew, with arguments that were checked; ``compiled``: what they come to, if outputs are known."""
        self.arguments, self.compiled = arguments, None
        self.forget_steps()
        self.totals = self.shuffling = None
        self.target_shapes = {}
        if compiled is not None:
            self._use(compiled)

    def outputs_changed(self) -> None:
        """Go on with the arguments of ``compile``, if there are any, for other outputs."""
        self.steps.clear()
        if self.arguments is not None:
            self._use(self.resolve(self.arguments))

    def additions_changed(self) -> None:
        """Go on as before, with what layers add now."""
        if self.compiled is None:
            self.steps.clear()
        else:
            self.outputs_changed()

    def _use(self, compiled: Compilation) -> None:
        model = self.model
        self.compiled = compiled
        self.follow_loss_weights()
        self._symbolic = None
        model.optimizer = compiled.optimizer
        self.trained_weights = model.trainable_weights
        self._flags = FlagWatch()
        self.updates = model.updates
        self.switches = switches(model)

    def forget_steps(self) -> None:
        """Compiled steps are made anew when they are next needed."""
        self.steps.clear()
        self._forms.clear()
        self.containers = Containers(self)

    def warn_of_changed_flags(self) -> None:
        """Say once after each ``compile`` that ``trainable`` was changed, which has no effect until the next one."""
        if self.compiled is not None and not self.has_own_steps:
            self._flags.look(self.model, self.trained_weights)

    # -- steps of the user's own, and the metrics that go with them

    @property
    def has_own_steps(self) -> bool:
        """Whether training and evaluation run code of the user's own."""
        return own_steps(self.model)

    @property
    def metrics(self) -> list[Any]:
        """The Metric objects: of a step of the user's own those of ``compile`` that are in use, and then its own."""
        if not self.has_own_steps:
            compiled = self.compiled
            return [] if compiled is None else [*compiled.metrics, *(added.metric for added in compiled.added)]
        found = [*self.containers.loss.metrics, *self.containers.metrics.metrics]
        for layer in self.model.layer_and_those_inside():
            found += layer.fed_metrics()
        return list(dict.fromkeys(found))

    @property
    def wants_targets(self) -> bool | None:
        """Whether batches of generators must have targets.

        ``None``: they are what the model's own step unpacks; or the model has no use for them, and there may be none.
        """
        return None if self.has_own_steps or (self.model.has_layer_graph and not self.targets) else True

    def new_totals(self) -> Totals:
        """Start losses and metrics anew."""
        model, own = self.model, self.has_own_steps
        added = [] if own or self.compiled is None else self.compiled.added
        self.totals = Totals(model.metrics_names, [] if own else model.metrics, added, own)
        model.reset_metrics()
        if own:
            self.containers.reset()
        return self.totals

    def shuffler(self) -> Shuffling:
        """The model's own generator, seeded where it was not."""
        if self.shuffling is None or not self.shuffling.current:
            self.shuffling = Shuffling()
        return self.shuffling

    # -- what is fed

    @property
    def training_feeds(self) -> Sequence[FeedSpec]:
        """What fit and evaluate feed: what the model takes, or whatever a step of the user's own gets."""
        if not self.has_own_steps:
            return self.feeds
        built = self.model.has_layer_graph
        return FreeSpecs(self.feeds if built else [], self.targets if built else [])

    @property
    def prediction_feeds(self) -> Sequence[FeedSpec]:
        """What predict feeds: what the model takes, or whatever its own ``predict_step`` gets."""
        if not overridden(self.model, "predict_step"):
            return self.feeds
        return FreeSpecs(self.feeds if self.model.has_layer_graph else [])

    @contextlib.contextmanager
    def ready_to_train(self, x: Any) -> Iterator[None]:
        """Inside, the model can train: it is built for ``x``, or has a step of its own, which builds what it uses."""
        waiting = self.model.takes_one_input and not self.model.has_layer_graph  # a Sequential that is not built
        if self.has_own_steps and not waiting:
            yield
            return
        with self.built_for(x):
            yield

    @contextlib.contextmanager
    def ready_to_predict(self, x: Any) -> Iterator[None]:
        """Inside, the model can predict: it is built for ``x``, or builds what its own step uses."""
        model = self.model
        if overridden(model, "predict_step") and (model.has_layer_graph or not model.takes_one_input):
            yield
            return
        with self.built_for(x):
            yield

    @contextlib.contextmanager
    def built_for(self, x: Any) -> Iterator[None]:
        """Inside, the model is built for ``x``; an error leaves one that was not built before as it was."""
        model = self.model
        if model.has_layer_graph:
            yield
            return
        with undone_by_errors([self, *model.layer_and_those_inside()]):
            model.build_from_inputs(inputs_for(x, model.name, model.takes_one_input))
            yield

    # -- steps

    def step(self, training: bool, y: Sequence[Array | LazyRows], weights: Sequence[Array | None]) -> Step:
        """The compiled step for targets and weights of these shapes."""
        specs = self.targets
        shapes = tuple(self.target_shape(s, a) for s, a in zip(specs, y, strict=True))
        self.target_shapes = dict(zip((spec.name for spec in specs), shapes, strict=True))
        weighted = tuple(0 if w is None else w.ndim for w in weights)
        key = (training, shapes, weighted)
        if key not in self.steps:
            name = "train_step" if training else "eval_step"
            self.steps[key] = StepGraph(self, shapes, weighted, training).compile(name)
        return self.steps[key]

    def step_for(self, data: ModelData, training: bool) -> Step:
        """The compiled step that takes this data."""
        form: Form | None = data.form
        if form is None:
            return self.step(training, data.y, data.weights)
        key = (training, form.key)
        if key not in self.steps:
            self.steps[key] = self._step_for_form(training, form)
        return self.steps[key]

    def _step_for_form(self, training: bool, form: Form) -> Step:
        """A step for this form: a new one, or one for all sizes where sizes differ from those seen before."""
        seen = self._forms.setdefault(training, [])
        for i, known in enumerate(seen):
            joined = widened(known, form)
            if joined is None:
                continue
            key = (training, joined.key)
            if key not in self.steps:
                self.steps[key] = OwnStep(self, training, joined).compile()
            seen[i] = joined
            return self.steps[key]
        step = OwnStep(self, training, form).compile()
        seen.append(form)
        return step

    def step_graph(self, training: bool, weighted: bool = False) -> StepGraph:
        """The step for any targets; ``weighted``: with weights for each sample of each output."""
        specs = self.targets
        ranks = [(2 if spec.sample_weight_mode == "temporal" else 1) if weighted else 0 for spec in specs]
        return StepGraph(self, [self.target_shape(spec) for spec in specs], ranks, training)

    def symbolic_step(self, what: str) -> StepGraph:
        """The step from which scripts take symbolic tensors; the same ones until ``compile``.

        Raises:
            ValueError: the model is not compiled, or has a step of its own.
        """
        self.require_compiled(what)
        if self.has_own_steps:
            raise NotReadyError(f"model {self.model.name!r} has a step of its own, so only that step knows its {what}")
        if self._symbolic is None:
            self._symbolic = self.step_graph(training=True, weighted=True)
        return self._symbolic

    def own_step(self, training: bool, weighted: bool = False) -> OwnStep:
        """The user's own step for data like those that the model has seen, for export.

        Args:
            training: whether it is ``train_step``.
            weighted: with a weight for each sample, also where the data had none.

        Raises:
            ValueError: the model has seen no data.
        """
        forms = self._forms.get(training) or self._forms.get(not training)
        if not forms:
            raise KCompileError(
                f"model {self.model.name!r} has a step of its own, so only data tell what it is fed; call fit or "
                "train_on_batch first"
            )
        form = forms[-1]
        if weighted and form.weights is None:
            form = Form(form.x, form.y, Leaf("sample_weight", (None,), "float32"))
        return OwnStep(self, training, form)

    def build_as_fed(self) -> None:
        """Give a model with a ``call`` of its own its graph, for data like those that its step was fed."""
        forms = self._forms.get(True) or self._forms.get(False) or []
        if self.model.has_layer_graph or not forms:
            return
        leaves = leaves_of(forms[-1].x)
        inputs = [Input(shape=leaf.shape[1:], dtype=leaf.dtype, name=leaf.name) for leaf in leaves]
        self.model.build_from_inputs(inputs if len(inputs) > 1 else inputs[0])

    # -- prediction

    def predict_arrays(self, arrays: Sequence[Array], form: Form | None = None) -> list[Array]:
        """The outputs for one batch; ``form``: that of data for a ``predict_step`` of the user's own."""
        if form is not None:
            if form.key not in self._own_predictors:
                self._own_predictors[form.key] = own_predictor(self, form)
            predictor, self._own_output_form = self._own_predictors[form.key]
            return predictor(arrays)
        if self.predictor is None:
            refuse_functions(self.model)
            feeds = self.feeds
            fixed = feeds if fixed_batch_size(feeds) is not None else None
            self.predictor = Predictor(predict_graph(self.model, counting=True), fixed)
        return self.predictor(arrays)

    def packed(self, outputs: Sequence[Array]) -> Any:
        """Outputs in the form in which predict returns them."""
        if overridden(self.model, "predict_step"):
            return pack(self._own_output_form, outputs)
        return self.model.in_output_form(outputs)

    # -- copies

    def of_copy(self, model: TrainedNetwork) -> Trainer:
        """A trainer for a shallow copy of the model."""
        other = copy.copy(self)
        other.model = model
        return other

    def state(self) -> dict[str, Any]:
        """What ``pickle`` keeps: how the model was compiled, and how far training has come."""
        current = self.shuffling is not None and self.shuffling.current
        return {
            "compile": None if self.arguments is None else {**vars(self.arguments), "on_nan": self.model.on_nan},
            "switches": dict(self.switches),
            "shuffling": (self.shuffling.seed, self.shuffling.count) if self.shuffling and current else None,
            "random": self.random,
            "step_seed": self.step_seed,
            "trained_weights": self.trained_weights,
            "target_shapes": self.target_shapes,
            "flags": (self._flags.told, self._flags.checks),
        }

    def set_state(self, state: Mapping[str, Any]) -> None:
        """The opposite of :meth:`state`, for the trainer of a new model that has its layers."""
        if state["compile"] is not None:
            self._compile_as_then(state["compile"], state["switches"])
            self.shuffling = None if state["shuffling"] is None else Shuffling(*state["shuffling"])
        self.random, self.step_seed = state["random"], state["step_seed"]
        self.trained_weights = state["trained_weights"] or self.trained_weights
        self.target_shapes = state["target_shapes"]
        self._flags = FlagWatch(*state["flags"])

    def _compile_as_then(self, arguments: Mapping[str, Any], trained: Mapping[Any, bool]) -> None:
        """Compile as the model was compiled; layers count as trained that were so then."""
        flags = [(layer, layer.trainable) for layer in self.model.layer_and_those_inside()]
        for layer, flag in flags:
            # What was frozen inside a model is told by the switches, and by the weights that were collected.
            default = flag or isinstance(layer, Network)
            layer.trainable = trained.get(getattr(layer, "_switch", None), default)
        try:
            self.model.compile(**arguments)
        finally:
            for layer, flag in flags:
                layer.trainable = flag


class WithTrainer(TrainedNetwork):
    """A network with a trainer."""

    @property
    def fit_trainer(self) -> Trainer:
        """What loops and exports go through; another one may be given before ``compile``."""
        return self._fit_trainer

    @fit_trainer.setter
    def fit_trainer(self, value: Any) -> None:
        if not isinstance(value, Trainer):
            raise DataTypeError(
                f"model {self.name!r}: fit_trainer is what fit goes through, so it cannot be {shown(value)}; give an "
                "attribute of your own another name"
            )
        self._fit_trainer = value
