"""kill -9 of everything that takes part in a run, again and again, at points drawn by a seed.

Each trial begins with an empty workspace and is killed up to three times; what is dead is started
again, as a service manager would, and so is a run that ended. In the end the workspace must be
that of a run which nothing disturbed.
"""

import os
import random
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import psutil
import pytest
import yaml

from overlap.errors import RESUME_HINT
from overlap.features import FeatureStore
from overlap.io.location import Location
from support.fault_tables import write_table
from support.installation import Site, kill, postgres, site
from support.run_steps import TINY
from support.running_service import missing

pytestmark = pytest.mark.faults

SEED = int(os.environ.get("OVERLAP_SEED", "1"))
KILLS = int(os.environ.get("OVERLAP_KILLS", "100"))
MOST = 3
"""Kills per trial."""
HANGS = 300.0
"""Seconds after which a run that has not ended hangs."""
MEMBERS = 2
STAGES = {
    # What can be killed while a run is in each stage.
    "start": ("flow", "server", "database", "scheduler", "nanny", "worker"),
    "features": ("flow", "server", "database", "scheduler", "nanny", "worker"),
    "training": ("flow", "server", "database", "scheduler", "nanny", "worker", "member"),
    "pooling": ("flow", "server", "database", "scheduler"),
}
RESUME = (RESUME_HINT, "a new run trains only the missing ones", "run again")
"""A run that must be started again says one of these."""


@dataclass(frozen=True)
class Work:
    """A workspace as its files tell."""

    workspace: Path

    @property
    def blocks(self) -> dict[Path, int]:
        """Done markers of the features, and when each was written."""
        return _times(self.workspace, "features.zarr/blocks/key/c/*/0")

    @property
    def members(self) -> dict[Path, int]:
        """Records of complete members, and when each was written."""
        return _times(self.workspace, "members/*/member.json")

    @property
    def epochs(self) -> int:
        """Trainings that have a checkpoint."""
        return len(_times(self.workspace, "members/*/checkpoint.npz"))

    @property
    def published(self) -> bool:
        """Whether an ensemble is."""
        return any(self.workspace.glob("ensembles/*/ensemble.json"))


def _times(folder: Path, pattern: str) -> dict[Path, int]:
    found = {}
    for file in folder.glob(pattern):
        try:
            found[file] = file.stat().st_mtime_ns
        except FileNotFoundError:  # it was withdrawn in between
            continue
    return found


@dataclass
class Tally:
    """What came of the kills of one kind."""

    kills: int = 0
    stages: Counter[str] = field(default_factory=Counter)
    survived: int = 0
    """Runs that went on."""
    wasted: list[float] = field(default_factory=list)
    """Seconds that a run took more than the undisturbed one, all attempts together."""


@dataclass(frozen=True)
class Trial:
    """A run that is killed several times, and what it is compared with."""

    place: Site
    options: tuple[object, ...]
    work: Work
    draw: random.Random

    def run(self, kind: str | None) -> tuple[bool, str | None]:
        """Start the run, and kill something of a kind in it; whether it ended well, and where."""
        run = self.place.start("run", *self.options, "--workspace", self.work.workspace)
        where = None
        try:
            if kind is not None:
                where = self._strike(run, kind)
            deadline = time.monotonic() + HANGS
            while (code := run.poll()) is None:
                hangs = f"a run hangs after {kind} was killed in {where}:\n{self.place.printed}"
                assert time.monotonic() < deadline, hangs
                time.sleep(0.5)
                self.place.mend()  # workers, for instance, end some time after their scheduler
        finally:
            if run.poll() is None:
                for child in psutil.Process(run.pid).children(recursive=True):
                    kill(child.pid)
                run.kill()
        if code and kind != "flow":
            printed = self.place.printed
            assert "Traceback" not in printed, f"{kind} in {where}\n{printed}"
            assert any(words in printed for words in RESUME), f"{kind} in {where}\n{printed}"
        return code == 0, where

    def _strike(self, run: subprocess.Popen[bytes], kind: str) -> str | None:
        """Wait for a point of a stage that can still come; kill there. The stage, if it was hit."""
        stages = [s for s in STAGES if kind in STAGES[s] and self._still_comes(s)]
        if not stages:
            return None
        stage = self.draw.choice(stages)
        share, delay = self.draw.random(), self.draw.random()
        blocks = self.draw.randint(1, 24)
        complete = len(self.work.members)
        while run.poll() is None and not self._reached(stage, blocks, complete, share):
            time.sleep(0.005)
        time.sleep(delay * {"start": 8.0, "features": 0.05, "training": 1.5, "pooling": 1.0}[stage])
        deadline = time.monotonic() + 60
        while run.poll() is None and time.monotonic() < deadline:
            victims = self.place.victims(run, self.work.workspace).get(kind)
            if victims:
                kill(self.draw.choice(victims))
                return stage
            time.sleep(0.05)
        return None

    def _still_comes(self, stage: str) -> bool:
        done = {
            "start": False,
            "features": bool(self.work.members) or len(self.work.blocks) > 24,
            "training": len(self.work.members) == MEMBERS,
            "pooling": self.work.published,
        }
        return not done[stage]

    def _reached(self, stage: str, blocks: int, complete: int, share: float) -> bool:
        if stage == "start":
            return True
        if stage == "features":
            return len(self.work.blocks) >= blocks
        if stage == "training":
            if share < 0.5:  # while the process starts
                return any(self.work.workspace.glob("members/*/spec.json"))
            return self.work.epochs > 0 or len(self.work.members) > complete
        return len(self.work.members) == MEMBERS


