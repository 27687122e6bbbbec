"""Rows added to a part of a table. The op is made after differentiation, so it has no gradient."""

import numpy as np

from kcompile.ir.ops.arrays.shaping import split
from kcompile.ir.ops.arrays.sorted_rows import add_sorted_rows, sorted_rows
from tests.op_examples import Example, floats, integers

ROWS, HEIGHT = 9, 5


def part_of_table(part, indices, updates):
    """One of two parts of ``scatter_add(indices, updates, ROWS)``, added to ``part``."""
    sparse = sorted_rows(indices, updates, ROWS)
    ends = split(sparse.ends([0, HEIGHT, ROWS]), [1, 1, 1], 0)
    first, end = ends[:2] if part.shape[0] == HEIGHT else ends[1:]
    return add_sorted_rows(part, sparse.within_parts(HEIGHT), sparse.rows, first, end)


EXAMPLES = [
    Example(
        "add_sorted_rows",
        part_of_table,
        [floats(5, 3), integers(2, 6, high=ROWS), floats(2, 6, 3)],
        "first part",
        wrt=(),
    ),
    Example(
        "add_sorted_rows",
        part_of_table,
        [floats(4, 3), integers(7, low=-ROWS, high=ROWS), floats(7, 3)],
        "last",
        wrt=(),
    ),
    Example(
        "add_sorted_rows", part_of_table, [floats(4), np.zeros(3, np.int64), floats(3)], "none of its rows", wrt=()
    ),
]
