"""The arguments of fit, evaluate and predict, as the loops hand them on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from kcompile.data.workers import BatchSource


@dataclass(frozen=True, kw_only=True)
class SourceOptions:
    """How generators and Sequences are run, and who looks on."""

    verbose: int | str = 0
    callbacks: Any = None
    max_queue_size: int = 10
    workers: int = 1
    use_multiprocessing: bool = False

    def source(self, data: Any, argument: str, **options: Any) -> BatchSource:
        """The batches of a generator or Sequence; ``argument``: its name in messages."""
        return BatchSource(
            data, argument=argument, workers=self.workers, use_multiprocessing=self.use_multiprocessing,
            max_queue_size=self.max_queue_size, **options,
        )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class PredictOptions(SourceOptions):
    """Those of ``predict``, as given."""

    batch_size: int | None = None
    steps: int | None = None


@dataclass(frozen=True, kw_only=True)
class EvaluateOptions(SourceOptions):
    """Those of ``evaluate``, as given."""

    batch_size: int | None = None
    sample_weight: Any = None
    steps: int | None = None
    return_dict: bool = False


@dataclass(frozen=True, kw_only=True)
class FitOptions(SourceOptions):
    """Those of ``fit``, as given."""

    batch_size: int | None = None
    epochs: int = 1
    validation_split: float = 0.0
    validation_data: Any = None
    shuffle: bool | str = True
    class_weight: Any = None
    sample_weight: Any = None
    initial_epoch: int = 0
    steps_per_epoch: int | None = None
    validation_steps: int | None = None
    validation_freq: Any = 1
    validation_batch_size: int | None = None
