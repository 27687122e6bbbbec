"""The intermediate representation: typed values, ops, graphs, their text form and their meaning in NumPy."""

from kcompile.ir import ops as ops
from kcompile.ir.core import (
    OPS,
    Builder,
    Constant,
    Graph,
    Input,
    Node,
    Op,
    Value,
    Variable,
    apply,
    apply_multi,
    constant,
    constant_of,
    input_value,
    make_node,
    scalar_of,
    scope,
    scope_of,
    toposort,
    variable_value,
)
from kcompile.ir.dims import Dim, SymbolicDim, named
from kcompile.ir.errors import IRError
from kcompile.ir.interpret import Result, interpret
from kcompile.ir.ops.recurrent.gru import gru
from kcompile.ir.ops.recurrent.lstm import lstm
from kcompile.ir.ops.recurrent.rnn import rnn
from kcompile.ir.rebuilding import (
    bind_graph,
    inline,
    rebuild,
)
from kcompile.ir.target import Target
from kcompile.ir.types import TensorType, broadcast_shapes, parse_type, tensor_type

__all__ = [
    "OPS",
    "Builder",
    "Constant",
    "Dim",
    "Graph",
    "IRError",
    "Input",
    "Node",
    "Op",
    "Result",
    "SymbolicDim",
    "Target",
    "TensorType",
    "Value",
    "Variable",
    "apply",
    "apply_multi",
    "bind_graph",
    "broadcast_shapes",
    "constant",
    "constant_of",
    "gru",
    "inline",
    "input_value",
    "interpret",
    "lstm",
    "make_node",
    "named",
    "ops",
    "parse_type",
    "rebuild",
    "rnn",
    "scalar_of",
    "scope",
    "scope_of",
    "tensor_type",
    "toposort",
    "variable_value",
]
