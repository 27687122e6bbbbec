"""Where the batches of one ``fit`` come from, and how it validates."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from kcompile.callbacks import CallbackList
from kcompile.common import config
from kcompile.common.errors import DataError, warn
from kcompile.data import checks
from kcompile.data.feeder import ArrayFeeder
from kcompile.data.fixed_batches import batch_size_for
from kcompile.data.sequence import is_sequence
from kcompile.data.shuffling import Shuffling
from kcompile.data.standardize import (
    BatchSource,
    ModelData,
    is_batch_source,
    refuse_array_arguments,
    training_data,
    validation_arrays,
)
from kcompile.data.workers import refuse_endless
from kcompile.training import custom_steps
from kcompile.training.batches import (
    Batches,
    array_batches,
    feeder_batches,
    grouped,
    source_batches,
    with_graph_built,
)
from kcompile.training.evaluation import run_evaluation
from kcompile.training.step import Step

if TYPE_CHECKING:
    from kcompile.models.model import Model


class TrainingRun:
    """The data of one ``fit``; a context manager that ends the workers of generators.

    Args:
        model: a compiled model. x, y: as given to ``fit``. arguments: its other arguments.

    Attributes:
        samples, validation_samples: how many there are, where that is known. batch_size: of arrays.
    """

    def __init__(self, model: Model, x: Any, y: Any, arguments: dict[str, Any]) -> None:
        self.model = model
        self.arguments = arguments
        self.samples: int | None = None
        self.validation_samples: int | None = None
        self.batch_size: int | None = None
        self._feeder: ArrayFeeder | None = None
        self._data: ModelData | None = None
        self._step: Step | None = None
        self._source: BatchSource | None = None
        self._validation_source: BatchSource | None = None
        self._validation: ModelData | None = None
        self._pending_validation: Any = None  # that of a model without a graph
        a = arguments
        self._steps = checks.check_steps("fit", "steps_per_epoch", a["steps_per_epoch"])
        self._validation_steps = checks.check_steps("fit", "validation_steps", a["validation_steps"])
        self._validation_size = checks.check_batch_size("fit", a["validation_batch_size"], "validation_batch_size")
        try:
            if is_batch_source(x):
                refuse_array_arguments(
                    "fit", y=y, sample_weight=a["sample_weight"], batch_size=a["batch_size"],
                    validation_split=a["validation_split"],
                )  # fmt: skip
                self._open_source(x)
            else:
                with custom_steps.ready(model, x):
                    self._open_arrays(x, y)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> TrainingRun:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """End the workers."""
        for source in (self._source, self._validation_source):
            if source is not None:
                source.close()

    # -- opening

    def _open_arrays(self, x: Any, y: Any) -> None:
        a, model = self.arguments, self.model
        size = checks.check_batch_size("fit", a["batch_size"])
        refuse_endless("validation_data", a["validation_data"], self._validation_steps, "validation_steps")
        shuffle = checks.check_shuffle(a["shuffle"])
        data, validation = training_data(
            x, y, a["sample_weight"], a["class_weight"], validation_split=a["validation_split"],
            validation_data=a["validation_data"], inputs=custom_steps.training_specs(model),
            targets=model._target_specs(), floatx=config.floatx(),
        )  # fmt: skip
        size = batch_size_for("fit", custom_steps.training_specs(model), size, data.samples)
        self.batch_size = size or (32 if self._steps is None else max(1, -(-data.samples // self._steps)))
        self.samples = data.samples if self._steps is None else None
        self._data = data
        self._step = custom_steps.step_for(model, True, data)
        group = model._steps_per_execution
        rng = self._shuffling() if shuffle else None
        self._feeder = data.feeder(self.batch_size, shuffle, steps_per_execution=group, rng=rng)
        self._open_validation(a["validation_data"], validation)

    def _open_source(self, x: Any) -> None:
        a = self.arguments
        shuffle = bool(checks.check_shuffle(a["shuffle"]))
        refuse_endless("x", x, self._steps, "steps_per_epoch")
        refuse_endless("validation_data", a["validation_data"], self._validation_steps, "validation_steps")
        rng = self._shuffling() if shuffle and is_sequence(x) else None
        self._source = self._opened(x, "x", shuffle=shuffle, rng=rng)
        self._source.check_length()
        self._open_validation(a["validation_data"], None)

    def _shuffling(self) -> Shuffling:
        """The model's own generator, seeded where it was not."""
        model = self.model
        if model._shuffling is None or not model._shuffling.current:
            model._shuffling = Shuffling()
        return model._shuffling

    def _opened(self, data: Any, argument: str, **options: Any) -> BatchSource:
        a = self.arguments
        return BatchSource(
            with_graph_built(self.model, data), argument=argument,
            with_targets=custom_steps.wants_targets(self.model), workers=a["workers"],
            use_multiprocessing=a["use_multiprocessing"], max_queue_size=a["max_queue_size"], **options,
        )  # fmt: skip

    def _open_validation(self, given: Any, prepared: ModelData | None) -> None:
        model = self.model
        if is_batch_source(given):
            if self._validation_size is not None:
                raise DataError("fit: validation_batch_size cannot be given when validation_data yields batches.")
            self._validation_source = self._opened(
                given, "validation_data", consequence="nothing is validated any more, and epochs have no val_ entries"
            )
            self._validation_source.check_length()
        elif prepared is not None:
            self._validation = prepared
        elif given is not None and (model._functional or custom_steps.own_steps(model)):
            self._validation = self._validation_arrays(given)
        elif given is not None:
            self._pending_validation = given
        if self._validation is not None:
            self.validation_samples = self._validation.samples
            size, specs = self._validation_size or self.batch_size, custom_steps.training_specs(model)
            batch_size_for("fit: validation data", specs, size, self.validation_samples)

    def _validation_arrays(self, given: Any) -> ModelData:
        specs = custom_steps.training_specs(self.model)
        return validation_arrays(given, inputs=specs, targets=self.model._target_specs(), floatx=config.floatx())

    # -- training

    @property
    def steps(self) -> int | None:
        """The batches of the next epoch, as far as anybody knows: a Sequence may change its length."""
        if self._steps is not None:
            return self._steps
        if self._feeder is not None:
            return len(self._feeder)
        assert self._source is not None
        return self._source.steps

    def batches(self) -> Batches:
        """The batches of one epoch, each with the step that takes it."""
        if self._feeder is not None:
            assert self._step is not None
            assert self._data is not None
            group = self.model._steps_per_execution
            return feeder_batches(self._step, self._feeder, self._steps, group, self._data.sources)
        assert self._source is not None
        found = source_batches(self.model, self._source, self._steps, True, self.arguments["class_weight"])
        return grouped(found, self.model)

    @property
    def exhausted(self) -> bool:
        """Whether the data ended before the steps asked for, which was said."""
        return self._source is not None and self._source.exhausted

    def has_more(self, epoch: int) -> bool:
        """Whether there is data for one more epoch; says so if a generator has none, before the epoch begins."""
        if self._source is None or not self._source.ended:
            return True
        warn(
            f"x ended after {self._source.batches} batches, before epoch {epoch + 1}; training ends. A generator runs "
            "once; let it yield forever and pass steps_per_epoch, or pass a Sequence, which starts again."
        )
        return False

    # -- validation

    @property
    def validates(self) -> bool:
        """Whether there is validation data."""
        return any(v is not None for v in (self._validation, self._validation_source, self._pending_validation))

    @property
    def validation_data(self) -> list[Any] | None:
        """What Keras 2 gives to callbacks: inputs, targets and sample weights in one list; ``None`` for generators."""
        data = self._validation
        if data is None:
            return None
        ones = np.ones(data.samples, config.floatx())
        return [*data.x, *data.y, *(ones if weights is None else weights for weights in data.weights)]

    def validate(self, callbacks: CallbackList) -> dict[str, float]:
        """Losses and metrics on the validation data, by name; empty once it has ended."""
        model = self.model
        if self._validation_source is not None:
            if self._validation_source.exhausted:
                return {}
            found = source_batches(model, self._validation_source, self._validation_steps, False, afresh=True)
            return run_evaluation(model, found, callbacks)
        if self._validation is None:
            self._validation = self._validation_arrays(self._pending_validation)
        size = self._validation_size or self.batch_size or 32
        return run_evaluation(model, array_batches(model, self._validation, size, self._validation_steps), callbacks)
