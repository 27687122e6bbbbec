"""Tensors and variables: what K is made of."""