@dataclass(frozen=True)
class Expected:
    """What a run gives that nothing disturbs."""

    features: np.ndarray
    histogram: np.ndarray
    members: set[str]
    submission: bytes
    seconds: float

    @classmethod
    def of(cls, work: Work, seconds: float) -> "Expected":
        store = FeatureStore.open(Location.of(work.workspace))
        (file,) = work.workspace.glob("ensembles/*/submission.csv")
        return cls(
            store.read_rows(0, 120).view(np.uint16), store.histogram(),
            {file.parent.name for file in work.members}, file.read_bytes(), seconds,
        )  # fmt: skip

    def is_what(self, work: Work) -> None:
        """Assert that a workspace holds the same."""
        found = Expected.of(work, 0)
        assert np.array_equal(found.features, self.features)
        assert np.array_equal(found.histogram, self.histogram)
        assert found.members == self.members
        assert found.submission == self.submission
        assert list(work.workspace.glob("members/*/checkpoint.npz")) == []


@pytest.fixture(params=["inside", "outside"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Site]:
    """SQLite and clusters that runs open, or PostgreSQL and a cluster that is there."""
    if request.param == "outside" and postgres() is None:
        missing("no PostgreSQL server on this machine (Debian's package postgresql)")
    with site(tmp_path / "site", outside=request.param == "outside") as made:
        yield made


@pytest.fixture
def options(data: Path, tmp_path: Path) -> tuple[object, ...]:
    """A run with many blocks, so that there is time to be killed in, and many epochs."""
    file = tmp_path / "config.yaml"
    config = TINY | {
        "features": {"hop_length": 40},
        "store": {"chunk_clips": 4, "block_clips": 4},
        "training": {"epochs": 12, "batch_size": 16},
        "ensemble": {"members": MEMBERS},
        "cluster": {"timeout_s": 120},  # a killed worker comes again, however slow
    }
    file.write_text(yaml.safe_dump(config))
    return ("--data", data, "--config", file)


def test_killed_again_and_again(
    place: Site, options: tuple[object, ...], tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    draw = random.Random(SEED)
    reference = Trial(place, options, Work(tmp_path / "undisturbed"), draw)
    reference.run(None)  # what is read from disks is in memory afterwards
    again = Trial(place, options, Work(tmp_path / "reference"), draw)
    began = time.monotonic()
    assert again.run(None) == (True, None), place.printed
    expected = Expected.of(again.work, time.monotonic() - began)
    expected.is_what(reference.work)

    outside = bool(place.cluster)
    kinds = ["flow", "worker", "member", "server"]
    kinds += ["scheduler", "nanny", "database"] if outside else []
    wanted = KILLS // 2
    tallies = {kind: Tally() for kind in kinds}
    number = 0
    while sum(t.kills for t in tallies.values()) < wanted:
        number += 1
        trial = Trial(place, options, Work(tmp_path / f"trial-{number}"), draw)
        _one_trial(trial, expected, tallies, draw, tmp_path)
        _write(tallies, outside)
    print(f"{number} trials")


def _one_trial(
    trial: Trial,
    expected: Expected,
    tallies: dict[str, Tally],
    draw: random.Random,
    folder: Path,
) -> None:
    began, killed, ended = time.monotonic(), [], False
    seen: dict[Path, int] = {}
    while not ended:
        kind = None
        if len(killed) < MOST:
            fewest = min(tallies.values(), key=lambda t: t.kills).kills
            kind = draw.choice([k for k, t in tallies.items() if t.kills == fewest])
        ended, where = trial.run(kind)
        done = trial.work.blocks | trial.work.members
        for file, at in seen.items():
            assert done.get(file) == at, f"{file} was made twice, after {killed}"
        seen = done
        if kind is not None and where is not None:
            killed.append(kind)
            tally = tallies[kind]
            tally.kills += 1
            tally.stages[where] += 1
            tally.survived += ended
    expected.is_what(trial.work)
    printed = [" ".join(p.info["cmdline"] or ()) for p in psutil.process_iter(["cmdline"])]
    assert [line for line in printed if str(trial.work.workspace) in line] == []
    more = (time.monotonic() - began - expected.seconds) / max(1, len(killed))
    for kind in killed:
        tallies[kind].wasted.append(more)


def _write(tallies: dict[str, Tally], outside: bool) -> None:
    rows = [
        (
            kind, tally.kills, *(tally.stages[stage] for stage in STAGES), tally.survived, 0, 0,
            f"{np.mean(tally.wasted):.0f}" if tally.wasted else "",
        )
        for kind, tally in tallies.items()
    ]  # fmt: skip
    columns = ("killed", "times", *STAGES, "the run went on", "lost", "wrong", "seconds more")
    write_table("kills-outside" if outside else "kills-inside", columns, rows)
