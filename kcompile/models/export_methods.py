"""Models to ONNX files."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from kcompile.common.arguments import arguments_of
from kcompile.common.checks import check_no_extra_arguments
from kcompile.common.tracebacks import short_traceback
from kcompile.engine.network import Network

if TYPE_CHECKING:
    from kcompile.export import ExportReport, TrainingReport


class ExportMethods(Network):
    """``export``, ``to_onnx``, ``export_training`` and ``load_state``."""

    @short_traceback
    def export(self, path: str | os.PathLike[str], **options: Any) -> ExportReport:
        """Write the inference graph as an ONNX file; see :func:`kcompile.export.export_model`."""
        from kcompile.export import export_model

        check_no_extra_arguments("export", options, arguments_of(export_model)[2:])
        return export_model(self, path, **options)

    def to_onnx(self, **options: Any) -> Any:
        """The inference graph as ``ModelProto``; see :func:`kcompile.export.to_onnx`."""
        from kcompile.export import to_onnx

        check_no_extra_arguments("to_onnx", options, arguments_of(to_onnx)[1:])
        return to_onnx(self, **options)

    @short_traceback
    def export_training(self, folder: Any, **options: Any) -> TrainingReport:
        """Write the steps, the model, the state and a manifest; see :func:`kcompile.export.export_training`."""
        from kcompile.export import export_training

        check_no_extra_arguments("export_training", options, arguments_of(export_training)[2:])
        return export_training(self, folder, **options)

    @short_traceback
    def load_state(self, source: Any) -> None:
        """Go on from a state that another program trained; see :func:`kcompile.export.load_state`."""
        from kcompile.export import load_state

        load_state(self, source)
