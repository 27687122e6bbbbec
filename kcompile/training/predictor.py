"""Running an inference graph on batches, with the weights of now."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from kcompile import ir
from kcompile.data.fixed_batches import check_batch
from kcompile.data.standardize import (
    FeedSpec,
)
from kcompile.runtime.executable import Executable
from kcompile.runtime.guards import together
from kcompile.runtime.storage import changes, storage_of
from kcompile.symbolic.tensor import Array


class Predictor:
    """Runs a model's inference graph: with the live weights while they change, frozen once they rest.

    Args:
        graph: outputs from inputs.
        specs: what the model takes, where it fixes the batch size.
    """

    def __init__(self, graph: ir.Graph, specs: Sequence[FeedSpec] | None = None) -> None:
        self.graph = graph
        self._specs = specs
        self._live: Executable | None = None
        self._frozen: tuple[Executable, int] | None = None
        """And up to which change of any variable its weights are known to be those of now."""
        self._seen_at = -1
        # Not only the weights: a Lambda may read a K.variable.
        self._storages = [
            storage_of(variable) for variable in self.graph.variables() if variable not in self.graph.updates
        ]
        self._exclusive = together(map(storage_of, self.graph.variables()))

    def __call__(self, arrays: Sequence[Array]) -> list[Array]:
        if self._specs is not None:
            check_batch(self._specs, len(arrays[0]))
        now, frozen = changes(), self._frozen
        if frozen is not None and now == frozen[1] and not self.graph.updates:
            return frozen[0].run(arrays)
        with self._exclusive:
            chosen = self._choose(now)
        return chosen(*arrays)

    def _choose(self, now: int) -> Callable[..., list[Array]]:
        """The frozen model if the weights have not changed since the last prediction, else the live one."""
        version = max((s.version for s in self._storages), default=0)
        if self._frozen is not None and version <= self._frozen[1]:
            self._frozen = self._frozen[0], now
            return self._frozen[0]
        if self._seen_at < version and self._seen_at >= 0:
            self._frozen = None
            if self._live is None:
                self._live = Executable(self.graph)
            self._seen_at = now
            return self._live
        self._frozen = Executable(self.graph, frozen=True), now
        self._seen_at = now
        return self._frozen[0]
