"""keras.datasets: data to try models on."""

from kcompile.datasets import digits

__all__ = ["digits"]
