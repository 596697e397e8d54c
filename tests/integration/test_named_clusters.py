"""Clusters of a class by name: one kind of workers or two, a fixed number or as there is work."""

import os
import re
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack, contextmanager
from pathlib import Path
from threading import Event, Thread

import pytest
from distributed import Client, get_worker

from flows.clusters.opening import open_cluster
from flows.clusters.preflight import Work
from overlap.config import ClusterConfig
from overlap.errors import ClusterError
from overlap.io.location import Location
from support.dask_processes import Operated
from support.errors import raises
from tasks.cluster import Cluster, connect
from tasks.fan_out import fan_out
from tasks.members import TrainingJob, on_training_worker
from tasks.on_scheduler import KeepTrainers
from tasks.workers import workers_of

pytestmark = [
    pytest.mark.extended,
    # Where another scheduler has the usual port, Dask says so, takes a free one, and leaves the
    # socket of its first attempt to the garbage collector; so do workers that it stops.
    pytest.mark.filterwarnings("ignore:Port .* is already in use"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

LOCAL = {
    "kind": "distributed.LocalCluster",
    "arguments": {
        "n_workers": 0, "threads_per_worker": 1, "host": "127.0.0.1", "dashboard_address": None,
    },
}  # fmt: skip
QUEUE = {
    "kind": "dask_jobqueue.local.LocalCluster",
    "arguments": {
        "cores": 2, "processes": 2, "memory": "4GB",
        "scheduler_options": {"host": "127.0.0.1", "dashboard": False},
        "worker_extra_args": ["--host", "127.0.0.1", "--no-dashboard"],
    },
    "training": {
        "cores": 1,
        "worker_extra_args": ["--host", "127.0.0.1", "--no-dashboard", "--resources", "GPU=1"],
    },
}  # fmt: skip


@contextmanager
def opened(tmp_path: Path, settings: dict, **more):
    """An open cluster, and a client of it."""
    with ExitStack() as stack:
        config = ClusterConfig(**{"timeout_s": 120, **settings, **more})
        place = Location.of(tmp_path / "workspace")
        cluster = stack.enter_context(open_cluster(config, place, Work(training=True)))
        yield cluster, stack.enter_context(connect(cluster))


def names(client: Client) -> list[str]:
    return sorted(str(worker["name"]) for worker in workers_of(client).values())


def until(client: Client, wanted: Callable[[list[str]], bool]) -> None:
    started = time.monotonic()
    while not wanted(names(client)):
        assert time.monotonic() - started < 120, names(client)
        time.sleep(0.1)


def nobody(there: list[str]) -> bool:
    return not there


def name_after(seconds: float) -> str:
    time.sleep(seconds)
    return str(get_worker().name)


def train_for(seconds: float, file: str, topic: str) -> None:
    with Path(file).open("a") as written:
        written.write(f"{get_worker().name} began\n")
        written.flush()
        time.sleep(seconds)
        written.write(f"{get_worker().name} ended\n")


@contextmanager
def training(cluster: Cluster, file: Path, seconds: list[float]):
    """Members of so many seconds, in threads; they are waited for in the end."""
    jobs = [TrainingJob(train_for, (s, str(file)), f"m{n}", n) for n, s in enumerate(seconds)]
    threads = [
        Thread(target=on_training_worker, args=(cluster, job, Event(), print)) for job in jobs
    ]
    for thread in threads:
        thread.start()
    yield
    for thread in threads:
        thread.join()


@pytest.mark.nightly
def test_two_kinds_of_workers_each_with_its_own_jobs(tmp_path: Path) -> None:
    kinds = {"training": {"resources": {"GPU": 1}}, "cpu_workers": 1, "training_workers": 1}
    with opened(tmp_path, LOCAL, **kinds) as (cluster, client):
        assert names(client) == ["training-1", "worker-0"]
        assert set(fan_out(client, cluster, name_after, [0.0] * 50)) == {"worker-0"}
        with training(cluster, tmp_path / "trained", [0.0, 0.0]):
            pass
        assert to_stop(client) == {"worker-0", "training-1"}
        client.register_plugin(KeepTrainers())
        assert to_stop(client) == {"worker-0"}
    told = (tmp_path / "trained").read_text().splitlines()
    assert told == ["training-1 began", "training-1 ended"] * 2


def to_stop(client: Client) -> set[object]:
    """Names of workers that the scheduler would give up, were all too many."""
    return set(client.run_on_scheduler(ask_whom_to_stop))


def ask_whom_to_stop(dask_scheduler) -> list[object]:
    return dask_scheduler.workers_to_close(n=2, attribute="name")


@pytest.mark.nightly
def test_workers_that_train_are_a_group_where_the_class_has_groups(tmp_path: Path) -> None:
    """A class that is scaled from elsewhere, as on Kubernetes."""
    settings = {
        "kind": "support.dask_processes.Operated",
        "training": {"custom_spec": {"resources": {"GPU": 1}}},
        "adaptive": {"minimum": 1, "maximum": 3, "training_maximum": 2},
    }
    with opened(tmp_path, settings) as (_cluster, client):
        assert names(client) == ["0", "training-0", "training-1"]
        assert Operated.asked == [
            ("scale", 1),
            ("group", "training", {"resources": {"GPU": 1}, "replicas": 2}),
            ("adapt", 1, 3),
        ]
        assert to_stop(client) == {0}
    with (
        raises(ClusterError, "one-kind-only", kind="support.dask_processes.Alike"),
        opened(tmp_path, settings | {"kind": "support.dask_processes.Alike"}),
    ):
        pass


def test_what_a_class_says_is_told(tmp_path: Path) -> None:
    nonsense = LOCAL | {"arguments": {"n_workers": 0, "protocol": "morse://"}}
    kind = "distributed.LocalCluster"
    with (
        raises(ClusterError, "cluster-not-started", kind=kind) as refused,
        opened(tmp_path, nonsense),
    ):
        pass
    assert "morse" in str(refused.value)
    with (
        raises(ClusterError, "not-a-cluster-class", kind="pathlib.Path"),
        opened(tmp_path, {"kind": "pathlib.Path"}),
    ):
        pass


@pytest.mark.nightly
def test_workers_come_and_go_with_the_work_and_none_that_trains_is_stopped(tmp_path: Path) -> None:
    """From nothing: preflight, features on three, then two that train, then one for a while."""
    bounds = {"maximum": 3, "training_maximum": 2}
    kinds = {"training": {"resources": {"GPU": 1}}, "adaptive": bounds}
    file = tmp_path / "trained"
    with opened(tmp_path, LOCAL, **kinds) as (cluster, client):
        until(client, nobody)
        done = Counter(fan_out(client, cluster, name_after, [0.5] * 60))
        assert len(done) == 3
        assert all(name.startswith("worker-") for name in done)
        with training(cluster, file, [25.0, 2.0, 2.0]):
            until(client, lambda there: sum(n.startswith("training-") for n in there) == 2)
            until(client, lambda there: len(there) == 1)
            (left,) = names(client)
            assert f"{left} began" in file.read_text()
        until(client, nobody)
    told = file.read_text().splitlines()
    assert len(told) == 6  # none was begun twice
    assert told[-1] == f"{left} ended"


@pytest.mark.nightly
def test_jobs_of_a_queue_with_several_workers_each(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("dask_jobqueue", reason="dask-jobqueue is not installed")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, sys.path)))  # of this file
    bounds = {"maximum": 4, "training_maximum": 1}
    file = tmp_path / "trained"
    with opened(tmp_path, QUEUE, adaptive=bounds) as (cluster, client):
        done = set(fan_out(client, cluster, name_after, [0.3] * 60))
        assert len(done) >= 2
        assert all(re.fullmatch(r"worker-\d-[01]", name) for name in done)
        with training(cluster, file, [1.0, 1.0]):
            pass
        until(client, nobody)
    lines = file.read_text().splitlines()
    assert [line.split()[1] for line in lines] == ["began", "ended"] * 2
    assert all(line.startswith("training-") for line in lines)


@pytest.mark.nightly
@pytest.mark.parametrize("wrong", ["wallltime", "--nonsense"])
def test_a_job_that_cannot_be_submitted_is_told_at_once(tmp_path: Path, wrong: str) -> None:
    pytest.importorskip("dask_jobqueue", reason="dask-jobqueue is not installed")
    option = {"worker_extra_args": [wrong]} if wrong.startswith("--") else {wrong: "1h"}
    settings = QUEUE | {"training": option}
    with raises(ClusterError, "cluster-not-started") as refused, opened(tmp_path, settings):
        pass
    assert wrong in str(refused.value)
