"""Where members were trained, from the records that workers leave: only with GPU, one at a time."""

import subprocess
import time
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path

import pytest
from distributed import Client

from overlap.io.location import Location
from overlap.training.placement import Placement, placements
from overlap.training.spec import MemberRecord, load_record
from support.dask_processes import GPU, scheduler, worker
from support.processes import OVERLAP, has_checkpoint, stop

pytestmark = pytest.mark.nightly


def records(workspace: Path) -> list[MemberRecord]:
    found = [load_record(Location.of(folder)) for folder in (workspace / "members").iterdir()]
    assert all(found)
    return found


def all_placements(workspace: Path) -> list[Placement]:
    folders = sorted((workspace / "members").iterdir())
    return [place for folder in folders for place in placements(Location.of(folder))]


def test_every_member_trained_with_gpu_and_never_two_at_once_on_one(
    overlap, data: Path, tiny: Path, tmp_path: Path
) -> None:
    """Two workers with GPU and two without, which stay free of training."""
    workspace = tmp_path / "w"
    with ExitStack() as opened:
        address = opened.enter_context(scheduler(tmp_path / "dask"))
        for name, options in {"cpu-a": (), "cpu-b": (), "gpu-a": GPU, "gpu-b": GPU}.items():
            opened.enter_context(worker(address, tmp_path / "dask", name, *options))
        client = opened.enter_context(Client(address, set_as_default=False))
        client.get_task_stream()  # from now on the scheduler keeps who did what
        overlap(
            "run", "--data", data, "--workspace", workspace, "--config", tiny, "--members", 5,
            "--cluster", address,
        )  # fmt: skip
        known = client.scheduler_info(n_workers=-1)["workers"]
        done = [(known[task["worker"]]["name"], task["key"]) for task in client.get_task_stream()]
    features = {name for name, key in done if key.startswith("extract_block-")}
    assert features == {"cpu-a", "cpu-b"}
    assert {name for name, key in done if key.startswith("member ")} == {"gpu-a", "gpu-b"}
    members, held = records(workspace), all_placements(workspace)
    assert len(members) == len(held) == 5
    for place in [*held, *(member.placement for member in members)]:
        there = known[place.worker]
        assert place.resources == there["resources"] == {"GPU": 1.0}
        assert place.name == there["name"]
        assert place.fault is None
    by_worker: dict[str, list[Placement]] = {}
    for place in sorted(held, key=lambda place: place.started):
        by_worker.setdefault(place.worker, []).append(place)
    assert {places[0].name for places in by_worker.values()} == {"gpu-a", "gpu-b"}
    for places in by_worker.values():
        assert len({(place.host, place.process) for place in places}) == 1
        for before, after in pairwise(places):
            assert before.started < before.ended <= after.started
    for member in members:
        (own,) = [p for p in held if p.started == member.placement.started]
        assert own.started <= member.placement.ended <= own.ended


def test_a_member_goes_on_elsewhere_when_its_worker_is_sent_away(
    environment, data: Path, tiny: Path, tmp_path: Path
) -> None:
    """As an adaptive cluster, a queue's time limit or an operator does it: closing gracefully."""
    workspace = tmp_path / "w"
    options = ("--members", 1, "--set", "training.epochs=60", "--data", data, "--config", tiny)
    with ExitStack() as opened:
        address = opened.enter_context(scheduler(tmp_path / "dask"))
        for name in ("gpu-a", "gpu-b"):
            opened.enter_context(worker(address, tmp_path / "dask", name, *GPU))
        command = [OVERLAP, "run", "--workspace", workspace, "--cluster", address, *options]
        run = subprocess.Popen(
            [*map(str, command)], env=environment, text=True,
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        )  # fmt: skip
        opened.callback(stop, run)
        started = time.monotonic()
        while not has_checkpoint(workspace):
            assert time.monotonic() - started < 200
            time.sleep(0.05)
        (first,) = all_placements(workspace)
        with Client(address, set_as_default=False) as client:
            client.retire_workers([first.worker])
        _, said = run.communicate(timeout=250)
        assert run.returncode == 0, said
    one, other = all_placements(workspace)
    assert one.worker == first.worker != other.worker
    assert one.fault or one.ended is None
    assert other.ended
    (member,) = records(workspace)
    assert member.placement.worker == other.worker
    assert len(member.history) == 60
