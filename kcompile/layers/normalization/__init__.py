"""Keras' module of this name: layers that normalize."""

from kcompile.layers.normalization.batch import BatchNormalization

__all__ = ["BatchNormalization"]
