"""Layers in which steps attend to steps, and EinsumDense: arguments, masks and forms of calls."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tests.golden import data

TF_KERAS, KERAS_3 = "tf_keras", "keras"


@dataclass(frozen=True)
class AttentionCase:
    """A layer, and how it is called.

    Attributes:
        name: of the case.
        layer, arguments: the layer.
        shapes: of the inputs, with the batch axis; several are the query, value and key.
        options: other arguments of the call.
        masks: shapes of masks among the arguments of the call.
        marked: which inputs have a mask of their own, by a Masking layer before.
        oracle: the version of Keras that is asked.
    """

    name: str
    layer: str
    arguments: dict[str, Any]
    shapes: list[tuple[int, ...]]
    options: dict[str, Any] = field(default_factory=dict)
    masks: dict[str, tuple[int, ...]] = field(default_factory=dict)
    marked: tuple[int, ...] = ()
    oracle: str = TF_KERAS

    @property
    def listed(self) -> bool:
        """Whether the inputs are one argument, a list."""
        return self.layer in ("Attention", "AdditiveAttention")

    def inputs(self) -> list[np.ndarray]:
        arrays = [data.normal(shape, self.name, "input", i) for i, shape in enumerate(self.shapes)]
        for place in self.marked:
            arrays[place][0, -1], arrays[place][1, 1:] = 0, 0
        return arrays

    def mask_arrays(self) -> dict[str, np.ndarray]:
        """Truth values of which each row has some."""
        found = {}
        for name, shape in self.masks.items():
            mask = data.generator(self.name, name).uniform(size=shape) < 0.6
            mask[..., 0] = True
            found[name] = mask
        return found

    def call(self, keras: Any, layer: Any, inputs: list[Any], masks: dict[str, Any]) -> list[Any]:
        """The outputs, of symbolic tensors or of others."""
        marked = [keras.layers.Masking()(x) if place in self.marked else x for place, x in enumerate(inputs)]
        options = {**self.options, **masks}
        if self.listed:
            if masks:
                options["mask"] = [options.pop(f"{name}_mask", None) for name in ("query", "value")]
            found = layer(marked, **options)
        else:
            found = layer(*marked, **options)
        return list(found) if isinstance(found, (list, tuple)) else [found]


Q, V, K = (3, 4, 5), (3, 6, 5), (3, 6, 4)
SCORES = {"return_attention_scores": True}
FULL = {"attention_mask": (3, 4, 6)}
HEADS = {"num_heads": 2, "key_dim": 3}
GROUPS = {"head_dim": 3, "num_query_heads": 4, "num_key_value_heads": 2}


def _heads(name: str, arguments: dict[str, Any], shapes: Any = (Q, V), **rest: Any) -> AttentionCase:
    return AttentionCase(f"heads_{name}", "MultiHeadAttention", {**HEADS, **arguments}, list(shapes), **rest)


def _groups(name: str, arguments: dict[str, Any], shapes: Any = (Q, V), **rest: Any) -> AttentionCase:
    return AttentionCase(
        f"groups_{name}", "GroupQueryAttention", {**GROUPS, **arguments}, list(shapes), oracle=KERAS_3, **rest
    )


def _dense(name: str, equation: str, sizes: Any, shape: tuple[int, ...], **arguments: Any) -> AttentionCase:
    return AttentionCase(
        f"einsum_{name}", "EinsumDense", {"equation": equation, "output_shape": sizes, **arguments}, [shape]
    )


MULTI_HEAD = [
    _heads("plain", {}),
    _heads("itself", {}, (Q, Q)),
    _heads("key", {}, (Q, V, K)),
    _heads("scores", {}, options=SCORES),
    _heads("value_dim", {"value_dim": 7}),
    _heads("one_head", {"num_heads": 1}),
    _heads("no_bias", {"use_bias": False}),
    _heads("output_shape", {"output_shape": 7}),
    _heads("output_shapes", {"output_shape": (2, 3)}, options=SCORES),
    _heads("causal", {}, options={"use_causal_mask": True, **SCORES}),
    _heads("causal_itself", {}, (V, V), options={"use_causal_mask": True}),
    _heads("mask", {}, masks=FULL),
    _heads("mask_scores", {}, masks=FULL, options=SCORES),
    _heads("mask_of_one_row", {}, masks={"attention_mask": (3, 1, 6)}),
    _heads("mask_of_all_samples", {}, masks={"attention_mask": (1, 4, 6)}),
    _heads("mask_by_head", {}, masks={"attention_mask": (3, 2, 4, 6)}),
    _heads("mask_causal", {}, masks=FULL, options={"use_causal_mask": True}),
    _heads("mask_robust", {"softmax_robust_masking": True}, masks=FULL, options=SCORES),
    _heads("marked_query", {}, marked=(0,)),
    _heads("marked_value", {}, marked=(1,), options=SCORES),
    _heads("marked_key", {}, (Q, V, K), marked=(2,)),
    _heads("marked_all", {}, (Q, V, K), marked=(0, 1, 2), masks=FULL, options={"use_causal_mask": True}),
    _heads("dropout_outside_of_training", {"dropout": 0.5}, options=SCORES),
    _heads("axes_all", {}, [(2, 3, 4, 5), (2, 3, 4, 5)], options=SCORES),
    _heads("axes_first", {"attention_axes": (1,)}, [(2, 3, 4, 5), (2, 6, 4, 5)], options=SCORES),
    _heads("axes_last", {"attention_axes": 2}, [(2, 3, 4, 5), (2, 3, 6, 5)], options=SCORES),
    _heads("axes_masked", {"attention_axes": 2}, [(2, 3, 4, 5), (2, 3, 6, 5)], masks={"attention_mask": (2, 3, 4, 6)}),
    _heads("axes_two", {"attention_axes": (1, 3)}, [(2, 3, 2, 4, 5), (2, 2, 2, 3, 5)], options=SCORES),
    _heads("axes_two_masked", {}, [(2, 3, 4, 5), (2, 3, 4, 5)], masks={"attention_mask": (2, 3, 4, 3, 4)}),
    _heads("window", {"sliding_window": 2}, options=SCORES, oracle=KERAS_3),
    _heads("window_causal", {"sliding_window": 3}, (V, V), options={"use_causal_mask": True}, oracle=KERAS_3),
    _heads("gate", {"use_gate": True}, oracle=KERAS_3),
    _heads("of_keras_3", {"value_dim": 2}, (Q, V, K), options=SCORES, oracle=KERAS_3),
    _heads("value_mask", {}, masks={"value_mask": (3, 6)}, options=SCORES, oracle=KERAS_3),
    _heads("key_mask", {}, (Q, V, K), masks={"key_mask": (3, 6)}, oracle=KERAS_3),
    _heads("axis_from_behind", {"attention_axes": -2}, [(2, 3, 4, 5), (2, 3, 6, 5)], oracle=KERAS_3),
]

GROUP_QUERY = [
    _groups("plain", {}),
    _groups("itself", {}, (Q, Q)),
    _groups("key", {}, (Q, V, K)),
    _groups("scores", {}, options=SCORES),
    _groups("one_key", {"num_key_value_heads": 1}, options=SCORES),
    _groups("all_keys", {"num_key_value_heads": 4}),
    _groups("no_bias", {"use_bias": False}),
    _groups("causal", {}, options={"use_causal_mask": True, **SCORES}),
    _groups("mask", {}, masks=FULL),
    _groups("mask_by_head", {}, masks={"attention_mask": (3, 4, 4, 6)}, options=SCORES),
    _groups("marked_value", {}, marked=(1,)),
    _groups("window", {"sliding_window": 2}, options={"use_causal_mask": True}),
    _groups("gate", {"use_gate": True}),
    _groups("dropout_outside_of_training", {"dropout": 0.5}),
]

DENSE = [
    AttentionCase(f"{layer.lower()}_{name}", layer, arguments, shapes, **rest)
    for layer, modes in (
        ("Attention", ({}, {"use_scale": True}, {"score_mode": "concat"}, {"score_mode": "concat", "use_scale": True})),
        ("AdditiveAttention", ({}, {"use_scale": False})),
    )
    for number, arguments in enumerate(modes)
    for name, shapes, rest in (
        (f"{number}_plain", [Q, V], {}),
        (f"{number}_key", [Q, V if layer == "AdditiveAttention" else (3, 6, 2), V], {"options": SCORES}),
        (f"{number}_masks", [Q, V], {"masks": {"query_mask": (3, 4), "value_mask": (3, 6)}, "options": SCORES}),
        (f"{number}_marked", [Q, V], {"marked": (0, 1), "options": {"use_causal_mask": True}}),
    )
] + [
    AttentionCase("attention_causal", "Attention", {"dropout": 0.5}, [V, V], {"use_causal_mask": True, **SCORES}),
    AttentionCase("attention_value_mask", "Attention", {}, [Q, V], masks={"value_mask": (3, 6)}),
    AttentionCase("additive_query_mask", "AdditiveAttention", {}, [Q, V], masks={"query_mask": (3, 4)}),
]

EINSUM = [
    _dense("rows", "ab,bc->ac", 4, (3, 5), bias_axes="c", activation="tanh"),
    _dense("steps", "abc,cd->abd", (None, 4), (3, 2, 5), bias_axes="d"),
    _dense("no_bias", "abc,cd->abd", (None, 4), (3, 2, 5)),
    _dense("heads", "abc,cde->abde", (None, 2, 4), (3, 2, 5), bias_axes="de"),
    _dense("from_heads", "abcd,cde->abe", (None, 4), (3, 2, 5, 2), bias_axes="e"),
    _dense("by_step", "abc,bcd->abd", (2, 4), (3, 2, 5), bias_axes="bd"),
    _dense("moved", "abc,cd->adb", (4, 2), (3, 2, 5), bias_axes="b"),
    _dense("over_steps", "abc,bd->adc", (4, None), (3, 2, 5), bias_axes="d"),
    _dense("inner_bias", "abc,cd->abd", (2, 4), (3, 2, 5), bias_axes="b"),
    _dense("ellipsis_before", "...x,xy->...y", 4, (3, 2, 5), bias_axes="y"),
    _dense("ellipsis_before_two", "...bc,cd->...bd", (2, 4), (3, 2, 2, 5), bias_axes="bd"),
    _dense("ellipsis_behind", "ab...,bc->ac...", 4, (3, 5, 2, 2), bias_axes="c"),
    _dense("ellipsis_none", "ab...,bc->ac...", 4, (3, 5)),
    _dense("larger", "ab,cd->abcd", (5, 2, 3), (3, 5)),
    _dense("capitals", "ABc,cD->ABD", (2, 4), (3, 2, 5), bias_axes="BD"),
    _dense("not_in_the_output", "abc,b->ab", (2,), (3, 2, 5)),
    _dense("options", "abc,cd->abd", (None, 4), (3, 2, 5), bias_axes="d", kernel_initializer="ones",
           bias_initializer="ones", kernel_regularizer="l2", kernel_constraint="nonneg"),
    AttentionCase("identity", "Identity", {}, [Q]),
]  # fmt: skip

CASES = [*MULTI_HEAD, *GROUP_QUERY, *DENSE, *EINSUM]
