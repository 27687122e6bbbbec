"""How much a file may ask for before it is refused, and why that much.

Everything declared in a file is checked against these numbers, or against the bytes that are really there, before
memory is allocated for it. Loaders take them as arguments where a user may have reason to allow more.
"""

from __future__ import annotations

import os

from kcompile.common.errors import KCompileError

KIB, MIB, GIB = 2**10, 2**20, 2**30


class DamagedFileError(KCompileError):
    """A file that is not what it says, or of which parts are missing."""


class UnsafeFileError(KCompileError):
    """A file that asks for what no model needs: code to run, other files to read, or more memory than it is worth."""


# ---- configurations: JSON, YAML, and those inside HDF5 files and .keras archives

CONFIG_BYTES = 16 * MIB
"""The largest known configurations (thousands of layers) take about 2 MiB."""

CONFIG_DEPTH = 64
"""Nesting of lists and dicts. A layer in a wrapper in a nested model takes about 12 levels; Python's own parsers
recurse, and end in RecursionError (or worse) near 1000."""

CONFIG_VALUES = 5_000_000
"""Values after the aliases of YAML are followed: an alias is four bytes and may stand for everything before it."""

INTEGER_DIGITS = 1000
"""Digits of a number. Reading decimals takes time that grows with the square of their number."""

WEIGHTS_OF_A_LAYER = 10_000
"""Weights that one layer or wrapper holds."""

# ---- .keras archives

ZIP_MEMBERS = 10_000
"""Members of an archive; Keras writes three, and one for each asset."""

ZIP_RATIO = 100
ZIP_SLACK_BYTES = 64 * MIB
"""All members together may declare ``ZIP_RATIO * size of the archive + ZIP_SLACK_BYTES``. Keras stores without
compression; trained weights that were compressed shrink by a few per cent."""

# ---- weights: HDF5 and npz

WEIGHT_RATIO = 1100
"""Arrays may declare that many times the size of the file: deflate never packs tighter than 1032:1."""

WEIGHT_SLACK_BYTES = 1 * MIB
"""What arrays may declare beyond that, so that tiny files of zeros pass."""

MEMORY_SHARE = 0.5
"""The part of the machine's free memory that a file's arrays may take."""

HDF5_DEPTH = 64
"""Groups in groups; groups can also contain themselves through hard links."""

HDF5_OBJECTS = 1_000_000
"""Groups and arrays of a file."""

ATTRIBUTE_BYTES = 64 * MIB
"""One attribute of HDF5; Keras splits the lists of names above 64 KiB, configurations stay below ``CONFIG_BYTES``."""

# ---- ONNX

ONNX_BYTES = 2 * GIB
"""The largest message of protocol buffers; larger models keep their weights beside the file."""

ONNX_NODES = 1_000_000
"""Nodes, after functions are inlined: functions that call others twice double with each level."""


def check_size(what: str, size: int, limit: int) -> None:
    """Refuse ``what`` if it has more than ``limit`` bytes.

    Raises:
        UnsafeFileError: naming both sizes.
    """
    if size > limit:
        raise UnsafeFileError(f"{what} has {size_text(size)}, more than the {size_text(limit)} that are allowed")


def check_declared_size(what: str, declared: int, stored: int) -> None:
    """Refuse arrays that declare more bytes than the file can hold, even if it is compressed, or than memory holds.

    Args:
        what: the file or array, for the message.
        declared: bytes that the arrays take in memory.
        stored: bytes of the file.

    Raises:
        UnsafeFileError: naming both sizes.
    """
    if declared > WEIGHT_RATIO * stored + WEIGHT_SLACK_BYTES:
        raise UnsafeFileError(
            f"{what} declares {size_text(declared)} but stores {size_text(stored)}: no compression reaches that"
        )
    free = free_memory()
    if declared > MEMORY_SHARE * free:
        raise UnsafeFileError(
            f"{what} needs {size_text(declared)}, more than half of the {size_text(free)} of free memory"
        )


def free_memory() -> int:
    """Bytes of memory that this machine can still give, or a large number where it does not say."""
    try:
        with open("/proc/meminfo", encoding="ascii") as file:
            for line in file:
                if line.startswith("MemAvailable:"):
                    return int(line.split()[1]) * KIB
    except (OSError, ValueError, IndexError):
        pass
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return 2**62


def size_text(size: int) -> str:
    """A number of bytes for a message: ``631.0 MiB``."""
    for unit, name in ((2**40, "TiB"), (GIB, "GiB"), (MIB, "MiB"), (KIB, "KiB")):
        if size >= unit:
            return f"{size / unit:.1f} {name}" if size < 2**60 else f"{size / unit:.2g} {name}"
    return f"{size} bytes"
