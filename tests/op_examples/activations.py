"""Rectifiers, limits, and activations with exponentials."""

import numpy as np

from kcompile.ir import apply
from kcompile.ir.ops.elementwise import activations, rectifiers
from tests.op_examples import Example, bools, floats, integers

away_from_zero = floats(3, 4, low=0.3, high=2) * np.where(bools(3, 4), 1, -1).astype(np.float32)
wide = floats(3, 4, low=-5, high=6)
slopes = floats(4, low=-0.5, high=1.5)

EXAMPLES = [
    Example("clip", lambda x: rectifiers.limited(x, -0.5, 1.25), [floats(3, 4)], batch=[0], empty=True),
    Example("clip", lambda x: rectifiers.limited(x, -2, 5), [integers(3, 4, low=-9)], "int64"),
    Example("capped_relu", lambda x: rectifiers.capped_relu(x, 1.3), [away_from_zero], batch=[0], empty=True),
    Example("capped_relu", lambda x: rectifiers.capped_relu(x, 6), [4 * away_from_zero], "6", batch=[0]),
    # Their gradients as ops of their own are what second derivatives see.
    Example(
        "equal_grad",
        lambda g, x: rectifiers.Clip(-0.5, 1.25).vjp([x], [rectifiers.limited(x, -0.5, 1.25)], [g])[0],
        [floats(3, 4), floats(3, 4)],
        batch=[0, 1],
    ),
    Example(
        "between_grad",
        lambda g, x: apply(rectifiers.BetweenGrad(0, 1.3), g, rectifiers.capped_relu(x, 1.3)),
        [floats(3, 4), away_from_zero],
        batch=[0, 1],
    ),
    *(
        Example("leaky_relu", lambda x, a=alpha: rectifiers.leaky_relu(x, a), [away_from_zero], str(alpha), batch=[0])
        for alpha in (0.3, 1.5, -0.2)
    ),
    Example("leaky_slope", lambda x: apply(rectifiers.LeakySlope(0.3), x), [away_from_zero], batch=[0]),
    Example("leaky_slope", lambda x: apply(rectifiers.LeakySlope(-0.3), x), [away_from_zero], "negative"),
    Example("prelu", rectifiers.prelu, [away_from_zero, slopes], batch=[0], empty=True),
    Example("prelu", rectifiers.prelu, [away_from_zero, floats(3, 4)], "full", batch=[0, 1]),
    Example("prelu_slope", lambda x, a: apply(rectifiers.PReluSlope(), x, a), [away_from_zero, slopes], batch=[0]),
    Example("thresholded_relu", lambda x: rectifiers.thresholded_relu(x, 0.15), [away_from_zero], batch=[0]),
    *(
        Example("elu", lambda x, a=alpha: activations.elu(x, a), [away_from_zero], str(alpha), batch=[0], empty=True)
        for alpha in (1.0, 0.7, 1.5, -0.5)
    ),
    Example("selu", activations.selu, [away_from_zero], batch=[0], empty=True),
    Example("hard_sigmoid", activations.hard_sigmoid, [wide], batch=[0], empty=True),
    Example("hard_sigmoid", lambda x: activations.hard_sigmoid(x, 1 / 6), [wide], "sixth", batch=[0]),
    Example("hard_swish", activations.hard_swish, [wide], batch=[0], empty=True),
    Example("gelu", activations.gelu, [wide], batch=[0], empty=True),
    Example("gelu", lambda x: activations.gelu(x, approximate=True), [wide], "tanh", batch=[0]),
    Example("swish", activations.swish, [wide], batch=[0], empty=True),
    Example("mish", activations.mish, [floats(3, 4, low=-80, high=80)], batch=[0], empty=True),
]
