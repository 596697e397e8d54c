"""Clusters of a class that a person names: one or two kinds of workers, a fixed number or not."""

import importlib
import itertools
import math
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Literal, cast

from distributed import Adaptive, Client, SpecCluster, Status
from distributed.deploy.cluster import Cluster
from distributed.protocol.pickle import dumps

from overlap.config import ClusterConfig
from overlap.errors import ClusterError
from tasks.on_scheduler import KeepTrainers, jobs_and_idle
from tasks.progress import TERMINAL

TRAINING = "training"
"""Name of the group of workers that train, where others are started too."""

Sort = Literal["training", "others"]
"""Jobs that need an accelerator, and jobs that do not."""


@contextmanager
def cluster_by_name(config: ClusterConfig, *, training: bool) -> Iterator["NamedCluster"]:
    """A cluster of the class that `cluster.kind` names, with its first workers asked for.

    Args:
        config: The cluster's configuration.
        training: Whether members will be trained; otherwise no worker is started for that alone.

    Raises:
        ClusterError: there is no such class, or it does not start.
    """
    with _refused(config):
        started = _class_of(config)(**config.arguments)
    cluster = NamedCluster(started, config, training=training)
    try:
        with _refused(config):
            cluster.ask_for_workers()
        yield cluster
    finally:
        # Its error must neither hide the one that ended the work, nor end work that is done.
        try:
            cluster.close()
        except Exception as error:  # noqa: BLE001  of somebody else's class
            TERMINAL.line(
                f"note: the cluster could not be closed ({type(error).__name__}: {error}); look "
                "whether its jobs or pods are gone"
            )


@contextmanager
def _refused(config: ClusterConfig) -> Iterator[None]:
    """Whatever somebody else's class raises is a matter of what it was given."""
    try:
        yield
    except ClusterError:
        raise
    except Exception as error:
        said, cause = f"{type(error).__name__}: {error}", error
        while cause.__cause__ is not None and isinstance(cause.__cause__, Exception):
            cause = cause.__cause__
        root = "" if cause is error else f" ({type(cause).__name__}: {cause})"
        raise ClusterError(f"cluster.kind {config.kind}: does not start: {said}{root}") from error


def _class_of(config: ClusterConfig) -> Any:  # noqa: ANN401  any cluster class
    module, _, name = config.kind.rpartition(".")
    try:
        kind = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ClusterError(
            f"cluster.kind {config.kind}: cannot be imported ({error}); it is `local`, or a class "
            "such as dask_jobqueue.SLURMCluster, whose package is installed beside overlap"
        ) from None
    if not (hasattr(kind, "scale") and hasattr(kind, "close")):
        raise ClusterError(f"cluster.kind {config.kind}: is no class of clusters")
    return kind


class NamedCluster:
    """A cluster of some class, and its workers.

    A class starts one kind of workers. Those that train are another where `cluster.training` says
    so: on Kubernetes a group of the operator, else more entries of the cluster's specification.
    """

    def __init__(self, cluster: Any, config: ClusterConfig, *, training: bool) -> None:  # noqa: ANN401
        self._cluster, self._config = cluster, config
        self._two_kinds = training and config.training is not None
        self._adaptives: list[Adaptive] = []
        self._numbers = itertools.count()

    @property
    def address(self) -> str:
        """Of the scheduler."""
        return str(self._cluster.scheduler_address)

    def ask_for_workers(self) -> None:
        """Ask for the workers of a fixed number, or for the first of each kind."""
        config, bounds, cluster = self._config, self._config.bounds, self._cluster
        first = max(1, bounds.minimum) if bounds else config.cpu_workers
        least = max(1, bounds.training_minimum) if bounds else config.training_workers or 1
        if not isinstance(cluster, SpecCluster):
            if first is not None:
                cluster.scale(first)
            if self._two_kinds:
                self._add_group(bounds.training_maximum if bounds else least)
            return
        if first is not None and len(cluster.worker_spec) > first:
            cluster.scale(first)
        if first is not None or not cluster.worker_spec:
            self._group("others").plan_for(first or 1)
        if self._two_kinds:
            self._group("training").plan_for(least)
        cluster.sync(_started, cluster)

    def adapt(self, client: Client) -> None:
        """From now on start and stop workers as there is work, where that is wanted."""
        bounds = self._config.bounds
        if bounds is None:
            return
        cluster, minimum, maximum = self._cluster, bounds.minimum, bounds.maximum
        if not isinstance(cluster, SpecCluster):
            client.register_plugin(KeepTrainers())
            cluster.adapt(minimum=minimum, maximum=maximum)
        elif not self._two_kinds:
            self._adaptives = [ByJobs(self._group("training", "others"), minimum, maximum)]
        else:
            least, most = bounds.training_minimum, bounds.training_maximum
            self._adaptives = [
                ByJobs(self._group("others"), minimum, maximum),
                ByJobs(self._group("training"), least, most),
            ]

    def close(self) -> None:
        """Stop all that was started."""
        for adaptive in self._adaptives:
            self._cluster.loop.add_callback(adaptive.stop)
        self._cluster.close()

    def _group(self, *sorts: Sort) -> "Group":
        alone = sorts == ("training",)
        spec = self._training_spec() if alone else self._cluster.new_spec
        return Group(self._cluster, sorts, spec, self._numbers)

    def _add_group(self, count: int) -> None:
        arguments = {"name": TRAINING, "n_workers": count, **(self._config.training or {})}
        if "custom_spec" in arguments:  # has a number of its own, and wins
            arguments["custom_spec"] = {**arguments["custom_spec"], "replicas": count}
        try:
            add = self._cluster.add_worker_group
        except AttributeError:
            raise ClusterError(
                f"cluster.training: {self._config.kind} starts workers of one kind only; give "
                "all of them what training needs (cluster.arguments), or start the workers "
                "yourself and name the scheduler (cluster.address)"
            ) from None
        add(**arguments)

    def _training_spec(self) -> Mapping[str, Any]:
        """The specification of a worker that trains: what is different, over what is not."""
        cluster, different = self._cluster, dict(self._config.training or {})
        job = getattr(cluster, "job_cls", None)
        if job is not None and different.setdefault("processes", 1) != 1:
            raise ClusterError("cluster.training.processes: a job that trains is one worker")
        options = {**cluster.new_spec["options"], **different}
        if job is not None:
            job("tcp://scheduler:8786", name=TRAINING, **options)  # refuses what it does not know
        return {"cls": cluster.new_spec["cls"], "options": options}


