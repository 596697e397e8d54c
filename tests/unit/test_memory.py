"""Free memory: the minimum over the machine and the control groups of a process."""

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from overlap.system.resources.control_groups import GROUPS, OWN_GROUPS
from overlap.system.resources.memory import forget_peak_memory, free_memory, peak_memory_mb

MB = 10**6


def group(folder: Path, limit: str, used: int, spare: int, *, version: int = 2) -> None:
    names = {
        2: ("memory.max", "memory.current", "inactive_file"),
        1: ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
    }[version]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / names[0]).write_text(f"{limit}\n")
    (folder / names[1]).write_text(f"{used}\n")
    (folder / "memory.stat").write_text(f"anon 1\n{names[2]} {spare}\n")


@pytest.fixture
def own(tmp_path: Path) -> Path:
    file = tmp_path / "own"
    file.write_text("0::/job/step\n")
    return file


def test_the_group_with_the_least_memory_left_decides(tmp_path: Path, own: Path) -> None:
    group(tmp_path / "job", str(100 * MB), 70 * MB, 20 * MB)
    group(tmp_path / "job/step", "max", 10 * MB, 0)
    assert free_memory(tmp_path, own) == 50 * MB
    group(tmp_path / "job/step", str(40 * MB), 10 * MB, 0)
    assert free_memory(tmp_path, own) == 30 * MB


def test_a_full_group_leaves_nothing(tmp_path: Path, own: Path) -> None:
    group(tmp_path, str(100 * MB), 120 * MB, 0)
    assert free_memory(tmp_path, own) == 0


def test_a_container_with_its_group_at_the_root(tmp_path: Path, own: Path) -> None:
    """Version 1 names a path that exists only on the host."""
    own.write_text("5:cpu,cpuacct:/\n4:hugetlb,memory:/docker/abc\n0::/\n")
    group(tmp_path / "memory", str(300 * MB), 100 * MB, 0, version=1)
    assert free_memory(tmp_path, own) == 200 * MB


@pytest.mark.parametrize("content", ["0::/job\n", "", None])
def test_without_a_limit_the_machine_decides(
    tmp_path: Path, own: Path, content: str | None
) -> None:
    if content is None:
        own.unlink()
    else:
        own.write_text(content)
    free = free_memory(tmp_path, own)
    assert abs(free - psutil.virtual_memory().available) < 2000 * MB


def test_a_real_group_with_a_limit() -> None:
    version_1 = GROUPS / "memory"
    parent, limit = (
        (version_1, "memory.limit_in_bytes") if version_1.is_dir() else (GROUPS, "memory.max")
    )
    made = parent / f"overlap-test-{os.getpid()}"
    if not OWN_GROUPS.exists():
        pytest.skip("Linux alone has control groups")
    try:
        made.mkdir()
        (made / limit).write_text(str(300 * MB))
    except OSError as error:
        pytest.skip(f"no control group can be made here: {error}")
    code = "from overlap.system.resources.memory import free_memory; print(free_memory())"
    try:
        output = subprocess.run(
            ["sh", "-c", f"echo $$ > {made}/cgroup.procs && exec '{sys.executable}' -c '{code}'"],
            check=True, capture_output=True, text=True,
        ).stdout  # fmt: skip
    finally:
        made.rmdir()
    assert 100 * MB < int(output) < 300 * MB


def test_a_forgotten_peak_does_not_count() -> None:
    large = bytearray(300 * MB)
    large[::4096] = b"x" * len(large[::4096])
    before = peak_memory_mb()
    del large
    if not forget_peak_memory():
        pytest.skip("the kernel cannot forget a peak")
    assert peak_memory_mb() < before - 250
