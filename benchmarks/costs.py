"""The costs by which ways are chosen (`kcompile/ir/costs.py`), measured on the machine at hand by small ONNX graphs.

Only those that are rates of single kernels are: sizes from which on something pays come of whole models. Every graph
runs on one core in rounds, one graph after the other, so that what disturbs the machine disturbs all of them. A figure
is made of the times of one round; the median of the rounds is printed, with the range of all. Nothing is written.
"""

from __future__ import annotations

import argparse
import itertools
import os
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import helper

from benchmarks import report
from benchmarks.driver import progress
from kcompile.ir import costs
from kcompile.runtime.session import channel_block

NCHWC = "com.microsoft.nchwc"
Times = dict[str, float]
"""Seconds of a run of each graph."""


@dataclass(frozen=True)
class Graph:
    """Nodes on inputs of these shapes, the last of which gives the output `y`."""

    nodes: Sequence[onnx.NodeProto]
    shapes: dict[str, Sequence[int]]

    def session(self) -> Callable[[], object]:
        """Something to call, which runs it on one thread."""
        random = np.random.default_rng(0)
        feeds = {name: random.standard_normal(shape, np.float32) for name, shape in self.shapes.items()}
        inputs = [helper.make_tensor_value_info(name, 1, shape) for name, shape in self.shapes.items()]
        output = helper.make_tensor_value_info("y", 1, None)
        graph = helper.make_graph(list(self.nodes), "costs", inputs, [output])
        domains = [helper.make_opsetid("", 21), helper.make_opsetid("com.microsoft", 1), helper.make_opsetid(NCHWC, 1)]
        model = helper.make_model(graph, opset_imports=domains, ir_version=10)
        settings = onnxruntime.SessionOptions()
        settings.intra_op_num_threads = 1
        settings.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        settings.log_severity_level = 3
        session = onnxruntime.InferenceSession(model.SerializeToString(), settings, ["CPUExecutionProvider"])
        binding = session.io_binding()
        kept = {name: onnxruntime.OrtValue.ortvalue_from_numpy(array) for name, array in feeds.items()}
        for name, value in kept.items():
            binding.bind_ortvalue_input(name, value)
        (result,) = session.run(None, feeds)  # into the same memory again and again, as in training
        kept["y"] = onnxruntime.OrtValue.ortvalue_from_numpy(result)
        binding.bind_ortvalue_output("y", kept["y"])
        return lambda: (session.run_with_iobinding(binding), kept)


@dataclass(frozen=True)
class Cost:
    """A figure: its names in the file of costs, its unit, what is built in, and how it follows from times."""

    name: str
    unit: str
    built_in: float
    scale: float
    found: Callable[[Times], float]


def chain(op: str, count: int, size: int) -> Graph:
    """`count` nodes on so many elements, one after the other."""
    names = ["x", *(f"v{i}" for i in range(1, count)), "y"]
    return Graph([helper.make_node(op, [a], [b]) for a, b in itertools.pairwise(names)], {"x": [size]})


def joined(parts: int, size: int) -> Graph:
    """A Concat of so many vectors."""
    shapes = {f"x{i}": [size] for i in range(parts)}
    return Graph([helper.make_node("Concat", list(shapes), ["y"], axis=0)], shapes)


def unary(op: str, shape: Sequence[int], **attributes: Any) -> Graph:
    """One node on one tensor."""
    return Graph([helper.make_node(op, ["x"], ["y"], **attributes)], {"x": shape})


def product(rows: int, inner: int, columns: int) -> Graph:
    """A matrix product."""
    node = helper.make_node("MatMul", ["x", "w"], ["y"])
    return Graph([node], {"x": [rows, inner], "w": [inner, columns]})


def convolution(inner: int, outer: int, size: int = 34, block: int = 0) -> Graph:
    """3x3 taps on one image, without padding, with a filter that may change; with a block, of the blocked kernel."""
    domain = NCHWC if block else ""
    node = helper.make_node("Conv", ["x", "w"], ["y"], domain=domain, kernel_shape=[3, 3], strides=[1, 1],
                            pads=[0, 0, 0, 0], dilations=[1, 1], group=1)  # fmt: skip
    return Graph([node], {"x": [1, inner, size, size], "w": [outer, inner, 3, 3]})


