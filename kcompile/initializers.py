"""Initial values of weights.

An initializer is called as ``initializer(shape, dtype=None)`` and returns an array. The numbers have the
distributions of Keras 2.3.1 but are not its very draws: without ``seed`` they come from NumPy's global
generator, so that ``np.random.seed`` makes a program reproducible; with ``seed`` from a generator of their
own, whose later calls go on where the earlier ones stopped (two layers that share an initializer get
different weights). Any other callable of the same signature serves too, and may return a tensor made with
``K``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kcompile.common import config as settings
from kcompile.common.absent_names import absent
from kcompile.common.checks import check_int, check_number, check_one_of
from kcompile.common.errors import ShapeError
from kcompile.objects.lookup import Config, Identifier, deserialized, lookup
from kcompile.objects.making import names_of, serialize_keras_object
from kcompile.objects.registry import register

Array = NDArray[Any]
Shape = Sequence[int]


class Initializer:
    """Base class. Subclasses define ``__call__(shape, dtype=None)`` and ``get_config()``."""

    def __call__(self, shape: Shape, dtype: str | None = None) -> Any:
        raise NotImplementedError(f"{type(self).__name__} does not define __call__(shape, dtype=None)")

    def get_config(self) -> dict[str, Any]:
        """The arguments from which :meth:`from_config` makes the same initializer."""
        return {}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Any:
        """A new initializer from :meth:`get_config`, or from what TensorFlow's Keras wrote (with a dtype)."""
        return cls(**{key: item for key, item in config.items() if key != "dtype"})


def _array(values: Any, dtype: str | None) -> Array:
    return np.asarray(values, dtype=dtype or settings.floatx())


# ---- fixed values


class Zeros(Initializer):
    """All zeros."""

    def __call__(self, shape: Shape, dtype: str | None = None) -> Array:
        return _array(np.zeros(tuple(shape)), dtype)


class Ones(Initializer):
    """All ones."""

    def __call__(self, shape: Shape, dtype: str | None = None) -> Array:
        return _array(np.ones(tuple(shape)), dtype)


class Constant(Initializer):
    """Every element is ``value``: a number, or an array that broadcasts to the shape."""

    def __init__(self, value: Any = 0) -> None:
        self.value = value

    def __call__(self, shape: Shape, dtype: str | None = None) -> Array:
        try:
            return _array(np.broadcast_to(np.asarray(self.value), tuple(shape)), dtype).copy()
        except ValueError:
            raise ShapeError(
                f"Constant holds an array of shape {np.shape(self.value)}, which does not fit {tuple(shape)}"
            ) from None

    def get_config(self) -> dict[str, Any]:
        array = isinstance(self.value, (np.ndarray, np.generic))
        return {"value": self.value.tolist() if array else self.value}


class Identity(Initializer):
    """``gain`` on the diagonal, zeros elsewhere; for shapes with two axes.

    Raises:
        ValueError: when called with a shape of another rank.
    """

    def __init__(self, gain: float = 1.0) -> None:
        self.gain = check_number("Identity", "gain", gain)

    def __call__(self, shape: Shape, dtype: str | None = None) -> Array:
        if len(shape) != 2:
            raise ShapeError(f"Identity initializes matrices, whose shape has 2 sizes; got {tuple(shape)}")
        return _array(self.gain * np.eye(shape[0], shape[1]), dtype)

    def get_config(self) -> dict[str, Any]:
        return {"gain": self.gain}


# ---- random values


class _Random(Initializer):
    """Draws from a generator of its own if it has a seed."""

    seed: int | None
    _generator: np.random.Generator | None

    def _set_seed(self, seed: Any) -> None:
        if isinstance(seed, Mapping):  # Keras 3 writes a SeedGenerator
            seed = seed.get("config", {}).get("seed")
        self.seed = None if seed is None else check_int(type(self).__name__, "seed", seed)
        self._generator = None if self.seed is None else np.random.default_rng(self.seed % 2**64)

    def _normal(self, mean: float, stddev: float, shape: Shape) -> Array:
        draw = self._generator.normal if self._generator else np.random.normal
        return draw(mean, stddev, tuple(shape))

    def _uniform(self, low: float, high: float, shape: Shape) -> Array:
        draw = self._generator.uniform if self._generator else np.random.uniform
        return draw(low, high, tuple(shape))

    def _truncated_normal(self, mean: float, stddev: float, shape: Shape) -> Array:
        """What lies more than two standard deviations from the mean is drawn again."""
        x = np.asarray(self._normal(0.0, 1.0, shape))
        while (outside := np.abs(x) > 2).any():
            x[outside] = self._normal(0.0, 1.0, (int(outside.sum()),))
        return x * stddev + mean