async def _started(cluster: SpecCluster) -> None:
    """Start what is planned, so that the error of a job that cannot be submitted is seen."""
    await cluster


class Group:
    """The workers of one kind in a cluster, as Dask's `Adaptive` wants to see a cluster.

    Args:
        cluster: The cluster.
        sorts: The jobs that the workers are for.
        spec: How one of its workers is started, or several in one job.
        numbers: For their names. Dask looks some seconds after the end of a worker whether one of
            its name is back, and if not, ends what is being started under that name.
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
        """Of the cluster."""
        return self.cluster.status

    @property
    def plan(self) -> set[Any]:
        """Names of workers that are to be there."""
        return set(filter(self._owns, self.cluster.plan))

    @property
    def requested(self) -> set[Any]:
        """Names of workers that have been asked for."""
        return set(filter(self._owns, self.cluster.requested))

    @property
    def observed(self) -> set[Any]:
        """Names of workers that are there."""
        return set(filter(self._owns, self.cluster.observed))

    def _owns(self, name: object) -> bool:
        trains = str(name).startswith(f"{TRAINING}-")
        return len(self.sorts) > 1 or trains == (self.sorts == ("training",))

    def _entries(self) -> dict[Any, list[Any]]:
        """The workers by the jobs, of a queue or not, that hold them."""
        spec = self.cluster.worker_spec
        return {
            name: [f"{name}{suffix}" for suffix in spec[name].get("group", ())] or [name]
            for name in list(spec)
            if self._owns(name)
        }

    def plan_for(self, n: int) -> None:
        """Plan more workers, until there are so many; `await` starts them."""
        entries = math.ceil(n / len(self._spec.get("group", "1")))
        for _ in range(len(self._entries()), entries):
            self.cluster.worker_spec.update(self._new())

    def scale(self, n: int) -> None:
        """Have more workers started, until there are so many."""
        if self.cluster.status not in (Status.closing, Status.closed):
            self.plan_for(n)
            # The class's own `scale` may count in something else than entries.
            SpecCluster.scale(self.cluster, len(self.cluster.worker_spec))

    def _new(self) -> Mapping[Any, Any]:
        if self.sorts == ("training",):
            return {f"{TRAINING}-{next(self._numbers)}": self._spec}
        if type(self.cluster).new_worker_spec is SpecCluster.new_worker_spec:
            return {f"worker-{next(self._numbers)}": self._spec}
        own: Mapping[Any, Any] = self.cluster.new_worker_spec()  # names that mean something
        return own

    async def scale_down(self, workers: list[Any]) -> None:
        """Stop workers."""
        await self.cluster.scale_down(workers)

    def wanted(self, told: Mapping[str, Any]) -> int:
        """How many workers would have something to do."""
        slots = [each for name, each in told["slots"].items() if self._owns(name)]
        wanted: int = max(
            math.ceil(int(told[sort]) / max([1, *(each[sort] for each in slots)]))
            for sort in self.sorts
        )
        return wanted

    def idle(self, told: Mapping[str, Any], count: int) -> list[Any]:
        """At most so many workers that have nothing to do; of a job all or none."""
        idle = {str(name) for name in told["idle"]}
        chosen: list[Any] = []
        for names in self._entries().values():
            if len(chosen) + len(names) <= count and idle.issuperset(map(str, names)):
                chosen += names
        return chosen


class ByJobs(Adaptive):
    """As many workers as there are jobs, and none is stopped that has one.

    Dask itself counts the seconds that it expects jobs to take. It knows nothing of a training
    that it has not seen, and fifteen members would get two workers.
    """

    def __init__(self, group: Group, minimum: int, maximum: int) -> None:
        self._group = group
        super().__init__(cast("Cluster", group), minimum=minimum, maximum=maximum)

    async def target(self) -> int:
        """How many workers there should be, before the bounds."""
        return self._group.wanted(await self._told())

    async def workers_to_close(self, target: int) -> list[Any]:
        """Names of workers that may be stopped."""
        return self._group.idle(await self._told(), len(self._group.plan) - target)

    async def _told(self) -> Mapping[str, Any]:
        answer = await self.scheduler.run_function(
            function=dumps(jobs_and_idle), args=dumps(()), kwargs=dumps({}), wait=True
        )
        if answer["status"] != "OK":
            raise RuntimeError(f"the scheduler does not tell of its jobs: {answer['text']}")
        return dict(answer["result"])
