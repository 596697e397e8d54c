"""Opens the Dask cluster of a flow, and checks it before work is submitted."""

import logging
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any

import dask
from distributed import Client, Nanny, Scheduler, SpecCluster
from distributed.utils import LoopRunner
from tornado.ioloop import IOLoop

from flows.clusters.backend import backend_of_run
from flows.clusters.named import cluster_by_name
from flows.clusters.preflight import Work, preflight, token_in
from overlap.config import ClusterConfig
from overlap.errors import RESUME_HINT, ClusterLostError
from overlap.io.location import Location
from overlap.system.resources.accelerators import visible_accelerators
from overlap.system.resources.processors import usable_processors
from overlap.system.resources.sharing import TRAININGS, local_trainings
from overlap.system.signals import block_sigint, defer_signals
from overlap.system.thread_limits import THREAD_VARIABLES
from tasks.cluster import LOST_SECONDS, Cluster, connect
from tasks.on_worker import TRAINING_RESOURCE
from tasks.progress import TERMINAL, doing, note

STARTS = 2
"""Attempts to start a local cluster."""
FAILED_START = "failed to start"
"""Part of distributed's error message for a process that did not start."""
FOLLOWED = ("comm", "logging", "admin")
"""Sections of Dask's settings that a local cluster takes from the user."""
QUIET: dict[str, Any] = {
    "worker": {"profile": {"enabled": False}, "memory": {"monitor-interval": "500ms"}},
    "admin": {"tick": {"interval": "500ms"}, "system-monitor": {"interval": "5s"}},
}
"""Settings for processes that wait for hours while members train. By default each of them samples
its stacks a hundred times and wakes up fifty times a second, for a dashboard that is off: a quarter
of a processor in all. A worker and its nanny measure its memory ten times a second; twice is enough
for jobs of seconds."""
LOOPBACK = "127.0.0.1"
ONE_THREAD = dict.fromkeys(THREAD_VARIABLES, "1")


@contextmanager
def open_cluster(
    config: ClusterConfig, workspace: Location, work: Work, scheduler: Cluster | None = None
) -> Iterator[Cluster]:
    """Open a cluster that can do the work.

    Args:
        config: An address, or the cluster to start.
        workspace: Must be visible to every worker.
        work: The work for the workers.
        scheduler: A cluster that the calling flow has opened and checked already; it is used as
            it is.

    Raises:
        ClusterError: the cluster does not answer, or cannot do the work.
    """
    if scheduler is not None:
        yield scheduler
        return
    with ExitStack() as stack:
        where = config.address or config.kind
        limit = f"up to {config.timeout_s:g} s"
        awaited = f"the Dask cluster ({where}) and its workers, {limit}"
        with TERMINAL.waiting(awaited), doing(f"waiting for {awaited}"):
            address, adapt = stack.enter_context(_scheduler(config, work))
            with connect(Cluster(address=address), config.timeout_s) as client:
                cluster = Cluster(
                    address=address,
                    token=stack.enter_context(token_in(workspace)),
                    sample=work.sample,
                    features_on_gpu_workers=config.features_on_gpu_workers,
                    spare_workers_come=config.address is None and config.training is not None,
                    lost_after_s=max(LOST_SECONDS, config.timeout_s),
                )
                for warning in preflight(client, config, cluster, work):
                    note(warning)
                if work.members and work.run is not None:
                    backend = backend_of_run(client, cluster.address, work.run.training.backend)
                    cluster = replace(cluster, backend=backend)
                adapt(client)
        yield cluster


@contextmanager
def _scheduler(config: ClusterConfig, work: Work) -> Iterator[tuple[str, Callable[[Client], None]]]:
    """Yield a scheduler's address, and a function to call once its workers are checked."""
    if config.address is not None:
        yield config.address, lambda _client: None
    elif config.is_local:
        with dask.config.set(own_settings()), _loop() as loop, ExitStack() as stack:
            with defer_signals():
                local = _started(config, loop, work)
                stack.callback(local.close)
            yield local.scheduler_address, lambda _client: None
    else:
        with cluster_by_name(config, training=work.training) as cluster:
            yield cluster.address, cluster.adapt


