"""Keras 2's separate methods for generators, with Keras 1's names of arguments."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

from kcompile.common.arguments import arguments_of
from kcompile.common.checks import check_no_extra_arguments
from kcompile.common.tracebacks import short_traceback
from kcompile.models.loop_methods import LoopMethods
from kcompile.objects.dialects.keras1_names import IN_SAMPLES
from kcompile.objects.legacy_arguments import by_old_names

if TYPE_CHECKING:
    from kcompile.callbacks import History


class GeneratorMethods(LoopMethods):
    """``fit_generator`` and its kin."""

    @short_traceback
    def fit_generator(self, generator: Any, steps_per_epoch: int | None = None, epochs: int = 1, verbose: int = 1,
                      callbacks: Any = None, validation_data: Any = None, validation_steps: int | None = None,
                      validation_freq: Any = 1, class_weight: Any = None, max_queue_size: int = 10, workers: int = 1,
                      use_multiprocessing: bool = False, shuffle: bool = True, initial_epoch: int = 0,
                      **kwargs: Any) -> History:  # fmt: skip
        """:meth:`fit` on a generator; understands Keras 1's arguments in their units.

        Keras 1 counted ``samples_per_epoch`` and ``nb_val_samples`` in samples: an epoch ended once that many had
        been drawn. Here they are turned into steps by the size of the first batch.
        """
        epochs, max_queue_size, workers, use_multiprocessing = by_old_names(
            "fit_generator", kwargs, epochs=epochs, max_queue_size=max_queue_size, workers=workers,
            use_multiprocessing=use_multiprocessing,
        )  # fmt: skip
        generator, steps_per_epoch = _sample_steps(kwargs, "steps_per_epoch", generator, steps_per_epoch)
        validation_data, validation_steps = _sample_steps(kwargs, "validation_steps", validation_data, validation_steps)
        check_no_extra_arguments("fit_generator", kwargs, arguments_of(GeneratorMethods.fit_generator))
        return self.fit(generator, epochs=epochs, verbose=verbose, callbacks=callbacks,
                        validation_data=validation_data, class_weight=class_weight, shuffle=shuffle,
                        initial_epoch=initial_epoch, steps_per_epoch=steps_per_epoch,
                        validation_steps=validation_steps, validation_freq=validation_freq,
                        max_queue_size=max_queue_size, workers=workers,
                        use_multiprocessing=use_multiprocessing)  # fmt: skip

    @short_traceback
    def evaluate_generator(self, generator: Any, steps: int | None = None, callbacks: Any = None,
                           max_queue_size: int = 10, workers: int = 1, use_multiprocessing: bool = False,
                           verbose: int = 0, **kwargs: Any) -> Any:  # fmt: skip
        """:meth:`evaluate` on a generator; ``val_samples`` as in :meth:`fit_generator`."""
        max_queue_size, workers, use_multiprocessing = by_old_names(
            "evaluate_generator", kwargs, max_queue_size=max_queue_size, workers=workers,
            use_multiprocessing=use_multiprocessing,
        )  # fmt: skip
        generator, steps = _sample_steps(kwargs, "steps", generator, steps)
        check_no_extra_arguments("evaluate_generator", kwargs, arguments_of(GeneratorMethods.evaluate_generator))
        return self.evaluate(generator, steps=steps, callbacks=callbacks, max_queue_size=max_queue_size,
                             workers=workers, use_multiprocessing=use_multiprocessing, verbose=verbose)  # fmt: skip

    @short_traceback
    def predict_generator(self, generator: Any, steps: int | None = None, callbacks: Any = None,
                          max_queue_size: int = 10, workers: int = 1, use_multiprocessing: bool = False,
                          verbose: int = 0, **kwargs: Any) -> Any:  # fmt: skip
        """:meth:`predict` on a generator; ``val_samples`` as in :meth:`fit_generator`."""
        max_queue_size, workers, use_multiprocessing = by_old_names(
            "predict_generator", kwargs, max_queue_size=max_queue_size, workers=workers,
            use_multiprocessing=use_multiprocessing,
        )  # fmt: skip
        generator, steps = _sample_steps(kwargs, "steps", generator, steps)
        check_no_extra_arguments("predict_generator", kwargs, arguments_of(GeneratorMethods.predict_generator))
        return self.predict(generator, steps=steps, callbacks=callbacks, max_queue_size=max_queue_size,
                            workers=workers, use_multiprocessing=use_multiprocessing, verbose=verbose)  # fmt: skip


def _sample_steps(kwargs: dict[str, Any], new: str, source: Any, steps: int | None) -> tuple[Any, int | None]:
    """Steps from Keras 1's number of samples, by the size of the first batch (which is put back)."""
    old = IN_SAMPLES[new]
    if old not in kwargs:
        return source, steps
    samples = kwargs.pop(old)
    if samples is None or source is None or isinstance(source, (tuple, list)):
        return source, steps
    iterator = iter(source) if not hasattr(source, "__getitem__") else None
    first = source[0] if iterator is None else next(iterator)
    x = first[0] if isinstance(first, tuple) else first
    x = next(iter(x.values())) if isinstance(x, dict) else x[0] if isinstance(x, (list, tuple)) else x
    size = max(1, len(x))
    return (source if iterator is None else itertools.chain([first], iterator)), max(1, -(-int(samples) // size))
