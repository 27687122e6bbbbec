"""Algebraic simplification by local rules, to a fixpoint."""

from __future__ import annotations

from kcompile.ir.core import Graph
from kcompile.passes.machinery.rewrite import Rules, rewrite
from kcompile.passes.rules import arithmetic, choice, movement, padding, reductions, regions, stable

RULES = Rules(
    arithmetic.RULES,
    choice.RULES,
    movement.RULES,
    padding.RULES,
    reductions.RULES,
    regions.RULES,
    stable.RULES,
)
FINAL_RULES = Rules(RULES, arithmetic.AFTER_GRADIENTS)


def simplify(graph: Graph) -> Graph:
    """Replace expressions by cheaper ones of the same value and gradient."""
    return rewrite(graph, RULES)


def simplify_final(graph: Graph) -> Graph:
    """As simplify, with the rules that only keep the value: for graphs whose gradients are taken."""
    return rewrite(graph, FINAL_RULES)
