"""kcompile: Keras-style models as ONNX training and inference graphs that stock ONNX Runtime runs.

``import kcompile as keras`` serves scripts written for Keras. Everything below is loaded when it is first
used, so that importing the package is quick and needs neither ONNX nor ONNX Runtime.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kcompile.common.doors import door
from kcompile.common.version import __version__

if TYPE_CHECKING:
    from kcompile import (
        activations,
        backend,
        callbacks,
        constraints,
        datasets,
        engine,
        initializers,
        layers,
        losses,
        metrics,
        models,
        optimizers,
        regularizers,
        utils,
    )
    from kcompile.engine.input_layer import Input
    from kcompile.inference.compiled import compile
    from kcompile.models.model import Model
    from kcompile.models.sequential import Sequential
    from kcompile.runtime.options import configure
    from kcompile.symbolic.gradient_tape import GradientTape

_MODULES = (
    "activations", "backend", "callbacks", "constraints", "datasets", "engine", "errors", "export", "initializers",
    "ir", "layers", "losses", "metrics", "models", "optimizers", "passes", "regularizers", "runtime", "saving", "utils",
)  # fmt: skip
_NAMES = {
    "GradientTape": "kcompile.symbolic.gradient_tape",
    "Input": "kcompile.engine.input_layer",
    "Model": "kcompile.models.model",
    "Sequential": "kcompile.models.sequential",
    "compile": "kcompile.inference.compiled",
    "configure": "kcompile.runtime.options",
}

__getattr__, __dir__ = door(__name__, _NAMES, _MODULES)

__all__ = [
    "GradientTape",
    "Input",
    "Model",
    "Sequential",
    "__version__",
    "activations",
    "backend",
    "callbacks",
    "compile",
    "configure",
    "constraints",
    "datasets",
    "engine",
    "initializers",
    "layers",
    "losses",
    "metrics",
    "models",
    "optimizers",
    "regularizers",
    "utils",
]
