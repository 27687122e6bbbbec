"""Where the batches of one ``fit`` come from, and how it validates."""

from __future__ import annotations

from typing import Any

import numpy as np

from kcompile.callbacks import CallbackList
from kcompile.common import config
from kcompile.common.errors import DataError, warn
from kcompile.data import checks
from kcompile.data.feeder import ArrayFeeder
from kcompile.data.fixed_batches import batch_size_for
from kcompile.data.sequence import is_sequence
from kcompile.data.standardize import (
    BatchSource,
    ModelData,
    is_batch_source,
    refuse_array_arguments,
    training_data,
    validation_arrays,
)
from kcompile.data.workers import refuse_endless
from kcompile.training.batches import (
    Batches,
    array_batches,
    feeder_batches,
    grouped,
    source_batches,
    with_graph_built,
)
from kcompile.training.evaluation import run_evaluation
from kcompile.training.options import FitOptions
from kcompile.training.step import Step
from kcompile.training.trainer import Trainer


class TrainingRun:
    """The data of one ``fit``; a context manager that ends the workers of generators.

    Args:
        trainer: that of a compiled model. x, y: as given to ``fit``. options: its other arguments.

    Attributes:
        samples, validation_samples: how many there are, where that is known. batch_size: of arrays.
    """

    def __init__(self, trainer: Trainer, x: Any, y: Any, options: FitOptions) -> None:
        self.trainer = trainer
        self.options = options
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
        self._steps = checks.check_steps("fit", "steps_per_epoch", options.steps_per_epoch)
        self._validation_steps = checks.check_steps("fit", "validation_steps", options.validation_steps)
        self._validation_size = checks.check_batch_size("fit", options.validation_batch_size, "validation_batch_size")
        try:
            if is_batch_source(x):
                refuse_array_arguments(
                    "fit", y=y, sample_weight=options.sample_weight, batch_size=options.batch_size,
                    validation_split=options.validation_split,
                )  # fmt: skip
                self._open_source(x)
            else:
                with trainer.ready_to_train(x):
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
        options, trainer = self.options, self.trainer
        size = checks.check_batch_size("fit", options.batch_size)
        refuse_endless("validation_data", options.validation_data, self._validation_steps, "validation_steps")
        shuffle = checks.check_shuffle(options.shuffle)
        data, validation = training_data(
            x, y, options.sample_weight, options.class_weight, validation_split=options.validation_split,
            validation_data=options.validation_data, inputs=trainer.training_feeds,
            targets=trainer.targets, floatx=config.floatx(),
        )  # fmt: skip
        size = batch_size_for("fit", trainer.training_feeds, size, data.samples)
        self.batch_size = size or (32 if self._steps is None else max(1, -(-data.samples // self._steps)))
        self.samples = data.samples if self._steps is None else None
        self._data = data
        self._step = trainer.step_for(data, training=True)
        group = trainer.steps_per_execution
        rng = self.trainer.shuffler() if shuffle else None
        self._feeder = data.feeder(self.batch_size, shuffle, steps_per_execution=group, rng=rng)
        self._open_validation(options.validation_data, validation)

    def _open_source(self, x: Any) -> None:
        options = self.options
        shuffle = bool(checks.check_shuffle(options.shuffle))
        refuse_endless("x", x, self._steps, "steps_per_epoch")
        refuse_endless("validation_data", options.validation_data, self._validation_steps, "validation_steps")
        rng = self.trainer.shuffler() if shuffle and is_sequence(x) else None
        self._source = self._opened(x, "x", shuffle=shuffle, rng=rng)
        self._source.check_length()
        self._open_validation(options.validation_data, None)

    def _opened(self, data: Any, argument: str, **more: Any) -> BatchSource:
        built, wanted = with_graph_built(self.trainer, data), self.trainer.wants_targets
        return self.options.source(built, argument, with_targets=wanted, **more)

    def _open_validation(self, given: Any, prepared: ModelData | None) -> None:
        trainer = self.trainer
        if is_batch_source(given):
            if self._validation_size is not None:
                raise DataError("fit: validation_batch_size cannot be given when validation_data yields batches.")
            self._validation_source = self._opened(
                given, "validation_data", consequence="nothing is validated any more, and epochs have no val_ entries"
            )
            self._validation_source.check_length()
        elif prepared is not None:
            self._validation = prepared
        elif given is not None and (trainer.model.has_layer_graph or trainer.has_own_steps):
            self._validation = self._validation_arrays(given)
        elif given is not None:
            self._pending_validation = given
        if self._validation is not None:
            self.validation_samples = self._validation.samples
            size, specs = self._validation_size or self.batch_size, trainer.training_feeds
            batch_size_for("fit: validation data", specs, size, self.validation_samples)

    def _validation_arrays(self, given: Any) -> ModelData:
        specs, targets = self.trainer.training_feeds, self.trainer.targets
        return validation_arrays(given, inputs=specs, targets=targets, floatx=config.floatx())

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
            group = self.trainer.steps_per_execution
            return feeder_batches(self._step, self._feeder, self._steps, group, self._data.sources)
        assert self._source is not None
        found = source_batches(self.trainer, self._source, self._steps, True, self.options.class_weight)
        return grouped(found, self.trainer.steps_per_execution)

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
        trainer = self.trainer
        if self._validation_source is not None:
            if self._validation_source.exhausted:
                return {}
            found = source_batches(trainer, self._validation_source, self._validation_steps, False, afresh=True)
            return run_evaluation(trainer, found, callbacks)
        if self._validation is None:
            self._validation = self._validation_arrays(self._pending_validation)
        size = self._validation_size or self.batch_size or 32
        return run_evaluation(
            trainer, array_batches(trainer, self._validation, size, self._validation_steps), callbacks
        )
