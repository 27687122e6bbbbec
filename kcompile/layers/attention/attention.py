"""Attention by the product of query and key, and what AdditiveAttention has in common with it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kcompile import backend as K
from kcompile.common.checks import check_flag, check_fraction, check_int, check_one_of
from kcompile.common.errors import DataTypeError, KCompileError, shown
from kcompile.engine.layer import Layer
from kcompile.ir.ops.products.linalg import matmul
from kcompile.ir.ops.products.softmax import softmax
from kcompile.layers.attention import scores
from kcompile.symbolic.seeds import SeedStream
from kcompile.symbolic.tensor import Tensor

__all__ = ["Attention"]

Shape = tuple[int | None, ...]


class DenseAttention(Layer):
    """Called on ``[query, value]`` or ``[query, value, key]``: ``(B, T, features)`` and ``(B, S, features)`` to ``(B,
    T, features)``. Subclasses say what the scores are.

    Masks are ``[mask of the query, mask of the value]``; steps of the query that its mask leaves out are zero.

    Args:
        dropout: fraction of the attention weights that training drops.
        seed: of the dropout.
    """

    def __init__(self, dropout: float = 0.0, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        owner = type(self).__name__
        self.dropout = check_fraction(owner, "dropout", dropout, below_one=False)
        self.seed = None if seed is None else check_int(owner, "seed", seed)
        self.supports_masking = True
        self._seeds = SeedStream(self.seed) if self.dropout else None

    def build(self, input_shape: Sequence[Shape]) -> None:
        self._check_number(input_shape)
        self.built = True

    def _check_number(self, items: Any) -> None:
        if (
            not isinstance(items, (list, tuple))
            or len(items) not in (2, 3)
            or not isinstance(items[0], (tuple, list, Tensor))
        ):
            raise KCompileError(
                f"layer {self.name!r} ({type(self).__name__}) is called on a list: [query, value], or [query, value, "
                "key]"
            )

    def _scores(self, query: Tensor, key: Tensor) -> Tensor:
        """How much each step of the query is about each one of the key: ``(B, T, S)``."""
        raise NotImplementedError(type(self).__name__)

    def call(
        self,
        inputs: Any,
        mask: Any = None,
        training: bool | int | Tensor | None = None,
        return_attention_scores: bool = False,
        use_causal_mask: bool = False,
    ) -> Any:
        self._check_number(inputs)
        query, value = inputs[0], inputs[1]
        of_query, of_value = self._check_masks(mask)
        found = self._scores(query, inputs[2] if len(inputs) > 2 else value)
        columns = None if of_value is None else K.expand_dims(scores.as_truth(of_value), -2)
        counts = scores.joined(columns, scores.causal(query, value) if use_causal_mask else None)
        if counts is not None:
            lowest = -65504.0 if found.dtype == "float16" else scores.masked_out(found.dtype)
            found = found + (1.0 - K.cast(counts, found.dtype)) * lowest
        weights = Tensor(softmax(found.value))
        if self._seeds is not None:
            dropped = K.dropout(weights, self.dropout, seed=self._seeds.next())
            weights = K.in_train_phase(dropped, weights, training=training)
        result = Tensor(matmul(weights.value, value.value))
        if of_query is not None:
            result = result * K.cast(K.expand_dims(scores.as_truth(of_query), -1), result.dtype)
        return (result, weights) if return_attention_scores else result

    def _check_masks(self, mask: Any) -> tuple[Any, Any]:
        if mask is None:
            return None, None
        if not isinstance(mask, (list, tuple)) or len(mask) not in (2, 3):
            raise DataTypeError(
                f"layer {self.name!r} ({type(self).__name__}): mask must be a list, [mask of the query, mask of the "
                f"value], got {shown(mask)}"
            )
        return mask[0], mask[1]

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        return self._check_masks(mask)[0]

    def _masks(self, inputs: Any, masks: Any, outputs: Any) -> list[Tensor | None]:
        found = super()._masks(inputs, masks, outputs)
        return [*found[:1], *(None for _ in found[1:])]  # scores have none

    def compute_output_shape(self, input_shape: Sequence[Shape]) -> Shape:
        return (*input_shape[0][:-1], input_shape[1][-1])

    def get_config(self) -> dict[str, Any]:
        seed = {} if self.seed is None else {"seed": self.seed}  # tf.keras has none
        return {**super().get_config(), "dropout": self.dropout, **seed}


class Attention(DenseAttention):
    """Attention by the product of query and key; Luong et al. (2015).

    Called on ``[query, value]`` or ``[query, value, key]``: ``(B, T, features)`` and ``(B, S, features)`` to ``(B, T,
    features)``; with ``return_attention_scores=True`` to that and the attention weights ``(B, T, S)``.

    Args:
        use_scale: whether scores are multiplied by a weight.
        score_mode: ``dot``, the product of query and key, or ``concat``, the sum over ``tanh(query + key)``, times a
            weight.
        dropout: fraction of the attention weights that training drops.
        seed: of the dropout.

    Raises:
        ValueError: another ``score_mode``, or ``dropout`` outside 0 to 1; on a call, other inputs than a list.
    """

    def __init__(
        self,
        use_scale: bool = False,
        score_mode: str = "dot",
        dropout: float = 0.0,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(dropout, seed, **kwargs)
        self.use_scale = check_flag("Attention", "use_scale", use_scale)
        self.score_mode = check_one_of("Attention", "score_mode", score_mode, ("dot", "concat"))

    def build(self, input_shape: Sequence[Shape]) -> None:
        super().build(input_shape)
        self.scale = self.add_weight(name="scale", shape=(), initializer="ones") if self.use_scale else None
        self.concat_score_weight = None
        if self.score_mode == "concat":
            self.concat_score_weight = self.add_weight(name="concat_score_weight", shape=(), initializer="ones")

    def _scores(self, query: Tensor, key: Tensor) -> Tensor:
        if self.concat_score_weight is None:
            found = Tensor(matmul(query.value, key.value, False, True))
            return found if self.scale is None else found * self.scale
        both = K.expand_dims(query, -2) + K.expand_dims(key, -3)
        summed = K.sum(K.tanh(both if self.scale is None else both * self.scale), axis=-1)
        return summed * self.concat_score_weight

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "use_scale": self.use_scale, "score_mode": self.score_mode}
