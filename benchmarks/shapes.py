"""The rows of `python -m benchmarks grid`: kinds of operations with their sizes, each written as its own name.

A name is `KIND SIZES [OPTIONS]`. The sizes are those of the input as Keras' users have them: batch, spatial sizes, and
channels last (of `embedding` batch and words). The options, in any order:

    k3 k1x7      kernel size                     f64        filters, features, or columns of an embedding
    p3 p2x2      pool size, padding, factor      s2         strides
    d4           dilation rate                   g8         groups
    v5000        words of an embedding           n4         how many inputs are joined
    valid        no padding (convolutions and pooling have "same" otherwise)      bilinear   interpolation

This file is imported by every peer, so it may import nothing but the standard library.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from math import prod

PARTS = ("forward", "input", "filter", "inference")
WEIGHTED = ("conv", "depthwise", "transposed", "dense", "embedding")
POOLING = ("maxpool", "avgpool", "globalmax", "globalavg")
ACTIVATIONS = ("relu", "relu6", "leakyrelu", "elu", "gelu", "swish", "tanh", "sigmoid", "softplus")
JOINED = ("batchnorm", "softmax", "maxpool", "globalmax", *ACTIVATIONS)
"""Kinds whose gradient needs what forward computed: their part `input` runs both."""

KINDS = (*WEIGHTED, *POOLING, *ACTIVATIONS, "batchnorm", "softmax", "upsample", "pad", "concat", "add")
SPATIAL = ("conv", "depthwise", "transposed", *POOLING, "upsample", "pad")
"""Kinds whose names end with their number of spatial axes, as in `conv2d`."""

OPTIONS = {
    "k": "kernel", "f": "filters", "p": "pool", "s": "strides", "d": "dilation", "g": "groups", "v": "words",
    "n": "count",
}  # fmt: skip
FLAGS = ("valid", "bilinear")


@dataclass(frozen=True)
class Row:
    """One operation. `sizes` are (batch, spatial..., channels); tuples of options have one entry per spatial axis."""

    name: str
    kind: str
    rank: int
    sizes: tuple[int, ...]
    options: dict[str, tuple[int, ...]] = field(compare=False)
    flags: tuple[str, ...] = ()
    quick: bool = False

    @property
    def batch(self) -> int:
        return self.sizes[0]

    @property
    def spatial(self) -> tuple[int, ...]:
        return self.sizes[1:-1]

    @property
    def channels(self) -> int:
        return self.sizes[-1]

    @property
    def count(self) -> int:
        """How many inputs there are: two at least where inputs are joined."""
        return self.number("count", 2 if self.family == "join" else 1)

    @property
    def padding(self) -> str:
        return "valid" if "valid" in self.flags else "same"

    def number(self, option: str, default: int = 1) -> int:
        """An option with one entry."""
        return self.options.get(option, (default,))[0]

    def each(self, option: str, default: int = 1) -> tuple[int, ...]:
        """An option with an entry per spatial axis."""
        given = self.options.get(option, (default,))
        return given if len(given) == self.rank else given * self.rank

    @property
    def strides(self) -> tuple[int, ...]:
        """Pools stand side by side unless they say otherwise."""
        beside = self.kind.endswith("pool") and "strides" not in self.options
        return self.each("pool") if beside else self.each("strides")

    @property
    def family(self) -> str:
        """What geometric means are taken over."""
        if self.kind == "conv":
            grouped, dilated = self.number("groups") > 1, max(self.each("dilation")) > 1
            return "grouped" if grouped else "dilated" if dilated else f"conv{self.rank}d"
        for family, kinds in (("pooling", POOLING), ("activation", ACTIVATIONS), ("join", ("concat", "add"))):
            if self.kind in kinds:
                return family
        return self.kind

    def parts(self) -> tuple[str, ...]:
        """What can be timed."""
        if self.kind == "embedding":
            return ("forward", "filter", "inference")
        if self.kind == "add":  # the gradients of its inputs are that of its result: nothing to do
            return ("forward", "inference")
        return PARTS if self.kind in WEIGHTED else ("forward", "input", "inference")

    def windows(self) -> tuple[int, ...]:
        """The spatial sizes of the output."""
        if self.kind == "transposed":
            return tuple(size * stride for size, stride in zip(self.spatial, self.strides, strict=True))
        if self.kind == "upsample":
            return tuple(size * factor for size, factor in zip(self.spatial, self.each("pool"), strict=True))
        if self.kind == "pad":
            return tuple(size + 2 * extra for size, extra in zip(self.spatial, self.each("pool"), strict=True))
        extents = self.each("pool" if self.kind.endswith("pool") else "kernel")
        if self.padding == "same":
            return tuple(-(-size // stride) for size, stride in zip(self.spatial, self.strides, strict=True))
        axes = zip(self.spatial, extents, self.each("dilation"), self.strides, strict=True)
        return tuple((size - (extent - 1) * rate - 1) // stride + 1 for size, extent, rate, stride in axes)

    def weight(self) -> tuple[int, ...]:
        """The shape of the filter as Keras has it; empty if there is none."""
        kernel, filters = self.each("kernel"), self.number("filters")
        match self.kind:
            case "conv":
                return (*kernel, self.channels // self.number("groups"), filters)
            case "depthwise":
                return (*kernel, self.channels, 1)
            case "transposed":
                return (*kernel, filters, self.channels)
            case "dense":
                return (self.channels, filters)
            case "embedding":
                return (self.number("words"), filters)
        return ()

    def output(self) -> tuple[int, ...]:
        """The shape of the result, channels last; of `softmax` the mean loss, a scalar."""
        match self.kind:
            case "softmax":
                return ()
            case "globalmax" | "globalavg":
                return (self.batch, self.channels)
            case "concat":
                return (*self.sizes[:-1], self.channels * self.count)
            case "dense":
                return (*self.sizes[:-1], self.number("filters"))
            case "embedding":
                return (*self.sizes, self.number("filters"))
            case "conv" | "transposed":
                return (self.batch, *self.windows(), self.number("filters"))
        return (self.batch, *self.windows(), self.channels) if self.kind in SPATIAL else self.sizes

    def operations(self) -> int:
        """Multiplications and additions of the forward part; of what has no filter one per element."""
        if self.kind == "transposed":
            return 2 * prod(self.sizes[:-1]) * prod(self.weight())
        if self.kind == "depthwise":
            return 2 * prod(self.output()) * prod(self.each("kernel"))
        if self.kind in ("conv", "dense"):
            return 2 * prod(self.output()[:-1]) * prod(self.weight())
        return max(prod(self.sizes), prod(self.output()))

    def elements(self) -> int:
        """How many numbers go in and come out."""
        return prod(self.sizes) * self.count + prod(self.weight()) + prod(self.output())


def parse(text: str, quick: bool = False) -> Row:
    """The row of a name.

    Raises ValueError for a kind or an option that does not exist, or sizes that do not fit.
    """
    words = text.split()
    match = re.fullmatch(r"([a-z]+|relu6)(?:([123])d)?", words[0]) if words else None
    if match is None or match[1] not in KINDS or (match[1] in SPATIAL) != bool(match[2]):
        kinds = ", ".join(kind + "2d" * (kind in SPATIAL) for kind in KINDS)
        raise ValueError(f"{text!r} is no row of the grid; its first word is one of {kinds} (1d, 2d, 3d)")
    kind, rank = match[1], int(match[2] or 0)
    if len(words) < 2 or not re.fullmatch(r"\d+(x\d+)*", words[1]):
        raise ValueError(f"{text!r}: sizes such as 8x56x56x64 follow the kind")
    sizes = numbers(words[1])
    options: dict[str, tuple[int, ...]] = {}
    flags = []
    for word in words[2:]:
        if word in FLAGS:
            flags.append(word)
        elif word[0] in OPTIONS and re.fullmatch(r"\d+(x\d+)*", word[1:]):
            options[OPTIONS[word[0]]] = numbers(word[1:])
        else:
            raise ValueError(f"{text!r}: {word!r} is no option")
    if rank and len(sizes) != rank + 2:
        raise ValueError(f"{text!r}: {rank + 2} sizes are needed: batch, {rank} spatial, channels")
    return Row(" ".join(words), kind, rank, sizes, options, tuple(flags), quick)


def numbers(text: str) -> tuple[int, ...]:
    return tuple(map(int, text.split("x")))


TABLE = """
# VGG and UNet: 3x3 at all depths, batches small where images are large
* conv2d 1x224x224x3 k3 f64
* conv2d 1x128x128x64 k3 f64
* conv2d 8x56x56x64 k3 f64
* conv2d 8x14x14x256 k3 f256
* conv2d 1x256x256x32 k3 f32
conv2d 1x224x224x64 k3 f64
conv2d 1x112x112x128 k3 f128
conv2d 1x56x56x256 k3 f256
conv2d 1x28x28x256 k3 f512
conv2d 1x14x14x512 k3 f512
conv2d 1x256x256x3 k3 f32
conv2d 4x256x256x3 k3 f16
conv2d 1x256x256x16 k3 f16
conv2d 1x256x256x64 k3 f32
conv2d 1x512x512x3 k3 f16
conv2d 1x512x512x16 k3 f16
conv2d 1x512x512x16 k3 f1
conv2d 2x128x128x32 k3 f64
conv2d 4x64x64x64 k3 f64
conv2d 4x64x64x128 k3 f64
conv2d 8x32x32x128 k3 f128
conv2d 16x28x28x64 k3 f64
conv2d 32x14x14x128 k3 f128
conv2d 128x7x7x128 k3 f128
conv2d 1x8x8x256 k3 f256
# small images, usual batches (CIFAR, MNIST)
* conv2d 32x32x32x3 k3 f32
* conv2d 32x32x32x16 k3 f16
* conv2d 128x28x28x1 k3 f32
conv2d 128x26x26x32 k3 f64 valid
conv2d 32x32x32x32 k3 f32
conv2d 32x16x16x32 k3 f32
conv2d 32x16x16x64 k3 f64
conv2d 32x8x8x64 k3 f64
conv2d 128x32x32x3 k3 f32
conv2d 128x16x16x64 k3 f64
# autoencoders: few channels
* conv2d 128x28x28x16 k3 f8
* conv2d 128x28x28x16 k3 f1
conv2d 128x28x28x1 k3 f16
conv2d 128x14x14x16 k3 f8
conv2d 128x14x14x8 k3 f8
conv2d 128x7x7x8 k3 f8
conv2d 128x28x28x8 k3 f16
conv2d 32x28x28x32 k3 f1
conv2d 16x64x64x4 k3 f4
conv2d 16x64x64x1 k5 f4
conv2d 8x128x128x2 k3 f2
conv2d 4x128x128x8 k3 f8
conv2d 1x256x256x1 k3 f8
# strides
* conv2d 8x224x224x3 k7 f64 s2
conv2d 1x224x224x3 k3 f32 s2
conv2d 8x112x112x3 k3 f32 s2
conv2d 1x299x299x3 k3 f32 s2 valid
conv2d 8x56x56x64 k3 f128 s2
conv2d 8x28x28x128 k3 f256 s2
conv2d 32x32x32x16 k3 f32 s2
conv2d 8x56x56x256 k1 f512 s2
conv2d 16x28x28x128 k1 f256 s2
conv2d 4x64x64x3 k4 f64 s2
conv2d 8x32x32x64 k4 f128 s2
conv2d 8x224x224x3 k16 f192 s16
conv2d 1x227x227x3 k11 f96 s4 valid
# 1x1
* conv2d 8x56x56x64 k1 f256
* conv2d 1x35x35x288 k1 f64
conv2d 1x112x112x32 k1 f16
conv2d 1x56x56x24 k1 f144
conv2d 8x56x56x144 k1 f24
conv2d 8x28x28x32 k1 f192
conv2d 8x14x14x96 k1 f576
conv2d 8x7x7x320 k1 f1280
conv2d 1x17x17x768 k1 f192
conv2d 1x8x8x1280 k1 f320
conv2d 1x256x256x64 k1 f2
conv2d 32x14x14x256 k1 f256
# other kernels: Inception, LeNet, AlexNet
* conv2d 1x17x17x160 k1x7 f160
* conv2d 8x17x17x192 k7x1 f192
conv2d 1x17x17x128 k7x1 f192
conv2d 1x35x35x48 k5 f64
conv2d 8x35x35x48 k5 f64
conv2d 1x35x35x96 k3 f96
conv2d 1x8x8x384 k1x3 f384
conv2d 8x8x8x384 k3x1 f384
conv2d 128x28x28x1 k5 f6
conv2d 128x14x14x6 k5 f16 valid
conv2d 2x27x27x96 k5 f256
conv2d 4x64x64x32 k7 f32
conv2d 1x128x128x16 k9 f16
conv2d 1x64x64x32 k11 f32
conv2d 8x64x64x32 k2 f32 valid
conv2d 1x33x21x257 k3 f64
# dilation
* conv2d 1x64x64x64 k3 f64 d2
conv2d 1x32x32x256 k3 f256 d2
conv2d 1x33x33x320 k3 f128 d6
conv2d 1x33x33x256 k3 f256 d12
conv2d 8x32x32x32 k3 f32 d4
conv2d 1x256x256x16 k3 f16 d8
# groups
* conv2d 8x28x28x128 k3 f128 g32
conv2d 8x14x14x256 k3 f256 g32
conv2d 1x56x56x128 k3 f128 g2
conv2d 8x28x28x64 k1 f64 g4
conv2d 8x27x27x96 k5 f256 g2
# depthwise: MobileNet, EfficientNet, ConvNeXt
* depthwise2d 1x112x112x32 k3
* depthwise2d 8x56x56x144 k3 s2
* depthwise2d 8x14x14x384 k3
depthwise2d 1x112x112x96 k3 s2
depthwise2d 8x112x112x32 k3
depthwise2d 1x56x56x144 k3
depthwise2d 8x28x28x192 k3
depthwise2d 1x14x14x576 k3
depthwise2d 32x7x7x960 k3
depthwise2d 8x28x28x240 k5 s2
depthwise2d 8x14x14x672 k5
depthwise2d 1x56x56x96 k7
depthwise2d 8x32x32x64 k3 d2
depthwise2d 128x28x28x8 k3
depthwise1d 32x400x64 k3
depthwise1d 1x10000x128 k5
# transposed: decoders, GANs
* transposed2d 8x16x16x128 k4 f64 s2
* transposed2d 128x14x14x16 k3 f8 s2
transposed2d 32x7x7x128 k5 f64 s2
transposed2d 8x4x4x512 k4 f256 s2
transposed2d 8x32x32x64 k4 f3 s2
transposed2d 4x64x64x64 k2 f32 s2
transposed2d 1x128x128x64 k2 f32 s2
transposed2d 1x128x128x32 k3 f16 s2
transposed2d 32x28x28x32 k3 f32
transposed2d 8x16x16x64 k3 f64 d2
transposed1d 8x1000x64 k4 f32 s2
transposed3d 2x8x8x8x64 k2 f32 s2
# one axis: text, sound, genomes
* conv1d 32x400x50 k3 f250 valid
* conv1d 8x10000x64 k5 f64
* conv1d 1x5997x4 k6 f128 valid
* conv1d 1x5997x128 k9 f128 d4
conv1d 128x100x128 k5 f128 valid
conv1d 32x400x64 k7 f64
conv1d 64x128x9 k3 f64 valid
conv1d 32x1000x1 k7 f32
conv1d 32x1000x4 k12 f64 valid
conv1d 4x100000x1 k11 f16
conv1d 1x100000x16 k3 f16
conv1d 1x100000x4 k9 f32
conv1d 8x16000x1 k80 f32 s4 valid
conv1d 8x4000x32 k3 f64
conv1d 8x10000x4 k3 f32
conv1d 1x10000x256 k3 f64
conv1d 32x500x64 k3 f64 d2
conv1d 8x4000x32 k2 f32 d64
conv1d 8x4000x32 k2 f32 d512
conv1d 1x5997x128 k9 f128 d64
conv1d 1x50000x32 k11 f32 d10
conv1d 32x400x256 k1 f256
conv1d 32x1000x64 k4 f128 s4
conv1d 32x400x64 k3 f64 g8
conv1d 1x100x128 k3 f128
# volumes and films
* conv3d 2x32x32x32x8 k3 f8
* conv3d 1x16x56x56x16 k3 f32
conv3d 1x64x64x64x1 k3 f16
conv3d 1x32x32x32x32 k3 f32
conv3d 1x16x16x16x128 k3 f64
conv3d 8x16x16x16x16 k3 f32
conv3d 4x8x32x32x3 k3 f32
conv3d 1x16x112x112x3 k3x7x7 f16 s1x2x2
conv3d 1x32x32x32x16 k3 f32 s2
conv3d 1x16x28x28x64 k3x1x1 f64
conv3d 1x16x28x28x64 k1x3x3 f64
conv3d 1x16x28x28x64 k1 f64
conv3d 1x24x24x24x16 k3 f16 d2
conv3d 1x32x32x32x16 k5 f16
# pooling
* maxpool2d 32x32x32x64 p2
* maxpool2d 8x112x112x64 p3 s2
* avgpool2d 1x35x35x288 p3 s1
* globalavg2d 32x8x8x512
maxpool2d 128x24x24x64 p2
maxpool2d 1x256x256x32 p2
maxpool2d 128x28x28x16 p2
maxpool2d 1x147x147x64 p3 s2 valid
maxpool2d 1x35x35x288 p3 s2 valid
maxpool2d 8x14x14x512 p2
maxpool2d 4x28x28x192 p3 s1
maxpool1d 32x400x64 p2
maxpool1d 1x100000x16 p4
maxpool1d 32x1000x32 p13 s13
maxpool3d 1x32x32x32x32 p2
avgpool2d 32x32x32x32 p2
avgpool2d 8x8x8x64 p8
avgpool2d 8x17x17x768 p3 s1
avgpool1d 32x400x64 p2
avgpool3d 1x32x32x32x16 p2
globalavg2d 8x7x7x1280
globalavg2d 1x128x128x64
globalmax2d 32x8x8x128
globalmax1d 32x398x250
globalavg1d 8x10000x64
globalavg3d 2x8x16x16x128
# dense
* dense 128x784 f512
* dense 1x4096 f4096
* dense 32x512 f1
* dense 32x400x64 f64
dense 1x784 f128
dense 32x64 f32
dense 32x25088 f256
dense 4096x64 f64
dense 4096x16 f1
dense 1024x1000 f8
dense 1024x8 f1000
dense 128x512 f10
dense 64x1024 f20000
dense 8x128x512 f2048
dense 2048x2048 f64
# embeddings
* embedding 32x400 v5000 f50
* embedding 128x80 v20000 f128
embedding 256x1 v1000000 f16
embedding 1024x26 v10000 f4
embedding 32x100 v100 f8
embedding 8x512 v30000 f256
embedding 1x5997 v257 f32
# normalization, losses, activations
* batchnorm 32x32x32x32
* batchnorm 8x56x56x144
* softmax 32x20000
* relu 32x32x32x32
batchnorm 128x14x14x64
batchnorm 1x128x128x64
batchnorm 8x7x7x1280
batchnorm 128x512
batchnorm 32x400x64
batchnorm 1x32x32x32x16
softmax 128x10
softmax 128x1000
softmax 2048x5000
softmax 8x256x256x3
relu6 8x56x56x144
leakyrelu 8x64x64x64
elu 8x64x64x64
gelu 8x128x512
swish 8x56x56x144
tanh 128x1024
sigmoid 8x64x64x64
softplus 8x64x64x64
# enlarging, padding, joining
* upsample2d 128x14x14x8 p2
* upsample2d 4x64x64x64 p2 bilinear
upsample2d 1x128x128x64 p2
upsample2d 8x32x32x128 p2
upsample2d 128x7x7x8 p2
upsample2d 1x128x128x16 p2 bilinear
upsample2d 1x32x32x256 p8 bilinear
upsample2d 8x32x32x64 p2 bilinear
upsample1d 32x200x64 p2
upsample3d 1x16x16x16x32 p2
pad2d 8x56x56x64 p1
pad2d 1x224x224x3 p3
pad1d 32x1000x32 p2
* concat 4x64x64x64 n2
concat 1x35x35x64 n4
concat 32x100x50 n3
add 8x56x56x64
"""
"""A row a line; a star before those of `--quick`."""


def table() -> list[Row]:
    """All rows."""
    lines = [line for line in TABLE.splitlines() if line and not line.startswith("#")]
    return [parse(line.removeprefix("* "), quick=line.startswith("* ")) for line in lines]


def chosen(words: list[str], quick: bool = False) -> list[Row]:
    """The rows that have one of `words` in their names (all without words); a name that the table lacks is a new row.

    Raises ValueError for a word that no row has and that is no row.
    """
    rows = [row for row in table() if row.quick or not quick]
    found: list[Row] = []
    for word in words:
        matching = [row for row in rows if f" {word} " in f" {row.name} " or word in (row.kind, row.family)]
        if not matching and " " not in word:
            raise ValueError(f"no row of the grid has the word {word!r}")
        found += matching or [parse(word)]
    return list(dict.fromkeys(found)) if words else rows
