"""The methods of a model that run over data: fit, evaluate, predict, and the same on single batches."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kcompile.common.arguments import arguments_of
from kcompile.common.checks import check_no_extra_arguments
from kcompile.common.tracebacks import short_traceback
from kcompile.objects.legacy_arguments import by_old_names
from kcompile.training import evaluation, fitting, prediction
from kcompile.training.options import EvaluateOptions, FitOptions, PredictOptions
from kcompile.training.trainer import WithTrainer

if TYPE_CHECKING:
    from kcompile.callbacks import History


class LoopMethods(WithTrainer):
    """``fit``, ``evaluate``, ``predict`` and ``*_on_batch``."""

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
        self.fit_trainer.require_compiled("fit")
        (epochs,) = by_old_names("fit", kwargs, epochs=epochs)
        check_no_extra_arguments("fit", kwargs, arguments_of(LoopMethods.fit))
        self.fit_trainer.warn_of_changed_flags()
        options = FitOptions(
            batch_size=batch_size, epochs=epochs, verbose=verbose, callbacks=callbacks,
            validation_split=validation_split, validation_data=validation_data, shuffle=shuffle,
            class_weight=class_weight, sample_weight=sample_weight, initial_epoch=initial_epoch,
            steps_per_epoch=steps_per_epoch, validation_steps=validation_steps, validation_freq=validation_freq,
            max_queue_size=max_queue_size, workers=workers, use_multiprocessing=use_multiprocessing,
            validation_batch_size=validation_batch_size,
        )  # fmt: skip
        return fitting.fit(self.fit_trainer, x, y, options)

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
        self.fit_trainer.require_compiled("evaluate")
        options = EvaluateOptions(
            batch_size=batch_size, verbose=verbose, sample_weight=sample_weight, steps=steps, callbacks=callbacks,
            max_queue_size=max_queue_size, workers=workers, use_multiprocessing=use_multiprocessing,
            return_dict=return_dict,
        )  # fmt: skip
        return evaluation.evaluate(self.fit_trainer, x, y, options)

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
        options = PredictOptions(
            batch_size=batch_size, verbose=verbose, steps=steps, callbacks=callbacks, max_queue_size=max_queue_size,
            workers=workers, use_multiprocessing=use_multiprocessing,
        )  # fmt: skip
        return prediction.predict(self.fit_trainer, x, options)

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
        self.fit_trainer.require_compiled("train_on_batch")
        self.fit_trainer.warn_of_changed_flags()
        logs = evaluation.logs_on_batch(self.fit_trainer, True, x, y, sample_weight, class_weight, reset_metrics)
        return evaluation.as_returned(self.fit_trainer, logs, return_dict)

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
        self.fit_trainer.require_compiled("test_on_batch")
        logs = evaluation.logs_on_batch(self.fit_trainer, False, x, y, sample_weight, class_weight, reset_metrics)
        return evaluation.as_returned(self.fit_trainer, logs, return_dict)

    @short_traceback
    def predict_on_batch(self, x: Any) -> Any:
        """The outputs for one batch."""
        return prediction.predict_on_batch(self.fit_trainer, x)
