"""What the graphs of a model's steps are made from."""

from __future__ import annotations

import operator

import numpy as np

from kcompile.common import config
from kcompile.common.errors import KCompileError, NotReadyError, unknown_name
from kcompile.common.lists import per_output
from kcompile.data.adapters import Array, FeedSpec
from kcompile.data.checks import TargetSpec
from kcompile.engine.index_limits import index_limits
from kcompile.engine.inference_graph import Update
from kcompile.symbolic.tensor import Tensor
from kcompile.symbolic.variable import Variable
from kcompile.training.compilation import Compilation, CompileArguments, OutputPlan
from kcompile.training.loss_weights import checked_number, live
from kcompile.training.partial_losses import weights_with_loss
from kcompile.training.trained_network import TrainedNetwork

Shape = tuple[int | None, ...]


class TrainingPlan:
    """What ``compile`` was told, what trains, what is fed, and where random numbers stand.

    Attributes:
        model: whose steps they are.
        arguments: those of ``compile``; ``None``: it was not called.
        compiled: what they come to, once the outputs of the model are known.
        trained_weights: what trains. As everything that ``compile`` collects it counts as of then: the discriminator
            of a GAN is frozen after it was compiled.
        updates: what layers update in training. switches: whether layers train, by the variables that say so.
        random: the model's own count of steps that drew random numbers.
        step_seed: the first of the seeds that a step of the user's own draws.
        target_shapes: those that targets of the user's own losses had last, by output.
    """

    def __init__(self, model: TrainedNetwork) -> None:
        self.model = model
        self.arguments: CompileArguments | None = None
        self.compiled: Compilation | None = None
        self.trained_weights: list[Variable] = []
        self.updates: list[Update] = []
        self.switches: dict[Variable, bool] = {}
        self.random: Variable | None = None
        self.step_seed: int | None = None
        self.target_shapes: dict[str, Shape] = {}
        self._feeds: tuple[list[Tensor], list[FeedSpec]] | None = None

    def require_compiled(self, what: str) -> None:
        """Raise unless ``compile`` was called.

        Raises:
            ValueError: it was not.
        """
        if self.arguments is None:
            raise NotReadyError(
                f"model {self.model.name!r} must be compiled before {what}: call model.compile(optimizer, loss)"
            )

    @property
    def outputs(self) -> list[OutputPlan]:
        """The outputs that take targets; none before the outputs of the model are known."""
        return [] if self.compiled is None else self.compiled.outputs

    @property
    def steps_per_execution(self) -> int:
        """The batches of one run of a compiled graph."""
        given = None if self.arguments is None else self.arguments.steps_per_execution
        return 1 if given is None else int(given)

    @property
    def random_counter(self) -> Variable:
        """The model's own count of steps that drew random numbers, so that training is the same in every run."""
        if self.random is None:
            label = f"{self.model.name}/random_counter"
            self.random = Variable(np.zeros((), np.uint32), "uint32", label, role="rng", trainable=False)
        return self.random

    def optimize(self, loss: Tensor) -> list[Update]:
        """What the optimizer updates, for the loss of a step."""
        weights = weights_with_loss(self.model, self.outputs, self.trained_weights, loss)
        found: list[Update] = self.model.optimizer.get_updates(loss, weights)
        return found

    # -- what data must look like

    @property
    def feeds(self) -> list[FeedSpec]:
        """What each input takes; found once for a graph: a walk over all layers takes longer than a small predict."""
        model = self.model
        graph = [*model.inputs, *model.outputs]
        if self._feeds is None or len(graph) != len(self._feeds[0]) or any(map(operator.is_not, graph, self._feeds[0])):
            limits = index_limits(model)
            found = [
                FeedSpec(name, tuple(x.shape), x.dtype, *limits.get(name, (None, "")))
                for name, x in zip(model.input_names, model.inputs, strict=True)
            ]
            self._feeds = graph, found
        return self._feeds[1]

    @property
    def targets(self) -> list[TargetSpec]:
        """What the target of each output that has one must look like."""
        if not self.model.has_layer_graph:
            return []
        shapes = [tuple(x.shape) for x in self.model.outputs]
        return [plan.target(shapes[plan.index], config.floatx()) for plan in self.outputs]

    def target_shape(self, spec: TargetSpec, y: Array | None = None) -> Shape:
        """The shape of one target in the graph, without the batch axis; ``y``: the target, if it is known."""
        shape = spec.shape or ()
        if spec.kind == "sparse":
            return tuple(1 if i == spec.class_axis % len(shape) else d for i, d in enumerate(shape))[1:]
        if spec.kind == "any":  # a user's own loss: what it was given last, or else like the output
            return self.target_shapes.get(spec.name, tuple(shape[1:])) if y is None else tuple(y.shape[1:])
        return tuple(shape[1:])

    # -- factors of losses, which can change without compile

    @property
    def loss_weights(self) -> object:
        """What ``compile`` was given."""
        return None if self.arguments is None else self.arguments.loss_weights

    def set_loss_weights(self, value: object) -> None:
        """Give all outputs other factors, from the next step on.

        Raises:
            ValueError: a name that is no output, or no number.
        """
        given = None if self.arguments is None else self.arguments.loss_weights
        if given is None or self.compiled is None:
            raise KCompileError("loss_weights can be assigned once compile was given some, for a model that is built")
        names = self.compiled.output_names
        entries = per_output(live(value), names, "loss_weights", 1.0)
        numbers = [checked_number(entry, name) for entry, name in zip(entries, names, strict=True)]
        for key, number in zip(names if isinstance(given, dict) else range(len(names)), numbers, strict=True):
            given[key] = number

    def follow_loss_weights(self) -> None:
        """Let entries that are assigned reach the variables of the graph."""
        if self.arguments is not None and self.arguments.loss_weights is not None:
            self.arguments.loss_weights.owner = self

    def weigh(self, key: int | str, value: object, old: object) -> object:
        """Give an output another factor than ``old``; what then stands there: the number, or its variable."""
        assert self.compiled is not None
        names = self.compiled.output_names
        name = names[key] if isinstance(key, int) else key
        if name not in names:
            raise unknown_name("output in loss_weights:", name, names)
        number = checked_number(value, name)
        now = next((plan.weight for plan in self.outputs if plan.name == name), None)
        if isinstance(now, Tensor) and not isinstance(now, Variable):
            raise KCompileError(f"loss_weights of output {name!r} is computed; assign to the variables it is made of")
        if now is not None:
            now.assign(number)
        return old if isinstance(old, Tensor) else number
