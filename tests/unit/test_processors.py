"""Processors and accelerators of the process, not of its machine."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from flows.clusters.opening import local_workers
from flows.clusters.preflight import Work
from overlap.config import ClusterConfig
from overlap.system.resources.accelerators import visible_accelerators
from overlap.system.resources.control_groups import GROUPS, OWN_GROUPS
from overlap.system.resources.processors import SLURM, thread_environment, usable_processors
from support.running_service import missing
from support.trials import trial

V2, V1 = "0::/job/step\n", "4:cpu,cpuacct:/job\n3:memory:/\n"


@pytest.fixture(autouse=True)
def many(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine of eight processors, without a Slurm job."""
    monkeypatch.setattr("overlap.system.resources.processors.pinned_processors", lambda: 8)
    monkeypatch.delenv(SLURM, raising=False)


def count(folder: Path, own: str, files: dict[str, str]) -> int:
    (folder / "own").write_text(own)
    for name, content in files.items():
        file = folder / "groups" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)
    return usable_processors(folder / "groups", folder / "own")


@pytest.mark.parametrize(
    ("own", "files", "expected"),
    [
        pytest.param(
            V2, {"job/step/cpu.max": "150000 100000\n"}, 2,
            marks=trial(
                "G", "a container with `--cpus=1.5` (cgroup v2)", source="python/cpython#80235",
                before="one worker per core of the host", now="2 workers",
            ),
        ),
        pytest.param(
            V2, {"job/step/cpu.max": "max 100000\n"}, 8,
            marks=trial(
                "G", "`cpu.max` is `max 100000`", source="own", before="correct",
                now="every processor",
            ),
        ),
        pytest.param(
            V2, {"job/step/cpu.max": "600000 100000\n", "job/cpu.max": "300000 100000\n"}, 3,
            marks=trial(
                "G", "a group inside a group with a smaller quota, as in a pod", source="own",
                before="one worker per core of the host", now="the smaller quota: 3 workers",
            ),
        ),
        pytest.param(
            V1, {"cpu,cpuacct/job/cpu.cfs_quota_us": "200000\n",
                 "cpu,cpuacct/job/cpu.cfs_period_us": "100000\n"}, 2,
            marks=trial(
                "G", "`docker --cpus=2` on a machine with cgroup v1",
                source="dask/distributed#3053",
                before="one worker per core of the host", now="2 workers",
            ),
        ),
        pytest.param(
            V1, {"cpuacct,cpu/cpu.cfs_quota_us": "50000\n",
                 "cpuacct,cpu/cpu.cfs_period_us": "100000\n"}, 1,
            marks=trial(
                "G", "half a processor; the folder of cgroup v1 is named `cpuacct,cpu`",
                source="own", before="one worker per core of the host", now="1 worker",
            ),
        ),
        pytest.param(
            V1, {"cpu/job/cpu.cfs_quota_us": "-1\n", "cpu/job/cpu.cfs_period_us": "100000\n"}, 8,
            marks=trial(
                "G", "`cpu.cfs_quota_us` is -1", source="own", before="correct",
                now="every processor",
            ),
        ),
        pytest.param(
            "1:name=systemd:/\n0::/docker/abc\n", {"unified/cpu.max": "max 100000\n"}, 8,
            marks=trial(
                "G", "both versions of cgroups, with the path of the host", source="own",
                before="correct", now="every processor",
            ),
        ),
        pytest.param(V2, {"job/step/cpu.max": "garbage\n"}, 8),
        pytest.param(V2, {"job/step/cpu.max": "0 0\n"}, 8),
        pytest.param("", {}, 8),
    ],
)  # fmt: skip
def test_the_smallest_quota_counts(
    tmp_path: Path, own: str, files: dict[str, str], expected: int
) -> None:
    assert count(tmp_path, own, files) == expected


@pytest.mark.parametrize(
    ("value", "expected"), [("4", 4), ("16", 8), ("0", 8), ("2(x3)", 8), ("", 8), ("²", 8)]
)
@trial(
    "G",
    "a Slurm job with `--cpus-per-task=4` on a cluster that does not pin its jobs",
    source="own",
    before="one worker per core of the host",
    now="4 workers",
)
def test_slurm(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, value: str, expected: int) -> None:
    monkeypatch.setenv(SLURM, value)
    assert count(tmp_path, "", {}) == expected


