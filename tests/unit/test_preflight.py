"""What is wrong with a worker, from what it found of itself."""

from dataclasses import replace

import pytest

from flows.clusters.preflight import Work, faults_seen, training_warnings
from overlap.catalog import list_data
from overlap.config import ClusterConfig, RunConfig
from overlap.io.location import Location
from overlap.system.provenance import software
from tasks.on_worker import WorkerProbe, look

OUTSIDE = ClusterConfig(address="tcp://scheduler:8786")


@pytest.fixture
def token(workspace: Location) -> Location:
    file = workspace / ".seen"
    file.write_bytes(b"overlap")
    return file


@pytest.fixture
def seen(token: Location) -> WorkerProbe:
    return look(token, None)


def test_a_worker_without_fault_leaves_nothing(token: Location, seen: WorkerProbe) -> None:
    assert len(list(token.parent.files())) == 2
    assert list(faults_seen(seen, token, None)) == []
    assert [entry.name for entry in token.parent.files()] == [token.name]


def test_versions_that_shape_a_result_are_equal(token: Location, seen: WorkerProbe) -> None:
    here = software()
    other = here | {"keras": "3.0.0", "python": "3.9.1", "torch": "9"}
    other.pop("numba")
    (said,) = faults_seen(replace(seen, software=other), token, None)
    assert said.split("; ") == [
        f"python 3.9.1, here {here['python']}",
        f"numba none, here {here['numba']}",
        f"keras 3.0.0, here {here['keras']}",
    ]
    patch = here | {"python": here["python"].rpartition(".")[0] + ".99"}
    assert list(faults_seen(replace(look(token, None), software=patch), token, None)) == []


def test_a_workspace_that_is_another_or_cannot_be_written(
    token: Location, seen: WorkerProbe
) -> None:
    place = token.parent
    read_only = replace(seen, answer="", why="Read-only file system")
    assert list(faults_seen(read_only, token, None)) == [
        f"cannot write into the workspace {place} (Read-only file system)"
    ]
    assert list(faults_seen(replace(seen, answer="elsewhere"), token, None)) == [
        f"writes into another workspace than {place} here"
    ]


def test_what_is_said_of_the_memory_for_training(config: RunConfig) -> None:
    """100 clips take 5.2 MB."""
    small = {"t": {"memory_limit": 8_000_000, "nthreads": 1, "resources": {"GPU": 1}}}
    work = Work(training=True, run=config, files=list_data(config.data), members=2)
    (said,) = training_warnings(small, OUTSIDE, work)
    assert "take 5.17 MB" in said
    assert "8 MB" in said
    told = config.model_copy(
        update={"training": config.training.model_copy(update={"memory_gb": 1})}
    )
    (said,) = training_warnings(small, OUTSIDE, replace(work, run=told))
    assert "training.memory_gb is 1" in said
    assert "8 MB" in said
    large = {"t": {"memory_limit": 8_000_000_000, "nthreads": 1, "resources": {"GPU": 1}}}
    for workers, where in ((large, OUTSIDE), (small, ClusterConfig())):
        assert list(training_warnings(workers, where, work)) == []


def test_workers_with_idle_threads_would_keep_members_from_others() -> None:
    narrow = {"memory_limit": 0, "nthreads": 2, "resources": {"GPU": 2}}
    wide = {"memory_limit": 0, "nthreads": 4, "resources": {"GPU": 1}}
    spare = {"memory_limit": 0, "nthreads": 8, "resources": {}}
    work = Work(training=True)
    assert list(training_warnings({"a": narrow, "c": spare}, OUTSIDE, work)) == []
    (said,) = training_warnings({"a": narrow, "b": wide, "c": spare}, OUTSIDE, work)
    assert "such as b:" in said
    assert said.endswith("--nthreads 1")
