"""Updates of variables: pairs that steps and functions apply, and that change the variable when evaluated."""

from __future__ import annotations

from typing import Any

from kcompile.ir.ops.elementwise.functions import cast
from kcompile.symbolic.concrete import evaluated
from kcompile.symbolic.tensor import Array, Tensor
from kcompile.symbolic.variable import Variable


class Update(tuple[Variable, Tensor]):
    """``(variable, new value)``: for ``layer.add_update`` and ``K.function(updates=...)``.

    Evaluating it (``K.eval``, ``K.get_value``, ``numpy()``, or as an output of ``K.function``) gives the new value and
    changes the variable, as an assignment of TensorFlow 1 does.
    """

    __slots__ = ()

    @property
    def new(self) -> Tensor:
        """The new value, as a tensor."""
        return self[1]

    @property
    def shape(self) -> Any:
        return self[1].shape

    @property
    def dtype(self) -> str:
        return self[0].dtype

    def numpy(self) -> Array:
        """The new value, which the variable has from now on.

        Raises:
            ValueError: it depends on a model input, which has no value here.
        """
        variable, new = self
        return evaluated([new], {variable.variable: cast(new.value, variable.dtype)})[0]

    def eval(self, session: object = None) -> Array:
        """As ``numpy()``."""
        return self.numpy()

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        array = self.numpy()
        return array if dtype is None else array.astype(dtype)
