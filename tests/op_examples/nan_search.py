"""Where NaN is, and infinity is not."""

import numpy as np

from kcompile.ir.ops.arrays.nan_search import any_nan
from tests.op_examples import Example, floats

special = floats(4, 3, 5)
special[0, 1, 2] = special[2, 1, 0] = np.nan
special[1] = np.inf
special[1, 0, 0] = -np.inf
special[3] = 1e30

# A step function of numbers, and no finite difference steps over a NaN: nothing is differentiated.
EXAMPLES = [
    Example("any_nan", lambda x: any_nan(x, [2]), [special], "last", batch=[0], wrt=(), empty=True),
    Example("any_nan", lambda x: any_nan(x, [0, 2]), [special], "two axes", batch=[0], wrt=(), empty=True),
]
