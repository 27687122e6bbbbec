"""How many processor cores this process may use: its affinity, the quotas of its control groups, what users say."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath


def default_threads(root: Path = Path("/"), environment: Mapping[str, str] | None = None) -> int:
    """The number of threads of a model for which none is chosen: the least of

    - the physical cores that the process may run on (of two hardware threads of a core, one);
    - what its control groups grant (the limits of containers), rounded to the nearest whole number of cores;
    - ``OMP_NUM_THREADS``, which says how many threads a library shall use in this process (tools that start several
      processes set it), and ``PYTHON_CPU_COUNT``, which says how many cores a program shall believe in;
    - ``os.process_cpu_count()`` where Python has it (``-X cpu_count`` changes it).

    0 where the system does not tell (not Linux) and nobody sets a limit: ONNX Runtime counts the physical cores then.

    It depends on how the machine is set up, never on what else runs at the moment: some kernels add in another order
    for another number of threads, and one seed shall give the same numbers again.

    Args:
        root: the folder in which ``proc`` and ``sys`` are.
        environment: instead of this process's.
    """
    limits = list(_wishes(os.environ if environment is None else environment))
    if not hasattr(os, "sched_getaffinity"):
        return min(limits, default=0)
    if sys.version_info >= (3, 13):
        limits.append(os.process_cpu_count() or 1)
    limits.append(physical_cores(tuple(sorted(os.sched_getaffinity(0))), root))
    quota = cgroup_cores(root)
    if quota is not None:
        limits.append(max(1, round(quota)))
    return min(limits)


def _wishes(environment: Mapping[str, str]) -> Iterator[int]:
    """The numbers that environment variables name, where they are numbers."""
    for name in ("OMP_NUM_THREADS", "PYTHON_CPU_COUNT"):
        first = environment.get(name, "").split(",")[0].strip()  # OMP_NUM_THREADS may have one for each level
        if first.isdecimal() and int(first) > 0:
            yield int(first)


@functools.cache
def physical_cores(processors: tuple[int, ...], root: Path = Path("/")) -> int:
    """How many cores these logical processors are, at least 1. Each is one where the system does not tell."""
    cores = set()
    for processor in processors:
        topology = root / "sys/devices/system/cpu" / f"cpu{processor}" / "topology"
        # The first name is that of older kernels, which newer ones keep.
        cores.add(_read(topology / "thread_siblings_list") or _read(topology / "core_cpus_list") or str(processor))
    return max(1, len(cores))


def cgroup_cores(root: Path = Path("/")) -> float | None:
    """The processor time per time that the control groups of this process grant, or ``None`` without a limit.

    Version 1 and 2; of groups within groups the tightest counts.
    """
    return min((cores for folder in _groups(root) if (cores := _quota(folder)) is not None), default=None)


def _groups(root: Path) -> Iterator[Path]:
    """The folders of this process's control groups that can limit processor time, outwards up to the mount."""
    mounts = list(_mounts(root))
    for line in _read(root / "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        for mount_point, inside, options in mounts:
            matches = "cgroup2" in options if not controllers else "cpu" in controllers.split(",") and "cpu" in options
            if not matches:
                continue
            # A container sees the part of the tree that is mounted, but in some its own path is that of the host.
            parts = PurePosixPath(path).parts
            below = PurePosixPath(path).relative_to(inside) if parts[: len(inside.parts)] == inside.parts else None
            folder = mount_point
            yield folder
            for name in below.parts if below and ".." not in below.parts else ():
                if name != "/":
                    folder = folder / name
                    yield folder


def _mounts(root: Path) -> Iterator[tuple[Path, PurePosixPath, set[str]]]:
    """Mounted trees of control groups: where, which part of the tree, and their options (``cgroup2``, ``cpu``, ...)."""
    for line in _read(root / "proc/self/mountinfo").splitlines():
        mount, _, described = line.partition(" - ")
        fields, kind = mount.split(" "), described.split(" ")
        if len(fields) < 5 or len(kind) < 3 or not kind[0].startswith("cgroup"):
            continue
        place = fields[4].replace("\\040", " ").lstrip("/")
        yield root / place, PurePosixPath(fields[3]), {kind[0], *kind[2].split(",")}


def _quota(folder: Path) -> float | None:
    """The limit of one control group, in cores."""
    words = _read(folder / "cpu.max").split()
    if not words:
        words = [_read(folder / name).strip() for name in ("cpu.cfs_quota_us", "cpu.cfs_period_us")]
    if len(words) == 2 and all(word.isdecimal() for word in words) and int(words[0]) > 0 and int(words[1]) > 0:
        return int(words[0]) / int(words[1])
    return None  # "max", or -1


def _read(path: Path) -> str:
    """The text of a file, without white space at its end; empty if it is not there or cannot be read."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").rstrip()
    except OSError:
        return ""
