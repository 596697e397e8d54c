"""Load: many files, many members, and half an hour of one run after the other."""

import os
import resource
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest

from overlap.features import FeatureStore
from overlap.io.location import Location
from overlap.synthetic import MixConfig, mix
from support.fault_tables import write_table
from support.installation import Site, site

pytestmark = pytest.mark.faults

FILES = int(os.environ.get("OVERLAP_FILES", "20000"))
MANY = int(os.environ.get("OVERLAP_MEMBERS", "200"))
SOAK_MINUTES = float(os.environ.get("OVERLAP_SOAK", "30"))


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Site]:
    """A Prefect server; runs open their own cluster."""
    with site(tmp_path / "site", outside=False) as made:
        yield made


def done(place: Site, *arguments: object, seconds: float = 1800) -> float:
    """Run a command to its end; the seconds that it took."""
    began = time.monotonic()
    assert place.start(*arguments).wait(seconds) == 0, place.printed[-3000:]
    return time.monotonic() - began


def test_many_files(place: Site, words: Path, tmp_path: Path) -> None:
    """The whole feature stage on real files: all there, each block what its files give."""
    config = MixConfig(train=FILES - 1000, test=1000, words_per_clip=2, test_speakers=0.2)
    mix(words, tmp_path / "data", config)
    workspace = tmp_path / "w"
    took = done(place, "features", "--data", tmp_path / "data", "--workspace", workspace)
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    store = FeatureStore.open(Location.of(workspace))
    assert store.histogram().sum() == FILES * np.prod(store.config.shape)
    done(place, "verify", "--workspace", workspace)
    write_table(
        "many-files", ("files", "seconds", "largest process, MB"),
        [(FILES, f"{took:.0f}", f"{peak / 1024:.0f}")],
    )  # fmt: skip


def test_many_members(place: Site, data: Path, tiny: Path, tmp_path: Path) -> None:
    """A task run and a process each, four at a time; every one is complete and pooled."""
    workspace = tmp_path / "w"
    took = done(
        place, "run", "--data", data, "--workspace", workspace, "--config", tiny,
        "--members", MANY, "--set", "cluster.training_workers=4", "--set", "training.epochs=1",
        seconds=3600,
    )  # fmt: skip
    assert len(list(workspace.glob("members/*/member.json"))) == MANY
    assert f"ensemble of {MANY}" in place.printed
    write_table("many-members", ("members", "seconds"), [(MANY, f"{took:.0f}")])


def test_a_soak(data: Path, tiny: Path, tmp_path: Path) -> None:
    """One run after the other on a service that stays: memory, files and processes are flat."""
    with site(tmp_path / "site", outside=True) as place:
        lasting = {
            name: program.process.pid
            for name, program in place.programs.items()
            if program.process is not None and name != "database"
        }
        seen: dict[str, list[tuple[int, int, int]]] = defaultdict(list)
        runs, end = 0, time.monotonic() + 60 * SOAK_MINUTES
        while time.monotonic() < end or runs < 6:
            done(
                place, "run", "--data", data, "--workspace", tmp_path / f"w{runs % 3}",
                "--config", tiny, "--set", f"training.seed={100 * runs}",
            )  # fmt: skip
            runs += 1
            for name, pid in lasting.items():
                seen[name].append(_measure(pid))
        rows = []
        for name, measures in seen.items():
            # The first runs load what stays loaded.
            settled = np.array(measures[len(measures) // 3 :])
            half = len(settled) // 2
            before, after = np.median(settled[:half], axis=0), np.median(settled[half:], axis=0)
            rows.append(
                (name, *(f"{b:.0f} to {a:.0f}" for b, a in zip(before, after, strict=True)))
            )
            assert after[0] < before[0] * 1.1 + 20, f"{name}: memory grows: {measures}"
            assert after[1] <= before[1] + 5, f"{name}: open files grow: {measures}"
            assert after[2] <= before[2], f"{name}: processes grow: {measures}"
        columns = ("process", "memory, MB", "open files", "processes below")
        write_table("soak", columns, [*rows, (f"{runs} runs", "", "", "")])


def _measure(pid: int) -> tuple[int, int, int]:
    """MB, open files and processes of a process and all below it."""
    family = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    memory = sum(process.memory_info().rss for process in family)
    return memory // 2**20, sum(process.num_fds() for process in family), len(family) - 1
