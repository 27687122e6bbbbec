"""The oracle: tf_keras (Keras 2 semantics) on one CPU thread. Only the generators import it."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")

import numpy as np
import tensorflow as tf  # noqa: TID251 - this is the oracle, not the product
import tf_keras as keras
from tf_keras.src import backend  # the public tf_keras.backend lacks functions that Keras 2.3.1 has

tf.config.threading.set_intra_op_parallelism_threads(1)
tf.config.threading.set_inter_op_parallelism_threads(1)

SOURCE = f"tf_keras {keras.__version__}"


def stored(value: object) -> np.ndarray:
    """A tensor or array as it goes into the file: float64 results are rounded to float32."""
    array = np.asarray(value)
    return array.astype(np.float32) if array.dtype == np.float64 else array


__all__ = ["SOURCE", "backend", "keras", "np", "stored", "tf"]
