"""Cells, numbers and models that the tests of recurrence share."""

from __future__ import annotations

from typing import Any

import numpy as np

import kcompile as keras
from kcompile import layers as L
from kcompile.models import Model
from tests.golden.cases.recurrent import gated_sum_cell, minimal_cell, nested_cell

SAMPLES, STEPS, FEATURES, UNITS = 3, 4, 2, 3
X = np.random.default_rng(0).standard_normal((SAMPLES, STEPS, FEATURES)).astype(np.float32)

Minimal = minimal_cell(keras)
GatedSum = gated_sum_cell(keras)
Nested = nested_cell(keras)
CELLS = {cell.__name__: cell for cell in (Minimal, GatedSum, Nested)}


def inputs(features: int = FEATURES, steps: int | None = None) -> Any:
    return L.Input(shape=(steps, features))


def model_of(layer: Any, **kwargs: Any) -> Model:
    x = inputs(**kwargs)
    return Model(x, layer(x))
