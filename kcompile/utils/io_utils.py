"""Keras' module of this name: arrays in HDF5 files, read part by part, and a question on the terminal."""

from kcompile.common.files import ask_to_proceed_with_overwrite, path_to_string
from kcompile.saving.hdf5.matrix import HDF5Matrix
from kcompile.saving.hdf5.memory import load_from_binary_h5py, save_to_binary_h5py

__all__ = [
    "HDF5Matrix", "ask_to_proceed_with_overwrite", "load_from_binary_h5py", "path_to_string", "save_to_binary_h5py",
]  # fmt: skip
