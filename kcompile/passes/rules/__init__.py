"""Local rewriting rules, one file per family of ops.

A rule may change the sign of a zero and the last bit of a number; it never turns a NaN into a number, so
there is no ``x * 0 -> 0`` here. Until gradients are taken it also keeps the gradient.
"""
