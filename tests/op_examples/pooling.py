"""Pooling and its gradients: each rank, format, padding, overlapping windows and gaps between them, ties."""

from dataclasses import dataclass

import numpy as np

from kcompile.ir import Value, apply
from kcompile.ir.ops.spatial.pooling import AveragePoolGrad, MaxPoolGather, MaxPoolGrad, average_pool, max_pool
from kcompile.ir.ops.spatial.spatial import arrange, output_size, resolve_pads
from tests.op_examples import Example, floats, integers

LAST, FIRST = "channels_last", "channels_first"


@dataclass(frozen=True)
class Case:
    sizes: tuple[int, ...]
    window: tuple[int, ...]
    strides: tuple[int, ...]
    padding: str
    data_format: str

    def __str__(self) -> str:
        return f"{self.window}-{self.strides}-{self.padding}-{self.data_format.removeprefix('channels_')}"

    @property
    def pads(self) -> tuple:
        ones = (1,) * len(self.sizes)
        return resolve_pads(self.padding, self.sizes, self.window, self.strides, ones)

    def max_pool(self, x: Value) -> Value:
        return max_pool(x, self.window, self.strides, self.pads, self.data_format)

    def average_pool(self, x: Value) -> Value:
        return average_pool(x, self.window, self.strides, self.pads, self.data_format)

    def max_pool_grad(self, g: Value, x: Value) -> Value:
        return apply(MaxPoolGrad(self.window, self.strides, self.pads, self.data_format), g, x)

    def max_pool_gather(self, t: Value, x: Value) -> Value:
        return apply(MaxPoolGather(self.window, self.strides, self.pads, self.data_format), t, x)

    def average_pool_grad(self, g: Value) -> Value:
        return apply(AveragePoolGrad(self.window, self.strides, self.pads, self.data_format, self.sizes), g)

    def input(self) -> np.ndarray:
        return floats(*arrange(2, 3, self.sizes, self.data_format))

    def output(self) -> np.ndarray:
        axes = zip(self.sizes, self.window, self.strides, self.pads, strict=True)
        return floats(*arrange(2, 3, tuple(output_size(*axis) for axis in axes), self.data_format))


CASES = [
    Case((7,), (2,), (2,), "valid", LAST),
    Case((7,), (3,), (2,), "same", FIRST),
    Case((4, 6), (2, 2), (2, 2), "valid", LAST),
    Case((4, 6), (2, 3), (2, 3), "valid", FIRST),
    Case((5, 7), (2, 2), (2, 2), "valid", FIRST),
    Case((5, 7), (2, 2), (2, 2), "same", LAST),
    Case((5, 7), (3, 2), (2, 1), "same", FIRST),
    Case((5, 7), (3, 3), (1, 1), "valid", LAST),
    Case((5, 7), (2, 1), (3, 2), "valid", FIRST),
    Case((3, 4, 5), (2, 2, 2), (2, 2, 2), "same", LAST),
    Case((3, 4, 4), (2, 3, 2), (1, 2, 2), "valid", FIRST),
]

TIES = integers(2, 4, 6, 3, low=0, high=2).astype(np.float32)
TIED = Case((4, 6), (2, 2), (2, 2), "valid", LAST)
OVERLAPPING = Case((4, 6), (3, 3), (2, 2), "same", LAST)

EXAMPLES = [
    *(Example("max_pool", case.max_pool, [case.input()], str(case), batch=[0]) for case in CASES),
    *(Example("average_pool", case.average_pool, [case.input()], str(case), batch=[0]) for case in CASES),
    # The input only chooses places: its gradient is zero, but differences jump where the maximum moves.
    *(
        Example("max_pool_grad", case.max_pool_grad, [case.output(), case.input()], str(case), [0, 1], wrt=[0])
        for case in CASES[:6:2]
    ),
    *(
        Example("max_pool_gather", case.max_pool_gather, [case.input(), case.input()], str(case), [0, 1], wrt=[0])
        for case in CASES[:6:2]
    ),
    *(
        Example("max_pool_grad", case.max_pool_grad, [case.output(), TIES], f"ties-{case}", [0, 1], wrt=[0])
        for case in (TIED, OVERLAPPING)
    ),
    *(Example("average_pool_grad", case.average_pool_grad, [case.output()], str(case), batch=[0]) for case in CASES),
]
