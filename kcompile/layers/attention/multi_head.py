"""MultiHeadAttention: several heads, each with a query, key and value of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kcompile.common.checks import check_flag, check_positive_int
from kcompile.common.errors import DataTypeError, KCompileError, ShapeError, shown
from kcompile.ir.ops.products.linalg import dot_general
from kcompile.ir.ops.shapes.reshaping import transpose
from kcompile.layers.attention import scores
from kcompile.layers.attention.heads import HeadAttention, Shape, scale_of
from kcompile.objects.lookup import Identifier
from kcompile.symbolic.tensor import Tensor

__all__ = ["MultiHeadAttention"]


class MultiHeadAttention(HeadAttention):
    """Attention with several heads; Vaswani et al. (2017).

    Called as ``layer(query, value, key=None)``: ``(B, T, features)`` and ``(B, S, features)`` to ``(B, T, features of
    the query)``. The masks of the inputs count, and that of the query is the mask of the output.

    Args:
        num_heads: how many heads.
        key_dim: size of the query and key of a head.
        value_dim: size of the value of a head; default ``key_dim``.
        dropout: fraction of the attention weights that training drops.
        use_bias: whether projections have a bias.
        output_shape: last axes of the output; default the last axis of the query.
        attention_axes: axes over which attention goes; default all but the first and the last.
        sliding_window: steps attend only to those that are fewer steps away.
        flash_attention: ``None`` or ``False``.
        kernel_initializer, bias_initializer, kernel_regularizer, bias_regularizer, kernel_constraint, bias_constraint:
            of all projections.
        activity_regularizer: a loss on the output.
        use_gate: whether a projection of the query, under a sigmoid, multiplies what heads find.
        seed: of the dropout.
        softmax_robust_masking: put a large negative number in the place of masked scores, and do not add it.

    Raises:
        ValueError: a number that is not positive, or ``flash_attention=True``; on a call, shapes that do not fit.
        TypeError: a number of another type, or an unknown argument.
    """

    def __init__(
        self,
        num_heads: int,
        key_dim: int,
        value_dim: int | None = None,
        dropout: float = 0.0,
        use_bias: bool = True,
        output_shape: Any = None,
        attention_axes: Any = None,
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
        softmax_robust_masking: bool = False,
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
        owner = type(self).__name__
        self.num_heads = check_positive_int(owner, "num_heads", num_heads)
        self.key_dim = check_positive_int(owner, "key_dim", key_dim)
        self.value_dim = self.key_dim if value_dim is None else check_positive_int(owner, "value_dim", value_dim)
        self.softmax_robust_masking = check_flag(owner, "softmax_robust_masking", softmax_robust_masking)
        self._output_sizes = None if output_shape is None else _integers(owner, "output_shape", output_shape, 1)
        self._given_output_shape = output_shape if isinstance(output_shape, int) else self._output_sizes
        self.attention_axes = None if attention_axes is None else _integers(owner, "attention_axes", attention_axes)

    def _build_heads(self, shapes: dict[str, Shape]) -> None:
        rank = len(shapes["query"])
        self.attention_axes = self._axes(rank)
        self.query_dense = self._projection("query", shapes["query"], self.num_heads, self.key_dim)
        self.key_dense = self._projection("key", shapes["key"], self.num_heads, self.key_dim)
        if self.use_gate:
            self.gate_dense = self._projection("gate", shapes["query"], self.num_heads, self.value_dim, "sigmoid")
        self.value_dense = self._projection("value", shapes["value"], self.num_heads, self.value_dim)
        sizes = self._output_sizes or shapes["query"][-1:]
        self.output_dense = self._output_projection(rank, self.num_heads, self.value_dim, sizes)  # type: ignore[arg-type]  # known

    def _axes(self, rank: int) -> tuple[int, ...]:
        """The axes of the query over which attention goes, counted from the front."""
        if self.attention_axes is None:
            return tuple(range(1, rank - 1))
        axes = tuple(axis + rank if axis < 0 else axis for axis in self.attention_axes)
        if len(set(axes)) != len(axes) or not all(1 <= axis < rank - 1 for axis in axes):
            raise ShapeError(
                f"layer {self.name!r} ({type(self).__name__}): attention_axes {self.attention_axes} must be different "
                f"axes of a query of {rank} axes, without the first and the last"
            )
        return axes

    def _heads(
        self, query: Tensor, key: Tensor, value: Tensor, mask: Any, training: bool | int | Tensor | None, asked: bool
    ) -> Any:
        rank = query.ndim - 1
        axes = list(self._axes(rank))
        others = [axis for axis in range(rank - 1) if axis not in axes]
        batch = [*others, rank - 1]  # the heads among them
        found = Tensor(
            dot_general(
                (query * scale_of(self.key_dim)).value, key.value, contract=((rank,), (rank,)), batch=(batch, batch)
            )
        )
        mask = scores.over_heads(mask, found.ndim, len(axes), f"layer {self.name!r} ({type(self).__name__})")
        weights = scores.attended(found, mask, len(axes), self.softmax_robust_masking)
        dropped = self._dropped(weights, training)
        columns = range(len(batch) + len(axes), found.ndim)
        result = dot_general(dropped.value, value.value, (tuple(columns), axes), (range(len(batch)), batch))
        # (others, heads, axes, size) -> (axes of the query in their order, heads, size)
        order = [*others, rank - 1, *sorted(axes), rank]
        return Tensor(transpose(result, [order.index(axis) for axis in range(rank + 1)])), weights

    def compute_output_shape(
        self, query_shape: Shape, value_shape: Shape | None = None, key_shape: Shape | None = None
    ) -> Shape:
        return (*query_shape[:-1], *(self._output_sizes or query_shape[-1:]))

    def name_of_part_in_files(self, attribute: str, in_keras_3: bool) -> str:
        public = in_keras_3 and attribute in ("query_dense", "key_dense", "value_dense", "output_dense")
        return attribute if public else f"_{attribute}"

    def get_config(self) -> dict[str, Any]:
        shapes = {key: self._shapes.get(key.removesuffix("_shape")) for key in _SHAPES}  # tf.keras asks for them
        return {**super().get_config(), **shapes}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        """A new layer from :meth:`get_config`, which is built when it is called."""
        return cls(**{key: value for key, value in config.items() if key not in _SHAPES})

    def _own_config(self) -> dict[str, Any]:
        robust = {"softmax_robust_masking": True} if self.softmax_robust_masking else {}
        return {
            "num_heads": self.num_heads,
            "key_dim": self.key_dim,
            "value_dim": self.value_dim,
            **super()._own_config(),
            "output_shape": self._given_output_shape,
            "attention_axes": self.attention_axes,
            **robust,
        }


_SHAPES = ("query_shape", "key_shape", "value_shape")


def _integers(owner: str, argument: str, value: Any, minimum: int | None = None) -> tuple[int, ...]:
    """An integer, or several."""
    items = tuple(value) if isinstance(value, Sequence) and not isinstance(value, str) else (value,)
    if not items or not all(isinstance(item, int) and not isinstance(item, bool) for item in items):
        raise DataTypeError(f"{owner}: {argument} must be an integer or a tuple of integers, got {shown(value)}")
    if minimum is not None and min(items) < minimum:
        raise KCompileError(f"{owner}: {argument} must be at least {minimum}, got {shown(value)}")
    return items
