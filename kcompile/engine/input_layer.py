"""Model inputs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kcompile.common import config
from kcompile.common.checks import check_shape
from kcompile.common.errors import DataTypeError, KCompileError, shown
from kcompile.engine.layer import Layer
from kcompile.engine.layer_base import Node
from kcompile.symbolic.history import remember
from kcompile.symbolic.tensor import Tensor
from kcompile.symbolic.variable import Variable, is_placeholder, placeholder


class InputLayer(Layer):
    """The layer that stands for a model input.

    Args:
        input_shape: shape of a sample, without the batch axis.
        batch_size: a fixed batch size, or ``None``.
        batch_input_shape: the shape with the batch axis, instead of the two above.
        dtype: element type, default ``floatx``.
        input_tensor: an existing tensor to use. If it is not a placeholder, ``K.function`` computes it with the rest;
            ``fit`` and ``predict`` take arrays in its place, as for any input.
        sparse: not supported; only False.
        name: the input's name, also in exported files.
    """

    def __init__(
        self,
        input_shape: Sequence[int | None] | None = None,
        batch_size: int | None = None,
        batch_input_shape: Sequence[int | None] | None = None,
        dtype: str | None = None,
        input_tensor: Any = None,
        sparse: bool = False,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        batch_input_shape = kwargs.pop("batch_shape", batch_input_shape)
        for key in ("ragged", "optional"):  # of later versions of Keras
            if kwargs.pop(key, False):
                raise KCompileError(f"InputLayer: {key}=True is not supported; pad the samples to one shape")
        super().__init__(name=name or f"input_{config.get_uid('input')}", dtype=dtype, **kwargs)
        if sparse:
            raise KCompileError(f"input {self.name!r}: sparse inputs are not supported; pass dense arrays")
        if input_tensor is not None:
            if not isinstance(input_tensor, Tensor):
                got = shown(input_tensor)
                raise DataTypeError(f"input {self.name!r}: input_tensor must be a symbolic tensor, got {got}")
            shape: tuple[int | None, ...] = tuple(input_tensor.shape)
            tensor = input_tensor  # from now on it is this input's, as in Keras
            if isinstance(tensor, Variable) or tensor.keras_history is not None:
                tensor = Tensor(input_tensor.value, input_tensor.name)
        else:
            if batch_input_shape is None:
                if input_shape is None:
                    raise KCompileError(f"input {self.name!r} needs a shape: Input(shape=(...)) without the batch axis")
                sample = check_shape(f"input {self.name!r}", "shape", input_shape)
                batch_input_shape = (batch_size, *sample)
            shape = check_shape(f"input {self.name!r}", "shape", batch_input_shape)
            tensor = placeholder(shape=shape, dtype=self.dtype or config.floatx(), name=self.name)
        self.dtype = tensor.dtype
        self.batch_input_shape = shape
        self.built = True
        self.supports_masking = True
        self.is_placeholder = is_placeholder(tensor)
        self._start_at(tensor)

    def _start_at(self, tensor: Tensor) -> None:
        Node(self, [tensor], [tensor], [None], [None], {}, False)
        tensor.keras_history = (self, 0, 0)
        remember(tensor)

    def call(self, inputs: Any) -> Any:
        return inputs

    def __getstate__(self) -> dict[str, Any]:
        tensor = self.call_notes.inbound_nodes[0].output_tensors[0]
        computed = None if self.is_placeholder else Tensor(tensor.value, tensor.name)
        return {**super().__getstate__(), "_computed": computed}

    def __setstate__(self, state: dict[str, Any]) -> None:
        state = dict(state)
        tensor = state.pop("_computed")
        super().__setstate__(state)
        if tensor is None:
            tensor = placeholder(shape=self.batch_input_shape, dtype=self.dtype, name=self.name)
        self._start_at(tensor)

    def get_config(self) -> dict[str, Any]:
        return {
            "batch_input_shape": self.batch_input_shape,
            "dtype": self.dtype,
            "sparse": False,
            "name": self.name,
        }


def Input(
    shape: Sequence[int | None] | int | None = None,
    batch_shape: Sequence[int | None] | None = None,
    name: str | None = None,
    dtype: str | None = None,
    sparse: bool = False,
    tensor: Tensor | None = None,
    batch_size: int | None = None,
) -> Tensor:
    """A model input.

    Args:
        shape: of a sample, without the batch axis; ``None`` where any size is allowed.
        batch_shape: the shape with the batch axis, instead of ``shape``.
        name: also the input's name in exported files.
        dtype: element type, default ``floatx``.
        sparse: not supported; only False.
        tensor: an existing tensor to use; see :class:`InputLayer`.
        batch_size: a fixed batch size.

    Raises:
        ValueError: no shape is given.
    """
    if shape is None and batch_shape is None and tensor is None:
        raise KCompileError("Input needs shape=(...), the shape of a sample without the batch axis, or batch_shape")
    if isinstance(shape, int):
        shape = (shape,)
    layer = InputLayer(
        input_shape=shape,
        batch_size=batch_size,
        batch_input_shape=batch_shape,
        dtype=dtype,
        input_tensor=tensor,
        sparse=sparse,
        name=name,
    )
    output: Tensor = layer.call_notes.inbound_nodes[0].output_tensors[0]
    return output