class RandomNormal(_Random):
    """Normal numbers."""

    def __init__(self, mean: float = 0.0, stddev: float = 0.05, seed: int | None = None) -> None:
        self.mean = check_number(type(self).__name__, "mean", mean)
        self.stddev = check_number(type(self).__name__, "stddev", stddev, minimum=0)
        self._set_seed(seed)

    def __call__(self, shape: Shape, dtype: str | None = None) -> Array:
        return _array(self._normal(self.mean, self.stddev, shape), dtype)

    def get_config(self) -> dict[str, Any]:
        return {"mean": self.mean, "stddev": self.stddev, "seed": self.seed}


class TruncatedNormal(RandomNormal):
    """Normal numbers; what lies more than two standard deviations from the mean is drawn again."""

    def __call__(self, shape: Shape, dtype: str | None = None) -> Array:
        return _array(self._truncated_normal(self.mean, self.stddev, shape), dtype)


class RandomUniform(_Random):
    """Uniform numbers in [minval, maxval)."""

    def __init__(self, minval: float = -0.05, maxval: float = 0.05, seed: int | None = None) -> None:
        self.minval = check_number("RandomUniform", "minval", minval)
        self.maxval = check_number("RandomUniform", "maxval", maxval, minimum=self.minval)
        self._set_seed(seed)

    def __call__(self, shape: Shape, dtype: str | None = None) -> Array:
        return _array(self._uniform(self.minval, self.maxval, shape), dtype)

    def get_config(self) -> dict[str, Any]:
        return {"minval": self.minval, "maxval": self.maxval, "seed": self.seed}


_TRUNCATED_DEVIATION = 0.87962566103423978
"""The standard deviation of a standard normal distribution cut off at two."""


class VarianceScaling(_Random):
    """Random numbers of variance ``scale / n``, where n counts the connections of a unit.

    Args:
        scale: above 0.
        mode: n is the number of inputs (``fan_in``), of outputs (``fan_out``) or their mean (``fan_avg``).
        distribution: ``normal`` (Keras 3: ``truncated_normal``) is cut off at two standard deviations and
            its variance corrected for that; or ``untruncated_normal``, ``uniform``.
        seed: see the module.
    """

    def __init__(
        self, scale: float = 1.0, mode: str = "fan_in", distribution: str = "normal", seed: int | None = None
    ) -> None:
        owner = "VarianceScaling"
        self.scale = check_number(owner, "scale", scale, above=0)
        self.mode = check_one_of(owner, "mode", str(mode).lower(), ("fan_in", "fan_out", "fan_avg"))
        known = ("normal", "uniform", "truncated_normal", "untruncated_normal")
        self.distribution = check_one_of(owner, "distribution", str(distribution).lower(), known)
        self._set_seed(seed)

    def __call__(self, shape: Shape, dtype: str | None = None) -> Array:
        fan_in, fan_out = compute_fans(shape)
        n = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2}[self.mode]
        variance = self.scale / max(1.0, n)
        if self.distribution == "uniform":
            limit = math.sqrt(3 * variance)
            return _array(self._uniform(-limit, limit, shape), dtype)
        if self.distribution == "untruncated_normal":
            return _array(self._normal(0.0, math.sqrt(variance), shape), dtype)
        return _array(self._truncated_normal(0.0, math.sqrt(variance) / _TRUNCATED_DEVIATION, shape), dtype)

    def get_config(self) -> dict[str, Any]:
        return {"scale": self.scale, "mode": self.mode, "distribution": self.distribution, "seed": self.seed}


def compute_fans(shape: Shape) -> tuple[float, float]:
    """The inputs and outputs of a unit, for matrices (in, out) and for kernels (space..., in, out)."""
    if len(shape) == 2:
        return float(shape[0]), float(shape[1])
    if len(shape) in (3, 4, 5):
        field = math.prod(shape[:-2])
        return float(shape[-2] * field), float(shape[-1] * field)
    both = math.sqrt(math.prod(shape))
    return both, both


class Orthogonal(_Random):
    """A random matrix with orthonormal rows or columns, times ``gain``.

    Shapes with more than two axes are filled as matrices whose columns are the last axis. Source: Saxe,
    McClelland, Ganguli, "Exact solutions to the nonlinear dynamics of learning..." (2014).
    """

    def __init__(self, gain: float = 1.0, seed: int | None = None) -> None:
        self.gain = check_number("Orthogonal", "gain", gain)
        self._set_seed(seed)

    def __call__(self, shape: Shape, dtype: str | None = None) -> Array:
        if not shape:
            raise ShapeError("Orthogonal initializes arrays with at least one axis, got the shape ()")
        rows, columns = math.prod(shape[:-1]), shape[-1]
        left, _, right = np.linalg.svd(self._normal(0.0, 1.0, (rows, columns)), full_matrices=False)
        chosen = left if left.shape == (rows, columns) else right
        return _array(self.gain * chosen.reshape(tuple(shape)), dtype)

    def get_config(self) -> dict[str, Any]:
        return {"gain": self.gain, "seed": self.seed}


