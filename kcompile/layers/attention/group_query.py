"""GroupQueryAttention: several heads, of which groups share a key and a value."""

from __future__ import annotations

from typing import Any

from kcompile.common.checks import check_positive_int
from kcompile.common.errors import KCompileError, ShapeError
from kcompile.ir.ops.products.linalg import dot_general
from kcompile.ir.ops.shapes.reshaping import reshape, transpose
from kcompile.layers.attention import scores
from kcompile.layers.attention.heads import HeadAttention, Shape, scale_of
from kcompile.objects.lookup import Identifier
from kcompile.symbolic.tensor import Tensor

__all__ = ["GroupQueryAttention"]


class GroupedQueryAttention(HeadAttention):
    """Attention with several heads, of which each group shares a key and a value; Ainslie et al. (2023).

    Called as ``layer(query, value, key=None)``: ``(B, T, features)`` and ``(B, S, features)`` to ``(B, T, features)``.
    The masks of the inputs count, and that of the query is the mask of the output.

    Args:
        head_dim: size of a head.
        num_query_heads: how many heads.
        num_key_value_heads: how many keys and values; a divisor of ``num_query_heads``.
        dropout: fraction of the attention weights that training drops.
        use_bias: whether projections have a bias.
        sliding_window: steps attend only to those that are fewer steps away.
        flash_attention: ``None`` or ``False``.
        kernel_initializer, bias_initializer, kernel_regularizer, bias_regularizer, kernel_constraint, bias_constraint:
            of all projections.
        activity_regularizer: a loss on the output.
        use_gate: whether a projection of the query, under a sigmoid, multiplies what heads find.
        seed: of the dropout.

    Raises:
        ValueError: a number that is not positive, groups of unequal size, or ``flash_attention=True``; on a call,
            shapes that do not fit.
        TypeError: a number of another type, or an unknown argument.
    """

    def __init__(
        self,
        head_dim: int,
        num_query_heads: int,
        num_key_value_heads: int,
        dropout: float = 0.0,
        use_bias: bool = True,
        sliding_window: int | None = None,
        flash_attention: bool | None = None,
        kernel_initializer: Identifier = "glorot_uniform",
        bias_initializer: Identifier = "zeros",
        kernel_regularizer: Identifier = None,
        bias_regularizer: Identifier = None,
        activity_regularizer: Identifier = None,
        kernel_constraint: Identifier = None,
        bias_constraint: Identifier = None,
        use_gate: bool = False,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        options = {
            "kernel_initializer": kernel_initializer,
            "bias_initializer": bias_initializer,
            "kernel_regularizer": kernel_regularizer,
            "bias_regularizer": bias_regularizer,
            "activity_regularizer": activity_regularizer,
            "kernel_constraint": kernel_constraint,
            "bias_constraint": bias_constraint,
        }
        super().__init__(dropout, use_bias, sliding_window, flash_attention, use_gate, seed, options, **kwargs)
        owner = "GroupQueryAttention"
        self.head_dim = check_positive_int(owner, "head_dim", head_dim)
        self.num_query_heads = check_positive_int(owner, "num_query_heads", num_query_heads)
        self.num_key_value_heads = check_positive_int(owner, "num_key_value_heads", num_key_value_heads)
        if self.num_query_heads % self.num_key_value_heads:
            raise KCompileError(
                f"{owner}: num_query_heads {num_query_heads} must be a multiple of num_key_value_heads "
                f"{num_key_value_heads}"
            )

    def _build_heads(self, shapes: dict[str, Shape]) -> None:
        for name, shape in shapes.items():
            if len(shape) != 3:
                raise ShapeError(
                    f"layer {self.name!r} (GroupQueryAttention) takes inputs of 3 axes, got a {name} of shape {shape}"
                )
        if shapes["query"][-1] != shapes["value"][-1]:
            raise ShapeError(
                f"layer {self.name!r} (GroupQueryAttention) takes a query and a value of equally many features, got "
                f"shapes {shapes['query']} and {shapes['value']}"
            )
        query, shared, size = self.num_query_heads, self.num_key_value_heads, self.head_dim
        self.query_dense = self._projection("query", shapes["query"], query, size)
        self.key_dense = self._projection("key", shapes["key"], shared, size)
        if self.use_gate:
            self.gate_dense = self._projection("gate", shapes["query"], query, size, "sigmoid")
        self.value_dense = self._projection("value", shapes["value"], shared, size)
        self.output_dense = self._output_projection(3, query, size, shapes["query"][-1:])  # type: ignore[arg-type]  # known

    def _heads(
        self, query: Tensor, key: Tensor, value: Tensor, mask: Any, training: bool | int | Tensor | None, asked: bool
    ) -> Any:
        batch, steps, heads, size = query.value.shape
        shared = self.num_key_value_heads
        group = self.num_query_heads // shared
        # The heads of a group are more steps to the key that they share: (batch, shared, steps, group, columns).
        grouped = reshape((query * scale_of(self.head_dim)).value, (batch, steps, shared, group, size))
        found = Tensor(dot_general(grouped, key.value, contract=((4,), (3,)), batch=((0, 2), (0, 2))))
        owner = f"layer {self.name!r} (GroupQueryAttention)"
        mask = scores.over_heads(mask, 4, 1, owner)
        if mask is not None:
            mask = self._over_groups(mask, shared, group)
        weights = scores.attended(found, mask, 1)
        dropped = self._dropped(weights, training)
        result = transpose(dot_general(dropped.value, value.value, ((4,), (1,)), ((0, 1), (0, 2))), (0, 2, 1, 3, 4))
        shown = None
        if asked:
            apart = transpose(weights.value, (0, 1, 3, 2, 4))
            shown = Tensor(reshape(apart, (batch, heads, *apart.shape[3:])))
        return Tensor(reshape(result, (batch, steps, heads, size))), shown

    def _over_groups(self, mask: Tensor, shared: int, group: int) -> Tensor:
        """A mask ``(batch, heads or 1, rows, columns)`` in the order of the scores."""
        batch, heads, rows, columns = mask.value.shape
        parts = (1, 1) if heads == 1 else (shared, group)
        apart = reshape(mask.value, (batch, *parts, rows, columns))
        return Tensor(transpose(apart, (0, 1, 3, 2, 4)))

    def compute_output_shape(
        self, query_shape: Shape, value_shape: Shape | None = None, key_shape: Shape | None = None
    ) -> Shape:
        return tuple(query_shape)

    def name_of_part_in_files(self, attribute: str, in_keras_3: bool) -> str:
        return f"_{attribute}"

    def _own_config(self) -> dict[str, Any]:
        return {
            "head_dim": self.head_dim,
            "num_query_heads": self.num_query_heads,
            "num_key_value_heads": self.num_key_value_heads,
            **super()._own_config(),
        }


GroupQueryAttention = GroupedQueryAttention
"""The public name; files name the class, which Keras calls otherwise."""
