"""Models with steps of their own, as Keras' guides write them: fixed data, fixed initial weights, no randomness.

Each case is a function of the Keras module (``keras``), its backend functions (``K``), the class of gradient tapes and
the module with the Keras 2 optimizers. Noise comes with the data.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.golden import data

SAMPLES = 22  # with batches of 8 the last one is short
EPOCHS = 3
BATCH_SIZE = 8


@dataclass
class Steps:
    """A compiled model, the models in it whose weights count, and what ``fit`` and ``evaluate`` get."""

    model: Any
    parts: list[Any]
    x: Any
    y: Any = None
    fit: dict[str, Any] = field(default_factory=dict)
    evaluate: bool = False


def numbers(case: str, *shape: int, name: str = "x") -> Any:
    return data.normal((SAMPLES, *shape), case, name)


def simple(keras: Any, K: Any, tape_class: Any, optimizers: Any) -> Steps:
    """The guide's first train_step, with sample weights, a penalty, batch normalization; test_step in validation."""

    class Simple(keras.Model):
        def train_step(self, data):
            x, y, sample_weight = data if len(data) == 3 else (*data, None)
            with tape_class() as tape:
                y_pred = self(x, training=True)
                loss = self.compiled_loss(y, y_pred, sample_weight=sample_weight, regularization_losses=self.losses)
            gradients = tape.gradient(loss, self.trainable_variables)
            self.optimizer.apply_gradients(zip(gradients, self.trainable_variables, strict=True))
            self.compiled_metrics.update_state(y, y_pred, sample_weight=sample_weight)
            return {m.name: m.result() for m in self.metrics}

        def test_step(self, data):
            x, y = data
            y_pred = self(x, training=False)
            self.compiled_loss(y, y_pred, regularization_losses=self.losses)
            self.compiled_metrics.update_state(y, y_pred)
            return {m.name: m.result() for m in self.metrics}

    inputs = keras.Input((6,))
    x = keras.layers.Dense(5, activation="tanh", kernel_regularizer=keras.regularizers.l2(0.01), name="hidden")(inputs)
    x = keras.layers.BatchNormalization(momentum=0.8, name="normalization")(x)
    model = Simple(inputs, keras.layers.Dense(1, name="out")(x))
    model.compile(optimizers.Adam(0.02), "mse", weighted_metrics=["mae"])
    x, y = numbers("simple", 6), numbers("simple", 1, name="y")
    weights = data.positive((SAMPLES,), "simple", "weights")
    return Steps(model, [model], x, y, {"sample_weight": weights, "validation_data": (x[:9], y[:9])}, evaluate=True)


def lower_level(keras: Any, K: Any, tape_class: Any, optimizers: Any) -> Steps:
    """Own metrics, a loss per sample (whose gradients add up), no loss in compile."""

    class LowerLevel(keras.Model):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            self.loss_tracker = keras.metrics.Mean(name="loss")
            self.mae_metric = keras.metrics.MeanAbsoluteError(name="mae")

        def train_step(self, data):
            x, y = data
            with tape_class() as tape:
                y_pred = self(x, training=True)
                loss = keras.losses.mean_squared_error(y, y_pred)
            gradients = tape.gradient(loss, self.trainable_variables)
            self.optimizer.apply_gradients(zip(gradients, self.trainable_variables, strict=True))
            self.loss_tracker.update_state(loss)
            self.mae_metric.update_state(y, y_pred)
            return {"loss": self.loss_tracker.result(), "mae": self.mae_metric.result(), "last": K.mean(loss)}

        @property
        def metrics(self):
            return [self.loss_tracker, self.mae_metric]

    inputs = keras.Input((4,))
    model = LowerLevel(inputs, keras.layers.Dense(2, name="out")(inputs))
    model.compile(optimizer=optimizers.SGD(0.01, momentum=0.9))
    return Steps(model, [model.layers[-1]], numbers("lower", 4), numbers("lower", 2, name="y"))


