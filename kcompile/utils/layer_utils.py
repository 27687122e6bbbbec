"""Keras' module of this name: summaries, and where a tensor comes from."""

from kcompile.engine.node import get_source_inputs
from kcompile.utils.summary import print_summary

__all__ = ["get_source_inputs", "print_summary"]
