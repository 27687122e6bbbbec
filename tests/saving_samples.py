"""What the tests of saving share."""

from __future__ import annotations

import io
from typing import Any

import numpy as np

from kcompile import layers as L
from kcompile.models import Model, Sequential


def disturbed(model: Model, seed: int = 0) -> Model:
    """With weights that are all different, so that none can be taken for another."""
    random = np.random.default_rng(seed)
    model.set_weights([random.uniform(0.1, 1, w.shape).astype(w.dtype) for w in model.get_weights()])
    return model


def listed(value: Any) -> list[Any]:
    return list(value) if isinstance(value, (list, tuple)) else [value]


def saved(model: Model, **options: Any) -> bytes:
    buffer = io.BytesIO()
    model.save(buffer, **options)
    return buffer.getvalue()


def assert_equal(first: Any, second: Any) -> None:
    """Bit for bit."""
    for a, b in zip(listed(first), listed(second), strict=True):
        np.testing.assert_array_equal(a, b)


def small(units: int = 2, name: str = "b") -> Model:
    return disturbed(Sequential([L.Dense(3, input_shape=(2,), name="a"), L.Dense(units, name=name)]), units)


def weights_of(model: Model) -> bytes:
    buffer = io.BytesIO()
    model.save_weights(buffer)
    return buffer.getvalue()
