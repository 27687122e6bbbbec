"""Models and weights in HDF5, of Keras 1 and 2."""
