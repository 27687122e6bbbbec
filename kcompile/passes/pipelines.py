"""The order of the passes.

A model goes through ``FORWARD_TRAINING`` or ``FORWARD_INFERENCE`` first. A training step is then built from
the result (loss, gradients, optimizer updates) and goes through ``TRAINING``; an inference graph goes through
``INFERENCE``. The last step is ``emit``, which is no pass since it returns an ONNX model.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from pathlib import Path
from typing import TextIO

from kcompile.ir.core import Graph, Node
from kcompile.ir.printing import print_graph
from kcompile.ir.target import Target
from kcompile.passes.algebra.cse import cse
from kcompile.passes.algebra.dce import dce
from kcompile.passes.algebra.fold import fold
from kcompile.passes.algebra.simplify import simplify, simplify_final
from kcompile.passes.algebra.specialize import specialize_inference, specialize_training
from kcompile.passes.blocking.blocked import blocked as use_blocks
from kcompile.passes.blocking.convolution_kinds import convolution_kinds
from kcompile.passes.blocking.fusion import join_blocked, scale_filters
from kcompile.passes.fusion.fold_batch_norm import fold_batch_norm
from kcompile.passes.fusion.fuse import fuse
from kcompile.passes.fusion.name_functions import name_functions
from kcompile.passes.layouts.as_images import as_images as use_images
from kcompile.passes.layouts.enlarged_convolutions import enlarged_convolutions as of_enlarged
from kcompile.passes.layouts.fold_transposes import fold_transposes
from kcompile.passes.layouts.layout import layout
from kcompile.passes.layouts.max_gradients import max_gradients
from kcompile.passes.layouts.pool_first import pool_first
from kcompile.passes.layouts.sequences_as_images import sequences_as_images
from kcompile.passes.loops.hoist import hoist
from kcompile.passes.loops.join_slices import join_slices
from kcompile.passes.loops.stash import stash
from kcompile.passes.loops.unroll import unroll
from kcompile.passes.machinery.flops import Work, sum_of_work, work_of_graph, work_of_node
from kcompile.passes.machinery.report import PassRecord, Report, recording
from kcompile.passes.recurrence.lower_recurrence import lower_recurrence
from kcompile.passes.recurrence.merge_directions import merge_directions
from kcompile.passes.recurrence.recurrent_bias import recurrent_bias
from kcompile.passes.updates.group_updates import group_updates
from kcompile.passes.updates.split_updates import split_updates

Pass = Callable[[Graph], Graph]
Pipeline = tuple[Pass, ...]

ENVIRONMENT = "KCOMPILE_DUMP_AFTER"
"""Environment variable with the default of ``dump_after``, for programs that do not choose one themselves."""
_dumped: ContextVar[str | None] = ContextVar("dumped", default=None)

BOTH: Pipeline = (
    simplify,  # dead branches of the learning phase fall away, so that nothing below looks at them
    fold,
    cse,  # the front end asks for sizes, masks and casts again and again
    join_slices,  # before differentiating, which makes a concat of a split
    unroll,
    hoist,  # before differentiating, so that the gradients of what leaves a loop are large products too
    layout,  # before differentiating, so that backward ops are born in the right layout
    simplify,  # transposes that meet cancel
)
"""What training and inference share, before gradients are taken."""

FORWARD_TRAINING: Pipeline = (
    specialize_training,
    *BOTH,
    pool_first,  # before differentiating, so that gradients are small too
    recurrent_bias,  # before differentiating, which turns it into the sum of another gradient
    merge_directions,  # before differentiating, so that backward loops are merged too
)
FORWARD_INFERENCE: Pipeline = (specialize_inference, *BOTH)

TRAINING: Pipeline = (
    stash,  # while the backward loops still compute exactly what the forward ones do
    simplify_final,  # the reverse walk leaves sums of one term, products with ones, expands
    fold,
    cse,  # backward ops recompute what the forward pass has
    hoist,  # what backward loops compute again or add up, once it can be seen what is the same
    simplify_final,  # merged nodes show new identities, and what left a loop meets what was outside
    cse,
    fuse,  # last of the rewriting passes: simplify knows the parts, not the fused ops
    dce,  # scan keeps states for gradients that nobody asked for
    group_updates,  # when every update has its final form
)
"""A training step with gradients and updates."""

INFERENCE: Pipeline = (
    simplify_final,
    fold,
    cse,
    hoist,
    layout,  # for graphs that did not come through FORWARD_INFERENCE
    simplify_final,
    lower_recurrence,  # while projections are products and sums; transposes between layers can then still cancel
    simplify_final,
    name_functions,  # before fusion, which takes sums as biases
    fuse,  # biases first, so that batch norm finds its layer
    fold_batch_norm,
    fold_transposes,  # after fusion, which takes the transposes that are free
    convolution_kinds,  # when weights have their last values; before, batch norm finds its layer by its filter and bias
    sequences_as_images,  # when it is known what are convolutions, and their filters are constants
    simplify_final,  # weights and vectors that the folding left as products
    fold,
    cse,
    dce,
)
"""A graph without gradients. Folding into weights needs frozen variables (:func:`~.specialize.freeze`)."""


def native_passes(target: Target) -> Pipeline:
    """What an optimized graph goes through, last, for a target that is not portable."""
    if target.portable or target.provider != "cpu":
        return ()
    if not target.block:
        return (max_gradients, cse, split_updates)

    def enlarged_convolutions(graph: Graph) -> Graph:
        return of_enlarged(graph, target.block)

    def as_images(graph: Graph) -> Graph:
        return use_images(graph, target.block)

    def blocked(graph: Graph) -> Graph:
        return use_blocks(graph, target.block)

    return (
        as_images,  # first, so that sequences and volumes are blocked too
        enlarged_convolutions,  # before blocking, which chooses for what comes of it
        scale_filters,
        blocked,
        max_gradients,  # those that are left
        cse,  # the same conversion is asked for again and again
        join_blocked,
        dce,
        split_updates,
    )


@contextlib.contextmanager
def dumping(passes: str) -> Iterator[None]:
    """Inside, the default of ``dump_after`` is ``passes``, in this thread alone."""
    token = _dumped.set(passes)
    try:
        yield
    finally:
        _dumped.reset(token)


def _default_dump() -> str:
    chosen = _dumped.get()
    return os.environ.get(ENVIRONMENT, "") if chosen is None else chosen


def run_pipeline(
    graph: Graph,
    pipeline: Pipeline,
    dump_after: str | None = None,
    report: Report | None = None,
    stream: TextIO | None = None,
    on_pass: Callable[[int, Graph], None] | None = None,
) -> Graph:
    """Run the passes one after the other.

    Args:
        graph: the program.
        pipeline: functions from graph to graph.
        dump_after: print the graph after the pass of this name, or after each with ``"all"``; also
            comma-separated names. ``"name:folder"`` writes files ``01_simplify.ir``, ... there instead. The
            default is that of :func:`dumping`, or else the environment variable ``KCOMPILE_DUMP_AFTER``.
        report: collects what each pass did; without it nothing is measured.
        stream: where to print (default: standard error).
        on_pass: gets the number of passes that have run, and what they made, after each.

    Raises:
        ValueError: ``dump_after`` names no pass.
    """
    wanted, folder = _parse_dump(_default_dump() if dump_after is None else dump_after)
    if dump_after is not None:
        _check_dump(wanted, pipeline)
    known: dict[Node, Work] = {}
    before = _measured(graph, known) if report is not None else (0, Work())
    for number, function in enumerate(pipeline, start=1):
        name = pass_name(function)
        record = PassRecord(name)
        start = time.perf_counter()
        with recording(record):
            graph = function(graph)
        record.seconds = time.perf_counter() - start
        if on_pass is not None:
            on_pass(number, graph)
        if report is not None:
            after = _measured(graph, known)
            record.nodes_before, record.nodes_after = before[0], after[0]
            record.flops_before, record.flops_after = before[1].flops, after[1].flops
            record.bytes_before, record.bytes_after = before[1].bytes, after[1].bytes
            report.records.append(record)
            before = after
        if name in wanted or "all" in wanted:
            text = print_graph(graph)
            if folder is not None:
                folder.mkdir(parents=True, exist_ok=True)
                (folder / f"{number:02d}_{name}.ir").write_text(text, encoding="utf-8")
            else:
                print(f"# ---- {graph.name} after {name}\n{text}", file=stream or sys.stderr)
    return graph


def pass_name(function: Pass) -> str:
    """The name of a pass in reports and for ``dump_after``."""
    return getattr(function, "__name__", type(function).__name__)


def _measured(graph: Graph, known: dict[Node, Work]) -> tuple[int, Work]:
    """The number of nodes and their work; ``known`` remembers the nodes that earlier passes left alone."""
    nodes = graph.nodes()
    for node in nodes:
        if node not in known:
            known[node] = work_of_node(node) + sum_of_work(map(work_of_graph, node.op.regions))
    return len(nodes), sum_of_work(known[node] for node in nodes)


def _parse_dump(text: str) -> tuple[set[str], Path | None]:
    names, separator, folder = text.partition(":")
    return {name.strip() for name in names.split(",") if name.strip()}, Path(folder) if separator else None


def _check_dump(wanted: set[str], pipeline: Pipeline) -> None:
    known = {pass_name(function) for function in pipeline} | {"all"}
    unknown = sorted(wanted - known)
    if unknown:
        raise ValueError(f"dump_after: no pass {unknown[0]!r} in this pipeline; passes are {', '.join(sorted(known))}")
