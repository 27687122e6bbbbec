"""Small data and model descriptions that the tests of data handling share."""

import numpy as np

from kcompile.data.standardize import (
    FeedSpec,
    TargetSpec,
)

IN = FeedSpec("features", (None, 3))
REGRESSION = TargetSpec("price", (None, 1), "same", "mean_squared_error")
SPARSE = TargetSpec("digit", (None, 3), "sparse", "sparse_categorical_crossentropy", dtype="int32")
CATEGORICAL = TargetSpec("digit", (None, 3), "categorical", "categorical_crossentropy")
BINARY = TargetSpec("spam", (None, 1), "binary", "binary_crossentropy")
TWO_IN = [FeedSpec("a", (None, 3)), FeedSpec("b", (None, 1))]
TWO_OUT = [TargetSpec("p", (None, 1)), TargetSpec("q", (None, 3), "sparse", dtype="int32")]
X10 = np.arange(30, dtype="float32").reshape(10, 3)
Y10 = np.arange(10, dtype="float32")


class Tensor:
    """The part of a PyTorch tensor that matters here: needs detach before __array__ works."""

    def __init__(self, array, attached=True):
        self.array, self.attached = array, attached
        self.shape, self.dtype = array.shape, "torch.float32"

    def detach(self):
        return Tensor(self.array, attached=False)

    def cpu(self):
        return self

    def __array__(self, dtype=None, copy=None):
        if self.attached:
            raise RuntimeError("Can't call numpy() on Tensor that requires grad.")
        return self.array


class Frame:
    """The part of a pandas DataFrame that matters here."""

    iloc = None

    def __init__(self, columns):
        self.columns = list(columns)
        self.data = columns
        self.dtypes = [np.asarray(values).dtype for values in columns.values()]
        self.ndim, self.shape = 2, (len(next(iter(columns.values()))), len(columns))

    def to_numpy(self):
        return np.stack([np.asarray(values) for values in self.data.values()], axis=1)

    def __array__(self, dtype=None, copy=None):
        return self.to_numpy()


class Sparse:
    """The part of a SciPy sparse matrix that matters here."""

    def __init__(self, array):
        self.array, self.shape, self.dtype = array, array.shape, array.dtype

    def toarray(self):
        return self.array
