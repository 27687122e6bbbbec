"""Loops that do only what has to be done step by step."""
