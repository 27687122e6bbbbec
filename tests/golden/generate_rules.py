"""Record initializers, regularizers and constraints: ``python -m tests.golden.generate_rules``.

Random initializers have no golden values, only golden statistics: bounds, mean and standard deviation from
the published formulas, checked here against draws of the oracle.
"""

from math import inf, prod, sqrt
from typing import Any

from tests.golden import data
from tests.golden.cases.rules import (
    CONSTRAINTS,
    EXACT_INITIALIZERS,
    RANDOM_INITIALIZERS,
    REGULARIZERS,
    RuleCase,
)
from tests.golden.oracle import SOURCE, keras, np, stored, tf
from tests.golden.storage import save

# The standard deviation of a standard normal cut at two standard deviations.
TRUNCATED_STDDEV = 0.87962566103423978

VARIANCE_SCALING: dict[str, dict[str, Any]] = {
    "VarianceScaling": {"scale": 1.0, "mode": "fan_in", "distribution": "normal"},
    "glorot_normal": {"scale": 1.0, "mode": "fan_avg", "distribution": "normal"},
    "glorot_uniform": {"scale": 1.0, "mode": "fan_avg", "distribution": "uniform"},
    "he_normal": {"scale": 2.0, "mode": "fan_in", "distribution": "normal"},
    "he_uniform": {"scale": 2.0, "mode": "fan_in", "distribution": "uniform"},
    "lecun_normal": {"scale": 1.0, "mode": "fan_in", "distribution": "normal"},
    "lecun_uniform": {"scale": 1.0, "mode": "fan_in", "distribution": "uniform"},
}


def statistics(case: RuleCase) -> dict[str, float]:
    """The least and greatest possible value, the mean and the standard deviation."""
    if case.rule == "RandomNormal":
        options = {"mean": 0.0, "stddev": 0.05} | case.arguments
        return {"minimum": -inf, "maximum": inf, **options}
    if case.rule == "RandomUniform":
        options = {"minval": -0.05, "maxval": 0.05} | case.arguments
        return uniform(options["minval"], options["maxval"])
    if case.rule == "TruncatedNormal":
        options = {"mean": 0.0, "stddev": 0.05} | case.arguments
        return truncated(options["mean"], options["stddev"])
    options = VARIANCE_SCALING[case.rule] | case.arguments
    receptive_field = prod(case.shape[:-2])
    fan_in, fan_out = receptive_field * case.shape[-2], receptive_field * case.shape[-1]
    variance = (
        options["scale"] / {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2}[options["mode"]]
    )
    if options["distribution"] == "uniform":
        return uniform(-sqrt(3 * variance), sqrt(3 * variance))
    return truncated(0.0, sqrt(variance) / TRUNCATED_STDDEV)


def uniform(low: float, high: float) -> dict[str, float]:
    return {"minimum": low, "maximum": high, "mean": (low + high) / 2, "stddev": (high - low) / sqrt(12)}


def truncated(mean: float, stddev: float) -> dict[str, float]:
    return {
        "minimum": mean - 2 * stddev,
        "maximum": mean + 2 * stddev,
        "mean": mean,
        "stddev": stddev * TRUNCATED_STDDEV,
    }


def random_initializer(case: RuleCase) -> dict[str, Any]:
    expected = statistics(case)
    class_or_function = getattr(keras.initializers, case.rule)
    draw = np.stack([class_or_function(**case.arguments, seed=s)(case.shape).numpy() for s in range(30)])
    assert expected["minimum"] <= draw.min() + 1e-6, case.name
    assert draw.max() - 1e-6 <= expected["maximum"], case.name
    assert abs(draw.mean() - expected["mean"]) < 0.01 * expected["stddev"], case.name
    np.testing.assert_allclose(draw.std(), expected["stddev"], rtol=0.01, err_msg=case.name)
    return {"source": "Keras 2.3.1 formula, checked on draws", "statistics": expected}


def exact_initializer(case: RuleCase) -> dict[str, Any]:
    value = getattr(keras.initializers, case.rule)(**case.arguments)(case.shape)
    return {"source": SOURCE, "value": [stored(value)]}


def regularizer(case: RuleCase) -> dict[str, Any]:
    weight = data.normal(case.shape, case.name)
    rule = getattr(keras.regularizers, case.rule)(**case.arguments)
    with tf.GradientTape() as tape:
        variable = tf.Variable(weight)
        penalty = rule(variable)
    gradient = tape.gradient(penalty, variable)
    return {"source": SOURCE, "weight": [weight], "value": [stored(penalty)], "gradient": [stored(gradient)]}


def constraint(case: RuleCase) -> dict[str, Any]:
    weight = data.normal(case.shape, case.name)
    rule = getattr(keras.constraints, case.rule)(**case.arguments)
    return {"source": SOURCE, "weight": [weight], "value": [stored(rule(tf.Variable(weight)))]}


def main() -> None:
    records = {case.name: random_initializer(case) for case in RANDOM_INITIALIZERS}
    records |= {case.name: exact_initializer(case) for case in EXACT_INITIALIZERS}
    records |= {case.name: regularizer(case) for case in REGULARIZERS}
    records |= {case.name: constraint(case) for case in CONSTRAINTS}
    path = save("rules", records)
    print(f"{path.name}: {len(records)} cases, {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