def transposed_convolution(inner: int, outer: int, size: int = 32) -> Graph:
    """The gradient of such a convolution with `inner` input channels."""
    node = helper.make_node("ConvTranspose", ["x", "w"], ["y"], kernel_shape=[3, 3])
    return Graph([node], {"x": [1, outer, size, size], "w": [outer, inner, 3, 3]})


LARGE, CACHED = 1 << 22, 1 << 14
"""Elements of a tensor of 16 MB, which leaves the second-level cache, and of one that stays there."""

GRAPHS: dict[str, Graph] = {
    "calls": chain("Neg", 400, 8),
    "few calls": chain("Neg", 100, 8),
    "small parts": joined(256, 8),
    "few small parts": joined(64, 8),
    "large parts": joined(256, 520),
    "negated": unary("Neg", [LARGE]),
    "runs of 16": unary("Transpose", [64, 64, 64, 16], perm=[0, 2, 1, 3]),
    "transposed filter": unary("Transpose", [1, 1, 512, 512], perm=[3, 2, 0, 1]),
    "negations": chain("Neg", 64, CACHED),
    "functions": chain("Tanh", 64, CACHED),
    "product": product(1024, 256, 512),
    "product of few": product(1024, 4, 512),
    "plain": convolution(64, 256),
    "plain, 22 outputs": convolution(64, int(costs.HALF_RATE_OUTPUTS)),
    "input gradient": transposed_convolution(64, 64),
}
BLOCKED_GRAPHS: dict[str, Callable[[int], Graph]] = {
    "blocked": lambda block: convolution(4 * block, 4 * block, block=block),
    "one block": lambda block: convolution(4 * block, block, block=block),
    "plain input": lambda block: convolution(block // 2, 4 * block, block=block),
}


def flops(inner: int, outer: int) -> float:
    """Of a convolution of :func:`convolution`, or of its gradient."""
    return 2 * 9 * inner * outer * 32 * 32


def seconds_scattered(times: Times) -> float:
    """What ConvTranspose takes beyond its product, for each number that it adds to where it belongs."""
    rate = 2 * 1024 * 256 * 512 / times["product"]
    return (times["input gradient"] - flops(64, 64) / rate) / (9 * 64 * 32 * 32)


def measured_costs(block: int) -> Iterator[Cost]:
    """What is measured on a machine with such blocks of channels (0: it has no blocked kernels)."""
    yield Cost("CALL", "us", costs.CALL, 1e6, lambda t: (t["calls"] - t["few calls"]) / 300)
    yield Cost("PART", "us", costs.PART, 1e6, lambda t: (t["small parts"] - t["few small parts"]) / 192)
    yield Cost("CACHED_COPY", "ns each", costs.CACHED_COPY * 1e3, 1e9,
               lambda t: (t["large parts"] - t["small parts"]) / (256 * 512))  # fmt: skip
    yield Cost("COPY_RATE", "GB/s", costs.COPY_RATE / 1e9, 1e-9, lambda t: 4 * LARGE / t["negated"])
    yield Cost("SMALL_COPY_RATE", "GB/s", costs.SMALL_COPY_RATE / 1e9, 1e-9, lambda t: 4 * LARGE / t["runs of 16"])
    yield Cost("TRANSPOSED", "ns each", costs.TRANSPOSED * 1e9, 1e9, lambda t: t["transposed filter"] / 512**2)
    yield Cost("FUNCTION", "moves", costs.FUNCTION, 1, lambda t: t["functions"] / t["negations"])
    yield Cost("PRODUCT_RATE", "GF/s", costs.PRODUCT_RATE / 1e9, 1e-9, lambda t: 2 * 1024 * 256 * 512 / t["product"])
    yield Cost("PRODUCT_TERMS", "terms", costs.PRODUCT_TERMS, 1,
               lambda t: 256 * t["product of few"] / t["product"])  # fmt: skip
    yield Cost("PLAIN_RATE", "GF/s", costs.PLAIN_RATE / 1e9, 1e-9, lambda t: flops(64, 256) / t["plain"])
    few = costs.HALF_RATE_OUTPUTS
    yield Cost("HALF_RATE_OUTPUTS", "share of it", few / (few + few), 1,
               lambda t: flops(64, few) / t["plain, 22 outputs"] * t["plain"] / flops(64, 256))  # fmt: skip
    yield Cost("SCATTERED", "ns each", costs.SCATTERED * 1e9, 1e9, seconds_scattered)
    if not block:
        return
    whole = 4 * block
    yield Cost("BLOCKED_RATE", "GF/s", costs.BLOCKED_RATE / 1e9, 1e-9, lambda t: flops(whole, whole) / t["blocked"])
    yield Cost("ONE_BLOCK_RATE", "GF/s", costs.ONE_BLOCK_RATE / 1e9, 1e-9,
               lambda t: flops(whole, block) / t["one block"])  # fmt: skip
    yield Cost("PLAIN_INPUT", "share of it", costs.PLAIN_INPUT, 1,
               lambda t: flops(block // 2, whole) / t["plain input"] * t["blocked"] / flops(whole, whole))  # fmt: skip


@dataclass
class Found:
    """A cost as built in, and as found in each round."""

    name: str
    unit: str
    built_in: float
    rounds: list[float]

    @property
    def median(self) -> float:
        """What the rounds say."""
        return statistics.median(self.rounds)


def seconds_of(run: Callable[[], object], seconds: float) -> float:
    """The fastest of the runs in about so many seconds."""
    fastest, end = float("inf"), time.perf_counter() + seconds
    while True:
        start = time.perf_counter()
        run()
        now = time.perf_counter()
        fastest = min(fastest, now - start)
        if now > end:
            return fastest


def add_arguments(command: argparse.ArgumentParser) -> None:
    """The arguments of this command."""
    command.add_argument("--rounds", type=int, default=9, help="turns of each graph (default: 9)")
    command.add_argument("--seconds", type=float, default=0.25, help="length of one turn (default: 0.25)")
    command.add_argument("--json", metavar="FILE", help="write all raw numbers here as well")


def run(arguments: argparse.Namespace) -> list[Found]:
    """Measure all of them on one core, to which the process is pinned until it is done."""
    block = channel_block()
    graphs = GRAPHS | ({name: made(block) for name, made in BLOCKED_GRAPHS.items()} if block else {})
    sessions = {name: graph.session() for name, graph in graphs.items()}
    wanted = list(measured_costs(block))
    found = [Found(cost.name, cost.unit, cost.built_in, []) for cost in wanted]
    allowed = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()
    try:
        if allowed:
            os.sched_setaffinity(0, {min(allowed)})
        for turn in range(max(arguments.rounds, 1)):
            progress(f"costs: round {turn + 1} of {arguments.rounds}")
            times = {name: seconds_of(session, arguments.seconds) for name, session in sessions.items()}
            for cost, result in zip(wanted, found, strict=True):
                result.rounds.append(cost.scale * cost.found(times))
    finally:
        if allowed:
            os.sched_setaffinity(0, allowed)
    return found


def render(found: list[Found]) -> str:
    """The table, and how far it may be trusted."""
    rows = []
    for cost in found:
        low, high = min(cost.rounds), max(cost.rounds)
        ratio = cost.median / cost.built_in
        cells = [cost.name, cost.unit, report.number(cost.built_in), report.number(cost.median), report.number(ratio)]
        rows.append([*cells, f"{report.number(low)} to {report.number(high)}"])
    uneven = [cost.name for cost in found if max(cost.rounds) > 1.3 * min(cost.rounds) or min(cost.rounds) <= 0]
    remark = "Ways are chosen by ratios of these: what is off by the same factor everywhere changes nothing."
    if uneven:
        remark += f"\nRounds differ by more than 30 % (other processes?): {', '.join(uneven)}."
    table = report.table(["cost", "unit", "built in", "here", "ratio", "range"], rows, left=2)
    return f"{table}\n\n{remark}"


def as_json(found: list[Found]) -> list[dict[str, Any]]:
    """The raw numbers."""
    return [asdict(cost) for cost in found]
