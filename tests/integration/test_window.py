"""Jobs are made as they are submitted, a window ahead of the results."""

import asyncio
import os
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from distributed import Client, SchedulerPlugin

from flows.clusters.opening import open_cluster
from flows.clusters.preflight import Work
from overlap.config import ClusterConfig
from overlap.errors import ClusterLostError
from overlap.io.location import Location
from support.dask_processes import GPU, scheduler, worker
from support.errors import raises
from support.processes import stop
from tasks.cluster import ClosedOnErrorClient, Cluster, connect
from tasks.fan_out import fan_out, fanned_out, on_every_worker
from tasks.workers import JOBS_AHEAD

pytestmark = [
    pytest.mark.extended,
    # Where another scheduler has the usual port, Dask says so, takes a free one, and leaves the
    # socket of its first attempt to the garbage collector.
    pytest.mark.filterwarnings("ignore:Port .* is already in use"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
JOBS = 200


Opened = tuple[Client, Cluster]


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Opened]:
    place = Location.of(tmp_path_factory.mktemp("workspace"))
    with (
        open_cluster(ClusterConfig(cpu_workers=1), place, Work(training=False)) as cluster,
        connect(cluster) as client,
    ):
        yield client, cluster


def test_jobs_are_asked_for_in_a_window(opened: Opened) -> None:
    client, _ = opened
    window = max(8, JOBS_AHEAD * sum(client.nthreads().values()))
    asked: list[int] = []
    ahead: list[int] = []
    seen: list[int] = []

    def jobs() -> Iterator[int]:
        for number in range(JOBS):
            asked.append(number)
            yield number

    def on_result(result: int) -> None:
        seen.append(result)
        ahead.append(len(asked) - len(seen))

    results = fan_out(*opened, abs, jobs(), on_result)
    assert results == list(range(JOBS))
    assert sorted(seen) == results
    assert max(ahead) < window


def test_results_are_used_while_jobs_wait(opened: Opened) -> None:
    """In the order of the jobs; jobs are not asked for once the results are closed."""
    asked: list[int] = []

    def jobs() -> Iterator[int]:
        for number in range(JOBS):
            asked.append(number)
            yield number

    results = fanned_out(*opened, abs, jobs())
    first = [next(results) for _ in range(3)]
    results.close()
    assert first == [0, 1, 2]
    assert len(asked) < JOBS


class TellsEveryone(SchedulerPlugin):
    """Sends word of another client's jobs right after the greeting, to the next few clients."""

    name = "tells-everyone"

    def __init__(self, times: int) -> None:
        self.left = times

    def add_client(self, scheduler, client: str) -> None:  # noqa: ARG002  Dask gives both
        if self.left:
            self.left -= 1
            told = {"op": "cancelled-keys", "keys": ["of-another"]}
            asyncio.get_running_loop().call_soon(scheduler.report, told)


def test_a_client_comes_in_while_another_cancels(opened: Opened) -> None:
    client, cluster = opened
    client.register_plugin(TellsEveryone(3))
    with pytest.raises(AssertionError):  # what Dask makes of it
        ClosedOnErrorClient(cluster.address, set_as_default=False)
    with connect(cluster) as another:
        assert fan_out(another, cluster, abs, range(3)) == [0, 1, 2]
    assert client.run_on_scheduler(interruptions_left) == 0


def interruptions_left(dask_scheduler) -> int:
    return dask_scheduler.plugins["tells-everyone"].left


def test_no_jobs_are_no_work(opened: Opened) -> None:
    assert fan_out(*opened, abs, iter(())) == []


def test_a_job_that_cannot_be_made_ends_the_whole(opened: Opened) -> None:
    def jobs() -> Iterator[int]:
        yield from range(50)
        raise OSError("the catalogue is gone")

    with pytest.raises(OSError, match="catalogue is gone"):
        fan_out(*opened, abs, jobs())
    assert fan_out(*opened, abs, range(3)) == [0, 1, 2]


def die_once(marker: str) -> None:
    """Kill the first worker that runs this."""
    if not Path(marker).exists():
        Path(marker).touch()
        os._exit(1)


def test_a_worker_that_dies_while_all_are_called_is_not_waited_for(tmp_path: Path) -> None:
    config, place = ClusterConfig(cpu_workers=2), Location.of(tmp_path / "workspace")
    with (
        open_cluster(config, place, Work(training=False)) as cluster,
        connect(cluster) as client,
    ):
        on_every_worker(client, [*client.nthreads()], die_once, str(tmp_path / "died"))
        assert (tmp_path / "died").exists()


@contextmanager
def outside(tmp_path: Path, names: Sequence[str]):
    """A scheduler and workers as processes, an open cluster and a client of it."""
    with ExitStack() as stack:
        address = stack.enter_context(scheduler(tmp_path / "dask"))
        processes = {
            name: stack.enter_context(
                worker(address, tmp_path / "dask", name, *(GPU if name == "gpu" else ()))
            )
            for name in names
        }
        with Client(address, set_as_default=False) as looking:
            looking.wait_for_workers(len(names), timeout=60)
        place = Location.of(tmp_path / "workspace")
        opened = open_cluster(ClusterConfig(address=address), place, Work(training=False))
        cluster = stack.enter_context(opened)
        yield cluster, stack.enter_context(connect(cluster)), processes


@pytest.mark.nightly
def test_jobs_of_a_worker_that_is_gone_are_done_by_others(tmp_path: Path) -> None:
    """Also by one with GPU, when nobody else is left; and by one that comes."""
    with outside(tmp_path, ["cpu", "gpu"]) as (cluster, client, processes):
        slow, done = [0.1] * 80, []

        def on_result(_: None) -> None:
            done.append(time.monotonic())
            if len(done) == 10:
                processes["cpu"].kill()

        fan_out(client, cluster, time.sleep, slow, on_result)
        assert len(done) == 80
        client.get_task_stream()
        with worker(cluster.address, tmp_path / "dask", "late"):
            client.wait_for_workers(2, timeout=60)
            fan_out(client, cluster, time.sleep, slow)
            known = client.scheduler_info(n_workers=-1)["workers"]
            who = {known[task["worker"]]["name"] for task in client.get_task_stream()}
        assert who == {"late"}


@pytest.mark.nightly
def test_a_scheduler_that_dies_and_workers_that_all_go_end_the_wait(tmp_path: Path) -> None:
    with outside(tmp_path, ["cpu"]) as (cluster, client, processes):
        patient = replace(cluster, lost_after_s=3.0)
        stop(processes["cpu"])
        with raises(ClusterLostError, "no-feature-worker", waited_s=3.0):
            fan_out(client, patient, abs, range(9))
        scheduler_process = client.run_on_scheduler(os.getpid)

        def jobs() -> Iterator[int]:
            yield from range(8)
            raise AssertionError("nothing was done")

        threading.Timer(1.0, os.kill, (scheduler_process, signal.SIGKILL)).start()
        with raises(ClusterLostError, "scheduler-lost", address=cluster.address):
            fan_out(client, cluster, abs, jobs())
