"""Handwritten digits, 8 x 8 pixels: small, real, and part of the package, so that nothing is downloaded.

Optical Recognition of Handwritten Digits, E. Alpaydin and C. Kaynak, UCI Machine Learning Repository, 1998,
https://doi.org/10.24432/C50P49, licensed CC BY 4.0; the 1,797 images that scikit-learn ships. See digits-LICENSE.txt.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Pair = tuple[NDArray[Any], NDArray[Any]]
TEST_IMAGES = 360


def load_data() -> tuple[Pair, Pair]:
    """The images and their labels, in a fixed split.

    Returns:
        ``(x_train, y_train), (x_test, y_test)``: 1,437 and 360 images, uint8 ``(samples, 8, 8)`` with grey levels
        from 0 to 16, and their labels, uint8 ``(samples,)`` from 0 to 9.
    """
    with np.load(Path(__file__).with_name("digits.npz"), allow_pickle=False) as file:
        images, labels = file["images"], file["labels"]
    # Shuffled, so that the same writers are in both parts; NumPy promises that this generator never changes.
    order = np.random.RandomState(0).permutation(len(images))
    train, test = order[:-TEST_IMAGES], order[-TEST_IMAGES:]
    return (images[train], labels[train]), (images[test], labels[test])
