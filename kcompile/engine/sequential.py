"""Keras' module of this name: linear stacks of layers."""

from kcompile.models.sequential import Sequential

__all__ = ["Sequential"]
