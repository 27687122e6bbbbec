"""What convolution, pooling, padding and upsampling layers share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kcompile.common import config
from kcompile.common.checks import check_one_of
from kcompile.common.errors import KCompileError, ShapeError
from kcompile.common.window_sizes import span
from kcompile.engine.layer import Layer, Shape
from kcompile.engine.node import InputSpec
from kcompile.layers.base.weight_options import WeightOptions


class SpatialLayer(Layer):
    """A layer on images, sequences or volumes: ``rank`` spatial axes between batch and channels.

    Args:
        data_format: ``channels_last`` or ``channels_first``. Default: as configured, but always ``channels_last``
            for one spatial axis, as in Keras 2.
    """

    _takes_one_tensor = True
    rank: int

    def __init__(self, data_format: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if data_format is None and self.rank == 1:
            data_format = "channels_last"
        try:
            self.data_format = config.normalize_data_format(data_format)
        except KCompileError:
            check_one_of(type(self).__name__, "data_format", data_format, ("channels_last", "channels_first"))
            raise
        self.input_spec = InputSpec(ndim=self.rank + 2)

    @property
    def _label(self) -> str:
        """How messages name this layer."""
        return f"layer {self.name!r} ({type(self).__name__})"

    @property
    def _channel_axis(self) -> int:
        return 1 if self.data_format == "channels_first" else -1

    def _split_shape(self, shape: Sequence[int | None]) -> tuple[int | None, Shape, int | None]:
        """Batch size, spatial sizes and number of channels of an input.

        Raises:
            ValueError: another number of axes.
        """
        shape = tuple(shape)
        if len(shape) != self.rank + 2:
            raise ShapeError(f"{self._label} takes inputs with {self.rank + 2} axes, got shape {shape}")
        if self.data_format == "channels_first":
            return shape[0], shape[2:], shape[1]
        return shape[0], shape[1:-1], shape[-1]

    def _join_shape(self, batch: int | None, spatial: Sequence[int | None], channels: int | None) -> Shape:
        """The inverse of :meth:`_split_shape`."""
        if self.data_format == "channels_first":
            return (batch, channels, *spatial)
        return (batch, *spatial, channels)

    def _check_windows(
        self, shape: Sequence[int | None], size: Sequence[int], dilations: Sequence[int] | None = None
    ) -> None:
        """Refuse an input that is too small for a single window without padding.

        Raises:
            ValueError: naming the layer, the input's shape and the window.
        """
        _, spatial, _ = self._split_shape(shape)
        reach = [span(k, d) for k, d in zip(size, dilations or (1,) * self.rank, strict=True)]
        if any(known is not None and known < needed for known, needed in zip(spatial, reach, strict=True)):
            dilated = "" if tuple(reach) == tuple(size) else f", which reaches over {tuple(reach)} when dilated,"
            raise ShapeError(
                f"{self._label}: a window of {tuple(size)}{dilated} does not fit into {spatial}, the spatial part of "
                f"the input shape {tuple(shape)}; use padding='same', a smaller window or a larger input"
            )


class WeightedSpatialLayer(WeightOptions, SpatialLayer):
    """A layer on images, sequences or volumes whose weights depend on the number of channels."""

    def _known_channels(self, input_shape: Sequence[int | None]) -> int:
        """The number of channels, which the kernel's shape depends on.

        Raises:
            ValueError: it is unknown.
        """
        channels = self._split_shape(input_shape)[2]
        if channels is None:
            raise ShapeError(
                f"{self._label} needs a known number of channels on axis {self._channel_axis % (self.rank + 2)} "
                f"({self.data_format}), got input shape {tuple(input_shape)}; give it in Input(shape=...)"
            )
        return channels
