"""Record the optimizers: ``python -m tests.golden.generate_optimizers``.

Every case that Keras 2.3.1 knows is also computed by formulas.py. Where both oracles agree, that is asserted
here; where they differ (DIFFERENT), the record holds both, and Keras 2.3.1's counts.
"""

from typing import Any

from tests.golden import data
from tests.golden.cases.optimizers import CASES, KERNEL_SHAPE, STEPS, OptimizerCase
from tests.golden.formulas import keras_2_3_1
from tests.golden.oracle import SOURCE, keras, np, stored, tf
from tests.golden.storage import save

DIFFERENT = {
    "sgd_clipnorm": "tf.keras clips each gradient by its own norm",
    "sgd_clipnorm_clipvalue": "tf.keras clips each gradient by its own norm, after clipping by value",
    "rmsprop_clipnorm": "tf.keras clips each gradient by its own norm",
    "adagrad": "tf.keras starts the accumulators at 0.1",
    "adagrad_epsilon_decay": "tf.keras starts the accumulators at 0.1",
}


def problem() -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Initial kernel and bias, and the kernel's gradient of each step (some of it exactly zero, some large).

    The gradient of the bias is the mean of the rows: what a Dense layer gives, see test_golden_optimizers.
    """
    kernel = data.normal(KERNEL_SHAPE, "optimizer", "kernel")
    bias = data.normal(KERNEL_SHAPE[1:], "optimizer", "bias")
    gradients = [data.normal(KERNEL_SHAPE, "optimizer", "gradient", step) for step in range(STEPS)]
    gradients[0][0] = 0.0
    gradients[1][0] = 0.0
    gradients[2][1] *= 20.0
    gradients[3][2] *= 1e-3
    return [kernel, bias], gradients


def tf_keras_steps(
    case: OptimizerCase, weights: list[np.ndarray], steps: list[list[np.ndarray]]
) -> list[list[np.ndarray]]:
    optimizer = getattr(keras.optimizers.legacy, case.optimizer)(**case.arguments)
    variables = [tf.Variable(w) for w in weights]
    history = []
    for step, gradients in enumerate(steps):
        if step in case.learning_rates:
            optimizer.learning_rate = case.learning_rates[step]
        optimizer.apply_gradients(zip([tf.constant(g) for g in gradients], variables, strict=True))
        history.append([v.numpy() for v in variables])
    return history


def stacked(history: list[list[np.ndarray]]) -> list[np.ndarray]:
    """One array per weight, with the steps along the first axis."""
    return [stored(np.stack(values)) for values in zip(*history, strict=True)]


def record(case: OptimizerCase) -> dict[str, Any]:
    weights, gradients = problem()
    steps = [[g, g.mean(axis=0)] for g in gradients]
    fields: dict[str, Any] = {"weights": weights, "gradients": [np.stack(gradients)]}
    fields["tf_keras"] = stacked(tf_keras_steps(case, weights, steps))
    fields["expected"], fields["source"] = fields["tf_keras"], SOURCE
    if not case.keras_2_3_1:
        return fields
    fields["keras_2_3_1"] = stacked(keras_2_3_1(case.optimizer, case.arguments, weights, steps, case.learning_rates))
    pairs = list(zip(fields["tf_keras"], fields["keras_2_3_1"], strict=True))
    if case.name in DIFFERENT:
        assert not all(np.allclose(a, b, rtol=1e-3) for a, b in pairs), f"{case.name}: the oracles agree after all"
        fields["expected"], fields["source"] = fields["keras_2_3_1"], "keras-2.3.1 formula"
        fields["difference"] = DIFFERENT[case.name]
    else:
        for a, b in pairs:
            np.testing.assert_allclose(a, b, rtol=2e-5, atol=2e-6, err_msg=case.name)
    return fields


def main() -> None:
    records = {case.name: record(case) for case in CASES}
    path = save("optimizers", records)
    print(f"{path.name}: {len(records)} cases, {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
