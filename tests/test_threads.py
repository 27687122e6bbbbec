"""How many threads a model gets, and how long they spin: limits of the machine, options, environment variables."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from kcompile import ir
from kcompile.common.errors import KCompileError
from kcompile.ir.ops.products import linalg
from kcompile.runtime import cores
from kcompile.runtime.executable import Executable
from kcompile.runtime.options import BRIEF_SPINNING, Options, from_environment
from kcompile.runtime.storage import Storage, attach

linux = pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="this system has no affinity to ask for")
SECOND = "33 32 0:30 {inside} /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate"
FIRST = """\
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 {inside} /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:5 - cgroup cgroup rw,cpu,cpuacct
33 31 0:30 {inside} /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory"""
V2 = "cpu.max"
QUOTA, PERIOD = "cpu.cfs_quota_us", "cpu.cfs_period_us"
CGROUPS = {
    "no control groups": ("", "", {}, None),
    "version 2, no limit": ("0::/a", SECOND, {f"a/{V2}": "max 100000"}, None),
    "version 2, a limit": ("0::/a", SECOND, {f"a/{V2}": "150000 100000"}, 1.5),
    "the tightest of nested groups": (
        "0::/a/b/c",
        SECOND,
        {f"a/{V2}": "300000 100000", f"a/b/{V2}": "50000 20000", f"a/b/c/{V2}": "max 100000"},
        2.5,
    ),
    "a group of another process": ("0::/a", SECOND, {f"b/{V2}": "100000 100000", f"ab/{V2}": "100000 100000"}, None),
    "a container with a namespace": ("0::/", SECOND, {V2: "400000 100000"}, 4.0),
    "a container that sees the host's path": (
        "0::/system.slice/docker-1.scope",
        SECOND.format(inside="/system.slice/docker-1.scope"),
        {V2: "200000 100000"},
        2.0,
    ),
    "a path outside of the mount": ("0::/../other", SECOND, {V2: "200000 100000"}, 2.0),
    "version 1": (
        "4:memory:/a\n1:cpu,cpuacct:/a",
        FIRST,
        {f"cpu,cpuacct/a/{QUOTA}": "250000", f"cpu,cpuacct/a/{PERIOD}": "100000", f"memory/a/{QUOTA}": "1"},
        2.5,
    ),
    "version 1, no limit": (
        "1:cpu,cpuacct:/",
        FIRST,
        {f"cpu,cpuacct/{QUOTA}": "-1", f"cpu,cpuacct/{PERIOD}": "100000"},
        None,
    ),
    "version 1, Docker": (
        "1:cpu,cpuacct:/docker/7",
        FIRST.format(inside="/docker/7"),
        {f"cpu,cpuacct/{QUOTA}": "50000", f"cpu,cpuacct/{PERIOD}": "100000"},
        0.5,
    ),
    "both versions": (
        "1:cpu,cpuacct:/a\n0::/a",
        FIRST.format(inside="/") + "\n41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw",
        {
            f"cpu,cpuacct/a/{QUOTA}": "300000",
            f"cpu,cpuacct/a/{PERIOD}": "100000",
            f"unified/a/{V2}": "200000 100000",
        },
        2.0,
    ),
    "files that say nothing": ("0::/a", SECOND, {f"a/{V2}": "", V2: "lots of it"}, None),
}


def machine(root: Path, groups: str, mounts: str, files: dict[str, str], siblings: tuple[str, ...] = ()) -> Path:
    """A folder with the files of /proc and /sys that tell the number of cores."""
    written = {
        "proc/self/cgroup": groups + "\n",
        "proc/self/mountinfo": mounts.format(inside="/") + "\n",
        **{f"sys/fs/cgroup/{name}": text + "\n" for name, text in files.items()},
        **{
            f"sys/devices/system/cpu/cpu{number}/topology/thread_siblings_list": text + "\n"
            for number, text in enumerate(siblings)
        },
    }
    for name, text in written.items() if groups else ():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


@pytest.mark.parametrize("case", CGROUPS)
def test_limits_of_control_groups(case: str, tmp_path: Path) -> None:
    groups, mounts, files, expected = CGROUPS[case]
    assert cores.cgroup_cores(machine(tmp_path, groups, mounts, files)) == expected


@pytest.mark.parametrize(
    ("processors", "siblings", "expected"),
    [
        ((0, 1, 2, 3), ("0,2", "1,3", "0,2", "1,3"), 2),
        ((0, 1, 2, 3), ("0-1", "0-1", "2-3", "2-3"), 2),
        ((2, 3), ("0,2", "1,3", "0,2", "1,3"), 2),
        ((1, 3), ("0,2", "1,3", "0,2", "1,3"), 1),
        ((0, 5), ("0",), 2),
    ],
)
def test_hardware_threads_of_one_core_count_once(
    processors: tuple[int, ...], siblings: tuple[str, ...], expected: int, tmp_path: Path
) -> None:
    assert cores.physical_cores(processors, machine(tmp_path, "0::/", SECOND, {}, siblings)) == expected


@linux
@pytest.mark.parametrize(
    ("environment", "quota", "expected"),
    [
        ({}, "max", 6),
        ({}, "350000", 4),
        ({}, "240000", 2),
        ({}, "20000", 1),
        ({}, "9900000", 6),
        ({"OMP_NUM_THREADS": "3"}, "max", 3),
        ({"OMP_NUM_THREADS": "3"}, "200000", 2),
        ({"OMP_NUM_THREADS": "5,2"}, "max", 5),
        ({"OMP_NUM_THREADS": "64"}, "max", 6),
        ({"OMP_NUM_THREADS": "many", "PYTHON_CPU_COUNT": "default"}, "max", 6),
        ({"OMP_NUM_THREADS": "0", "PYTHON_CPU_COUNT": "2"}, "max", 2),
    ],
)
def test_the_least_limit_counts(
    environment: dict[str, str], quota: str, expected: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(1, 7)))
    monkeypatch.setattr(os, "process_cpu_count", lambda: 6, raising=False)
    root = machine(tmp_path, "0::/a", SECOND, {f"a/{V2}": f"{quota} 100000"})
    assert cores.default_threads(root, environment) == expected


@pytest.mark.parametrize(("environment", "expected"), [({}, 0), ({"OMP_NUM_THREADS": "2"}, 2)])
def test_systems_that_do_not_tell(
    environment: dict[str, str], expected: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There ONNX Runtime counts the cores."""
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    assert cores.default_threads(tmp_path, environment) == expected


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, {"session.intra_op.spin_duration_us": str(BRIEF_SPINNING)}),
        ({"spinning": True}, {}),
        ({"spinning": 1}, {"session.intra_op.spin_duration_us": "1"}),
        ({"spinning": False}, {"session.intra_op.allow_spinning": "0"}),
        ({"spinning": 0}, {"session.intra_op.allow_spinning": "0"}),
        ({"spinning": 70, "threads": 1}, {"session.intra_op.allow_spinning": "0"}),
    ],
)
def test_settings_of_spinning(changes: dict, expected: dict[str, str]) -> None:
    assert Options(**changes).spinning_settings == expected


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, Options()),
        ({"KCOMPILE_THREADS": "3", "KCOMPILE_SPINNING": "0"}, Options(threads=3, spinning=0)),
        ({"KCOMPILE_SPINNING": "200", "KCOMPILE_DEVICE": "cpu"}, Options(device="cpu", spinning=200)),
        ({"KCOMPILE_THREADS": "-1"}, "KCOMPILE_THREADS is '-1'; set it to a whole number of threads, 0 for all"),
        ({"KCOMPILE_SPINNING": "yes"}, "KCOMPILE_SPINNING is 'yes'; set it to a whole number of microseconds"),
    ],
)
def test_environment_variables(environment: dict[str, str], expected: Options | str) -> None:
    if isinstance(expected, Options):
        assert from_environment(environment) == expected
    else:
        with pytest.raises(KCompileError, match=re.escape(expected)):
            from_environment(environment)


