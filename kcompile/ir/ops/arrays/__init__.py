"""Ops that pick, join and reduce parts of arrays."""
