"""What tutorials, papers' code and forum answers do with Keras 2, in their own spelling."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest

import kcompile as keras
from kcompile import Input, Model, Sequential, losses, metrics, optimizers
from kcompile import backend as K
from kcompile.layers import (
    Add,
    BatchNormalization,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    GlobalAveragePooling2D,
    Lambda,
    Layer,
    LeakyReLU,
    MaxPooling2D,
    Reshape,
    concatenate,
)

RNG = np.random.RandomState(0)


@pytest.fixture(autouse=True)
def _same_numbers() -> None:
    keras.utils.set_random_seed(1)
    RNG.seed(0)


def changed(before: list[Any], after: list[Any]) -> bool:
    return any((a != b).any() for a, b in zip(before, after, strict=True))


# ---- adversarial


def test_gan_trains_its_halves_in_turn() -> None:
    optimizer = optimizers.Adam(0.0002, 0.5)  # one optimizer for both models, as in Keras-GAN
    discriminator = Sequential(
        [Flatten(input_shape=(4, 4, 1)), Dense(8), LeakyReLU(alpha=0.2), Dropout(0.3), Dense(1, activation="sigmoid")]
    )
    discriminator.compile(loss="binary_crossentropy", optimizer=optimizer, metrics=["accuracy"])
    generator = Sequential([Dense(8, input_dim=3), LeakyReLU(0.2), BatchNormalization(momentum=0.8)])
    generator.add(Dense(int(np.prod((4, 4, 1))), activation="tanh"))
    generator.add(Reshape((4, 4, 1)))
    z = Input(shape=(3,))
    discriminator.trainable = False
    combined = Model(z, discriminator(generator(z)))
    combined.compile(loss="binary_crossentropy", optimizer=optimizer)
    real, fake = np.ones((6, 1)), np.zeros((6, 1))
    for _ in range(2):
        generated = generator.predict(RNG.normal(0, 1, (6, 3)))
        before = discriminator.get_weights(), generator.get_weights()
        loss = 0.5 * np.add(
            discriminator.train_on_batch(RNG.randn(6, 4, 4, 1), real), discriminator.train_on_batch(generated, fake)
        )
        assert loss.shape == (2,)
        assert changed(before[0], discriminator.get_weights())
        assert not changed(before[1], generator.get_weights())
        before = discriminator.get_weights(), generator.get_weights()
        combined.train_on_batch(RNG.normal(0, 1, (6, 3)), real)
        assert not changed(before[0], discriminator.get_weights())
        assert changed(before[1], generator.get_weights())
    assert K.get_value(optimizer.iterations) == 6
    noise = RNG.randn(5, 3)
    expected = discriminator.predict(generator.predict(noise))
    np.testing.assert_allclose(combined.predict(noise), expected, rtol=1e-5)


def test_gradient_penalty() -> None:
    class RandomWeightedAverage(Add):
        def _merge_function(self, inputs: Any) -> Any:
            share = K.random_uniform((8, 1))
            return share * inputs[0] + (1 - share) * inputs[1]

    def penalty(y_true: Any, y_pred: Any, samples: Any) -> Any:
        gradients = K.gradients(y_pred, samples)[0]
        squares = K.sum(K.square(gradients), axis=np.arange(1, len(gradients.shape)))
        return K.mean(K.square(1 - K.sqrt(squares)))

    def wasserstein(y_true: Any, y_pred: Any) -> Any:
        return K.mean(y_true * y_pred)

    critic = Sequential([Dense(1, input_dim=5, use_bias=False)])
    real, fake = Input((5,)), Input((5,))
    average = RandomWeightedAverage()([real, fake])
    partial_penalty = partial(penalty, samples=average)
    partial_penalty.__name__ = "gradient_penalty"  # type: ignore[attr-defined]
    model = Model([real, fake], [critic(real), critic(fake), critic(average)])
    model.compile(optimizers.SGD(0.01), [wasserstein, wasserstein, partial_penalty], loss_weights=[0, 0, 10])
    kernel = critic.get_weights()[0]
    feed = [RNG.randn(8, 5), RNG.randn(8, 5)]
    total, *_, found = model.train_on_batch(feed, [-np.ones((8, 1)), np.ones((8, 1)), np.zeros((8, 1))])
    # The critic is linear: its gradient is its kernel everywhere, and the penalty's the derivative of (1 - |w|)^2.
    norm = np.sqrt((kernel**2).sum())
    np.testing.assert_allclose(found, (1 - norm) ** 2, rtol=1e-5)
    np.testing.assert_allclose(total, 10 * (1 - norm) ** 2, rtol=1e-5)
    expected = kernel - 0.01 * 10 * 2 * (norm - 1) * kernel / norm
    np.testing.assert_allclose(critic.get_weights()[0], expected, rtol=1e-5)


# ---- autoencoders


def test_variational_autoencoder() -> None:
    def sampling(arguments: Any) -> Any:
        mean, log_variance = arguments
        batch, dim = K.shape(mean)[0], K.int_shape(mean)[1]
        return mean + K.exp(0.5 * log_variance) * K.random_normal(shape=(batch, dim))

    inputs = Input(shape=(12,))
    hidden = Dense(16, activation="relu")(inputs)
    mean, log_variance = Dense(2)(hidden), Dense(2)(hidden)
    z = Lambda(sampling, output_shape=(2,))([mean, log_variance])
    encoder = Model(inputs, [mean, log_variance, z], name="encoder")
    decoder = Sequential([Dense(16, activation="relu", input_dim=2), Dense(12, activation="sigmoid")], name="decoder")
    outputs = decoder(encoder(inputs)[2])
    vae = Model(inputs, outputs, name="vae")
    reconstruction = losses.binary_crossentropy(inputs, outputs)
    reconstruction *= 12
    divergence = -0.5 * K.sum(1 + log_variance - K.square(mean) - K.exp(log_variance), axis=-1)
    vae.add_loss(K.mean(reconstruction + divergence))
    vae.compile(optimizer="adam")
    x = RNG.uniform(0, 1, (64, 12)) ** 4
    history = vae.fit(x, epochs=20, batch_size=16, validation_data=(x, None), verbose=0).history
    assert history["loss"][-1] < history["loss"][0]
    assert history["val_loss"][-1] < history["val_loss"][0]
    first, second = encoder.predict(x), encoder.predict(x)
    np.testing.assert_array_equal(first[0], second[0])
    assert (first[2] != second[2]).all()  # the sampling goes on in predict
    noise = (first[2] - first[0]) / np.exp(0.5 * first[1])
    assert abs(noise.mean()) < 0.5
    assert 0.7 < noise.std() < 1.3


def test_tied_weights() -> None:
    class Transposed(Layer):
        def __init__(self, tied: Any, **kwargs: Any) -> None:
            self.tied = tied
            super().__init__(**kwargs)

        def build(self, input_shape: Any) -> None:
            self.bias = self.add_weight(name="bias", shape=(K.int_shape(self.tied.kernel)[0],), initializer="zeros")
            super().build(input_shape)

        def call(self, inputs: Any) -> Any:
            return K.dot(inputs, K.transpose(self.tied.kernel)) + self.bias

        def compute_output_shape(self, input_shape: Any) -> Any:
            return (input_shape[0], K.int_shape(self.tied.kernel)[0])

    encoder = Dense(3, use_bias=False, input_shape=(6,))
    model = Sequential([encoder, Transposed(encoder)])
    model.compile(optimizers.SGD(0.1), "mse")
    kernel, x = encoder.get_weights()[0], RNG.randn(4, 6).astype("float32")
    model.train_on_batch(x, x)
    error = 2 * (x @ kernel @ kernel.T - x) / x.size
    gradient = x.T @ error @ kernel + error.T @ x @ kernel
    np.testing.assert_allclose(encoder.get_weights()[0], kernel - 0.1 * gradient, rtol=1e-5, atol=1e-7)
    assert len(model.trainable_weights) == 2


# ---- several inputs and outputs


def test_siamese_network() -> None:
    base = Sequential([Dense(16, activation="relu", input_dim=10), Dropout(0.1), Dense(8)])
    left, right = Input((10,)), Input((10,))
    pair = [base(left), base(right)]

    def distance(vectors: Any) -> Any:
        x, y = vectors
        return K.sqrt(K.maximum(K.sum(K.square(x - y), axis=1, keepdims=True), K.epsilon()))

    def contrastive(y_true: Any, y_pred: Any) -> Any:
        return K.mean(y_true * K.square(y_pred) + (1 - y_true) * K.square(K.maximum(1 - y_pred, 0)))

    def accuracy(y_true: Any, y_pred: Any) -> Any:
        return K.mean(K.equal(y_true, K.cast(y_pred < 0.5, y_true.dtype)))

    model = Model([left, right], Lambda(distance, output_shape=lambda shapes: (shapes[0][0], 1))(pair))
    model.compile(loss=contrastive, optimizer=optimizers.RMSprop(), metrics=[accuracy])
    x, y = RNG.randn(40, 2, 10), RNG.randint(0, 2, 40)
    history = model.fit(
        [x[:, 0], x[:, 1]], y, batch_size=20, epochs=2, verbose=0, validation_data=([x[:, 0], x[:, 1]], y)
    ).history
    assert sorted(history) == ["accuracy", "loss", "val_accuracy", "val_loss"]
    far = model.predict([x[:, 0], x[:, 1]])
    assert history["val_accuracy"][-1] == pytest.approx(np.mean(y == (far[:, 0] < 0.5)))
    absolute = Lambda(lambda tensors: K.abs(tensors[0] - tensors[1]))(pair)
    second = Model([left, right], Dense(1, activation="sigmoid")(absolute))
    second.compile("adam", "binary_crossentropy", metrics=["accuracy"])
    second.fit([x[:, 0], x[:, 1]], y, verbose=0)
    np.testing.assert_array_equal(model.predict([x[:, 0], x[:, 0]]) < 1e-3, True)


def test_dictionaries_by_name() -> None:
    main, extra = Input((10,), name="main_input"), Input((3,), name="aux_input")
    hidden = Dense(8, activation="relu")(main)
    first = Dense(1, activation="sigmoid", name="main_output")(hidden)
    second = Dense(4, activation="softmax", name="aux_output")(concatenate([hidden, extra]))
    model = Model(inputs=[main, extra], outputs=[first, second])
    model.compile(
        optimizer="rmsprop",
        loss={"main_output": "binary_crossentropy", "aux_output": "categorical_crossentropy"},
        loss_weights={"main_output": 1.0, "aux_output": 0.2},
        metrics={"main_output": "accuracy", "aux_output": ["accuracy", "mae"]},
    )
    x = {"main_input": RNG.randn(40, 10), "aux_input": RNG.randn(40, 3)}
    y = {"aux_output": np.eye(4)[RNG.randint(0, 4, 40)], "main_output": RNG.randint(0, 2, 40)}
    weights = {"main_output": np.ones(40), "aux_output": np.zeros(40)}
    assert model.metrics_names == [
        "loss", "main_output_loss", "aux_output_loss", "main_output_accuracy", "aux_output_accuracy", "aux_output_mae",
    ]  # fmt: skip
    history = model.fit(x, y, epochs=2, batch_size=8, verbose=0, sample_weight=weights).history
    assert history["aux_output_loss"] == [0, 0]
    total, *parts = model.evaluate(x, y, verbose=0)
    assert total == pytest.approx(parts[0] + 0.2 * parts[1], rel=1e-5)


def test_perceptual_loss_leaves_its_network_alone() -> None:
    network = Sequential([Dense(5, input_dim=4, activation="relu"), Dense(3)])
    network.trainable = False

    def perceptual(y_true: Any, y_pred: Any) -> Any:
        return K.mean(K.square(network(y_true) - network(y_pred)))

    model = Sequential([Dense(4, input_dim=4)])
    model.compile("adam", perceptual, metrics=[perceptual])
    before, own = network.get_weights(), model.get_weights()
    x, y = RNG.randn(16, 4), RNG.randn(16, 4)
    model.fit(x, y, verbose=0)
    assert not changed(before, network.get_weights())
    assert changed(own, model.get_weights())
    expected = np.mean((network.predict(y) - network.predict(model.predict(x))) ** 2)
    np.testing.assert_allclose(model.evaluate(x, y, verbose=0), expected, rtol=1e-5)


# ---- losses and metrics made of K


def focal(y_true: Any, y_pred: Any) -> Any:
    right = K.switch(K.equal(y_true, 1), y_pred, K.ones_like(y_pred))
    wrong = K.switch(K.equal(y_true, 0), y_pred, K.zeros_like(y_pred))
    return -K.sum(0.25 * K.pow(1.0 - right, 2.0) * K.log(K.clip(right, 1e-7, 1))) - K.sum(
        0.75 * K.pow(wrong, 2.0) * K.log(K.clip(1.0 - wrong, 1e-7, 1))
    )


def dice(y_true: Any, y_pred: Any) -> Any:
    a, b = K.flatten(y_true), K.flatten(y_pred)
    return 1 - (2.0 * K.sum(a * b) + 1) / (K.sum(a) + K.sum(b) + 1)


def triplet(y_true: Any, y_pred: Any) -> Any:
    anchor, positive, negative = y_pred[:, 0:2], y_pred[:, 2:4], y_pred[:, 4:6]
    near, far = K.sum(K.square(anchor - positive), axis=1), K.sum(K.square(anchor - negative), axis=1)
    return K.maximum(near - far + 0.2, 0.0)


def weighted(y_true: Any, y_pred: Any) -> Any:
    y_pred = y_pred / K.sum(y_pred, axis=-1, keepdims=True)
    return -K.sum(y_true * K.log(K.clip(y_pred, K.epsilon(), 1)) * K.variable(np.arange(1.0, 7.0)), -1)


def numpy_dice(y: Any, p: Any) -> Any:
    return 1 - (2 * (y * p).sum() + 1) / (y.sum() + p.sum() + 1)


def numpy_triplet(y: Any, p: Any) -> Any:
    near, far = ((p[:, :2] - p[:, 2:4]) ** 2).sum(1), ((p[:, :2] - p[:, 4:]) ** 2).sum(1)
    return np.maximum(near - far + 0.2, 0).mean()


def numpy_focal(y: Any, p: Any) -> Any:
    hit, miss = np.where(y == 1, p, 1), np.where(y == 0, p, 0)
    return -(0.25 * (1 - hit) ** 2 * np.log(hit)).sum() - (0.75 * miss**2 * np.log(1 - miss)).sum()


def numpy_weighted(y: Any, p: Any) -> Any:
    return -(y * np.log(p / p.sum(-1, keepdims=True)) * np.arange(1, 7)).sum(-1).mean()


LOSSES: list[tuple[Callable[..., Any], Callable[..., Any]]] = [
    (focal, numpy_focal), (dice, numpy_dice), (triplet, numpy_triplet), (weighted, numpy_weighted),
]  # fmt: skip


@pytest.mark.parametrize(("loss", "expected"), LOSSES, ids=lambda f: f.__name__)
def test_losses_made_of_backend_functions(loss: Any, expected: Any) -> None:
    model = Sequential([Dense(6, activation="sigmoid", input_shape=(6,))])
    model.compile("adam", loss, metrics=[loss])
    x, y = RNG.randn(8, 6).astype("float32"), (RNG.uniform(size=(8, 6)) > 0.5).astype("float32")
    value = model.evaluate(x, y, verbose=0)
    np.testing.assert_allclose(value, expected(y, model.predict(x).astype("float64")), rtol=1e-5)
    found = model.fit(x, y, epochs=5, verbose=0).history
    assert found["loss"][-1] < found["loss"][0]


def test_metric_with_state() -> None:
    class Samples(metrics.Metric):
        def __init__(self, name: str = "samples", **kwargs: Any) -> None:
            super().__init__(name=name, **kwargs)
            self.seen = self.add_weight(name="seen", initializer="zeros")

        def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
            self.seen.assign_add(K.sum(K.ones_like(y_pred)))

        def result(self) -> Any:
            return self.seen

        def reset_states(self) -> None:
            self.seen.assign(0.0)

    model = Sequential([Dense(1, input_dim=2)])
    model.compile("sgd", "mse", metrics=[Samples()])
    assert model.fit(np.ones((10, 2)), np.ones(10), 4, 2, verbose=0).history["samples"] == [10, 10]


# ---- layers of one's own


def test_layer_with_loss_update_and_metric() -> None:
    class Linear(Layer):
        def __init__(self, units: int = 4, **kwargs: Any) -> None:
            super().__init__(**kwargs)
            self.units = units

        def build(self, input_shape: Any) -> None:
            self.w = self.add_weight(name="w", shape=(input_shape[1], self.units), initializer="ones", trainable=True)
            self.total = self.add_weight(name="total", shape=(), initializer="zeros", trainable=False)
            super().build(input_shape)

        def call(self, inputs: Any) -> Any:
            self.add_loss(0.5 * K.sum(K.abs(self.w)))
            self.add_update(K.update_add(self.total, K.sum(inputs)), inputs)
            outputs = K.dot(inputs, self.w)
            self.add_metric(K.mean(outputs), name="mean_output", aggregation="mean")
            return outputs

        def compute_output_shape(self, input_shape: Any) -> Any:
            return (input_shape[0], self.units)

    model = Sequential([Linear(3, input_shape=(5,))])
    model.compile(optimizers.SGD(0.0), "mse")
    x, y = np.ones((20, 5)), np.full((20, 3), 5.0)
    history = model.fit(x, y, batch_size=5, epochs=2, verbose=0).history
    assert history == {"loss": [7.5, 7.5], "mean_output": [5, 5]}
    assert model.layers[0].get_weights()[1] == 200
    assert model.evaluate(x, y, verbose=0) == [7.5, 5]
    assert model.layers[0].get_weights()[1] == 200  # evaluating updates nothing


def test_center_loss() -> None:
    class Center(Layer):
        def build(self, input_shape: Any) -> None:
            self.centers = self.add_weight(name="centers", shape=(3, 2), initializer="uniform", trainable=False)
            super().build(input_shape)

        def call(self, inputs: Any, mask: Any = None) -> Any:
            features, labels = inputs
            change = K.dot(K.transpose(labels), K.dot(labels, self.centers) - features)
            change /= K.sum(K.transpose(labels), axis=1, keepdims=True) + 1
            self.add_update((self.centers, self.centers - 0.5 * change), inputs)
            return K.sum(K.square(features - K.dot(labels, self.centers)), axis=1, keepdims=True)

    data, labels = Input((2,)), Input((3,))
    layer = Center()
    model = Model([data, labels], layer([data, labels]))
    model.compile("sgd", lambda y_true, y_pred: K.sum(y_pred, axis=0))
    centers, x, y = layer.get_weights()[0], RNG.randn(9, 2), np.eye(3)[[0, 0, 1, 1, 1, 2, 0, 1, 0]]
    model.train_on_batch([x, y], np.zeros((9, 1)))
    expected = centers - 0.5 * (y.T @ (y @ centers - x)) / (y.sum(0)[:, None] + 1)
    np.testing.assert_allclose(layer.get_weights()[0], expected, rtol=1e-5, atol=1e-6)


def test_straight_through_estimator() -> None:
    model = Sequential([Lambda(lambda z: z + K.stop_gradient(K.round(z) - z), input_shape=(3,)), Dense(1)])
    gradient = K.function([model.input], K.gradients(model.output, model.input))([[[0.2, 0.7, 1.6]]])[0]
    np.testing.assert_allclose(gradient[0], model.get_weights()[0][:, 0], rtol=1e-6)
    expected = np.array([[0, 1, 2]]) @ model.get_weights()[0]
    np.testing.assert_allclose(model.predict(np.array([[0.2, 0.7, 1.6]])), expected, rtol=1e-5)


# ---- looking inside


def test_functions_of_intermediate_layers() -> None:
    model = Sequential([Dense(4, input_dim=3, activation="relu"), Dropout(0.5), Dense(2)])
    x = RNG.randn(50, 3)
    both = K.function([model.layers[0].input, K.learning_phase()], [model.layers[1].output])
    assert (both([x, 0])[0] != both([x, 1])[0]).any()
    every = K.function([model.input], [layer.output for layer in model.layers])([x])  # no phase: inference
    np.testing.assert_array_equal(every[0], every[1])
    np.testing.assert_allclose(every[2], model.predict(x), rtol=1e-5)
    shapes = [y.shape for y in Model(model.input, [layer.output for layer in model.layers]).predict(x)]
    assert shapes == [(50, 4), (50, 4), (50, 2)]
    tail_input = Input((4,))
    tail = Model(tail_input, model.layers[-1](tail_input))
    np.testing.assert_allclose(tail.predict(every[1]), every[2], rtol=1e-5)


def test_saliency_and_class_activation() -> None:
    model = Sequential([Conv2D(4, 3, activation="relu", input_shape=(10, 10, 1), name="last")])
    model.add(GlobalAveragePooling2D())
    model.add(Dense(3, name="scores"))
    image = RNG.randn(1, 10, 10, 1)
    convolution = model.get_layer("last").output
    gradient = K.gradients(model.output[:, 1], convolution)[0]
    assert K.int_shape(gradient) == (None, 8, 8, 4)
    pooled, maps = K.function([model.input], [K.mean(gradient, axis=(0, 1, 2)), convolution[0]])([image])
    np.testing.assert_allclose(pooled, model.get_layer("scores").get_weights()[0][:, 1] / 64, rtol=1e-5)
    assert maps.shape == (8, 8, 4)


def test_deep_dream_and_style_transfer() -> None:
    image = Input((None, None, 3))
    first = Conv2D(4, 3, activation="relu", name="first")(image)
    model = Model(image, Conv2D(6, 3, activation="relu", name="second")(MaxPooling2D()(first)))
    loss = K.variable(0.0)
    for name, factor in {"first": 0.5, "second": 1.5}.items():
        output = model.get_layer(name).output
        scaling = K.prod(K.cast(K.shape(output), "float32"))
        loss = loss + factor * K.sum(K.square(output[:, 2:-2, 2:-2, :])) / scaling
    gradient = K.gradients(loss, image)[0]
    gradient /= K.maximum(K.mean(K.abs(gradient)), 1e-7)
    climb = K.function([image], [loss, gradient])
    x = RNG.uniform(size=(1, 16, 18, 3)).astype("float32")
    before, direction = climb([x])
    assert climb([x + 0.01 * direction])[0] > before

    style, mixture = K.variable(RNG.uniform(size=(1, 9, 8, 3))), K.placeholder((1, 9, 8, 3))
    together = Input(tensor=K.concatenate([style, mixture], axis=0))
    found = model(together)

    def gram(features: Any) -> Any:
        rows = K.batch_flatten(K.permute_dimensions(features, (2, 0, 1)))
        return K.dot(rows, K.transpose(rows))

    difference = K.sum(K.square(gram(found[0, :, :, :]) - gram(found[1, :, :, :])))
    transfer = K.function([mixture], [difference, *K.gradients(difference, mixture)])
    x = RNG.uniform(size=(1, 9, 8, 3)).astype("float32")
    value, slope = transfer([x])
    assert 0 < transfer([x - 1e-3 * slope / np.abs(slope).max()])[0] < value
    assert transfer([style.numpy()])[0] == 0


@pytest.mark.parametrize("keras_1", [False, True])
def test_policy_gradient(keras_1: bool) -> None:
    model = Sequential([Dense(2, input_dim=4, activation="softmax", use_bias=False)])
    actions, rewards = K.placeholder(shape=(None, 2)), K.placeholder(shape=(None,))
    loss = K.mean(-K.log(K.sum(model.output * actions, axis=1)) * rewards)
    optimizer, weights = optimizers.SGD(lr=0.1), model.trainable_weights
    updates = optimizer.get_updates(weights, [], loss) if keras_1 else optimizer.get_updates(params=weights, loss=loss)
    train = K.function(inputs=[model.input, actions, rewards], outputs=[], updates=updates)
    states, taken, kernel = RNG.randn(5, 4), np.eye(2)[[0, 1, 0, 1, 1]], model.get_weights()[0]
    reward = RNG.uniform(0, 1, 5)
    chances = model.predict(states)
    train([states, taken, reward])
    expected = kernel - 0.1 * states.T @ ((chances - taken) * reward[:, None]) / 5
    np.testing.assert_allclose(model.get_weights()[0], expected, rtol=1e-4, atol=1e-6)
    assert (model.predict(states) != chances).any()


def test_gradients_of_a_compiled_model() -> None:
    model = Sequential([Dense(1, input_dim=3, use_bias=False)])
    model.compile("sgd", "mse")
    gradients = model.optimizer.get_gradients(model.total_loss, model.trainable_weights)
    feeds = [model.inputs[0], model.targets[0], model.sample_weights[0], K.learning_phase()]
    x, y, weights, kernel = RNG.randn(5, 3), RNG.randn(5, 1), RNG.uniform(size=5), model.get_weights()[0]
    found = K.function(feeds, gradients)([x, y, weights, 0])[0]
    np.testing.assert_allclose(found, 2 * x.T @ ((x @ kernel - y) * weights[:, None]) / 5, rtol=1e-4)
