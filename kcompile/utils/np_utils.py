"""Keras' module of this name: labels as vectors, and normalized arrays."""

from kcompile.data.labels import normalize, to_categorical

__all__ = ["normalize", "to_categorical"]
