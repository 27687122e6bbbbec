"""keras.datasets: data to try models on."""

from kcompile.common.absent_names import absent
from kcompile.datasets import digits

__getattr__ = absent(__name__)

__all__ = ["digits"]
