"""Clusters of a configured class, with one or two kinds of workers, fixed or adaptive."""

import importlib
import itertools
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from distributed import Adaptive, Client, SpecCluster

from flows.clusters.groups import TRAINING, ByJobs, Group, Sort
from overlap.config import ClusterConfig
from overlap.errors import ClusterError
from tasks.on_scheduler import KeepTrainers
from tasks.progress import TERMINAL


@contextmanager
def cluster_by_name(config: ClusterConfig, *, training: bool) -> Iterator["NamedCluster"]:
    """Start a cluster of the class `cluster.kind`, and request its first workers.

    Args:
        config: The cluster's configuration.
        training: Whether members will be trained; otherwise no training group is started.

    Raises:
        ClusterError: the class does not exist, or the cluster does not start.
    """
    with _refused(config):
        started = _class_of(config)(**config.arguments)
    cluster = NamedCluster(started, config, training=training)
    try:
        with _refused(config):
            cluster.ask_for_workers()
        yield cluster
    finally:
        # An error here must neither hide the one that ended the work, nor fail completed work.
        try:
            cluster.close()
        except Exception as error:  # noqa: BLE001  of a third-party class
            TERMINAL.line(
                f"note: the cluster could not be closed ({type(error).__name__}: {error}); check "
                "that its jobs or pods are gone"
            )


@contextmanager
def _refused(config: ClusterConfig) -> Iterator[None]:
    """Convert any error of a third-party class: its arguments are the user's."""
    try:
        yield
    except ClusterError:
        raise
    except Exception as error:
        message, cause = f"{type(error).__name__}: {error}", error
        while cause.__cause__ is not None and isinstance(cause.__cause__, Exception):
            cause = cause.__cause__
        root = "" if cause is error else f" ({type(cause).__name__}: {cause})"
        raise ClusterError(
            f"cluster.kind {config.kind}: does not start: {message}{root}",
            code="cluster-not-started",
            kind=config.kind,
        ) from error


def _class_of(config: ClusterConfig) -> Any:  # noqa: ANN401  any cluster class
    module, _, name = config.kind.rpartition(".")
    try:
        kind = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ClusterError(
            f"cluster.kind {config.kind}: cannot be imported ({error}); name `local`, or a class "
            "of an installed package such as dask_jobqueue.SLURMCluster",
            code="unknown-cluster-kind",
            kind=config.kind,
        ) from None
    if not (hasattr(kind, "scale") and hasattr(kind, "close")):
        raise ClusterError(
            f"cluster.kind {config.kind}: is not a cluster class",
            code="not-a-cluster-class",
            kind=config.kind,
        )
    return kind


class NamedCluster:
    """A cluster of a configured class, and its workers.

    A class starts one kind of workers. With `cluster.training`, training workers are a second
    kind: a group of the operator on Kubernetes, additional entries of the cluster's specification
    elsewhere.
    """

    def __init__(self, cluster: Any, config: ClusterConfig, *, training: bool) -> None:  # noqa: ANN401
        self._cluster, self._config = cluster, config
        self._two_kinds = training and config.training is not None
        self._adaptives: list[Adaptive] = []
        self._numbers = itertools.count()

    @property
    def address(self) -> str:
        """Address of the scheduler."""
        return str(self._cluster.scheduler_address)

    def ask_for_workers(self) -> None:
        """Request the fixed number of workers, or the first of each kind."""
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
        """Start and stop workers according to the work from now on, if configured."""
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
        """Stop everything that was started."""
        for adaptive in self._adaptives:
            self._cluster.loop.add_callback(adaptive.stop)
        self._cluster.close()

    def _group(self, *sorts: Sort) -> Group:
        alone = sorts == ("training",)
        spec = self._training_spec() if alone else self._cluster.new_spec
        return Group(self._cluster, sorts, spec, self._numbers)

    def _add_group(self, count: int) -> None:
        arguments = {"name": TRAINING, "n_workers": count, **(self._config.training or {})}
        if "custom_spec" in arguments:  # contains its own number, which takes precedence
            arguments["custom_spec"] = {**arguments["custom_spec"], "replicas": count}
        try:
            add = self._cluster.add_worker_group
        except AttributeError:
            raise ClusterError(
                f"cluster.training: {self._config.kind} starts workers of one kind only; configure "
                "all of them for training (cluster.arguments), or start the workers yourself and "
                "name the scheduler (cluster.address)",
                code="one-kind-only",
                kind=self._config.kind,
            ) from None
        add(**arguments)

    def _training_spec(self) -> Mapping[str, Any]:
        """Return the specification of a training worker: the common one, with its differences."""
        cluster, different = self._cluster, dict(self._config.training or {})
        job = getattr(cluster, "job_cls", None)
        if job is not None and different.setdefault("processes", 1) != 1:
            raise ClusterError(
                "cluster.training.processes: must be 1, because a training job has one worker",
                code="training-processes",
            )
        options = {**cluster.new_spec["options"], **different}
        if job is not None:
            job("tcp://scheduler:8786", name=TRAINING, **options)  # raises for unknown options
        return {"cls": cluster.new_spec["cls"], "options": options}


async def _started(cluster: SpecCluster) -> None:
    """Start the planned workers, so that the error of a failed submission is raised here."""
    await cluster