def test_a_local_cluster_has_a_worker_per_usable_processor(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(SLURM, "3")
    assert len(local_workers(ClusterConfig(), [], Work(training=False))) == 3


def test_threads_are_limited_by_a_quota_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SLURM, "2")
    assert thread_environment()["OMP_NUM_THREADS"] == "2"
    monkeypatch.delenv(SLURM)
    monkeypatch.setattr("overlap.system.resources.processors.usable_processors", lambda: 8)
    assert thread_environment() == {}
    assert thread_environment(2)["TF_NUM_INTRAOP_THREADS"] == "4"
    assert thread_environment(100)["NPROC"] == "1"


def python(code: str, *before: str, **extra: str) -> str:
    return subprocess.run(
        [*before, sys.executable, "-c", code],
        check=True, capture_output=True, text=True, env=os.environ | extra, timeout=60,
    ).stdout.strip()  # fmt: skip


COUNT = "from overlap.system.resources.processors import usable_processors as n; print(n())"


@trial(
    "G",
    "`taskset -c 0`",
    source="own",
    before="2 on a machine of two cores",
    now="1 processor",
)
def test_taskset() -> None:
    if not shutil.which("taskset"):
        missing("taskset is not installed")
    first = min(os.sched_getaffinity(0))
    assert python(COUNT, "taskset", "-c", str(first)) == "1"


@trial(
    "G",
    "a real control group with a quota of one processor",
    source="own",
    before="one worker per core of the host",
    now="1 processor",
)
def test_a_real_group_with_a_quota() -> None:
    old = (GROUPS / "cpu").is_dir()
    made = (GROUPS / "cpu" if old else GROUPS) / f"overlap-test-{os.getpid()}"
    name, value = ("cpu.cfs_quota_us", "100000") if old else ("cpu.max", "100000 100000")
    if not OWN_GROUPS.exists():
        pytest.skip("Linux alone has control groups")
    try:
        made.mkdir()
        (made / name).write_text(value)
    except OSError as error:
        if made.is_dir():
            made.rmdir()
        missing(f"no control group with a quota can be made here ({error.strerror})")
    try:
        counted = python(COUNT, "sh", "-c", f'echo $$ > {made}/cgroup.procs && exec "$@"', "sh")
    finally:
        made.rmdir()
    assert counted == "1"


SMI = """#!/bin/sh
echo "0, GPU-aaaa-1"
echo "1, GPU-bbbb-2"
"""


@pytest.mark.parametrize(
    ("visible", "driver", "expected"),
    [
        pytest.param(
            "0,1,2,3", False, [],
            marks=trial(
                "G", "`CUDA_VISIBLE_DEVICES=0,1,2,3` without a driver", source="own",
                before="four training workers on accelerators that do not exist",
                now="no accelerator: one training worker on the processor",
            ),
        ),
        pytest.param(
            "NoDevFiles", False, [],
            marks=trial(
                "G", "`CUDA_VISIBLE_DEVICES=NoDevFiles`, which Slurm sets without `--gres`",
                source="own", before="one training worker on an accelerator named NoDevFiles",
                now="no accelerator",
            ),
        ),
        ("NoDevFiles", True, []),
        (None, False, []),
        (None, True, ["0", "1"]),
        ("", True, []),
        ("-1", True, []),
        ("0,-1,1", True, ["0"]),
        ("1", True, ["1"]),
        pytest.param(
            "1,5,0", True, ["1"],
            marks=trial(
                "G", "an index that no device has", source="CUDA C++ Programming Guide",
                before="a training worker on it",
                now="as in CUDA: it and what follows are not used",
            ),
        ),
        ("GPU-bbbb", True, ["GPU-bbbb"]),
        ("GPU-cccc", True, []),
        ("MIG-1234", True, ["MIG-1234"]),
        ("MIG-1234", False, []),
    ],
)  # fmt: skip
def test_an_accelerator_needs_a_device(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    visible: str | None,
    driver: bool,
    expected: list[str],
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    smi = tmp_path / "nvidia-smi"
    smi.write_text(SMI if driver else "#!/bin/sh\necho failed\nexit 9\n")
    smi.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert visible_accelerators() == expected
