"""Trainings that share a machine: how many there are, and what each gets."""

import pytest

from flows.clusters.opening import local_workers
from flows.clusters.preflight import Work
from overlap.config import ClusterConfig, EnsembleConfig, TrainingConfig
from overlap.system.child_process import worker_environment
from overlap.system.resources import processors, sharing
from overlap.system.resources.sharing import (
    TRAINING_BYTES,
    TRAININGS,
    local_trainings,
    share_of_processors,
    sharing_environment,
    trainings_on_processors,
)
from overlap.training.feed.memory_plan import plan_memory


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Four processors, memory for six trainings, no accelerator."""
    for module in (processors, sharing):
        monkeypatch.setattr(module, "usable_processors", lambda: 4)
    monkeypatch.setattr(sharing, "memory_limit", lambda: 6 * TRAINING_BYTES + 1)
    monkeypatch.setattr(sharing, "visible_accelerators", list)
    monkeypatch.delenv(TRAININGS, raising=False)


@pytest.mark.parametrize(
    ("members", "expected"),
    [(0, 1), (1, 1), (2, 2), (4, 4), (5, 5), (7, 6), (8, 4), (9, 5), (15, 5)],
)
def test_processors_and_memory_limit_the_trainings(members: int, expected: int) -> None:
    assert trainings_on_processors(members) == expected


def test_a_small_machine_trains_one_member_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sharing, "memory_limit", lambda: TRAINING_BYTES // 2)
    assert trainings_on_processors(15) == 1


@pytest.mark.parametrize(
    ("accelerators", "workers", "per_worker", "expected"),
    [
        pytest.param(0, None, 1, (1, 5), id="processors"),
        pytest.param(0, None, 8, (1, 8), id="more on request"),
        pytest.param(0, 1, 1, (1, 1), id="one on request"),
        pytest.param(2, None, 1, (2, 1), id="accelerators"),
        pytest.param(2, 1, 4, (1, 4), id="shared accelerators"),
    ],
)
def test_training_workers_of_a_local_cluster(
    accelerators: int, workers: int | None, per_worker: int, expected: tuple[int, int]
) -> None:
    assert local_trainings(15, accelerators, workers, per_worker) == expected


def test_a_worker_tells_its_trainings_how_many_they_are() -> None:
    workers = local_workers(ClusterConfig(cpu_workers=1), [], Work(training=True, members=2))
    training = workers["training-0"]["options"]
    assert training["nthreads"] == training["resources"]["GPU"] == 2
    assert training["env"][TRAININGS] == "2"


def test_predictions_use_all_processors() -> None:
    workers = local_workers(ClusterConfig(cpu_workers=1), [], Work(training=True))
    assert workers["training-0"]["options"]["nthreads"] == 1


def test_members_whose_number_depends_on_each_other_train_one_by_one() -> None:
    assert EnsembleConfig(members=5).at_once == 5
    assert EnsembleConfig(members=5, stop_when_gain_below=0.001).at_once == 1


def test_threads_are_divided(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sharing, "thread_environment", lambda n: {"NPROC": str(4 // n)})
    assert sharing_environment(1) == {}
    assert sharing_environment(2) == {TRAININGS: "2", "NPROC": "2"}
    monkeypatch.setattr(sharing, "visible_accelerators", lambda: ["0"])
    assert sharing_environment(2) == {TRAININGS: "2"}


def test_predictions_of_a_training_worker_share_nothing() -> None:
    assert TRAININGS not in worker_environment({TRAININGS: "3", "PATH": "/bin"})


def test_each_training_has_its_share(monkeypatch: pytest.MonkeyPatch) -> None:
    def feed() -> str:
        training = TrainingConfig(shuffle_clips=16)
        return plan_memory(1000, 16, 900, training, free_bytes=2_000_000).mode

    assert (feed(), share_of_processors()) == ("memory", 4)
    monkeypatch.setenv(TRAININGS, "3")
    assert (feed(), share_of_processors()) == ("stream", 1)
