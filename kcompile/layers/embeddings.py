"""Embedding: vectors by index."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kcompile import backend as K
from kcompile import ir, regularizers
from kcompile.common.checks import check_flag, check_positive_int
from kcompile.common.errors import ShapeError
from kcompile.common.lists import shapes_agree
from kcompile.engine.layer import Shape
from kcompile.ir.ops.arrays.indexing import as_indices, from_front, gather, is_checked_outside
from kcompile.layers.base.types import Mask
from kcompile.layers.base.weight_options import WeightOptions
from kcompile.objects.legacy_arguments import understands_keras_1
from kcompile.objects.lookup import Identifier
from kcompile.symbolic.tensor import Tensor, as_tensor

__all__ = ["Embedding"]


class Embedding(WeightOptions):
    """The rows of a table at the given indices: ``(batch, ...)`` of integers to ``(batch, ..., output_dim)``.

    Args:
        input_dim: number of rows; indices are 0 to ``input_dim - 1``.
        output_dim: size of a row.
        embeddings_initializer: initial values.
        embeddings_regularizer, activity_regularizer: losses on the table and on the output.
        embeddings_constraint: applied after each update.
        mask_zero: whether index 0 means "no entry": later layers get a mask.
        input_length: number of indices per sample (or a tuple of sizes), where it is always the same.

    Raises:
        ValueError: ``input_dim`` or ``output_dim`` is not positive; on a call, ``input_length`` does not fit.
    """

    _takes_one_tensor = True
    input_dtype = "int32"

    @understands_keras_1
    def __init__(
        self,
        input_dim: int,
        output_dim: int,
        embeddings_initializer: Identifier = "uniform",
        embeddings_regularizer: Identifier = None,
        activity_regularizer: Identifier = None,
        embeddings_constraint: Identifier = None,
        mask_zero: bool = False,
        input_length: int | Sequence[int | None] | None = None,
        **kwargs: Any,
    ) -> None:
        if not {"input_shape", "batch_input_shape", "batch_shape"} & set(kwargs):
            kwargs["input_shape"] = tuple(input_length) if isinstance(input_length, Sequence) else (input_length,)
        super().__init__(**kwargs)
        self.input_dim = check_positive_int("Embedding", "input_dim", input_dim)
        self.output_dim = check_positive_int("Embedding", "output_dim", output_dim)
        self._set_weight_options("embeddings", embeddings_initializer, embeddings_regularizer, embeddings_constraint)
        self.activity_regularizer = regularizers.get(activity_regularizer)
        self.mask_zero = check_flag("Embedding", "mask_zero", mask_zero)
        self.supports_masking = self.mask_zero
        self.input_length = input_length
        self.index_limit = self.input_dim

    def build(self, input_shape: Shape) -> None:
        dtype = self.dtype if self.dtype.startswith("float") else K.floatx()  # else it is that of the indices
        self.embeddings = self._add_weight_of("embeddings", (self.input_dim, self.output_dim), dtype=dtype)
        self.built = True

    def call(self, inputs: Tensor) -> Tensor:
        shape = self.compute_output_shape(tuple(inputs.shape))
        places = as_indices(inputs.value)
        if not (isinstance(inputs.value.op, ir.Input) and is_checked_outside(inputs.dtype)):
            # Indices of the data are checked before they are fed, in exported files where they come in
            # (export/checked_indices.py). Computed ones are not, and ONNX counts negative ones from the end.
            places = from_front(places, self.input_dim)
        rows = Tensor(gather(as_tensor(self.embeddings).value, places))
        if shape[1:] == tuple(rows.shape)[1:]:
            return rows
        return K.reshape(rows, (K.shape(inputs)[0], *shape[1:]))  # input_length tells sizes that the input does not

    def compute_mask(self, inputs: Tensor, mask: Mask = None) -> Any:
        if not self.mask_zero:
            return None
        small = not is_checked_outside(inputs.dtype)  # of which ONNX Runtime cannot compare all
        return K.not_equal(Tensor(as_indices(inputs.value)) if small else inputs, 0)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        if self.input_length is None:
            return (*input_shape, self.output_dim)
        lengths = tuple(self.input_length) if isinstance(self.input_length, Sequence) else (self.input_length,)
        sizes = tuple(input_shape[1:])
        if not shapes_agree(lengths, sizes):
            raise ShapeError(
                f"layer {self.name!r} (Embedding) has input_length {self.input_length}, got input shape {input_shape}"
            )
        known = (a if b is None else b for a, b in zip(lengths, sizes, strict=True))
        return (input_shape[0], *known, self.output_dim)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "input_dim": self.input_dim,
            "output_dim": self.output_dim,
            **self._weight_config("embeddings", activity_regularizer=True),
            "mask_zero": self.mask_zero,
            "input_length": self.input_length,
        }
