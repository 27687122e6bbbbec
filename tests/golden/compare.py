"""How the golden tests compare numbers."""

from collections.abc import Sequence

import numpy as np

RELATIVE_TOLERANCE = 1e-5


def assert_close(actual: object, expected: np.ndarray, what: str, tolerance: float = RELATIVE_TOLERANCE) -> None:
    """Same shape, and equal within float32 rounding of the largest magnitude in the array.

    Sums of terms of both signs lose digits relative to their terms, not to their result, so a tenth of the
    tolerance is granted absolutely, at the scale of the array.
    """
    actual = np.asarray(actual)
    assert actual.shape == expected.shape, f"{what}: shape {actual.shape}, expected {expected.shape}"
    scale = max(1.0, float(np.abs(expected[np.isfinite(expected)]).max(initial=0.0)))
    np.testing.assert_allclose(actual, expected, rtol=tolerance, atol=0.1 * tolerance * scale, err_msg=what)


def assert_all_close(
    actual: Sequence[object], expected: Sequence[np.ndarray], what: str, tolerance: float = RELATIVE_TOLERANCE
) -> None:
    """``assert_close`` for two lists of the same length."""
    assert len(actual) == len(expected), f"{what}: {len(actual)} arrays, expected {len(expected)}"
    for position, (one, other) in enumerate(zip(actual, expected, strict=True)):
        assert_close(one, other, f"{what}[{position}]", tolerance)
