"""Compiled steps, and the loops that run them."""