def gan(keras: Any, K: Any, tape_class: Any, optimizers: Any) -> Steps:
    """Two optimizers: the generator is trained through the discriminator as it is after its own update."""
    layers = keras.layers

    class GAN(keras.Model):
        def __init__(self, discriminator, generator):
            super().__init__()
            self.discriminator, self.generator = discriminator, generator
            self.d_loss_tracker = keras.metrics.Mean(name="d_loss")

        def compile(self, d_optimizer, g_optimizer, loss_fn):
            super().compile()
            self.d_optimizer, self.g_optimizer, self.loss_fn = d_optimizer, g_optimizer, loss_fn

        def train_step(self, data):
            real, noise = data[0]
            ones = K.ones_like(real[:, 0, 0])
            combined = K.concatenate([self.generator(noise), real], axis=0)
            labels = K.concatenate([ones, 0.0 * ones], axis=0)
            with tape_class() as tape:
                d_loss = self.loss_fn(labels, self.discriminator(combined))
            weights = self.discriminator.trainable_weights
            self.d_optimizer.apply_gradients(zip(tape.gradient(d_loss, weights), weights, strict=True))
            with tape_class() as tape:
                g_loss = self.loss_fn(0.0 * ones, self.discriminator(self.generator(noise, training=True)))
            weights = self.generator.trainable_weights
            self.g_optimizer.apply_gradients(zip(tape.gradient(g_loss, weights), weights, strict=True))
            self.d_loss_tracker.update_state(d_loss)
            return {"d_loss": self.d_loss_tracker.result(), "g_loss": g_loss}

    discriminator = keras.Sequential(
        [
            layers.Conv2D(3, 3, strides=2, padding="same", input_shape=(8, 8, 1), name="d_conv"),
            layers.LeakyReLU(0.2, name="d_leaky"),
            layers.GlobalMaxPooling2D(name="d_pool"),
            layers.Dense(1, name="d_out"),
        ]
    )
    generator = keras.Sequential(
        [
            layers.Dense(4 * 4 * 2, input_shape=(5,), name="g_dense"),
            layers.Reshape((4, 4, 2), name="g_reshape"),
            layers.Conv2DTranspose(3, 4, strides=2, padding="same", use_bias=False, name="g_up"),
            layers.BatchNormalization(momentum=0.5, name="g_normalization"),
            layers.LeakyReLU(0.2, name="g_leaky"),
            layers.Conv2D(1, 3, padding="same", activation="sigmoid", name="g_out"),
        ]
    )
    model = GAN(discriminator, generator)
    loss = keras.losses.BinaryCrossentropy(from_logits=True)
    model.compile(optimizers.Adam(0.01), optimizers.RMSprop(0.01), loss)
    return Steps(model, [discriminator, generator], (numbers("gan", 8, 8, 1), numbers("gan", 5, name="noise")))


def vae(keras: Any, K: Any, tape_class: Any, optimizers: Any) -> Steps:
    """A variational autoencoder: sampling layer, sub-models as attributes, minimize with a tape; noise as data."""
    layers = keras.layers

    class Sampling(layers.Layer):
        def call(self, inputs):
            mean, log_var, noise = inputs
            return mean + K.exp(0.5 * log_var) * noise

    class VAE(keras.Model):
        def __init__(self, encoder, decoder):
            super().__init__()
            self.encoder, self.decoder = encoder, decoder
            names = ("loss", "reconstruction_loss", "kl_loss")
            self.trackers = [keras.metrics.Mean(name=name) for name in names]

        @property
        def metrics(self):
            return self.trackers

        def losses_of(self, data):
            x, noise = data[0]
            mean, log_var, z = self.encoder([x, noise])
            reconstruction = self.decoder(z)
            first = K.mean(K.sum(keras.losses.binary_crossentropy(x[..., None], reconstruction[..., None]), axis=1))
            second = K.mean(K.sum(-0.5 * (1 + log_var - K.square(mean) - K.exp(log_var)), axis=1))
            return first + second, first, second

        def logs_of(self, losses):
            for tracker, loss in zip(self.trackers, losses, strict=True):
                tracker.update_state(loss)
            return {tracker.name: tracker.result() for tracker in self.trackers}

        def train_step(self, data):
            with tape_class() as tape:
                losses = self.losses_of(data)
            weights = self.trainable_weights
            self.optimizer.minimize(losses[0], weights, tape=tape)
            return self.logs_of(losses)

        def test_step(self, data):
            return self.logs_of(self.losses_of(data))

    inputs, noise = keras.Input((6,)), keras.Input((2,))
    x = layers.Dense(5, activation="relu", name="e_hidden")(inputs)
    mean, log_var = layers.Dense(2, name="e_mean")(x), layers.Dense(2, name="e_log_var")(x)
    encoder = keras.Model([inputs, noise], [mean, log_var, Sampling(name="sampling")([mean, log_var, noise])])
    decoder = keras.Sequential(
        [
            layers.Dense(4, activation="relu", input_shape=(2,), name="d_hidden"),
            layers.Dense(6, activation="sigmoid", name="d_out"),
        ]
    )
    model = VAE(encoder, decoder)
    model.compile(optimizer=optimizers.Adam(0.01))
    x = data.positive((SAMPLES, 6), "vae", "x") - 0.5
    return Steps(model, [encoder, decoder], (x, numbers("vae", 2, name="noise")), evaluate=True)


