"""Which workers get feature jobs, told from what the scheduler says of them."""

import time

import pytest

from overlap.errors import ClusterError, ClusterLostError, UnfitWorkerError
from support.errors import raises
from tasks import workers as module
from tasks.cluster import Cluster
from tasks.workers import CHOICE, PENDING_WORKER, WorkerPool, unfit_workers


class Scheduler:
    """A client of a scheduler that knows these workers."""

    def __init__(self, **workers: dict[str, int]) -> None:
        self.workers = workers

    def scheduler_info(self, **_which) -> dict:
        return {
            "workers": {
                name: {"nthreads": 2, "resources": resources}
                for name, resources in self.workers.items()
            }
        }

    def run(self, *_what, **_how) -> dict[str, object]:
        return {
            name: "0.0.9" if name == "old" else module.overlap.__version__ for name in self.workers
        }


@pytest.fixture(autouse=True)
def every_look_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SCHEDULER_POLL_SECONDS", 0.0)


def cluster(**use) -> Cluster:
    return Cluster(address="tcp://scheduler:8786", **use)


def test_workers_with_gpu_are_spared_while_there_are_others() -> None:
    there = Scheduler(a={}, b={}, gpu={"GPU": 1})
    places = WorkerPool(there, cluster())
    assert sorted(places.pick()) == ["a", "b"]
    assert places.threads == 4
    assert WorkerPool(there, cluster(features_on_gpu_workers=True)).pick() is None
    assert WorkerPool(there, cluster(features_on_gpu_workers=True)).threads == 6


def test_without_others_workers_with_gpu_compute_features() -> None:
    places = WorkerPool(Scheduler(g={"GPU": 1}, h={"GPU": 2}), cluster())
    assert sorted(places.pick()) == ["g", "h"]


def test_others_are_waited_for_where_they_will_come() -> None:
    there = Scheduler(gpu={"GPU": 1})
    places = WorkerPool(there, cluster(spare_workers_come=True))
    waiting = places.pick()
    assert waiting == [PENDING_WORKER]
    assert not places.workers_lost(waiting)
    there.workers["a"] = {}
    assert places.look()
    assert places.workers_lost(waiting)
    assert places.pick() == ["a"]


def test_a_worker_that_comes_gets_jobs_and_the_jobs_of_one_that_goes_are_moved() -> None:
    there = Scheduler(a={}, gpu={"GPU": 1})
    places = WorkerPool(there, cluster())
    first = places.pick()
    there.workers = {"b": {}, "gpu": {"GPU": 1}}
    places.look()
    assert places.workers_lost(first)
    assert places.pick() == ["b"]
    there.workers = {"gpu": {"GPU": 1}}
    places.look()
    assert places.workers_lost(["b"])
    assert places.pick() == ["gpu"]


def test_a_job_names_few_of_many_workers() -> None:
    places = WorkerPool(Scheduler(**{f"w{n}": {} for n in range(500)}), cluster())
    picked = [tuple(places.pick()) for _ in range(4)]
    assert {len(set(place)) for place in picked} == {CHOICE}
    assert len(set(picked)) == 4
    assert places.window == 4 * 1000


def test_nobody_for_a_while_is_an_error() -> None:
    there = Scheduler()
    places = WorkerPool(there, cluster(lost_after_s=0.05))
    assert places.pick() is None
    time.sleep(0.06)
    with raises(ClusterLostError, "no-feature-worker", waited_s=0.05):
        places.look()


def test_unfit_workers_are_left_out_until_none_is_left() -> None:
    places = WorkerPool(Scheduler(a={}, b={}), cluster(features_on_gpu_workers=True))
    places.leave_out({"a": "overlap 0.0.9, here 0.1.0"})
    assert places.pick() == ["b"]
    with raises(ClusterError, "no-fit-worker", workers=["a", "b"]) as refused:
        places.leave_out({"b": "does not see the workspace"})
    assert "a: overlap 0.0.9" in str(refused.value)


def test_who_is_to_blame_for_a_failed_job() -> None:
    there = Scheduler(old={}, new={})
    told = UnfitWorkerError("new", "does not see W")
    assert unfit_workers(there, told, None) == {"new": "does not see W"}
    missing = ModuleNotFoundError("No module named 'overlap.new'")
    assert [*unfit_workers(there, missing, None)] == ["old"]
    for error, place in ((missing, ["new"]), (ValueError("a fault of the job"), None)):
        with pytest.raises(type(error)):
            unfit_workers(there, error, place)
