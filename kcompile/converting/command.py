"""The command ``kcompile convert``: its arguments, its progress bar and its exit status."""

from __future__ import annotations

import argparse
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np

from kcompile.common.errors import KCompileError
from kcompile.converting.convert import Conversion, convert_files
from kcompile.converting.report import FileReport
from kcompile.converting.sources import custom_objects_of
from kcompile.passes.onnx.opsets import OPSETS

WIDTH = 30


def run(options: argparse.Namespace) -> int:
    """Convert; reports go to standard output, progress to standard error.

    Returns:
        0, or 1 if a file failed.

    Raises:
        OSError, ValueError: the arguments do not fit; nothing was done.
    """
    sources = [Path(source) for source in options.sources]
    if options.weights and len(sources) > 1:
        raise KCompileError("--weights takes one SRC; convert architectures with weights of their own one by one")
    if options.opset not in OPSETS:
        raise KCompileError(f"--opset is {options.opset}; use {OPSETS[0]} to {OPSETS[-1]}")
    if options.batch_size is not None and options.batch_size < 1:
        raise KCompileError(f"--batch-size is {options.batch_size}; use a whole number from 1 on")
    conversion = Conversion(
        opset=options.opset,
        fp16=options.fp16,
        int8=None if options.int8 is None else samples(options.int8),
        ort=options.ort,
        dims=dict(map(dims_of, options.dims)) or None,
        batch_size=options.batch_size,
        check=options.check,
        arch=options.arch,
        weights=options.weights,
        custom_objects=custom_objects_of(options.custom_objects) if options.custom_objects else {},
        safe_mode=not options.unsafe_lambdas,
        force=options.force,
    )
    bar = Bar(len(sources))
    reports = []
    for report in convert_files(sources, options.output, conversion, bar.show):
        bar.clear()
        print(report, flush=True)
        reports.append(report)
    failed = [report for report in reports if not report.passed]
    if len(reports) > 1:
        print(f"{len(reports) - len(failed)} of {len(reports)} files converted" + (_names(failed) if failed else ""))
    return 1 if failed else 0


def _names(failed: list[FileReport]) -> str:
    return f"; failed: {', '.join(str(report.source) for report in failed)}"


def dims_of(text: str) -> tuple[str, tuple[int | str | None, ...]]:
    """``image=1,None,n,3`` as input and sizes.

    Raises:
        KCompileError: the text has another form.
    """
    name, separator, sizes = text.rpartition("=")
    parts = [part.strip() for part in sizes.split(",")]
    if not separator or not name or not all(re.fullmatch(r"\w+", part) for part in parts):
        raise KCompileError(f"--dims {text}: expected INPUT=SIZES, as in image=1,None,None,3")
    return name, tuple(None if part == "None" else int(part) if part.isdecimal() else part for part in parts)


def samples(place: str) -> Any:
    """What ``int8`` of :func:`~kcompile.export.export_model` takes, from a file.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is no array, or holds Python objects.
    """
    if place == "dynamic":
        return True
    path = Path(place)
    if not path.is_file():
        raise FileNotFoundError(f"--int8: there is no file {place!r}")
    try:
        found = np.load(path, allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise KCompileError(f"--int8: {place!r} is no .npy or .npz file of numbers") from error
    if isinstance(found, np.ndarray):
        return found
    with found:
        arrays = {name: found[name] for name in found.files}
    labels = arrays.pop("y", None)
    x = arrays["x"] if list(arrays) == ["x"] else arrays
    return x if labels is None else (x, labels)


class Bar:
    """Which file is being converted: one line that is redrawn, on a terminal; nothing elsewhere."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.drawn = sys.stderr.isatty()

    def show(self, done: int, source: Path) -> None:
        """``done`` files are finished, ``source`` is next."""
        if self.drawn:
            filled = WIDTH * done // self.total
            name = "".join(c if c.isprintable() else "?" for c in source.name)
            line = f"{done}/{self.total} [{'=' * filled}{'.' * (WIDTH - filled)}] {name}"
            columns = shutil.get_terminal_size().columns
            print(f"\r{line[: columns - 1]}\x1b[K", end="", file=sys.stderr, flush=True)

    def clear(self) -> None:
        """Take the line away."""
        if self.drawn:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
