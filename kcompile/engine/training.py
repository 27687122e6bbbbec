"""Keras' module of this name: models."""

from kcompile.models.model import Model

__all__ = ["Model"]
