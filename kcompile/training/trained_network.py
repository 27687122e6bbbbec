"""What training asks of a model by name."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any

from kcompile.engine.network import Network

if TYPE_CHECKING:
    from kcompile.callbacks import History


class TrainedNetwork(Network):
    """A network with the attributes and methods that training uses; :class:`~kcompile.models.model.Model` has them.

    They are what users read, set and define anew; what only training knows stands in the trainer.
    """

    takes_one_input = False
    """Whether a list is always the samples of one input."""
    optimizer: Any
    loss: Any
    on_nan: str = "raise"
    stop_training: bool
    history: History | None

    @property
    @abstractmethod
    def metrics(self) -> list[Any]:
        """The Metric objects."""

    @property
    @abstractmethod
    def metrics_names(self) -> list[str]:
        """The names of what evaluate returns."""

    @abstractmethod
    def reset_metrics(self) -> None:
        """Start all metrics anew."""

    @abstractmethod
    def train_step(self, data: Any) -> dict[str, Any]:
        """One training step, on symbolic tensors."""

    @abstractmethod
    def test_step(self, data: Any) -> dict[str, Any]:
        """One step of evaluation, on symbolic tensors."""

    @abstractmethod
    def predict_step(self, data: Any) -> Any:
        """The outputs for data, on symbolic tensors."""

    @abstractmethod
    def compile(self, *args: Any, **kwargs: Any) -> None:
        """Choose how the model is trained."""

    @abstractmethod
    def build_from_inputs(self, inputs: Any) -> None:
        """Build the graph from symbolic inputs."""
