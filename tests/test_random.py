"""Random numbers are good enough: each statistic stays within what independent uniform numbers give.

Statistics are scaled to mean 0 and deviation 1 under independence, so that 5 is far outside. The numbers are
fixed: a test that passes once passes always.
"""

from __future__ import annotations

import math

import numpy as np
import pytest

from kcompile.ir import Graph, IRError, constant, interpret
from kcompile.ir.core import Value
from kcompile.ir.ops.elementwise.random import (
    bernoulli,
    dropout,
    dropout_mask,
    random_bits,
    random_normal,
    random_truncated_normal,
    random_uniform,
)

ROWS, COLUMNS = 192, 320
LIMIT = 5.0


def run(value: Value) -> np.ndarray:
    return interpret(Graph([], {"y": value})).outputs["y"]


def counter(number: int) -> Value:
    return constant(number, "int64")


def bits(count: int, stream: int = 0, shape: tuple[int, ...] = (ROWS, COLUMNS)) -> np.ndarray:
    return run(random_bits(counter(count), shape, stream))


def standard(words: np.ndarray) -> np.ndarray:
    """Numbers of mean 0 and variance 1 from the upper 24 bits."""
    return ((words >> 8) * 2.0**-24 - 0.5) * math.sqrt(12)


def chi_square(symbols: np.ndarray, count: int) -> float:
    expected = symbols.size / count
    observed = np.bincount(symbols.ravel(), minlength=count)
    return (((observed - expected) ** 2 / expected).sum() - (count - 1)) / math.sqrt(2 * (count - 1))


@pytest.mark.parametrize("count", [0, 1, 77, 2**32 - 1, 2**40])
def test_words_look_independent(count: int) -> None:
    words = bits(count, stream=count % 5)
    x = standard(words)
    n = x.size
    statistics = {
        "mean": x.mean() * math.sqrt(n),
        "variance": (x**2 - 1).mean() * math.sqrt(n / 0.8),
        **{f"byte {i}": chi_square((words >> (24 - 8 * i)) & 255, 256) for i in range(3)},
        "beside": chi_square((words[:, 1:] >> 28) * 16 + (words[:, :-1] >> 28), 256),
        "below": chi_square((words[1:] >> 28) * 16 + (words[:-1] >> 28), 256),
        # Sums over rows and columns, where a row that is all small would show.
        "row sums": ((x.sum(1) ** 2 / COLUMNS).sum() - ROWS) / math.sqrt(2 * ROWS),
        "column sums": ((x.sum(0) ** 2 / ROWS).sum() - COLUMNS) / math.sqrt(2 * COLUMNS),
    }
    # Every pair of rows and of columns is uncorrelated.
    for name, table in {"rows": x, "columns": x.T}.items():
        pairs = (table @ table.T / math.sqrt(table.shape[1]))[np.triu_indices(len(table), 1)]
        statistics[f"pairs of {name}"] = ((pairs**2).mean() - 1) * math.sqrt(len(pairs) / 2)
        assert abs(pairs).max() < 6, name
    # Rectangles: a sum or product of a row's and a column's number would fail here, and in the rank.
    i, j = np.random.default_rng(0).integers(0, [[[ROWS]], [[COLUMNS]]], (2, 2, 100_000))
    keep = (i[0] != i[1]) & (j[0] != j[1])
    corners = [x[i[a], j[b]][keep] for a in (0, 1) for b in (0, 1)]
    statistics["rectangles"] = math.prod(corners).mean() * math.sqrt(keep.sum())
    u = [corner / math.sqrt(12) for corner in corners]
    alternating = ((u[0] - u[1] - u[2] + u[3]) % 1 * 64).astype(int)
    statistics["alternating sums"] = chi_square(alternating, 64)
    largest = np.linalg.svd(x, compute_uv=False)[0]
    assert abs(largest - math.sqrt(ROWS) - math.sqrt(COLUMNS)) < 1.5, "singular values"
    assert not {name: s for name, s in statistics.items() if abs(s) > LIMIT}


