"""What layers with several heads have in common: the products before and after attention, masks, the configuration."""

from __future__ import annotations

import math
from typing import Any, NoReturn

from kcompile import ir, regularizers
from kcompile.common.checks import check_flag, check_fraction, check_int, check_positive_int
from kcompile.common.errors import DataTypeError, KCompileError, ShapeError
from kcompile.layers.attention import scores
from kcompile.layers.base.weight_options import WeightOptions
from kcompile.layers.core.dropout import Dropout
from kcompile.layers.core.einsum_dense import EinsumDense
from kcompile.objects.lookup import Identifier
from kcompile.symbolic.tensor import Tensor, as_tensor

Shape = tuple[int | None, ...]
LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"


class HeadAttention(WeightOptions):
    """Projects query, key and value to heads, lets each attend, and projects the results back.

    Attributes:
        query_dense, key_dense, value_dense, gate_dense, output_dense: the projections, once the layer is built.
        dropout_layer: what drops attention weights.
    """

    def __init__(
        self,
        dropout: float,
        use_bias: bool,
        sliding_window: int | None,
        flash_attention: bool | None,
        use_gate: bool,
        seed: int | None,
        options: dict[str, Any],
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        owner = type(self).__name__
        self.supports_masking = True
        self.dropout = check_fraction(owner, "dropout", dropout, below_one=False)
        self.use_bias = check_flag(owner, "use_bias", use_bias)
        if flash_attention is not None and check_flag(owner, "flash_attention", flash_attention):
            raise KCompileError(
                f"{owner}: flash_attention=True needs a kernel of GPUs that there is not here; use None or False, "
                "which compute the same"
            )
        self.sliding_window = (
            None if sliding_window is None else check_positive_int(owner, "sliding_window", sliding_window)
        )
        self.use_gate = check_flag(owner, "use_gate", use_gate)
        self.seed = None if seed is None else check_int(owner, "seed", seed)
        for prefix in ("kernel", "bias"):
            self._set_weight_options(prefix, *(options[f"{prefix}_{kind}"] for kind in _KINDS))
        self.activity_regularizer = regularizers.get(options["activity_regularizer"])
        self.dropout_layer = Dropout(self.dropout, seed=self.seed, name=f"{self.name}_dropout", dtype=self.dtype)
        self._shapes: dict[str, Shape] = {}

    # -- building

    def build(self, query_shape: Shape, value_shape: Shape | None = None, key_shape: Shape | None = None) -> None:
        """Make the projections for inputs of these shapes; the key is the value if it has none of its own."""
        if value_shape is None:
            self._refuse_one_input()
        key = value_shape if key_shape is None else key_shape
        shapes = {"query": tuple(query_shape), "value": tuple(value_shape), "key": tuple(key)}
        for name, shape in shapes.items():
            if len(shape) != len(query_shape) or len(shape) < 3:
                raise ShapeError(
                    f"layer {self.name!r} ({type(self).__name__}) takes a query, value and key of equally many axes, 3 "
                    f"or more, got a {name} of shape {shape} for a query of shape {tuple(query_shape)}"
                )
            if shape[-1] is None:
                raise ShapeError(
                    f"layer {self.name!r} ({type(self).__name__}) needs to know the size of the last axis of its "
                    f"{name}, got {shape}; give it in Input(shape=...)"
                )
        self._shapes = shapes
        self._build_heads(shapes)
        self.built = True

    def _build_heads(self, shapes: dict[str, Shape]) -> None:
        """Make the projections."""
        raise NotImplementedError(type(self).__name__)

    def _projection(self, name: str, shape: Shape, heads: int, size: int, activation: Identifier = None) -> EinsumDense:
        """``(..., features)`` to ``(..., heads, size)``."""
        rank = len(shape)
        kept, (features, head, unit) = LETTERS[: rank - 1], list(LETTERS[rank - 1 : rank + 2])
        equation = f"{kept}{features},{features}{head}{unit}->{kept}{head}{unit}"
        sizes = (*(None,) * (rank - 2), heads, size)
        return self._dense(name, equation, sizes, head + unit, shape, activation)

    def _output_projection(self, rank: int, heads: int, size: int, sizes: tuple[int, ...]) -> EinsumDense:
        """``(..., heads, size)`` to ``(..., *sizes)``."""
        kept, inner = LETTERS[: rank - 1], LETTERS[rank - 1 : rank + 1]
        outer = LETTERS[rank + 1 : rank + 1 + len(sizes)]
        equation = f"{kept}{inner},{inner}{outer}->{kept}{outer}"
        shape = (*(None,) * (rank - 1), heads, size)
        return self._dense("attention_output", equation, (*(None,) * (rank - 2), *sizes), outer, shape)

    def _dense(
        self, name: str, equation: str, sizes: Shape, bias_axes: str, shape: Shape, activation: Identifier = None
    ) -> EinsumDense:
        options = {f"{prefix}_{kind}": getattr(self, f"{prefix}_{kind}") for prefix in _PREFIXES for kind in _KINDS}
        axes = bias_axes if self.use_bias else None
        # While its weights are made it has the name that they have in Keras: "attention/query/kernel".
        dense = EinsumDense(equation, sizes, activation, axes, name=f"{self.name}/{name}", dtype=self.dtype, **options)
        dense.build_for_shapes([shape], nested=False)
        dense.name = name
        return dense

    # -- calling

    def call(
        self,
        query: Any,
        value: Any = None,
        key: Any = None,
        query_mask: Any = None,
        value_mask: Any = None,
        key_mask: Any = None,
        attention_mask: Any = None,
        return_attention_scores: bool = False,
        training: bool | int | Tensor | None = None,
        use_causal_mask: bool = False,
    ) -> Any:
        masks = {
            "query_mask": query_mask, "value_mask": value_mask, "key_mask": key_mask, "attention_mask": attention_mask
        }  # fmt: skip
        options = {
            "return_attention_scores": return_attention_scores,
            "training": training,
            "use_causal_mask": use_causal_mask,
        }
        return self._attend(query, value, key, masks, options)

    def _attend(self, inputs: Any, value: Any, key: Any, masks: dict[str, Any], options: dict[str, Any]) -> Any:
        """The output, and the scores if they are asked for."""
        if value is None:
            self._refuse_one_input()
        query, value = as_tensor(inputs), as_tensor(value)
        own_key = None if key is None or key is value else as_tensor(key)
        key = value if own_key is None else own_key
        of_key = masks["key_mask"] if own_key is None or masks["key_mask"] is not None else own_key.keras_mask
        mask = scores.joined_masks(
            query,
            value,
            query.keras_mask if masks["query_mask"] is None else masks["query_mask"],
            value.keras_mask if masks["value_mask"] is None else masks["value_mask"],
            of_key,
            masks["attention_mask"],
            bool(options["use_causal_mask"]),
            self.sliding_window,
        )
        asked = bool(options["return_attention_scores"])
        of_heads = (
            self._inside(self.query_dense, query),
            self._inside(self.key_dense, key),
            self._inside(self.value_dense, value),
        )
        gate = self._inside(self.gate_dense, query) if self.use_gate else None
        result, weights = self._heads(*of_heads, mask, options["training"], asked)
        if gate is not None:
            result = result * gate
        output = self._inside(self.output_dense, result)
        return (output, weights) if asked else output

    def _refuse_one_input(self) -> NoReturn:
        raise DataTypeError(
            f"layer {self.name!r} ({type(self).__name__}) is called on a query and a value: layer(query, value)"
        )

    def _inside(self, dense: EinsumDense, x: Tensor) -> Tensor:
        with ir.scope(dense.name):
            result: Tensor = dense.call(x)
        return result

    def _dropped(self, weights: Tensor, training: bool | int | Tensor | None) -> Tensor:
        return self.dropout_layer.call(weights, training=training)

    def _heads(
        self, query: Tensor, key: Tensor, value: Tensor, mask: Any, training: bool | int | Tensor | None, asked: bool
    ) -> Any:
        """What the heads find, ``(..., heads, size)``, and the scores (``None`` if they are not ``asked`` for)."""
        raise NotImplementedError(type(self).__name__)

    def _masks(self, inputs: Any, masks: Any, outputs: Any) -> list[Tensor | None]:
        found = super()._masks(inputs, masks, outputs)
        return [*found[:1], *(None for _ in found[1:])]  # scores have none

    # -- files

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            **self._own_config(),
            **self._weight_config("kernel", "bias", activity_regularizer=True),
        }

    def _own_config(self) -> dict[str, Any]:
        """The arguments that are not of weights; those that tf.keras does not have only where they say something."""
        later = {"use_gate": self.use_gate or None, "sliding_window": self.sliding_window, "seed": self.seed}
        return {
            "dropout": self.dropout,
            "use_bias": self.use_bias,
            **{name: value for name, value in later.items() if value is not None},
        }


_PREFIXES, _KINDS = ("kernel", "bias"), ("initializer", "regularizer", "constraint")


def scale_of(size: int) -> float:
    """What queries are multiplied by, so that scores do not grow with the size of heads."""
    return 1.0 / math.sqrt(float(size))
