"""Forward and gradient of activations on a million numbers, in milliseconds on one core.

python -m benchmarks.activations                        # kcompile
tf/bin/python benchmarks/activations.py tensorflow      # the same functions in TensorFlow
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

SHAPE, RUNS, ALPHA = (15_625, 64), 40, 0.25
Step = Callable[[], Any]


def best(step: Step) -> float:
    """The shortest of many runs, in milliseconds."""
    times = []
    for _ in range(RUNS):
        start = time.perf_counter()
        step()
        times.append(time.perf_counter() - start)
    return min(times) * 1e3


def kcompile_steps(x: np.ndarray, g: np.ndarray, alpha: np.ndarray) -> Iterator[tuple[str, Step]]:
    """Each function with its gradient, as training programs for this machine have them."""
    import onnxruntime

    from kcompile import activations as a
    from kcompile import backend as K
    from kcompile.backend.activations import prelu
    from kcompile.ir import Graph, Target, input_value
    from kcompile.passes.autodiff import gradients
    from kcompile.passes.onnx.emit import emit
    from kcompile.passes.pipelines import FORWARD_TRAINING, TRAINING, run_pipeline
    from kcompile.symbolic.tensor import Tensor

    functions: dict[str, Callable[..., Any]] = {
        "relu": K.relu, "relu6": a.relu6, "leaky_relu": a.leaky_relu, "prelu": prelu, "elu": K.elu, "selu": a.selu,
        "hard_sigmoid": K.hard_sigmoid, "hard_swish": a.hard_swish, "swish": a.swish, "gelu": a.gelu,
        "gelu (tanh)": lambda x: a.gelu(x, approximate=True), "mish": a.mish, "softplus": K.softplus,
        "clip": lambda x: K.clip(x, -1, 2),
    }  # fmt: skip
    for name, function in functions.items():
        arrays = {"x": x, "alpha": alpha} if name == "prelu" else {"x": x}
        values = [input_value(label, "float32", array.shape) for label, array in arrays.items()]
        graph = run_pipeline(Graph(values, [function(*map(Tensor, values)).value]), FORWARD_TRAINING)
        (y,), seed = graph.outputs.values(), input_value("g", "float32", g.shape)
        graph = Graph([*graph.inputs, seed], [y, *gradients([y], list(graph.inputs), [seed])])
        model = emit(run_pipeline(graph, TRAINING), Target(portable=False)).model
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        session = onnxruntime.InferenceSession(model.SerializeToString(), options, ["CPUExecutionProvider"])
        binding = session.io_binding()
        for item in session.get_inputs():
            binding.bind_cpu_input(item.name, (arrays | {"g": g})[item.name])
        for item in session.get_outputs():
            result = onnxruntime.OrtValue.ortvalue_from_numpy(np.empty(item.shape, np.float32))
            binding.bind_ortvalue_output(item.name, result)
        yield name, lambda run=session.run_with_iobinding, binding=binding: run(binding)


def tensorflow_steps(x: Any, g: Any, alpha: Any) -> Iterator[tuple[str, Step]]:
    """Each function with its gradient as a ``tf.function``."""
    import tensorflow as tf  # noqa: TID251

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    nn = tf.nn
    functions: dict[str, Callable[..., Any]] = {
        "relu": nn.relu, "relu6": nn.relu6, "leaky_relu": nn.leaky_relu,
        "prelu": lambda x, alpha: nn.relu(x) - alpha * nn.relu(-x), "elu": nn.elu, "selu": nn.selu,
        "hard_sigmoid": lambda x: tf.clip_by_value(0.2 * x + 0.5, 0, 1),
        "hard_swish": lambda x: x * nn.relu6(x + 3) * (1 / 6), "swish": nn.silu, "gelu": nn.gelu,
        "gelu (tanh)": lambda x: nn.gelu(x, approximate=True), "mish": lambda x: x * tf.tanh(nn.softplus(x)),
        "softplus": nn.softplus, "clip": lambda x: tf.clip_by_value(x, -1, 2),
    }  # fmt: skip
    x, g, alpha = map(tf.constant, (x, g, alpha))
    for name, function in functions.items():
        operands = [x, alpha] if name == "prelu" else [x]

        @tf.function(autograph=False)
        def step(g: Any, *operands: Any, function: Callable[..., Any] = function) -> Any:
            with tf.GradientTape() as tape:
                tape.watch(operands)
                y = function(*operands)
            return y, tape.gradient(y, operands, g)

        yield name, lambda step=step, operands=operands: step(g, *operands)


def main() -> None:
    random = np.random.default_rng(0)
    x, g = (random.normal(0, scale, SHAPE).astype(np.float32) for scale in (3, 1))
    steps = tensorflow_steps if sys.argv[1:] == ["tensorflow"] else kcompile_steps
    for name, step in steps(x, g, np.full(SHAPE[1:], ALPHA, np.float32)):
        print(f"{name:14}{best(step):7.2f}", flush=True)


if __name__ == "__main__":
    main()
