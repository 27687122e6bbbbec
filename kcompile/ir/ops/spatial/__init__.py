"""Ops on images, sequences and volumes: convolution, pooling, normalization, enlarging."""
