"""Make kcompile/datasets/digits.npz from the copy of the data set that scikit-learn ships.

    pip install scikit-learn && python tools/make_digits.py

The file holds the 1,797 images in scikit-learn's order, so that anybody can compare the two.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits  # type: ignore[import-not-found]

TARGET = Path(__file__).resolve().parent.parent / "kcompile" / "datasets" / "digits.npz"


def main() -> None:
    digits = load_digits()
    images = digits.images.astype(np.uint8)
    assert np.array_equal(images, digits.images), "the grey levels are whole numbers"
    np.savez_compressed(TARGET, images=images, labels=digits.target.astype(np.uint8))
    print(f"{TARGET}: {images.shape} images, {TARGET.stat().st_size} bytes")


if __name__ == "__main__":
    main()
