"""Memory environment of worker processes: variables, precedence, page faults of a child."""

import os
from pathlib import Path
from typing import Any

import pytest

from overlap.system import allocator
from overlap.system.allocator import (
    HUGE_PAGES,
    HUGE_PAGES_SINCE,
    NANNY_TRIM,
    RETAIN,
    TUNABLES,
    glibc_version,
    with_retained_heap,
    without_memory_settings,
)
from overlap.system.child_process import run_child, worker_environment

CHILD = """
import os, sys
import numpy as np
from overlap.system.resources.memory import page_faults
from overlap.system.child_process import child_main

def work(emit):
    before = page_faults()
    for _ in range(20):
        np.empty(64 << 20, np.uint8)[::4096] = 1
    emit({"faults": page_faults() - before, "environment": dict(os.environ)})

sys.exit(child_main(work))
"""
PAGES = (64 << 20) // 4096
"""Pages of the child's buffer, which it allocates, fills and frees 20 times."""
SETTINGS = {setting.variable: setting.value for setting in RETAIN}
HUGE = "=".join(HUGE_PAGES)


@pytest.fixture
def unset(monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment in which nothing configures the allocator."""
    for name in (*SETTINGS, TUNABLES):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def glibc(monkeypatch: pytest.MonkeyPatch) -> None:
    """A C library that has every setting."""
    monkeypatch.setattr(allocator, "glibc_version", lambda: HUGE_PAGES_SINCE)


def report_of_child(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    (tmp_path / "allocating_child.py").write_text(CHILD)
    path = os.pathsep.join([str(tmp_path), *filter(None, [os.getenv("PYTHONPATH")])])
    monkeypatch.setenv("PYTHONPATH", path)
    # NumPy itself asks for huge pages, so that a fault would be one for 2 MiB.
    monkeypatch.setenv("NUMPY_MADVISE_HUGEPAGE", "0")
    reports: list[Any] = []
    run_child("allocating_child", [], reports.append)
    (report,) = reports
    return report


@pytest.mark.usefixtures("unset")
@pytest.mark.skipif(glibc_version() is None, reason="another C library has another allocator")
def test_a_child_keeps_the_memory_that_it_frees(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The variables are those of a worker of Dask, with its nanny's trim threshold."""
    monkeypatch.setenv(*NANNY_TRIM)
    report = report_of_child(tmp_path, monkeypatch)
    assert SETTINGS.items() <= report["environment"].items()
    assert report["faults"] < 2 * PAGES  # the buffer once, and not more where pages are small


@pytest.mark.usefixtures("unset")
@pytest.mark.skipif(glibc_version() is None, reason="another C library has another allocator")
def test_variables_of_the_user_reach_the_child(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """glibc's own defaults switch the settings off: each buffer is mapped when it is allocated."""
    own = {
        "MALLOC_MMAP_MAX_": "65536",
        "MALLOC_TRIM_THRESHOLD_": "131072",
        "MALLOC_TOP_PAD_": "131072",
        TUNABLES: "glibc.malloc.hugetlb=0",
    }
    for name, value in own.items():
        monkeypatch.setenv(name, value)
    report = report_of_child(tmp_path, monkeypatch)
    assert own.items() <= report["environment"].items()
    assert report["environment"]["MALLOC_ARENA_MAX"] == "1"
    if os.sysconf("SC_PAGE_SIZE") == 4096 and not transparent_huge_pages_always():
        assert report["faults"] >= 20 * PAGES


def transparent_huge_pages_always() -> bool:
    enabled = Path("/sys/kernel/mm/transparent_hugepage/enabled")
    return enabled.exists() and "[always]" in enabled.read_text()


@pytest.mark.usefixtures("glibc")
def test_the_trim_threshold_of_dasks_nanny_is_replaced() -> None:
    pytest.importorskip("distributed")
    import dask

    name, value = NANNY_TRIM
    assert str(dask.config.get("distributed.nanny.pre-spawn-environ")[name]) == value
    assert with_retained_heap({name: value})[name] == SETTINGS[name]
    assert with_retained_heap({name: "1000000"})[name] == "1000000"


@pytest.mark.usefixtures("glibc")
@pytest.mark.parametrize(
    ("own", "tunables"),
    [
        ("", HUGE),
        ("glibc.rtld.nns=8", f"glibc.rtld.nns=8:{HUGE}"),
        ("glibc.rtld.nns=8:", f"glibc.rtld.nns=8:{HUGE}"),  # newer releases refuse an empty entry
        ("glibc.malloc.hugetlb=2", "glibc.malloc.hugetlb=2"),
        ("glibc.malloc.hugetlb=0:glibc.rtld.nns=8", "glibc.malloc.hugetlb=0:glibc.rtld.nns=8"),
        ("glibc.malloc.tcache_count=8", f"glibc.malloc.tcache_count=8:{HUGE}"),
    ],
)
def test_tunables_of_the_user_are_extended(own: str, tunables: str) -> None:
    assert with_retained_heap({TUNABLES: own}) == {**SETTINGS, TUNABLES: tunables}


@pytest.mark.usefixtures("glibc")
@pytest.mark.parametrize("setting", RETAIN, ids=lambda setting: setting.variable)
def test_a_tunable_of_the_user_replaces_the_variable(setting: allocator.Setting) -> None:
    own = f"{setting.tunable}=3"
    found = with_retained_heap({TUNABLES: own, "HOME": "/home/me"})
    others = {name: value for name, value in SETTINGS.items() if name != setting.variable}
    assert found == {**others, TUNABLES: f"{own}:{HUGE}", "HOME": "/home/me"}


@pytest.mark.usefixtures("glibc")
def test_the_settings_can_be_removed() -> None:
    environment = with_retained_heap({"HOME": "/home/me", "MALLOC_ARENA_MAX": "2"})
    assert without_memory_settings(environment) == {"HOME": "/home/me"}


def test_the_environment_of_a_child_process_has_them_and_no_thread_limits() -> None:
    found = worker_environment({"OMP_NUM_THREADS": "999", "TF_XLA_FLAGS": "x", "A": "b"})
    assert found["A"] == "b"
    assert found.get("OMP_NUM_THREADS") != "999"
    assert "TF_XLA_FLAGS" not in found
    assert with_retained_heap(found) == found


@pytest.mark.parametrize(
    ("answer", "version"),
    [
        ("glibc 2.35", (2, 35)),
        ("glibc 2.34", (2, 34)),
        ("glibc 3.0.1", (3, 0)),
        (None, None),
        ("", None),
        ("musl 1.2.5", None),
        (ValueError("unrecognized configuration name"), None),
        (OSError(22, "Invalid argument"), None),
    ],
)
def test_any_c_library_is_recognised(
    answer: str | Exception | None,
    version: tuple[int, int] | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def confstr(_name: str) -> str | None:
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(os, "confstr", confstr)
    assert glibc_version() == version
    expected = SETTINGS if version is not None else {}
    if version is not None and version >= HUGE_PAGES_SINCE:
        expected = {**expected, TUNABLES: HUGE}
    assert with_retained_heap({}) == expected


def test_a_system_without_the_call_is_recognised(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "confstr")
    assert glibc_version() is None
    own = {"MALLOC_ARENA_MAX": "4", TUNABLES: "glibc.malloc.hugetlb=2"}
    assert with_retained_heap(own) == own