SCRIPT = """
import os
import numpy as np
import kcompile
from kcompile import layers as L

def others():
    return {int(name) for name in os.listdir("/proc/self/task")}

{before}
model = kcompile.Sequential([L.Dense(256, activation="relu", input_shape=(300,)), L.Dense(4)])
model.predict(np.zeros((1, 300)))  # finds out about the processor, in sessions of its own
first = others()
compiled = kcompile.compile(model)
compiled(np.zeros((600, 300), "float32"))
new = others() - first
own = os.sched_getaffinity(0)
print(len(new), all(os.sched_getaffinity(thread) == own for thread in new))
"""


@linux
@pytest.mark.parametrize(
    ("environment", "before", "threads"),
    [
        ({"KCOMPILE_THREADS": "1"}, "", 1),
        ({"KCOMPILE_THREADS": "3"}, "", 3),
        ({"KCOMPILE_THREADS": "3", "KCOMPILE_SPINNING": "0", "OMP_NUM_THREADS": "2"}, "", 3),
        ({"OMP_NUM_THREADS": "1"}, "", 1),
        ({}, "os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})", 1),
        ({"OMP_NUM_THREADS": "1"}, "kcompile.configure(threads=2, spinning=True)", 2),
        ({}, "", cores.default_threads(environment={})),
    ],
)
def test_threads_of_a_model(environment: dict[str, str], before: str, threads: int) -> None:
    """As many as are wanted (the caller's is one of them), none of which is bound to a core."""
    unset = {"OMP_NUM_THREADS", "KCOMPILE_THREADS", "KCOMPILE_SPINNING"}
    inherited = {name: value for name, value in os.environ.items() if name not in unset}
    result = subprocess.run(
        [sys.executable, "-c", SCRIPT.replace("{before}", before)],
        env={**inherited, "OPENBLAS_NUM_THREADS": "1", **environment},
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert result.stdout == f"{threads - 1} True\n", result.stderr


def product(rows: int | ir.SymbolicDim, columns: int) -> ir.Graph:
    """x @ w."""
    w = ir.variable_value("w", "float32", (columns, columns))
    attach(w.op, Storage(np.zeros((columns, columns), np.float32), w.dtype))
    x = ir.input_value("x", "float32", (rows, columns))
    return ir.Graph([x], {"y": linalg.matmul(x, w)})


@linux
@pytest.mark.parametrize(
    ("graph", "wanted", "threads"),
    [
        (product(32, 64), 0, 1),
        (product(512, 512), 0, 3),
        (product(ir.named("batch"), 64), 0, 3),  # of any size
        (product(32, 64), 2, 2),
    ],
)
def test_little_work_is_not_shared_out(
    graph: ir.Graph, wanted: int, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Unless a number of threads is wanted."""
    monkeypatch.setattr("kcompile.runtime.session.default_threads", lambda: 3)
    monkeypatch.setattr("kcompile.runtime.options._options", Options(threads=wanted))
    Executable(product(1, 2), device="cpu")  # the first makes threads of ONNX Runtime's own
    before = set(os.listdir("/proc/self/task"))
    run = Executable(graph, device="cpu")
    assert len(set(os.listdir("/proc/self/task")) - before) == threads - 1
    shape = graph.inputs[0].type.shape
    run(np.zeros([size if isinstance(size, int) else 5 for size in shape], np.float32))
