"""AdditiveAttention: attention by the sum of query and key."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kcompile import backend as K
from kcompile.common.checks import check_flag
from kcompile.common.errors import ShapeError
from kcompile.layers.attention.attention import DenseAttention, Shape
from kcompile.symbolic.tensor import Tensor

__all__ = ["AdditiveAttention"]


class AdditiveAttention(DenseAttention):
    """Attention by ``sum(scale * tanh(query + key))``; Bahdanau et al. (2015).

    Called on ``[query, value]`` or ``[query, value, key]``: ``(B, T, features)`` and ``(B, S, features)`` to ``(B, T,
    features)``; with ``return_attention_scores=True`` to that and the attention weights ``(B, T, S)``.

    Args:
        use_scale: whether there is a weight for each feature; otherwise all count alike.
        dropout: fraction of the attention weights that training drops.
        seed: of the dropout.

    Raises:
        ValueError: ``dropout`` is outside 0 to 1; on a call, other inputs than a list.
    """

    def __init__(self, use_scale: bool = True, dropout: float = 0.0, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(dropout, seed, **kwargs)
        self.use_scale = check_flag("AdditiveAttention", "use_scale", use_scale)

    def build(self, input_shape: Sequence[Shape]) -> None:
        super().build(input_shape)
        features = input_shape[0][-1]
        self.scale = None
        if not self.use_scale:
            return
        if features is None:
            raise ShapeError(
                f"layer {self.name!r} (AdditiveAttention) needs to know the size of the last axis of its query, got "
                f"{tuple(input_shape[0])}; give it in Input(shape=...)"
            )
        self.scale = self.add_weight(name="scale", shape=(features,), initializer="glorot_uniform")

    def _scores(self, query: Tensor, key: Tensor) -> Tensor:
        found = K.tanh(K.expand_dims(query, -2) + K.expand_dims(key, -3))
        return K.sum(found if self.scale is None else found * self.scale, axis=-1)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "use_scale": self.use_scale}
