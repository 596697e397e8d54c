"""Groups of workers in a cluster, each scaled by its own jobs: what Dask's `Adaptive` lacks."""

import math
from collections.abc import Generator, Iterator, Mapping
from typing import Any, Literal, cast

from distributed import Adaptive, SpecCluster, Status
from distributed.deploy.cluster import Cluster
from distributed.protocol.pickle import dumps

from tasks.on_scheduler import jobs_and_idle

TRAINING = "training"
"""Name of the group of training workers, where there is another group."""

Sort = Literal["training", "others"]
"""Jobs that need an accelerator, and jobs that do not."""


class Group:
    """The workers of one kind in a cluster, with the interface that Dask's `Adaptive` expects.

    Args:
        cluster: The cluster.
        sorts: The jobs that the workers take.
        spec: Specification of one worker, or of several in one batch job.
        numbers: Numbers for their names, never reused: some seconds after the end of a worker,
            Dask checks whether a worker of that name is back, and if not, ends the one that is
            being started under that name.
    """

    def __init__(
        self,
        cluster: SpecCluster,
        sorts: tuple[Sort, ...],
        spec: Mapping[str, Any],
        numbers: Iterator[int],
    ) -> None:
        self.cluster, self.sorts = cluster, sorts
        self._spec, self._numbers = spec, numbers
        self.loop, self.scheduler_comm = cluster.loop, cluster.scheduler_comm

    def __await__(self) -> Generator[Any, Any, SpecCluster]:
        return self.cluster.__await__()

    @property
    def status(self) -> Status:
        """Status of the cluster."""
        return self.cluster.status

    @property
    def plan(self) -> set[Any]:
        """Names of the planned workers."""
        return set(filter(self._owns, self.cluster.plan))

    @property
    def requested(self) -> set[Any]:
        """Names of the requested workers."""
        return set(filter(self._owns, self.cluster.requested))

    @property
    def observed(self) -> set[Any]:
        """Names of the workers that have joined."""
        return set(filter(self._owns, self.cluster.observed))

    def _owns(self, name: object) -> bool:
        trains = str(name).startswith(f"{TRAINING}-")
        return len(self.sorts) > 1 or trains == (self.sorts == ("training",))

    def _entries(self) -> dict[Any, list[Any]]:
        """Workers by the specification entry, such as a batch job, that contains them."""
        spec = self.cluster.worker_spec
        return {
            name: [f"{name}{suffix}" for suffix in spec[name].get("group", ())] or [name]
            for name in list(spec)
            if self._owns(name)
        }

    def plan_for(self, n: int) -> None:
        """Plan workers up to a number; `await` starts them."""
        entries = math.ceil(n / len(self._spec.get("group", "1")))
        for _ in range(len(self._entries()), entries):
            self.cluster.worker_spec.update(self._new())

    def scale(self, n: int) -> None:
        """Start workers up to a number."""
        if self.cluster.status not in (Status.closing, Status.closed):
            self.plan_for(n)
            # The class's own `scale` may count in units other than entries.
            SpecCluster.scale(self.cluster, len(self.cluster.worker_spec))

    def _new(self) -> Mapping[Any, Any]:
        if self.sorts == ("training",):
            return {f"{TRAINING}-{next(self._numbers)}": self._spec}
        if type(self.cluster).new_worker_spec is SpecCluster.new_worker_spec:
            return {f"worker-{next(self._numbers)}": self._spec}
        own: Mapping[Any, Any] = self.cluster.new_worker_spec()  # names that have a meaning
        return own

    async def scale_down(self, workers: list[Any]) -> None:
        """Stop workers."""
        await self.cluster.scale_down(workers)

    def wanted(self, jobs: Mapping[str, Any]) -> int:
        """Return how many workers would have a job."""
        slots = [each for name, each in jobs["slots"].items() if self._owns(name)]
        wanted: int = max(
            math.ceil(int(jobs[sort]) / max([1, *(each[sort] for each in slots)]))
            for sort in self.sorts
        )
        return wanted

    def idle(self, jobs: Mapping[str, Any], count: int) -> list[Any]:
        """Return at most `count` idle workers; all or none of a batch job's."""
        idle = {str(name) for name in jobs["idle"]}
        chosen: list[Any] = []
        for names in self._entries().values():
            if len(chosen) + len(names) <= count and idle.issuperset(map(str, names)):
                chosen += names
        return chosen


class ByJobs(Adaptive):
    """Scales to the number of jobs, and never stops a worker that has one.

    Dask's own rule uses the expected duration of the jobs. It has no estimate for a first
    training, and would start two workers for fifteen members.
    """

    def __init__(self, group: Group, minimum: int, maximum: int) -> None:
        self._group = group
        super().__init__(cast("Cluster", group), minimum=minimum, maximum=maximum)

    async def target(self) -> int:
        """Return the wanted number of workers, before the bounds are applied."""
        return self._group.wanted(await self._jobs())

    async def workers_to_close(self, target: int) -> list[Any]:
        """Return the names of workers that may be stopped."""
        return self._group.idle(await self._jobs(), len(self._group.plan) - target)

    async def _jobs(self) -> Mapping[str, Any]:
        answer = await self.scheduler.run_function(
            function=dumps(jobs_and_idle), args=dumps(()), kwargs=dumps({}), wait=True
        )
        if answer["status"] != "OK":
            raise RuntimeError(f"the scheduler does not report its jobs: {answer['text']}")
        return dict(answer["result"])
