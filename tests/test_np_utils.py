"""to_categorical and normalize."""

import numpy as np
import pytest

from kcompile.common.errors import DataError, KCompileError
from kcompile.utils import normalize, to_categorical


def test_to_categorical():
    np.testing.assert_array_equal(to_categorical([0, 1, 2], 3), np.eye(3, dtype="float32"))
    assert to_categorical([[0], [2]]).shape == (2, 3)
    assert to_categorical(np.zeros((2, 4)), 5, dtype="int8").shape == (2, 4, 5)
    for wrong, classes, words in [
        ([0, 3], 3, "label 3 at index 1 is outside 0..2"),
        ([-1], None, "label -1"),
        ([1.5], 3, "1.5"),
        (["a"], 3, "dtype"),
        ([], None, "num_classes"),
        ([1], 0, "num_classes"),
    ]:
        with pytest.raises(KCompileError, match="to_categorical") as raised:
            to_categorical(wrong, classes)
        assert words in str(raised.value)


def test_normalize():
    x = np.array([[3.0, 4.0], [0.0, 0.0]])
    np.testing.assert_allclose(normalize(x), [[0.6, 0.8], [0, 0]])
    np.testing.assert_allclose(normalize(x, axis=0, order=1), [[1, 1], [0, 0]])
    with pytest.raises(DataError, match="axis=2"):
        normalize(x, axis=2)
