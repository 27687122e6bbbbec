"""Files: models in HDF5, ``.keras`` archives, JSON and YAML, of every version of Keras.

Nothing in a file is trusted: see :mod:`kcompile.saving.limits`.
"""
