"""Random Keras models: Sequential and functional, with branches, merges, shared and nested layers.

``Recipe(seed)`` always draws the same model, so that it can be built again in another floating point type. Layer
arguments are drawn from the awkward ones too: odd numbers of channels, even kernels with padding "same", strides
longer than the kernel, dilation, overlapping pools, unknown spatial sizes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from kcompile import Input, Model, Sequential, layers, regularizers
from kcompile import optimizers as opt
from kcompile.symbolic.tensor import Tensor

Make = Callable[[Tensor], Tensor]
CHANNELS = [1, 2, 3, 5, 8, 16, 17, 33]
UNKNOWN = 9
"""The size that is fed where a model's input leaves it open."""
ACTIVATIONS = ["relu", "tanh", "sigmoid", "elu", "selu", "softplus", "softsign", "linear", "softmax"]
CONSTRAINTS = [None, None, "non_neg", "unit_norm", "max_norm"]


class Recipe:
    """One random model.

    Args:
        seed: which one.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def build(self) -> Model:
        """The model, with fresh weights of the present ``floatx``."""
        self.rng = np.random.RandomState(self.seed)
        np.random.seed(self.seed)
        self.format = self.choice(["channels_last", "channels_last", "channels_first"])
        self.words: list[int] = []
        self.rank = self.choice([0, 1, 1, 2, 2, 2, 2, 3])
        self.nested = False
        model = self.sequential() if self.chance(0.25) else self.functional()
        for weight in model.weights:  # biases and statistics that are not 0 or 1
            if weight.storage.shape and weight.ndim == 1:
                noise = self.rng.uniform(0.05, 0.3, weight.storage.shape)
                weight.assign(weight.numpy() + noise)
        return model

    # -- drawing

    def choice(self, items: Any) -> Any:
        return items[self.rng.randint(len(items))]

    def chance(self, probability: float) -> bool:
        return bool(self.rng.uniform() < probability)

    # -- whole models

    def shape(self) -> tuple[int | None, ...]:
        """The shape of a sample."""
        if self.rank == 0:
            return (self.choice(CHANNELS),)
        sizes: list[int | None] = [int(self.rng.randint(7, 14 if self.rank < 3 else 9)) for _ in range(self.rank)]
        if self.chance(0.2):
            sizes = [UNKNOWN if size is None else None if self.chance(0.6) else size for size in sizes]
        channels = self.choice(CHANNELS)
        return (channels, *sizes) if self.format == "channels_first" else (*sizes, channels)

    def sequential(self) -> Model:
        model = Sequential()
        x = Input(self.shape())
        first = x
        made: list[Any] = []
        for _ in range(self.rng.randint(1, 5)):
            layer = self.layer(x)
            made.append(layer)
            x = layer(x)
        for layer in self.to_vector(x):
            made.append(layer)
            x = layer(x)
        head = self.head(0)
        # The same layers in a model of their own: layers are shared between the two.
        model.add(layers.InputLayer(batch_input_shape=tuple(first.shape)))
        for layer in [*made, head]:
            model.add(layer)
        return model

    def functional(self) -> Model:
        inputs = [Input(self.shape(), name="first")]
        tensors: list[Tensor] = [inputs[0]]
        if self.rank == 1 and self.format == "channels_last" and self.chance(0.5):
            words = Input((self.choice([11, None]),), dtype="int32", name="words")
            inputs = [words]
            tensors = [layers.Embedding(13, self.choice(CHANNELS), mask_zero=False)(words)]
        elif self.chance(0.3):
            inputs.append(Input(tuple(inputs[0].shape)[1:], name="second"))
            tensors.append(inputs[1])
        start = list(tensors)
        for _ in range(self.rng.randint(2, 7)):
            tensors = [*tensors, *self.grown(self.choice(tensors[-3:]), tensors)]
        ends = [tensors[-1]]
        if len(start) > 1 or self.chance(0.4):
            ends += [x for x in start if x is not tensors[-1]]
        ends += [x for x in tensors[:-1] if self.chance(0.2) and all(x is not end for end in ends)]
        vectors = []
        for x in ends[:4]:
            for layer in self.to_vector(x):
                x = layer(x)
            vectors.append(layers.Dense(5, activation=self.choice(ACTIVATIONS))(x))
        joined = vectors[0] if len(vectors) == 1 else layers.concatenate(vectors)
        outputs = [self.head(0)(joined)]
        if self.chance(0.3):
            outputs.append(self.head(1)(self.choice(vectors)))
        return Model(inputs if len(inputs) > 1 else inputs[0], outputs if len(outputs) > 1 else outputs[0])

    def grown(self, x: Tensor, tensors: list[Tensor]) -> list[Tensor]:
        kind = self.rng.randint(8)
        if kind == 0:  # branches that meet
            fits = [y for y in tensors if y.value.shape == x.value.shape and y is not x]
            other = self.choice(fits) if fits else layers.Activation(self.choice(ACTIVATIONS[:8]))(x)
            merge = self.choice([layers.add, layers.multiply, layers.maximum, layers.average, layers.subtract])
            return [merge([x, other])]
        if kind == 1:  # concatenation of branches along the channels
            axis = 1 if self.format == "channels_first" and x.ndim > 2 else -1
            fits = [y for y in tensors if y.ndim == x.ndim and _without(y, axis) == _without(x, axis)]
            return [layers.concatenate([x, self.choice(fits)], axis=axis)]
        if kind == 2:  # one layer, used twice
            layer = self.keeping_layer(x)
            return [layer(layer(x))] if self.chance(0.5) else [layer(x), layers.add([layer(x), x])]
        if kind == 3 and not self.nested:  # a model as a layer
            self.nested = True
            inside = Input(tuple(x.shape)[1:])
            inner = Model(inside, self.layer(self.layer_output(inside)).__call__(self.layer_output(inside)))
            self.nested = False
            return [inner(x)]
        return [self.layer(x)(x)]

    def layer_output(self, x: Tensor) -> Tensor:
        return self.keeping_layer(x)(x)

    # -- layers

    def head(self, number: int) -> Any:
        units = int(self.rng.randint(2, 6))
        name = f"head_{number}"
        return layers.Dense(units, activation=self.choice([None, "softmax", "sigmoid"]), name=name, **self.options())

    def options(self) -> dict[str, Any]:
        """Regularizers, constraints, initializers of a kernel."""
        found: dict[str, Any] = {}
        if self.chance(0.3):
            found["kernel_regularizer"] = self.choice([regularizers.l1(0.01), regularizers.l2(0.02), "l1_l2"])
        if self.chance(0.2):
            found["kernel_constraint"] = self.choice(CONSTRAINTS)
        if self.chance(0.1):
            found["activity_regularizer"] = regularizers.l2(0.001)
        return found

    def activation(self) -> Any:
        return self.choice([None, "relu", "relu", *ACTIVATIONS])

    def keeping_layer(self, x: Tensor) -> Any:
        """A layer whose output has the shape of its input."""
        smooth = self.choice([None, *ACTIVATIONS[:-1]])  # softmax applied twice gives ties for max pooling
        if x.ndim > 2 and self.chance(0.5):
            size = self.choice([1, 2, 3])
            common = {"padding": "same", "activation": smooth, "data_format": self.format}
            return self.convolution(x.ndim - 2)(self.channels(x), size, **common)
        if x.ndim == 2 or self.format == "channels_last":
            return layers.Dense(int(x.shape[-1]), activation=smooth)
        return self.elementwise(x)

    def channels(self, x: Tensor) -> int:
        return int(x.shape[1 if self.format == "channels_first" and x.ndim > 2 else -1])

    def elementwise(self, x: Tensor) -> Any:
        axis = 1 if self.format == "channels_first" and x.ndim > 2 else -1
        shared = [i for i in range(1, x.ndim) if i != axis % x.ndim]
        makers: list[Callable[[], Any]] = [
            lambda: layers.Activation(self.choice(ACTIVATIONS[:8])),
            lambda: layers.BatchNormalization(axis=axis, scale=self.chance(0.8), center=self.chance(0.8), momentum=0.9),
            lambda: layers.BatchNormalization(axis=axis),
            lambda: layers.Dropout(0.3),
            lambda: layers.LeakyReLU(0.2),
            lambda: layers.ELU(0.7),
            lambda: layers.PReLU(shared_axes=shared or None, alpha_initializer="uniform"),
            lambda: layers.ReLU(max_value=self.choice([None, 1.5]), negative_slope=self.choice([0.0, 0.1])),
            lambda: layers.Lambda(lambda t: t * 2 - 0.5),
        ]
        return self.choice(makers)()

    def layer(self, x: Tensor) -> Any:
        if x.ndim == 2 or self.chance(0.35):
            if x.ndim == 2 and self.chance(0.5):
                return layers.Dense(self.choice(CHANNELS), activation=self.activation(), **self.options())
            return self.elementwise(x)
        rank = x.ndim - 2
        sizes = [int(d or UNKNOWN) for d in (x.shape[2:] if self.format == "channels_first" else x.shape[1:-1])]
        makers: list[Callable[[int, list[int]], Any]] = [self.conv, self.conv, self.conv, self.pool, self.resize]
        if rank < 3:
            makers.append(self.separable)
        if rank == 2:
            makers += [self.depthwise, self.transposed]
        if self.format == "channels_last" and rank == 1:
            makers.append(lambda rank, sizes: layers.Dense(self.choice(CHANNELS), activation=self.activation()))
        return self.choice(makers)(rank, sizes)

    def convolution(self, rank: int) -> Any:
        return [layers.Conv1D, layers.Conv2D, layers.Conv3D][rank - 1]

    def window(self, rank: int, sizes: list[int], dilation: bool = True) -> dict[str, Any]:
        """Kernel size, strides, dilation and padding that leave something of the input."""
        kernel = tuple(int(self.rng.randint(1, min(4, size) + 1)) for size in sizes)
        found: dict[str, Any] = {"kernel_size": kernel, "padding": self.choice(["same", "valid"])}
        if self.chance(0.4):
            found["strides"] = (int(self.rng.randint(1, 4)),) * rank if dilation else int(self.rng.randint(1, 4))
        elif dilation and self.chance(0.3) and all(2 * (k - 1) < size for k, size in zip(kernel, sizes, strict=True)):
            found["dilation_rate"] = 2
        return found

    def conv(self, rank: int, sizes: list[int]) -> Any:
        arguments = self.window(rank, sizes)
        if rank == 1 and self.format == "channels_last" and self.chance(0.2):
            arguments["padding"] = "causal"
        return self.convolution(rank)(
            self.choice(CHANNELS), **arguments, activation=self.activation(), use_bias=self.chance(0.7),
            data_format=self.format, **self.options(),
        )  # fmt: skip

    def separable(self, rank: int, sizes: list[int]) -> Any:
        kind = layers.SeparableConv1D if rank == 1 else layers.SeparableConv2D
        arguments = self.window(rank, sizes)
        if self.format == "channels_first" and rank == 1:
            arguments["padding"] = "valid"
        return kind(
            self.choice(CHANNELS), **arguments, depth_multiplier=self.choice([1, 2]), activation=self.activation(),
            data_format=self.format,
        )  # fmt: skip

    def depthwise(self, rank: int, sizes: list[int]) -> Any:
        return layers.DepthwiseConv2D(
            **self.window(rank, sizes), depth_multiplier=self.choice([1, 1, 3]), activation=self.activation(),
            data_format=self.format,
        )  # fmt: skip

    def transposed(self, rank: int, sizes: list[int]) -> Any:
        strides = self.choice([1, 2])
        return layers.Conv2DTranspose(
            self.choice(CHANNELS[:6]), self.choice([2, 3, 4]), strides=strides,
            padding=self.choice(["same", "valid"]), activation=self.activation(), data_format=self.format,
        )  # fmt: skip

    def pool(self, rank: int, sizes: list[int]) -> Any:
        kinds = [
            (layers.MaxPooling1D, layers.AveragePooling1D),
            (layers.MaxPooling2D, layers.AveragePooling2D),
            (layers.MaxPooling3D, layers.AveragePooling3D),
        ]
        size = tuple(int(self.rng.randint(1, min(3, s) + 1)) for s in sizes)
        strides = self.choice([None, 1, 2, 3])
        return self.choice(kinds[rank - 1])(
            pool_size=size[0] if rank == 1 else size, strides=strides, padding=self.choice(["same", "valid"]),
            data_format=self.format,
        )  # fmt: skip

    def resize(self, rank: int, sizes: list[int]) -> Any:
        pads = tuple((int(self.rng.randint(0, 3)), int(self.rng.randint(0, 3))) for _ in range(rank))
        first: dict[str, Any] = {"data_format": self.format} if rank > 1 else {}
        if rank == 1:
            if self.format == "channels_first":
                return layers.Activation("tanh")
            return self.choice([layers.ZeroPadding1D, layers.Cropping1D if sizes[0] > 6 else layers.UpSampling1D])(
                2 if sizes[0] < 6 else (1, 2)
            ) if self.chance(0.7) else layers.UpSampling1D(2)  # fmt: skip
        pad = (layers.ZeroPadding2D, layers.ZeroPadding3D)[rank - 2]
        crop = (layers.Cropping2D, layers.Cropping3D)[rank - 2]
        grow = (layers.UpSampling2D, layers.UpSampling3D)[rank - 2]
        if self.chance(0.3) and max(sizes) < 12:
            return grow(2, **first)
        if self.chance(0.5) and min(sizes) > 5:
            return crop(pads, **first)
        return pad(pads, **first)

    def to_vector(self, x: Tensor) -> list[Any]:
        """Layers that make one vector per sample."""
        rank = x.ndim - 2
        if rank == 0:
            return []
        known = all(size is not None for size in x.shape[1:])
        if known and self.chance(0.5):
            return [layers.Flatten(data_format=self.format)]
        average = [layers.GlobalAveragePooling1D, layers.GlobalAveragePooling2D, layers.GlobalAveragePooling3D]
        largest = [layers.GlobalMaxPooling1D, layers.GlobalMaxPooling2D, layers.GlobalMaxPooling3D]
        return [self.choice([average, largest])[rank - 1](data_format=self.format)]


def _without(x: Tensor, axis: int) -> tuple[Any, ...]:
    shape = list(x.value.shape)
    del shape[axis]
    return tuple(shape)


def random_data(model: Model, samples: int, seed: int) -> tuple[list[Any], list[Any]]:
    """Inputs and targets of the model, in float64 (words in int32)."""
    rng = np.random.RandomState(seed)
    inputs = []
    for x in model.inputs:
        shape = (samples, *(UNKNOWN if size is None else size for size in x.shape[1:]))
        words = x.dtype.startswith("int")
        inputs.append(rng.randint(0, 13, shape).astype("int32") if words else rng.randn(*shape).astype("float32"))
    targets = []
    for y in model.outputs:
        values = rng.uniform(0.05, 1, (samples, *y.shape[1:]))
        targets.append((values / values.sum(-1, keepdims=True)).astype("float32"))
    return inputs, targets


def random_optimizer(seed: int) -> Any:
    """An optimizer. Epsilon is large, so that noise in a tiny gradient does not become a step of full size."""
    rng = np.random.RandomState(seed)
    makers: list[Callable[..., Any]] = [
        lambda **a: opt.SGD(0.05, momentum=0.9, nesterov=bool(seed % 2), **a),
        lambda **a: opt.SGD(0.05, decay=0.1, **a),
        lambda **a: opt.RMSprop(0.01, epsilon=0.05, **a),
        lambda **a: opt.Adagrad(0.01, epsilon=0.05, **a),
        lambda **a: opt.Adadelta(0.5, epsilon=0.05, **a),
        lambda **a: opt.Adam(0.01, epsilon=0.05, amsgrad=bool(seed % 2), **a),
        lambda **a: opt.Adamax(0.01, epsilon=0.05, **a),
        lambda **a: opt.Nadam(0.01, epsilon=0.05, **a),
    ]
    clip = [{}, {}, {"clipnorm": 0.5}, {"clipvalue": 0.1}][rng.randint(4)]
    return makers[rng.randint(len(makers))](**clip)
