"""Deterministic numbers for the golden cases: every array depends only on the case's name and its place."""

import zlib
from collections.abc import Sequence

import numpy as np


def generator(*words: object) -> np.random.Generator:
    """A random generator seeded by the words, the same on every machine."""
    return np.random.default_rng(zlib.crc32("/".join(map(str, words)).encode()))


def normal(shape: Sequence[int], *words: object, scale: float = 1.0) -> np.ndarray:
    """Standard normal float32 values times ``scale``."""
    return np.asarray(generator(*words).standard_normal(tuple(shape)) * scale, dtype=np.float32)


def positive(shape: Sequence[int], *words: object) -> np.ndarray:
    """Uniform float32 values in [0.5, 1.5)."""
    return generator(*words).uniform(0.5, 1.5, tuple(shape)).astype(np.float32)


def masked(shape: Sequence[int], *words: object) -> np.ndarray:
    """Positive values, with zeros that Masking takes for masked: whole samples, steps, and what lies on axis 2."""
    x = positive(shape, *words)
    x[0, -1], x[1, :2] = 0, 0
    if len(shape) > 3:
        x[:, :, 1] = 0
    return x


def integers(shape: Sequence[int], high: int, *words: object) -> np.ndarray:
    """Uniform int32 values in [0, high)."""
    return generator(*words).integers(0, high, tuple(shape)).astype(np.int32)


def probabilities(shape: Sequence[int], *words: object) -> np.ndarray:
    """Float32 rows that are positive and sum to one over the last axis."""
    logits = generator(*words).standard_normal(tuple(shape))
    exponentials = np.exp(logits)
    return (exponentials / exponentials.sum(-1, keepdims=True)).astype(np.float32)


def one_hot(labels: np.ndarray, classes: int) -> np.ndarray:
    """Float32 one-hot rows of integer labels."""
    return np.eye(classes, dtype=np.float32)[labels]


def values(kind: str, shape: Sequence[int], *words: object, classes: int = 4) -> np.ndarray:
    """Targets and predictions by the name of their distribution.

    ``classes`` bounds the integer labels; one-hot rows and probabilities have ``shape[-1]`` classes.
    """
    random = generator(*words, kind)
    shape = tuple(shape)
    if kind == "normal":
        return normal(shape, *words, kind)
    if kind == "large":
        return normal(shape, *words, kind, scale=30.0)
    if kind == "offset":
        return (random.choice([-1.0, 1.0], shape) * random.uniform(0.3, 2.0, shape)).astype(np.float32)
    if kind == "positive":
        return positive(shape, *words, kind)
    if kind == "unit":
        return random.uniform(0.02, 0.98, shape).astype(np.float32)
    if kind == "binary":
        return random.integers(0, 2, shape).astype(np.float32)
    if kind == "signs":
        return random.choice([-1.0, 1.0], shape).astype(np.float32)
    if kind == "counts":
        return random.poisson(2.0, shape).astype(np.float32)
    if kind == "labels":
        return random.integers(0, classes, shape).astype(np.int32)
    if kind == "float_labels":
        return random.integers(0, classes, shape).astype(np.float32)
    if kind == "one_hot":
        return one_hot(random.integers(0, shape[-1], shape[:-1]), shape[-1])
    if kind == "probabilities":
        return probabilities(shape, *words, kind)
    if kind == "saturated":
        return random.choice([0.0, 1e-8, 0.25, 1.0], shape).astype(np.float32)
    if kind == "saturated_rows":  # rows sum to one; some are one-hot, most of them wrong
        rows = probabilities(shape, *words, kind)
        rows[::2] = one_hot(random.integers(0, shape[-1], shape[:-1]), shape[-1])[::2]
        return rows
    raise ValueError(f"no distribution is named {kind!r}")