def distillation(keras: Any, K: Any, tape_class: Any, optimizers: Any) -> Steps:
    """A student learns from labels and from a teacher that stays as it is; class weights."""
    layers = keras.layers

    class Distiller(keras.Model):
        def __init__(self, student, teacher):
            super().__init__()
            self.student, self.teacher = student, teacher

        def compile(self, optimizer, metrics, student_loss_fn, distillation_loss_fn, alpha, temperature):
            super().compile(optimizer=optimizer, metrics=metrics)
            self.student_loss_fn, self.distillation_loss_fn = student_loss_fn, distillation_loss_fn
            self.alpha, self.temperature = alpha, temperature

        def train_step(self, data):
            x, y, sample_weight = data
            teacher = self.teacher(x, training=False)
            with tape_class() as tape:
                student = self.student(x, training=True)
                student_loss = self.student_loss_fn(y, student, sample_weight)
                distillation_loss = self.distillation_loss_fn(
                    K.softmax(teacher / self.temperature), K.softmax(student / self.temperature)
                ) * (self.temperature**2)
                loss = self.alpha * student_loss + (1 - self.alpha) * distillation_loss
            weights = self.student.trainable_variables
            self.optimizer.apply_gradients(zip(tape.gradient(loss, weights), weights, strict=True))
            self.compiled_metrics.update_state(y, student)
            results = {m.name: m.result() for m in self.metrics}
            results.update({"student_loss": student_loss, "distillation_loss": distillation_loss})
            return results

        def test_step(self, data):
            x, y = data
            student = self.student(x, training=False)
            self.compiled_metrics.update_state(y, student)
            return {**{m.name: m.result() for m in self.metrics}, "student_loss": self.student_loss_fn(y, student)}

        def call(self, inputs):
            return self.student(inputs)

    student = keras.Sequential([layers.Dense(3, input_shape=(6,), name="s_out")])
    teacher = keras.Sequential(
        [
            layers.Dense(8, activation="relu", input_shape=(6,), name="t_hidden"),
            layers.Dense(3, name="t_out"),
        ]
    )
    model = Distiller(student, teacher)
    losses = keras.losses
    model.compile(
        optimizers.Adam(0.05), [keras.metrics.SparseCategoricalAccuracy()],
        losses.SparseCategoricalCrossentropy(from_logits=True), losses.KLDivergence(), alpha=0.1, temperature=3,
    )  # fmt: skip
    y = data.integers((SAMPLES,), 3, "distillation", "y")
    classes = {"class_weight": {0: 1.0, 1: 2.0, 2: 0.5}}
    return Steps(model, [student, teacher], numbers("distillation", 6), y, classes, evaluate=True)


def triplets(keras: Any, K: Any, tape_class: Any, optimizers: Any) -> Steps:
    """A siamese network: call takes three inputs, the loss comes from distances."""
    layers = keras.layers

    class Siamese(keras.Model):
        def __init__(self, embedding, margin):
            super().__init__()
            self.embedding, self.margin = embedding, margin
            self.loss_tracker = keras.metrics.Mean(name="loss")

        def call(self, inputs):
            anchor, positive, negative = (self.embedding(x) for x in inputs)
            return K.sum(K.square(anchor - positive), -1), K.sum(K.square(anchor - negative), -1)

        def train_step(self, data):
            with tape_class() as tape:
                loss = self.triplet_loss(data)
            weights = self.embedding.trainable_weights
            self.optimizer.apply_gradients(zip(tape.gradient(loss, weights), weights, strict=True))
            self.loss_tracker.update_state(loss)
            return {"loss": self.loss_tracker.result()}

        def test_step(self, data):
            self.loss_tracker.update_state(self.triplet_loss(data))
            return {"loss": self.loss_tracker.result()}

        def triplet_loss(self, data):
            near, far = self(data[0])
            return K.maximum(near - far + self.margin, 0.0)

        @property
        def metrics(self):
            return [self.loss_tracker]

    embedding = keras.Sequential([layers.Dense(4, activation="tanh", input_shape=(5,), name="embedding")])
    model = Siamese(embedding, 0.5)
    model.compile(optimizer=optimizers.Adam(0.02))
    x = tuple(numbers("triplets", 5, name=name) for name in ("anchor", "positive", "negative"))
    return Steps(model, [embedding], x, evaluate=True)


