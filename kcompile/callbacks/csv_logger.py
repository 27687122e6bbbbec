"""``CSVLogger``: one line of a CSV file per epoch."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable, Mapping
from typing import Any, TextIO

import numpy as np

from kcompile.callbacks.base import Callback
from kcompile.callbacks.history import as_number
from kcompile.common.errors import DataTypeError


class CSVLogger(Callback):
    """Writes the logs of each epoch to a CSV file (Keras 2.3).

    Columns: "epoch" (from 0), then the names logged in the first epoch, sorted. A value missing in a later
    epoch (validation_freq, a stopped epoch) is written as NA. Every line is flushed.

    Args:
        filename: path of the file. separator: one character. append: continue an existing file.

    Raises:
        OSError: the file cannot be written; raised before the first step.
    """

    def __init__(self, filename: str | os.PathLike[str], separator: str = ",", append: bool = False):
        super().__init__()
        if not isinstance(separator, str) or len(separator) != 1:
            raise DataTypeError(f"CSVLogger: separator must be one character, got {separator!r}.")
        self.filename = filename
        self.sep = separator
        self.append = bool(append)
        self.keys: list[str] | None = None
        self.csv_file: TextIO | None = None
        self.writer: Any = None
        self.append_header = True

    def on_train_begin(self, logs: Mapping[str, Any] | None = None) -> None:
        self.append_header = True
        if self.append and os.path.exists(self.filename):
            with open(self.filename, newline="") as existing:
                first = existing.readline().rstrip("\r\n")
            self.append_header = not first
            names = first.split(self.sep)
            if names[0] == "epoch":
                self.keys = names[1:]  # the columns that the file has already
        else:
            self.keys = None
        self.csv_file = open(self.filename, "a" if self.append else "w", newline="")  # noqa: SIM115
        self.writer = None

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        logs = logs or {}
        if self.csv_file is None:
            return
        if self.keys is None:
            self.keys = sorted(logs)
        if self.writer is None:
            self.writer = csv.writer(self.csv_file, delimiter=self.sep, lineterminator="\n")
            if self.append_header:
                self.writer.writerow(["epoch", *self.keys])
        self.writer.writerow([epoch, *(_cell(logs[key]) if key in logs else "NA" for key in self.keys)])
        self.csv_file.flush()

    def on_train_end(self, logs: Mapping[str, Any] | None = None) -> None:
        if self.csv_file is not None:
            self.csv_file.close()
            self.csv_file = None
            self.writer = None


def _cell(value: Any) -> Any:
    value = as_number(value)
    if isinstance(value, (np.ndarray, Iterable)) and not isinstance(value, str):
        return f"[{', '.join(map(str, value))}]"
    return value
