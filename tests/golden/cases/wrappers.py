"""TimeDistributed and Bidirectional: each line is written once, and run by the oracle and by kcompile."""

import importlib
from typing import Any

from tests.golden.cases.model_case import ModelCase

# ---- TimeDistributed


def _models(layers: Any) -> Any:
    """The module that has models, for these layers."""
    return importlib.import_module("kcompile" if layers.__name__.startswith("kcompile") else "tf_keras").models


TIME_DISTRIBUTED = [
    ModelCase("td_dense", [(3, 4, 5)], lambda L, x: L.TimeDistributed(L.Dense(3, activation="tanh"))(x), steps=3),
    ModelCase(
        "td_dense_masked", [(3, 4, 5)], lambda L, x: L.TimeDistributed(L.Dense(3))(L.Masking()(x)), masked=0.4, steps=3
    ),
    ModelCase(
        "td_dense_on_images",
        [(2, 3, 4, 2)],
        lambda L, x: L.TimeDistributed(L.Dense(3))(L.Masking()(x)),
        masked=0.4,
    ),
    ModelCase(
        "td_conv", [(2, 3, 5, 5, 2)], lambda L, x: L.TimeDistributed(L.Conv2D(3, 3, strides=2, padding="same"))(x)
    ),
    ModelCase(
        "td_normalization",
        [(4, 3, 2)],
        lambda L, x: L.TimeDistributed(L.BatchNormalization(momentum=0.7))(x),
        training=True,
        steps=3,
    ),
    ModelCase(
        "td_sequential",
        [(2, 3, 6, 6, 1)],
        lambda L, x: L.TimeDistributed(
            _models(L).Sequential([L.Conv2D(2, 3, activation="tanh"), L.BatchNormalization(), L.Flatten(), L.Dense(2)])
        )(x),
        training=True,  # no steps: tf_keras asks the inner model for its mask, which moves its statistics twice
    ),
    ModelCase(
        "td_embedding",
        [(3, 4, 5)],
        lambda L, x: L.TimeDistributed(L.GlobalAveragePooling1D())(
            L.TimeDistributed(L.Embedding(7, 3, mask_zero=True))(x)
        ),
        integers=7,
    ),
    ModelCase("td_masking_inside", [(3, 4, 5, 2)], lambda L, x: L.TimeDistributed(L.Masking(0.0))(x), masked=0.5),
    ModelCase("td_twice", [(2, 3, 4, 5)], lambda L, x: L.TimeDistributed(L.TimeDistributed(L.Dense(2)))(x), steps=2),
    ModelCase("td_lstm", [(2, 3, 4, 2)], lambda L, x: L.TimeDistributed(L.LSTM(3))(x), steps=2),
    ModelCase(
        "td_lstm_masked",
        [(3, 3, 4, 2)],
        lambda L, x: L.TimeDistributed(L.LSTM(3, return_sequences=True))(L.Masking()(x)),
        masked=0.4,
        steps=2,
    ),
    ModelCase(
        "td_gru_of_words",
        [(3, 4, 5)],
        lambda L, x: L.GRU(3, reset_after=True)(
            L.TimeDistributed(L.GRU(4, reset_after=True))(L.Embedding(9, 3, mask_zero=True)(x))
        ),
        integers=9,
    ),
]

# ---- Bidirectional

_MODES: list[str | None] = ["concat", "sum", "mul", "ave", None]


def _both(name: str, arguments: dict[str, Any], cell: str = "LSTM", **options: Any) -> ModelCase:
    """A Bidirectional layer on (3, 5, 4), masked if ``masked`` says so."""
    if cell == "GRU":  # whose default differs
        arguments.setdefault("reset_after", True)
    wrapper = {key: arguments.pop(key) for key in ("merge_mode",) if key in arguments}

    def apply(L: Any, x: Any) -> Any:
        first = L.Masking()(x) if options.get("masked") else x
        return L.Bidirectional(getattr(L, cell)(3, **arguments), **wrapper)(first)

    return ModelCase(name, [(3, 5, 4)], apply, **options)


def _with_states(L: Any, x: Any) -> Any:
    sequence, *states = x
    return L.Bidirectional(L.LSTM(3, return_state=True))(sequence, initial_state=states)


def _encoder_to_decoder(L: Any, x: Any) -> Any:
    """The states of one Bidirectional layer start the other."""
    source, target = x
    _, *states = L.Bidirectional(L.GRU(3, return_state=True, reset_after=True))(source)
    return L.Bidirectional(L.GRU(3, return_sequences=True, reset_after=True))(target, initial_state=states)


BIDIRECTIONAL = [
    *(_both(f"bi_lstm_{mode}", {"merge_mode": mode}, steps=2) for mode in _MODES),
    *(_both(f"bi_lstm_{mode}_sequences", {"merge_mode": mode, "return_sequences": True}) for mode in _MODES),
    *(
        _both(f"bi_{cell.lower()}_masked", {"return_sequences": True}, cell, masked=0.4, steps=2)
        for cell in ("SimpleRNN", "GRU", "LSTM")
    ),
    _both("bi_lstm_masked_last", {"merge_mode": "sum"}, masked=0.4),
    _both("bi_lstm_none_masked", {"merge_mode": None, "return_sequences": True}, masked=0.4),
    _both("bi_gru_reset_before", {"reset_after": False, "return_sequences": True}, "GRU"),
    _both("bi_state", {"return_state": True, "return_sequences": True}),
    _both("bi_state_none", {"return_state": True, "merge_mode": None}, "GRU"),
    _both("bi_go_backwards", {"go_backwards": True, "return_sequences": True}),
    _both("bi_stateful", {"stateful": True, "return_sequences": True}, calls=3),
    ModelCase(
        "bi_backward_layer",
        [(3, 5, 4)],
        lambda L, x: L.Bidirectional(
            L.LSTM(3, return_sequences=True),
            backward_layer=L.GRU(2, go_backwards=True, return_sequences=True, activation="relu", reset_after=True),
        )(x),
        steps=2,
    ),
    ModelCase("bi_initial_state", [(3, 5, 4), (3, 3), (3, 3), (3, 3), (3, 3)], _with_states),
    ModelCase("bi_encoder_to_decoder", [(3, 5, 4), (3, 2, 4)], _encoder_to_decoder, steps=2),
    ModelCase(
        "bi_stacked",
        [(3, 5, 4)],
        lambda L, x: L.TimeDistributed(L.Dense(2))(
            L.Bidirectional(L.GRU(3, return_sequences=True, reset_after=True))(
                L.Bidirectional(L.LSTM(2, return_sequences=True))(L.Masking()(x))
            )
        ),
        masked=0.3,
        steps=3,
    ),
    ModelCase(
        "bi_conv_lstm",
        [(2, 3, 4, 4, 2)],
        lambda L, x: L.Bidirectional(L.ConvLSTM2D(2, 3, padding="same", return_sequences=True))(x),
    ),
]

CASES = [*TIME_DISTRIBUTED, *BIDIRECTIONAL]