def own_settings() -> dict[str, Any]:
    """Return Dask's settings for a local cluster.

    They are Dask's defaults, except for `QUIET`: limits of memory, preloaded modules or start
    methods in a file of the user are meant for other clusters. Connections (TLS, time limits) and
    logs follow the user's.
    """
    defaults = dask.config.merge(*dask.config.defaults)["distributed"]
    users = dask.config.get("distributed")
    own = dask.config.merge(defaults, {key: users[key] for key in FOLLOWED if key in users})
    dask.config.update(own, QUIET, priority="new-defaults", defaults=defaults)
    return {"distributed": own}


def local_workers(
    config: ClusterConfig, accelerators: list[str], work: Work
) -> dict[str, dict[str, Any]]:
    """Specify the workers of a local cluster.

    There is one per processor of this process, and one for training per accelerator. Without an
    accelerator, one training worker uses the processors. A training worker has as many slots as
    members share its accelerator, or the processors.
    """
    cores = config.cpu_workers or usable_processors()
    shared = {
        "host": LOOPBACK,
        "protocol": _protocol(),
        "nthreads": 1,
        "dashboard": False,
        "silence_logs": logging.CRITICAL,
    }
    workers = {
        f"cpu-{index}": {**shared, "env": {**ONE_THREAD, "CUDA_VISIBLE_DEVICES": ""}}
        for index in range(cores)
    }
    trainers, slots = local_trainings(
        work.members, len(accelerators), config.training_workers, config.members_per_gpu
    )
    devices = accelerators or [""]
    for index in range(trainers if work.training else 0):
        workers[f"training-{index}"] = {
            **shared,
            "nthreads": slots,
            "resources": {name: slots * need for name, need in TRAINING_RESOURCE.items()},
            "env": {
                "CUDA_VISIBLE_DEVICES": devices[index % len(devices)],
                TRAININGS: str(trainers * slots),
            },
        }
    return {name: {"cls": Nanny, "options": options} for name, options in workers.items()}


@contextmanager
def _loop() -> Iterator[IOLoop]:
    """An event loop in a thread whose child processes, the workers, ignore Ctrl-C."""
    runner = LoopRunner()
    with block_sigint():
        runner.start()
    try:
        yield runner.loop
    finally:
        runner.stop()


def _started(config: ClusterConfig, loop: IOLoop, work: Work) -> SpecCluster:
    """Start a local cluster; retry once, because one of its processes may be killed.

    Raises:
        ClusterLostError: the last attempt failed too.
    """
    for left in reversed(range(STARTS)):
        try:
            return _local(config, loop, work)
        except RuntimeError as error:
            if FAILED_START not in str(error):
                raise
            if not left:
                raise ClusterLostError(
                    f"the local Dask cluster did not start in {STARTS} attempts ({error}); "
                    f"{RESUME_HINT}",
                    code="local-cluster-failed",
                    attempts=STARTS,
                ) from error
            note(f"the local Dask cluster did not start ({error}); starting it again")
    raise AssertionError  # the last attempt returned or raised


def _local(config: ClusterConfig, loop: IOLoop, work: Work) -> SpecCluster:
    # Without a host, scheduler and nannies listen on the machine's external address.
    options = {
        "host": LOOPBACK,
        "protocol": _protocol(),
        "port": 0,
        "dashboard": False,
        "dashboard_address": f"{LOOPBACK}:0",  # of health and metrics
    }
    return SpecCluster(
        scheduler={"cls": Scheduler, "options": options},
        workers=local_workers(config, visible_accelerators(), work),
        silence_logs=logging.CRITICAL,
        name="overlap",
        loop=loop,
    )


def _protocol() -> str:
    """Protocol of a local cluster: TLS where Dask's configuration requires it."""
    return "tls://" if dask.config.get("distributed.comm.require-encryption") else "tcp://"
