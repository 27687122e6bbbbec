"""Recurrences: each with the options that change its code, every activation, and gradients of gradients."""

import numpy as np

from kcompile.ir.core import apply_multi
from kcompile.ir.ops.elementwise.functions import sin
from kcompile.ir.ops.recurrent.activations import ACTIVATIONS
from kcompile.ir.ops.recurrent.gru import Gru
from kcompile.ir.ops.recurrent.lstm import Lstm
from kcompile.ir.ops.recurrent.rnn import Rnn
from kcompile.ir.ops.shapes.reshaping import transpose
from kcompile.passes.autodiff import gradients
from tests.op_examples import Example, floats

TIME, BATCH, UNITS = 4, 2, 3

KINDS = {
    "lstm": (Lstm, 4, {}),
    "gru": (Gru, 3, {"reset_after": True}),
    "gru-bias": (Gru, 3, {"reset_after": True, "has_bias": True}),
    "lstm-bias": (Lstm, 4, {"has_bias": True}),
    "gru-before": (Gru, 3, {"reset_after": False}),
    "rnn": (Rnn, 1, {}),
    "rnn-bias": (Rnn, 1, {"has_bias": True}),
}


def mask(*shape):
    """True and false in turns, with a step that nobody takes and a sequence that ends early."""
    allowed = np.arange(np.prod(shape)).reshape(shape) % 3 != 1
    allowed[1] = False
    return allowed


def example(kind, label, groups=(), build=None, batch=(0,), wrt=None, **options):
    """A row for all results of the op, also those for gradients."""
    make, gates, fixed = KINDS[kind]
    op = make(**{"activation": "tanh", **fixed, **options})
    state = (*groups, BATCH, UNITS)
    arrays = [
        floats(TIME, *groups, BATCH, gates * UNITS, low=-2.0, high=1.0),
        floats(*groups, UNITS, gates * UNITS, low=-1.0, high=1.0),
        *([floats(*groups, gates * UNITS)] if op.has_bias else []),
        *(floats(*state) for _ in range(op.states)),
        *([mask(TIME, *groups, BATCH)] if op.masked else []),
        *([floats(*state, low=0.5)] if op.scaled else []),
    ]
    symbolic = [*batch, *([2 + op.has_bias + op.states] if op.masked and batch else [])]
    name = "-".join(filter(None, [kind.partition("-")[2], label]))
    build = build or (lambda *values: apply_multi(op, *values))
    return Example(op.name, build, arrays, name, batch=symbolic, wrt=wrt, rtol=3e-5)


def of_batch(kind, **options):
    """The sequences are given batch first, and the batch is symbolic."""
    make, gates, fixed = KINDS[kind]
    op = make(activation="tanh", masked=True, scaled=True, **fixed, **options)
    states = [floats(BATCH, UNITS) for _ in range(op.states)]
    first = 2 + op.has_bias
    arrays = [
        floats(BATCH, TIME, gates * UNITS),
        floats(UNITS, gates * UNITS),
        *([floats(gates * UNITS)] if op.has_bias else []),
        *states,
        mask(TIME, BATCH).T.copy(),
        floats(BATCH, UNITS),
    ]
    place = first + op.states

    def build(*values):
        given = [*values]
        given[0], given[place] = transpose(values[0], (1, 0, 2)), transpose(values[place], (1, 0))
        return apply_multi(op, *given)

    name = "-".join(filter(None, [kind.partition("-")[2], "batch"]))
    return Example(op.name, build, arrays, name, batch=[0, *range(first, len(arrays))], rtol=3e-5)


def twice(kind, **options):
    """The gradient of a function of ``h``, to be differentiated once more."""
    op = KINDS[kind][0](**{"activation": "tanh", **KINDS[kind][2], **options})

    def build(*values):
        (g_x,) = gradients([sin(apply_multi(op, *values)[0])], values[:1])
        return g_x

    return example(kind, "gradient", build=build, **options)


EXAMPLES = [
    *(
        row
        for kind in KINDS
        for row in (
            example(kind, ""),
            example(kind, "all", masked=True, scaled=True, reverse=True),
            example(kind, "unroll", batch=(), unroll=True, masked=True, reverse=True),
            example(kind, "groups", groups=(2,), masked=True),
            of_batch(kind),
            twice(kind, masked=True, scaled=True),
        )
    ),
    *(example(kind, "no-stash", wrt=(), masked=True, stash=False) for kind in ("lstm", "gru")),
    *(example(kind, "no-sequence", wrt=(), masked=True, sequence=False) for kind in ("lstm", "gru")),
    example("lstm", "unroll-forward", batch=(), unroll=True, scaled=True),
    *(example("rnn", name, activation=name) for name in ACTIVATIONS),
    *(
        example(kind, f"{name}-and-hard-sigmoid", activation=name, recurrent_activation="hard_sigmoid")
        for kind in ("lstm", "gru", "gru-before")
        for name in ("relu", "softsign", "elu")
    ),
]
