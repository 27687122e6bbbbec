"""What kcompile raises: each class says what went wrong, and is also the built-in error that Keras raises there."""

from kcompile.common.errors import (
    AbsentError,
    DataError,
    DataTypeError,
    KCompileError,
    NoNumberError,
    NotReadyError,
    PlaceError,
    ShapeError,
    UninitializedError,
    UnknownNameError,
)

__all__ = [
    "AbsentError",
    "DataError",
    "DataTypeError",
    "KCompileError",
    "NoNumberError",
    "NotReadyError",
    "PlaceError",
    "ShapeError",
    "UninitializedError",
    "UnknownNameError",
]
