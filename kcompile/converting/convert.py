"""Many files to ONNX, one after the other; one that fails does not stop the others."""

from __future__ import annotations

import os
import re
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kcompile.common.errors import KCompileError
from kcompile.converting.parity import NotCheckedError, Parity, check_parity
from kcompile.converting.report import FileReport
from kcompile.converting.sources import load
from kcompile.export.sizes import Dims

if TYPE_CHECKING:
    from kcompile.models.model import Model


@dataclass(frozen=True)
class Conversion:
    """How files are converted; see ``kcompile convert --help``."""

    opset: int = 21
    fp16: bool = False
    int8: Any = None
    ort: bool = False
    dims: Dims | None = None
    batch_size: int | None = None
    check: bool = False
    arch: str | None = None
    weights: str | None = None
    custom_objects: Mapping[str, Any] = field(default_factory=dict)
    safe_mode: bool = True
    force: bool = False


def targets(sources: Sequence[Path], output: str | None, others: Sequence[Path] = ()) -> list[Path]:
    """The ONNX file of each source: beside it, in the folder ``output``, or ``output`` itself.

    Sources that share a stem keep their ending (``model.h5.onnx`` and ``model.keras.onnx``), and, if that is not
    enough, get the names of their folders (``a_model.h5.onnx``).

    Raises:
        KCompileError: a source is listed twice; a source or one of ``others`` would be overwritten.
        OSError: the folder cannot be made.
    """
    known: dict[Path, Path] = {}
    for source in sources:
        first = known.setdefault(Path(os.path.normpath(source.absolute())), source)
        if first is not source:
            other = "is listed twice" if first == source else f"is the same file as {str(first)!r}"
            raise KCompileError(f"{str(source)!r} {other}; name each file once")
    if nameless := [source for source in sources if not source.name]:
        raise KCompileError(f"{str(nameless[0])!r} is a folder; name the files to convert")
    if output is None:
        found = _apart(sources, [source.with_suffix(".onnx") for source in sources])
    elif len(sources) > 1 or output.endswith(("/", "\\")) or Path(output).is_dir():
        folder = Path(output)
        if folder.exists() and not folder.is_dir():
            raise KCompileError(f"there are {len(sources)} files to convert, so -o {output!r} must be a folder")
        found = _apart(sources, [folder / f"{source.stem}.onnx" for source in sources])
    else:
        found = [Path(output)]
    sources_there = {source.resolve() for source in (*sources, *others)}
    for target in found:
        if target.resolve() in sources_there:
            raise KCompileError(f"{str(target)!r} would be overwritten, which is read; choose another place with -o")
    if output is not None:
        for folder in {target.parent for target in found}:
            folder.mkdir(parents=True, exist_ok=True)
    return found


def _apart(sources: Sequence[Path], places: Sequence[Path]) -> list[Path]:
    """``places``, where those that several sources share have the whole name of their source, and folders if needed."""
    found = list(places)
    for parts in range(1, max(len(source.parts) for source in sources) + 1):
        shared = Counter(place.resolve() for place in found)
        for i, source in enumerate(sources):
            if shared[found[i].resolve()] > 1:
                found[i] = found[i].with_name("_".join(source.parts[-parts:]).replace("/", "") + ".onnx")
    return found


def convert_files(
    sources: Iterable[Path],
    output: str | None = None,
    options: Conversion | None = None,
    progress: Callable[[int, Path], None] | None = None,
) -> Iterator[FileReport]:
    """Convert each file; a report as soon as each is done.

    Args:
        sources: the files.
        output: a file or folder; by default each ONNX file lies beside its source.
        options: how.
        progress: called before each file with the number of those that are done, and with the file.

    Raises:
        KCompileError: as :func:`targets`, before anything is done.
    """
    files = list(sources)
    options = options or Conversion()
    arch = re.sub(r"(\.py):\w+$", r"\1", options.arch or "")
    places = targets(files, output, [Path(name) for name in (arch, options.weights) if name])

    def reports() -> Iterator[FileReport]:
        for number, (source, target) in enumerate(zip(files, places, strict=True)):
            if progress is not None:
                progress(number, source)
            yield convert(source, target, options)

    return reports()


def convert(source: Path, target: Path, options: Conversion) -> FileReport:
    """Convert one file. What goes wrong is in the report."""
    report = FileReport(source)
    start = time.perf_counter()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            _convert(source, target, options, report)
        except (ValueError, OSError, MemoryError, NotImplementedError) as error:
            report.error = _sentence(error)
        except Exception as error:  # not foreseen, but the other files are waiting
            report.error = f"unexpected {type(error).__name__}: {_sentence(error)}"
    report.warnings = list(dict.fromkeys(_sentence(item.message) for item in caught))
    report.seconds = time.perf_counter() - start
    return report


def _convert(source: Path, target: Path, options: Conversion, report: FileReport) -> None:
    if target.exists() and not options.force:
        raise KCompileError(f"{str(target)!r} exists already; --force overwrites it")
    quantize = options.int8 is not None
    model = load(
        source, options.arch, options.weights, options.custom_objects, options.safe_mode, compile=quantize
    )  # fmt: skip
    report.exported = model.export(
        target, opset=options.opset, dims=options.dims, batch_size=options.batch_size, fp16=options.fp16,
        int8=options.int8, ort=options.ort,
    )  # fmt: skip
    if options.check:
        try:
            report.parity = _parity(model, target, options, report.exported.sizes)
        except NotCheckedError as error:
            report.unchecked = _sentence(error)


def _parity(model: Model, target: Path, options: Conversion, fixed: Mapping[str, int]) -> list[Parity]:
    if options.int8 is None:
        return check_parity(model, target, "fp16" if options.fp16 else "float32", fixed)
    # The report says what int8 lost, against float32; here is whether that was right.
    with tempfile.TemporaryDirectory() as folder:
        wide = Path(folder, "float32.onnx")
        model.export(wide, opset=options.opset, dims=options.dims, batch_size=options.batch_size)
        return check_parity(model, wide, "float32", fixed)


def _sentence(error: object) -> str:
    """The message in one line; of the operating system's errors without the number."""
    if isinstance(error, OSError) and error.strerror and error.filename is not None:
        return f"{error.filename!r}: {error.strerror}"
    return " ".join(str(error).split()) or type(error).__name__
