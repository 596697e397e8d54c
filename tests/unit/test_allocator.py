"""Memory environment of worker processes: variables, precedence, page faults of a child."""

import os
from pathlib import Path
from typing import Any

import pytest

from overlap.system import allocator
from overlap.system.allocator import HUGE_PAGES, RETAIN, TUNABLES, glibc_version, with_retained_heap
from overlap.system.worker_process import run_child

CHILD = """
import os, resource, sys
import numpy as np
from overlap.system.worker_process import child_main

def work(emit):
    for _ in range(50):
        np.empty(64 << 20, np.uint8)[::4096] = 1
    faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    emit({"faults": faults, "environment": dict(os.environ)})

sys.exit(child_main(work))
"""
PAGES_OF_50_BUFFERS = 50 * (64 << 20) // 4096
"""Page faults of the child's buffers when each is mapped on its own, about."""


@pytest.fixture
def unset(monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment in which nothing configures the allocator."""
    for name in (*RETAIN, TUNABLES):
        monkeypatch.delenv(name, raising=False)


def report_of_child(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    (tmp_path / "allocating_child.py").write_text(CHILD)
    path = os.pathsep.join([str(tmp_path), *filter(None, [os.getenv("PYTHONPATH")])])
    monkeypatch.setenv("PYTHONPATH", path)
    reports: list[Any] = []
    run_child("allocating_child", [], reports.append)
    (report,) = reports
    return report


@pytest.mark.usefixtures("unset")
def test_a_child_keeps_the_memory_that_it_frees(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = report_of_child(tmp_path, monkeypatch)
    assert RETAIN.items() <= report["environment"].items()
    version = glibc_version()
    if version is not None and version >= (2, 35):
        assert report["environment"][TUNABLES] == HUGE_PAGES
        assert report["faults"] < PAGES_OF_50_BUFFERS / 10
    else:  # an allocator that ignores the variables, or has no huge pages: no bound is known
        assert TUNABLES not in report["environment"]


@pytest.mark.usefixtures("unset")
def test_variables_of_the_user_reach_the_child(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Setting the variables to glibc's own defaults switches the settings off."""
    monkeypatch.setenv("MALLOC_MMAP_MAX_", "65536")
    monkeypatch.setenv("MALLOC_ARENA_MAX", "4")
    environment = report_of_child(tmp_path, monkeypatch)["environment"]
    assert environment["MALLOC_MMAP_MAX_"] == "65536"
    assert environment["MALLOC_ARENA_MAX"] == "4"
    assert environment["MALLOC_TOP_PAD_"] == RETAIN["MALLOC_TOP_PAD_"]


def test_the_trim_threshold_of_dasks_nanny_is_replaced() -> None:
    pytest.importorskip("distributed")
    import dask

    name = "MALLOC_TRIM_THRESHOLD_"
    default = dask.config.get("distributed.nanny.pre-spawn-environ")[name]
    assert with_retained_heap({name: str(default)})[name] == RETAIN[name]
    assert with_retained_heap({name: "1000000"})[name] == "1000000"


def test_tunables_of_the_user_are_extended_unless_they_configure_malloc(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(allocator, "glibc_version", lambda: (2, 35))
    other = {TUNABLES: "glibc.rtld.nns=8"}
    assert with_retained_heap(other) == {**RETAIN, TUNABLES: f"glibc.rtld.nns=8:{HUGE_PAGES}"}
    own = {TUNABLES: "glibc.malloc.mmap_max=3", "HOME": "/home/me"}
    assert with_retained_heap(own) == own


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
    tunables = HUGE_PAGES if version is not None and version >= (2, 35) else None
    assert with_retained_heap({}).get(TUNABLES) == tunables
