"""tf.keras' place of what takes the data of a step apart: ``from keras.engine import data_adapter``."""

from kcompile.data.unpacking import pack_x_y_sample_weight, unpack_x_y_sample_weight

__all__ = ["pack_x_y_sample_weight", "unpack_x_y_sample_weight"]
