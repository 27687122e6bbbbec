"""``kcompile convert``: files of Keras models become ONNX files, with a report of what was done and checked."""

from kcompile.converting.convert import Conversion, convert_files, targets
from kcompile.converting.parity import Parity, check_parity
from kcompile.converting.report import FileReport

__all__ = ["Conversion", "FileReport", "Parity", "check_parity", "convert_files", "targets"]
