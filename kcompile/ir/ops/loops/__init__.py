"""Ops that run sub-graphs: loops and conditions."""
