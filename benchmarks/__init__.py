"""Benchmarks of kcompile against its peers, each in its own Python environment.

`python -m benchmarks --help` lists the commands; docs/benchmarks.md says what each figure means.
"""
