"""The methods of a model that run over data: fit, evaluate, predict, and the same on single batches."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from kcompile.common import config
from kcompile.common.arguments import arguments_of
from kcompile.common.errors import check_no_extra_arguments
from kcompile.common.tracebacks import short_traceback
from kcompile.data.standardize import ModelData, standardize
from kcompile.objects.legacy_arguments import by_old_names
from kcompile.training import custom_prediction as own
from kcompile.training import evaluation, fitting, prediction
from kcompile.training.trainable_flags import warn_of_changed_flags

if TYPE_CHECKING:
    from kcompile.callbacks import History
    from kcompile.symbolic.tensor import Array


class LoopMethods:
    """``fit``, ``evaluate``, ``predict``, ``*_on_batch``; a part of :class:`~kcompile.models.model.Model`."""

    _require_compiled: Any
    _built_for: Any
    _predict_arrays: Any

    @short_traceback
    def fit(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        epochs: int = 1,
        verbose: int | str = 1,
        callbacks: Any = None,
        validation_split: float = 0.0,
        validation_data: Any = None,
        shuffle: bool | str = True,
        class_weight: Any = None,
        sample_weight: Any = None,
        initial_epoch: int = 0,
        steps_per_epoch: int | None = None,
        validation_steps: int | None = None,
        validation_freq: Any = 1,
        max_queue_size: int = 10,
        workers: int = 1,
        use_multiprocessing: bool = False,
        validation_batch_size: int | None = None,
        **kwargs: Any,
    ) -> History:
        """Train for a number of epochs.

        Args:
            x: an array, a list or dictionary of arrays, a generator or a Sequence of batches ``(x, y)`` or
                ``(x, y, sample_weight)``.
            y: targets, in the same forms (not with generators).
            batch_size: samples per step, default 32 (not with generators).
            epochs: the number of the last epoch; Keras 1: ``nb_epoch``.
            verbose: 0 silent, 1 or ``"auto"`` a progress bar that counts steps, 2 a line per epoch.
            callbacks: a list of callbacks.
            validation_split: the last fraction of the samples is kept for validation.
            validation_data: ``(x, y)``, ``(x, y, sample_weight)``, a generator or a Sequence.
            shuffle: samples are drawn in a new order each epoch; ``"batch"`` moves whole batches.
            class_weight: factor of the loss for each class, a dictionary (or one per output).
            sample_weight: factor of the loss for each sample (or time step).
            initial_epoch: the number of the first epoch.
            steps_per_epoch, validation_steps: batches; without them a generator is run to its end.
            validation_freq: validate every so many epochs, or after the listed ones.
            max_queue_size, workers, use_multiprocessing: how generators are run.
            validation_batch_size: samples per step of validation, default ``batch_size`` (not with generators).

        Returns:
            a History: ``history.history`` maps names to one number per epoch. An epoch for which there was no data
            has no entry.

        Raises:
            ValueError: data or arguments that do not fit the model, before anything has changed; or a loss that is
                not a number (see ``compile``).
        """
        self._require_compiled("fit")
        (epochs,) = by_old_names("fit", kwargs, epochs=epochs)
        check_no_extra_arguments("fit", kwargs, arguments_of(LoopMethods.fit))
        warn_of_changed_flags(self)  # type: ignore[arg-type]  # a part of Model
        return fitting.fit(
            self, x, y, batch_size=batch_size, epochs=epochs, verbose=verbose, callbacks=callbacks,
            validation_split=validation_split, validation_data=validation_data, shuffle=shuffle,
            class_weight=class_weight, sample_weight=sample_weight, initial_epoch=initial_epoch,
            steps_per_epoch=steps_per_epoch, validation_steps=validation_steps, validation_freq=validation_freq,
            max_queue_size=max_queue_size, workers=workers, use_multiprocessing=use_multiprocessing,
            validation_batch_size=validation_batch_size,
        )  # fmt: skip

    @short_traceback
    def evaluate(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        verbose: int | str = 1,
        sample_weight: Any = None,
        steps: int | None = None,
        callbacks: Any = None,
        max_queue_size: int = 10,
        workers: int = 1,
        use_multiprocessing: bool = False,
        return_dict: bool = False,
    ) -> Any:
        """Loss and metrics on data; arguments as for :meth:`fit`.

        Returns:
            the loss, or a list ordered as :attr:`metrics_names`; with ``return_dict`` a dictionary by these names.
        """
        self._require_compiled("evaluate")
        return evaluation.evaluate(
            self, x, y, batch_size=batch_size, verbose=verbose, sample_weight=sample_weight, steps=steps,
            callbacks=callbacks, max_queue_size=max_queue_size, workers=workers,
            use_multiprocessing=use_multiprocessing, return_dict=return_dict,
        )  # fmt: skip

    @short_traceback
    def predict(
        self,
        x: Any,
        batch_size: int | None = None,
        verbose: int | str = 0,
        steps: int | None = None,
        callbacks: Any = None,
        max_queue_size: int = 10,
        workers: int = 1,
        use_multiprocessing: bool = False,
    ) -> Any:
        """The outputs for data, as arrays; arguments as for :meth:`fit`."""
        return prediction.predict(
            self, x, batch_size=batch_size, verbose=verbose, steps=steps, callbacks=callbacks,
            max_queue_size=max_queue_size, workers=workers, use_multiprocessing=use_multiprocessing,
        )  # fmt: skip

    # -- single batches

    @short_traceback
    def train_on_batch(
        self,
        x: Any,
        y: Any = None,
        sample_weight: Any = None,
        class_weight: Any = None,
        reset_metrics: bool = True,
        return_dict: bool = False,
    ) -> Any:
        """One training step.

        Args:
            x, y, sample_weight, class_weight: as for :meth:`fit`.
            reset_metrics: whether loss and metrics are those of this batch; if not, they go on since they were last
                reset (tf.keras).
            return_dict: whether the result is a dictionary.

        Returns:
            the loss, or a list ordered as :attr:`metrics_names`, or a dictionary by these names.
        """
        self._require_compiled("train_on_batch")
        warn_of_changed_flags(self)  # type: ignore[arg-type]  # a part of Model
        return evaluation.on_batch(self, True, x, y, sample_weight, class_weight, reset_metrics, return_dict)

    @short_traceback
    def test_on_batch(
        self,
        x: Any,
        y: Any = None,
        sample_weight: Any = None,
        reset_metrics: bool = True,
        return_dict: bool = False,
        class_weight: Any = None,
    ) -> Any:
        """Loss and metrics of one batch; arguments and result as for :meth:`train_on_batch`."""
        self._require_compiled("test_on_batch")
        return evaluation.on_batch(self, False, x, y, sample_weight, class_weight, reset_metrics, return_dict)

    @short_traceback
    def predict_on_batch(self, x: Any) -> Any:
        """The outputs for one batch."""
        model: Any = self
        with own.ready(model, x):
            data = standardize(x, inputs=own.specs(model), allow_empty=True, floatx=config.floatx())
        return own.packed(model, self._predict_arrays([np.ascontiguousarray(a) for a in _whole(data)], data.form))


def _whole(data: ModelData) -> list[Array]:
    """The inputs of standardized data as arrays of the types that the model takes."""
    return [np.asarray(a[:], dtype=t) for a, t in zip(data.x, data.input_dtypes, strict=True)]