# ---- named variance scalings


class _NamedScaling(VarianceScaling):
    _arguments: tuple[float, str, str]

    def __init__(self, seed: int | None = None) -> None:
        super().__init__(*self._arguments, seed=seed)

    def get_config(self) -> dict[str, Any]:
        return {"seed": self.seed}


class GlorotUniform(_NamedScaling):
    """Uniform in ±sqrt(6 / (fan_in + fan_out)); Glorot and Bengio (2010)."""

    _arguments = (1.0, "fan_avg", "uniform")


class GlorotNormal(_NamedScaling):
    """Truncated normal with variance 2 / (fan_in + fan_out); Glorot and Bengio (2010)."""

    _arguments = (1.0, "fan_avg", "normal")


class HeUniform(_NamedScaling):
    """Uniform in ±sqrt(6 / fan_in); He et al. (2015)."""

    _arguments = (2.0, "fan_in", "uniform")


class HeNormal(_NamedScaling):
    """Truncated normal with variance 2 / fan_in; He et al. (2015)."""

    _arguments = (2.0, "fan_in", "normal")


class LecunUniform(_NamedScaling):
    """Uniform in ±sqrt(3 / fan_in); LeCun et al., "Efficient BackProp" (1998)."""

    _arguments = (1.0, "fan_in", "uniform")


class LecunNormal(_NamedScaling):
    """Truncated normal with variance 1 / fan_in; Klambauer et al. (2017)."""

    _arguments = (1.0, "fan_in", "normal")


def _scaling(named: type[_NamedScaling], seed: int | None) -> VarianceScaling:
    """As in Keras 2.3.1, the functions give a plain VarianceScaling, which every Keras can read."""
    return VarianceScaling(*named._arguments, seed=seed)


def glorot_uniform(seed: int | None = None) -> VarianceScaling:
    """See :class:`GlorotUniform`."""
    return _scaling(GlorotUniform, seed)


def glorot_normal(seed: int | None = None) -> VarianceScaling:
    """See :class:`GlorotNormal`."""
    return _scaling(GlorotNormal, seed)


def he_uniform(seed: int | None = None) -> VarianceScaling:
    """See :class:`HeUniform`."""
    return _scaling(HeUniform, seed)


def he_normal(seed: int | None = None) -> VarianceScaling:
    """See :class:`HeNormal`."""
    return _scaling(HeNormal, seed)


def lecun_uniform(seed: int | None = None) -> VarianceScaling:
    """See :class:`LecunUniform`."""
    return _scaling(LecunUniform, seed)


def lecun_normal(seed: int | None = None) -> VarianceScaling:
    """See :class:`LecunNormal`."""
    return _scaling(LecunNormal, seed)


def makes_integers(initializer: Any) -> bool:
    """Whether an initializer is of use for integers: one of ours that draws fractions is not."""
    if isinstance(initializer, RandomUniform):
        return float(initializer.minval).is_integer() and float(initializer.maxval).is_integer()
    return not hasattr(initializer, "seed")


# ---- names

zero = zeros = Zeros
one = ones = Ones
constant = Constant
uniform = random_uniform = RandomUniform
normal = random_normal = RandomNormal
truncated_normal = TruncatedNormal
identity = IdentityInitializer = Identity
orthogonal = OrthogonalInitializer = Orthogonal

_SCALINGS = (glorot_uniform, glorot_normal, he_uniform, he_normal, lecun_uniform, lecun_normal)
register("initializer", {**names_of(globals(), Initializer), **{item.__name__: item for item in _SCALINGS}})


def serialize(initializer: Any) -> Any:
    """The configuration of an initializer: ``{"class_name": ..., "config": ...}``, or a function's name."""
    return serialize_keras_object(initializer)


def deserialize(config: Config, custom_objects: Mapping[str, Any] | None = None) -> Any:
    """The initializer that a name or a configuration describes.

    Raises:
        ValueError: unknown.
    """
    found = deserialized(config, "initializer", custom_objects)
    return found() if found in _SCALINGS else found


def get(identifier: Identifier) -> Any:
    """An initializer from a name, a configuration, a class or a callable; ``None`` stays ``None``.

    Raises:
        ValueError: an unknown name. TypeError: something else.
    """
    found = lookup(identifier, "initializer")
    return found() if found in _SCALINGS else found


__getattr__ = absent(__name__)
