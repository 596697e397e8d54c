"""The look at a cluster before any work: real workers that cannot do it, all in one error."""

import re
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from threading import Event

import pytest
from distributed import Client

import overlap as library
from flows.clusters.opening import open_cluster
from flows.clusters.preflight import Work
from overlap.catalog import list_data
from overlap.config import ClusterConfig, RunConfig
from overlap.errors import ClusterError
from overlap.io.location import Location
from support.dask_processes import GPU, of_another_version, scheduler, worker
from support.errors import raises
from tasks import fan_out as fan_out_module
from tasks import members as members_module
from tasks.cluster import connect
from tasks.fan_out import fan_out
from tasks.members import TrainingJob, on_training_worker

pytestmark = pytest.mark.extended


def wait_for_workers(address: str, count: int) -> None:
    with Client(address, set_as_default=False) as client:
        client.wait_for_workers(count, timeout=60)


def test_every_fault_of_every_worker_in_one_error(config: RunConfig, tmp_path: Path) -> None:
    """Two of another version, one with little memory, none with GPU; none sees the workspace."""
    elsewhere = Location("memory://workspace")  # each process has one of its own
    files = list_data(config.data)
    moved = Location("memory://data") / str(files.files["file"].iloc[0])
    moved.write_bytes(b"a clip that no worker can read")
    files = type(files)(Location("memory://data"), files.files, None, None, None)
    with ExitStack() as opened:
        old = of_another_version(tmp_path / "other")
        address = opened.enter_context(scheduler(tmp_path, environment=old))
        for name, how in {"a": {}, "b": {}, "small": {}, "old": {"environment": old}}.items():
            limit = "300MB" if name == "small" else "4GB"
            opened.enter_context(worker(address, tmp_path, name, "--memory-limit", limit, **how))
        wait_for_workers(address, 4)
        cluster = ClusterConfig(address=address, timeout_s=1)
        with (
            raises(ClusterError, "cluster-unfit", address=address) as refused,
            open_cluster(cluster, elsewhere, Work(training=True, run=config, files=files)),
        ):
            pass
        with Client(address, set_as_default=False) as client:
            known = client.scheduler_info(n_workers=-1)["workers"]
    names = {address: worker["name"] for address, worker in known.items()}
    listed = refused.value.fields["faults"]
    assert all(fault in str(refused.value) for fault in listed)
    faults = [
        re.sub(r"tcp://[\d.]+:\d+", lambda found: names.get(found[0], "it"), fault)
        for fault in listed
    ]
    by_fault = {}
    for line in faults:
        who, _, fault = line.partition(": ")
        by_fault.setdefault(fault or line, []).extend(who.split(", "))
    three = ["a", "b", "small"]
    assert by_fault.pop(f"overlap 0.0.9, here {library.__version__}") == ["scheduler", "old"]
    assert sorted(by_fault.pop("does not see the workspace memory://workspace")) == three
    assert sorted(by_fault.pop(f"cannot read the data: {moved}")) == three
    (memory,) = [fault for fault in by_fault if "300 MB" in fault]
    assert by_fault.pop(memory) == ["small"]
    (offered,) = by_fault
    assert "4 workers" in offered
    assert "GPU=1" in offered


@pytest.mark.nightly
def test_a_worker_that_comes_later_and_cannot_do_the_work_gets_none(
    config: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    notes: list[str] = []
    for module in (fan_out_module, members_module):
        monkeypatch.setattr(module, "note", notes.append)
    place = Location.of(tmp_path / "workspace")
    with ExitStack() as opened:
        address = opened.enter_context(scheduler(tmp_path))
        opened.enter_context(worker(address, tmp_path, "good"))
        opened.enter_context(worker(address, tmp_path, "gpu", *GPU))
        wait_for_workers(address, 2)
        cluster = opened.enter_context(
            open_cluster(ClusterConfig(address=address), place, Work(training=True))
        )
        assert len(list(place.files())) == 1  # the token: what the workers wrote is gone
        old = of_another_version(tmp_path / "other")
        hidden = tmp_path / "hides" / "overlap"  # an empty package in the place of this one
        hidden.mkdir(parents=True)
        (hidden / "__init__.py").touch()
        opened.enter_context(worker(address, tmp_path, "old", *GPU, environment=old))
        opened.enter_context(worker(address, tmp_path, "none", folder=hidden.parent))
        wait_for_workers(address, 4)
        client = opened.enter_context(connect(cluster))
        assert fan_out(client, cluster, abs, range(200)) == [*range(200)]
        # One member has the good worker, so the other comes to the wrong one first.
        jobs = [TrainingJob(lambda _: __import__("time").sleep(3), (), f"m{n}", n) for n in (1, 2)]
        with ThreadPoolExecutor() as threads:
            for job in jobs:
                threads.submit(on_training_worker, cluster, job, Event(), notes.append)
        trained = [n for n in notes if "is unfit to train:" in n]
        computed = [n for n in notes if "is unfit:" in n]
    assert len(trained) == 1, notes
    assert f"overlap 0.0.9, here {library.__version__}" in trained[0]
    assert sum("does not have the package overlap" in note for note in computed) == 1, notes
    assert list(place.files()) == []
