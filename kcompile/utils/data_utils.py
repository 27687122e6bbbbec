"""Keras' module of this name: data that come as numbered batches, prepared ahead."""

from kcompile.data.sequence import GeneratorEnqueuer, OrderedEnqueuer, Sequence, SequenceEnqueuer

__all__ = ["GeneratorEnqueuer", "OrderedEnqueuer", "Sequence", "SequenceEnqueuer"]
