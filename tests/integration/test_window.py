"""Jobs are made as they are submitted, a window ahead of the results."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from distributed import Client

from flows.runtime import open_cluster
from overlap.config import ClusterConfig
from overlap.storage import Location
from tasks.cluster import JOBS_AHEAD, connect, fan_out, on_every_worker

pytestmark = [
    pytest.mark.slow,
    # Where another scheduler has the usual port, Dask says so, takes a free one, and leaves the
    # socket of its first attempt to the garbage collector.
    pytest.mark.filterwarnings("ignore:Port .* is already in use"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
JOBS = 200


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    place = Location.of(tmp_path_factory.mktemp("workspace"))
    with (
        open_cluster(ClusterConfig(cpu_workers=1), place, training=False) as address,
        connect(address) as client,
    ):
        yield client


def test_jobs_are_asked_for_in_a_window(client: Client) -> None:
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

    results = fan_out(client, abs, jobs(), on_result)
    assert results == list(range(JOBS))
    assert sorted(seen) == results
    assert max(ahead) < window


def test_no_jobs_are_no_work(client: Client) -> None:
    assert fan_out(client, abs, iter(())) == []


def test_a_job_that_cannot_be_made_ends_the_whole(client: Client) -> None:
    def jobs() -> Iterator[int]:
        yield from range(50)
        raise OSError("the catalogue is gone")

    with pytest.raises(OSError, match="catalogue is gone"):
        fan_out(client, abs, jobs())
    assert fan_out(client, abs, range(3)) == [0, 1, 2]


def die_once(marker: str) -> None:
    """Kill the first worker that runs this."""
    if not Path(marker).exists():
        Path(marker).touch()
        os._exit(1)


def test_a_worker_that_dies_while_all_are_called_is_not_waited_for(tmp_path: Path) -> None:
    config, place = ClusterConfig(cpu_workers=2), Location.of(tmp_path / "workspace")
    with (
        open_cluster(config, place, training=False) as address,
        connect(address) as client,
    ):
        on_every_worker(client, die_once, str(tmp_path / "died"))
        assert (tmp_path / "died").exists()