def test_streams_and_counters_are_unrelated() -> None:
    tables = {(c, s): standard(bits(c, s)).ravel() for c in (0, 1, 2, 1000) for s in (0, 1, 2, 31)}
    table = np.stack(list(tables.values()))
    correlations = table @ table.T / math.sqrt(table.shape[1])
    assert abs(correlations[np.triu_indices(len(table), 1)]).max() < LIMIT
    assert len({row.tobytes() for row in table}) == len(tables)


def test_a_word_does_not_depend_on_how_many_rows_there_are() -> None:
    """So a smaller last batch sees the numbers that a full one would."""
    assert (bits(3, 1, (4, 3, 5)) == bits(3, 1, (9, 3, 5))[:4]).all()


def test_vectors_and_scalars_are_random_too() -> None:
    assert abs(chi_square(bits(5, 0, (65536,)) >> 24, 256)) < LIMIT
    scalars = np.array([int(bits(c, 0, ())) for c in range(512)])
    assert abs(chi_square(scalars >> 28, 16)) < LIMIT


def test_uniform() -> None:
    x = run(random_uniform(counter(1), (300, 300), 0, -2.0, 3.0))
    assert x.dtype == np.float32
    assert -2 <= x.min() < -1.999
    assert 2.999 < x.max() < 3
    half = run(random_uniform(counter(1), (300, 300), 0, dtype="float16"))
    assert half.dtype == np.float16
    assert half.max() < 1


def moments(x: np.ndarray) -> list[float]:
    x = x.astype(np.float64)
    centred = (x - x.mean()) / x.std()
    return [x.mean(), x.std(), (centred**3).mean(), (centred**4).mean()]


def test_normal() -> None:
    x = run(random_normal(counter(1), (500, 500), 0, 2.0, 3.0))
    np.testing.assert_allclose(moments(x), [2, 3, 0, 3], atol=0.03)
    assert np.isfinite(x).all()
    # Fractions below -2, -1, 0, 1, 2 deviations.
    fractions = [((x - 2) / 3 < k).mean() for k in (-2, -1, 0, 1, 2)]
    np.testing.assert_allclose(fractions, [0.02275, 0.15866, 0.5, 0.84134, 0.97725], atol=0.004)


def test_truncated_normal() -> None:
    x = run(random_truncated_normal(counter(1), (500, 500), 0, 1.0, 2.0))
    assert -3.0001 < x.min() < -2.99
    assert 4.99 < x.max() < 5.0001
    np.testing.assert_allclose(moments(x)[:2], [1, 2 * 0.87962566], atol=0.02)


def test_dropout_keeps_the_mean() -> None:
    mask = run(dropout_mask(counter(1), (400, 500), 0.3, 0))
    assert set(np.unique(mask)) == {np.float32(0), np.float32(1 / 0.7)}
    np.testing.assert_allclose((mask == 0).mean(), 0.3, atol=0.005)
    x = constant(np.ones((2, 3), np.float32))
    assert dropout(x, counter(1), 0.0, 0) is x


def test_bernoulli() -> None:
    assert run(bernoulli(counter(1), (50, 50), 1.0, 0, "bool")).all()
    assert not run(bernoulli(counter(1), (50, 50), 0.0, 0)).any()
    np.testing.assert_allclose(run(bernoulli(counter(1), (300, 300), 0.2, 0)).mean(), 0.2, atol=0.01)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: random_bits(counter(1), (2,), -1), "streams are numbered"),
        (lambda: random_bits(constant(1.0), (2,), 0), "scalar as counter, got f64"),
        (lambda: dropout_mask(counter(1), (2,), 1.0, 0), "below 1, got 1.0"),
        (lambda: dropout(constant(np.ones((2, 3))), counter(1), 0.5, 0, (2,)), "as many axes"),
        (lambda: bernoulli(counter(1), (2,), 1.5, 0), "between 0 and 1"),
    ],
)
def test_bad_arguments(make, words: str) -> None:
    with pytest.raises(IRError, match=words):
        make()
