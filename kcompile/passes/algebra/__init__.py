"""Simpler graphs of the same meaning: folding, merging, pruning."""
