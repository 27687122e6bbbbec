"""Golden values: what Keras 2 computes, recorded once and compared with kcompile by the tests.

``cases`` holds the case tables (pure data), ``generate_*`` the scripts that ran the oracle over them,
``*.npz`` what came out. ``load(family)`` reads one file; it needs NumPy only. See README.md.
"""

from tests.golden.storage import Golden, load

__all__ = ["Golden", "load"]
