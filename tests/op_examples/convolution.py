"""Convolutions and their gradients: each rank, format, padding, stride, dilation and grouping, in turn."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from kcompile.ir import Value, apply
from kcompile.ir.dims import named
from kcompile.ir.ops.spatial.convolution import ConvWeightGrad, conv, conv_transpose, depthwise_conv, transposed_size
from kcompile.ir.ops.spatial.spatial import arrange, resolve_pads, spatial_sizes
from tests.op_examples import Example, floats

LAST, FIRST = "channels_last", "channels_first"


@dataclass(frozen=True)
class Case:
    """How windows slide, over an input of spatial ``sizes``."""

    sizes: tuple[int, ...]
    kernel: tuple[int, ...]
    padding: str = "valid"
    strides: tuple[int, ...] = ()
    dilations: tuple[int, ...] = ()
    groups: int = 1
    data_format: str = LAST
    channels: int = 4
    outputs: int = 6

    @property
    def rank(self) -> int:
        return len(self.sizes)

    def __str__(self) -> str:
        parts = [f"{self.rank}d", self.data_format.removeprefix("channels_"), self.padding]
        parts += [f"s{self.strides}"] * bool(self.strides) + [f"d{self.dilations}"] * bool(self.dilations)
        return "-".join(parts + [f"g{self.groups}"] * (self.groups > 1))

    def attributes(self, sizes: tuple[int, ...]) -> tuple:
        ones = (1,) * self.rank
        strides, dilations = self.strides or ones, self.dilations or ones
        return strides, resolve_pads(self.padding, sizes, self.kernel, strides, dilations), dilations

    def conv(self, x: Value, w: Value, bias: Value | None = None) -> Value:
        attributes = self.attributes(spatial_sizes(x.shape, self.data_format))
        return conv(x, w, *attributes, self.groups, self.data_format, bias)

    def transposed(self, x: Value, w: Value, bias: Value | None = None) -> Value:
        axes = zip(spatial_sizes(x.shape, self.data_format), self.kernel, self.strides, strict=True)
        sizes = tuple(transposed_size(*axis, self.padding) for axis in axes)
        attributes = self.attributes(sizes)
        return conv_transpose(x, w, sizes, *attributes, self.groups, self.data_format, bias)

    def weight_grad(self, x: Value, g: Value) -> Value:
        strides, pads, dilations = self.attributes(spatial_sizes(x.shape, self.data_format))
        op = ConvWeightGrad(strides, pads, dilations, self.groups, self.data_format, self.kernel)
        return apply(op, x, g)

    def input(self, channels: int, sizes: tuple[int, ...] | None = None) -> np.ndarray:
        return floats(*arrange(2, channels, sizes or self.sizes, self.data_format))

    def filter(self) -> np.ndarray:
        return floats(*self.kernel, self.channels // self.groups, self.outputs)

    def windows(self) -> tuple[int, ...]:
        x = Case.conv(self, *(_placeholder(a) for a in (self.input(self.channels), self.filter())))
        return tuple(int(size) for size in spatial_sizes(x.shape, self.data_format))


def _placeholder(array: np.ndarray) -> Value:
    from kcompile.ir import input_value

    return input_value("x", "float32", array.shape)


CASES = [
    Case((7,), (3,)),
    Case((7,), (3,), "causal", dilations=(2,)),
    Case((8,), (3,), "same", (2,), data_format=FIRST),
    Case((7,), (2,), "valid", (3,), groups=2),
    Case((6, 5), (3, 2)),
    Case((6, 5), (3, 2), "same"),
    Case((6, 5), (3, 3), "same", (2, 2)),
    Case((6, 5), (3, 3), "same", (2, 2), data_format=FIRST),
    Case((6, 5), (3, 2), data_format=FIRST),
    Case((6, 5), (1, 1), "same", (2, 2), data_format=FIRST),
    Case((7, 8), (2, 3), "same", (3, 2)),
    Case((7, 6), (3, 2), "valid", (2, 3), data_format=FIRST),
    Case((7, 8), (3, 2), "same", dilations=(2, 3)),
    Case((7, 8), (2, 3), "valid", (2, 1), (1, 2), data_format=FIRST),
    Case((5, 6), (3, 3), "same", groups=2, data_format=FIRST),
    Case((5, 6), (2, 2), "valid", (2, 2), groups=2),
    Case((5, 4), (3, 3), "same", channels=1, outputs=1, data_format=FIRST),
    Case((3, 4, 5), (2, 1, 3)),
    Case((3, 4, 5), (2, 3, 3), "same", (2, 1, 2), data_format=FIRST),
    Case((4, 4, 4), (2, 2, 2), "same", dilations=(2, 1, 1), groups=2),
]

TRANSPOSED = [
    Case((4,), (3,), strides=(2,)),
    Case((4,), (3,), "same", (2,), data_format=FIRST),
    Case((3, 4), (3, 2), strides=(1, 1)),
    Case((3, 4), (3, 3), "same", (2, 2)),
    Case((3, 4), (2, 3), "valid", (3, 2), data_format=FIRST),
    Case((3, 4), (2, 3), "same", (1, 1), groups=2),
    Case((3, 4), (1, 1), strides=(1, 1)),
    Case((3, 4), (1, 1), strides=(1, 1), groups=2, data_format=FIRST),
    Case((2, 3, 2), (2, 3, 2), "same", (2, 1, 2)),
]


def unknown_sizes(case: Case, function: Callable[[Value, Value], Value]) -> Callable[[Value, Value], Value]:
    """``function`` of a square input, built while the sizes of the image are still symbolic."""

    def build(x: Value, w: Value) -> Value:
        from kcompile.ir import Graph, bind_graph, inline, input_value

        size = named("size")
        shape = arrange(x.shape[0], case.channels, (size, size), case.data_format)
        inputs = [input_value("x", x.dtype, shape), input_value("w", w.dtype, w.shape)]
        graph = Graph(inputs, [function(*inputs)])
        return inline(bind_graph(graph, {"size": case.sizes[0]}), [x, w])[0]

    return build


def biased_transposed(case: Case) -> Callable[[Value, Value, Value], Value]:
    """The transposed convolution with its bias as an operand, as a pass writes it."""

    def build(x: Value, w: Value, bias: Value) -> Value:
        return apply(case.transposed(x, w).op, x, w, bias)

    return build


EXAMPLES = [
    *(Example("conv", case.conv, [case.input(case.channels), case.filter()], str(case), batch=[0]) for case in CASES),
    Example(
        "conv",
        CASES[5].conv,
        [CASES[5].input(4), CASES[5].filter(), floats(6)],
        "bias",
        batch=[0],
    ),
    Example("conv", CASES[8].conv, [CASES[8].input(4), CASES[8].filter(), floats(6)], "bias-first", batch=[0]),
    *(
        Example(
            "conv",
            lambda x, w, stride=stride: depthwise_conv(x, w, (stride, stride)),
            [floats(2, 5, 6, 3), floats(3, 2, 3, 2)],
            f"depthwise-{stride}",
            batch=[0],
        )
        for stride in (1, 2)
    ),
    *(
        Example(
            "conv_input_grad",
            case.transposed,
            [case.input(case.outputs), case.filter(), floats(case.channels)],
            str(case),
            batch=[0],
        )
        for case in TRANSPOSED
    ),
    *(
        Example(
            "conv_input_grad",
            biased_transposed(case),
            [case.input(case.outputs), case.filter(), floats(case.channels)],
            f"bias-{case}",
            batch=[0],
        )
        for case in (TRANSPOSED[1], TRANSPOSED[4], TRANSPOSED[6])
    ),
    *(
        Example(
            "conv_weight_grad",
            case.weight_grad,
            [case.input(case.channels), case.input(case.outputs, case.windows())],
            str(case),
            batch=[0, 1],
        )
        for case in CASES
    ),
    *(
        Example(
            "conv",
            unknown_sizes(case, case.conv),
            [case.input(case.channels), case.filter()],
            f"symbolic-{case}",
        )
        for case in (Case((7, 7), (3, 3), "same", (2, 2)), Case((8, 8), (2, 2), "same", (3, 3)))
    ),
]