def gradient_penalty(keras: Any, K: Any, tape_class: Any, optimizers: Any) -> Steps:
    """WGAN-GP: two steps of the critic per batch, whose loss holds a gradient (a tape inside a tape)."""
    layers = keras.layers

    class Critic(keras.Model):
        def __init__(self, critic):
            super().__init__()
            self.critic = critic

        def penalty(self, real, fake, mix):
            between = real + mix * (fake - real)
            with tape_class() as inner:
                inner.watch(between)
                score = self.critic(between, training=True)
            slope = inner.gradient(score, [between])[0]
            return K.mean(K.square(K.sqrt(K.sum(K.square(slope), axis=1)) - 1.0))

        def train_step(self, data):
            real, fake, mix = data[0]
            for _ in range(2):
                with tape_class() as tape:
                    cost = K.mean(self.critic(fake, training=True)) - K.mean(self.critic(real, training=True))
                    penalty = self.penalty(real, fake, mix)
                    loss = cost + 10.0 * penalty
                weights = self.critic.trainable_variables
                self.optimizer.apply_gradients(zip(tape.gradient(loss, weights), weights, strict=True))
            return {"cost": cost, "penalty": penalty}

    critic = keras.Sequential(
        [
            layers.Dense(5, activation="tanh", input_shape=(4,), name="c_hidden"),
            layers.Dense(1, name="c_out"),
        ]
    )
    model = Critic(critic)
    model.compile(optimizer=optimizers.Adam(0.02, beta_1=0.5))
    mix = data.positive((SAMPLES, 1), "penalty", "mix") - 0.5
    return Steps(model, [critic], (numbers("penalty", 4), numbers("penalty", 4, name="fake"), mix))


def accumulation(keras: Any, K: Any, tape_class: Any, optimizers: Any) -> Steps:
    """Gradients are added up over two batches, in variables, and then applied: a branch that assigns."""

    class Accumulating(keras.Model):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            self.count = K.variable(0.0, name="count")
            self.sums = [K.variable(0.0 * w, name=f"sum_{i}") for i, w in enumerate(self.layers[-1].get_weights())]

        def train_step(self, data):
            x, y = data
            self.count.assign_add(1.0)
            with tape_class() as tape:
                loss = self.compiled_loss(y, self(x, training=True))
            gradients = tape.gradient(loss, self.layers[-1].trainable_variables)
            for total, gradient in zip(self.sums, gradients, strict=True):
                total.assign_add(gradient)
            K.switch(K.equal(self.count, 2.0), self.apply_sums, lambda: K.constant(0.0))
            return {"loss": loss, "count": self.count.read_value()}

        def apply_sums(self):
            self.optimizer.apply_gradients(zip(self.sums, self.layers[-1].trainable_variables, strict=True))
            for total in self.sums:
                total.assign(total * 0.0)
            self.count.assign(0.0)
            return K.constant(0.0)

    inputs = keras.Input((4,))
    model = Accumulating(inputs, keras.layers.Dense(2, name="out")(inputs))
    model.compile(optimizers.SGD(0.1, momentum=0.5), "mse")
    return Steps(model, [model.layers[-1]], numbers("accumulation", 4), numbers("accumulation", 2, name="y"))


def own_loss(keras: Any, K: Any, tape_class: Any, optimizers: Any) -> Steps:
    """compute_loss and compute_metrics in the default steps; two outputs; a layer that adds a loss."""
    layers = keras.layers

    class Penalty(layers.Layer):
        def call(self, inputs):
            self.add_loss(0.1 * K.mean(K.square(inputs)))
            return inputs

    class OwnLoss(keras.Model):
        def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None):
            return super().compute_loss(x, y, y_pred, sample_weight) + K.mean(K.abs(y_pred[0] - x[:, :1]))

        def compute_metrics(self, x, y, y_pred, sample_weight):
            return {**super().compute_metrics(x, y, y_pred, sample_weight), "size": K.mean(K.square(y_pred[1]))}

    inputs = keras.Input((4,))
    hidden = Penalty(name="penalty")(layers.Dense(3, activation="tanh", name="hidden")(inputs))
    outputs = [layers.Dense(1, name="a")(hidden), layers.Dense(2, name="b")(hidden)]
    model = OwnLoss(inputs, outputs)
    model.compile(optimizers.SGD(0.05), ["mse", "mae"], loss_weights=[1.0, 0.5], metrics={"a": ["mae"]})
    y = [numbers("own_loss", 1, name="a"), numbers("own_loss", 2, name="b")]
    return Steps(model, [model], numbers("own_loss", 4), y, evaluate=True)


Case = Callable[[Any, Any, Any, Any], Steps]

CASES: dict[str, Case] = {
    function.__name__: function
    for function in (
        simple, lower_level, gan, vae, distillation, triplets, gradient_penalty, accumulation, own_loss,
    )
}  # fmt: skip
