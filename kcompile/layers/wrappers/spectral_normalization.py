"""SpectralNormalization: a layer whose kernel is kept at norm 1."""

from __future__ import annotations

from typing import Any

from kcompile import backend as K
from kcompile.common.checks import check_int
from kcompile.common.errors import KCompileError, ShapeError
from kcompile.engine.layer import Layer
from kcompile.engine.layer_calls import call_arguments
from kcompile.layers.base.types import Masks, Phase, Shapes
from kcompile.layers.wrappers.wrapper import Wrapper, calls_inside
from kcompile.symbolic.tensor import Tensor
from kcompile.symbolic.variable import Variable

__all__ = ["SpectralNormalization"]

_KERNELS = ("kernel", "embeddings", "depthwise_kernel")


class SpectralNormalization(Wrapper):
    """Divides the kernel of a layer by its largest singular value in each training step; Miyato et al. (2018).

    A step first estimates that value by power iteration, from the weight ``vector_u``, and divides the kernel, which
    stays so; then it computes and trains with the result. Inference uses the kernel as the last step left it. While the
    layer is frozen, steps leave both as they are.

    Args:
        layer: what has a kernel (or embeddings).
        power_iterations: how many times the estimate is improved in a step.

    Raises:
        TypeError (also a ValueError): ``layer`` is not a layer.
        ValueError: ``power_iterations`` is not positive, or (when called) the layer has no kernel.
    """

    updates_first = True
    _takes_one_tensor = True

    def __init__(self, layer: Layer, power_iterations: int = 1, **kwargs: Any) -> None:
        super().__init__(layer, **kwargs)
        self.power_iterations = check_int(type(self).__name__, "power_iterations", power_iterations, minimum=1)
        self.supports_masking = True
        if (index_limit := getattr(layer, "index_limit", None)) is not None:  # an Embedding's indices are checked
            self.index_limit, self.input_dtype = index_limit, getattr(layer, "input_dtype", None)

    def build(self, input_shape: Shapes | None = None) -> None:
        if input_shape is None:
            raise ShapeError(f"layer {self.name!r} (SpectralNormalization) is built for an input shape, got None")
        super().build(input_shape)
        size = self._kernel.storage.shape[-1]
        self.vector_u = self.add_weight(
            name="vector_u", shape=(1, size), initializer={"class_name": "TruncatedNormal", "config": {"stddev": 0.02}},
            trainable=False,
        )  # fmt: skip

    @property
    def _kernel(self) -> Variable:
        """The weight that is normalized.

        Raises:
            ValueError: the layer has none.
        """
        own = {id(weight) for trainable in (True, False) for weight in self.layer.weights_of_its_own(trainable)}
        for name in _KERNELS:
            found = getattr(self.layer, name, None)
            if isinstance(found, Variable) and id(found) in own:
                return found
        raise KCompileError(
            f"layer {self.name!r} (SpectralNormalization): layer {self.layer.name!r} ({type(self.layer).__name__}) has "
            "neither a kernel nor embeddings of its own; wrap a layer such as Dense, Conv2D or Embedding"
        )

    def archived_weights(self) -> list[Variable]:
        """Keras 3 writes the kernel twice: here, and with the layer."""
        return [self._kernel, self.vector_u]

    # -- computing

    def call(self, inputs: Any, training: Phase = None, mask: Masks = None) -> Any:
        phase = K.learning_phase() if training is None else training
        if isinstance(phase, Tensor) or phase:
            self.add_update(self._normalized(), inputs)
        arguments: dict[str, Any] = {"training": training} if "training" in call_arguments(type(self.layer)) else {}
        with calls_inside(self, self.layer, [inputs]):
            return self.layer(inputs, **arguments)

    def _normalized(self) -> list[tuple[Variable, Tensor]]:
        """The new kernel and the new vector."""
        kernel = self._kernel
        w, u = K.reshape(kernel, (-1, kernel.storage.shape[-1])), self.vector_u + 0.0
        v = u
        for _ in range(self.power_iterations):
            v = K.l2_normalize(K.dot(u, K.transpose(w)))
            u = K.l2_normalize(K.dot(v, w))
        sigma = K.dot(K.dot(v, w), K.transpose(u))
        return [(kernel, K.stop_gradient(kernel / K.reshape(sigma, ()))), (self.vector_u, K.stop_gradient(u))]

    def compute_mask(self, inputs: Any, mask: Masks = None) -> Any:
        return self.layer.compute_mask(inputs, mask)

    def compute_output_shape(self, input_shape: Shapes) -> Any:
        return self.layer.compute_output_shape(input_shape)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "power_iterations": self.power_iterations}
