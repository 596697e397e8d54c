"""The Dask cluster of a flow: opened once, checked before anything is submitted."""

import logging
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import dask
from distributed import Client, Nanny, Scheduler, SpecCluster
from distributed.utils import LoopRunner
from tornado.ioloop import IOLoop

from flows.clusters.named import cluster_by_name
from flows.clusters.preflight import Work, preflight, token_in
from overlap.config import ClusterConfig
from overlap.errors import RESUME_HINT, ClusterLostError
from overlap.io.location import Location
from overlap.system.accelerators import visible_accelerators
from overlap.system.signals import block_sigint, defer_signals
from overlap.system.thread_limits import THREAD_VARIABLES
from tasks.cluster import LOST_SECONDS, Cluster, connect
from tasks.on_worker import TRAINING_RESOURCE
from tasks.progress import note

STARTS = 2
"""Tries to start a local cluster."""
FAILED_START = "failed to start"
"""What distributed says of one that did not."""
LOOPBACK = "127.0.0.1"
ONE_THREAD = dict.fromkeys(THREAD_VARIABLES, "1")


@contextmanager
def open_cluster(
    config: ClusterConfig, workspace: Location, work: Work, scheduler: Cluster | None = None
) -> Iterator[Cluster]:
    """A cluster that can do the work.

    Args:
        config: An address, or what to start.
        workspace: Must be visible to every worker.
        work: What the workers will be given.
        scheduler: A cluster that the calling flow has opened and checked already.

    Raises:
        ClusterError: it does not answer, or cannot do the work.
    """
    if scheduler is not None:
        yield scheduler
        return
    with ExitStack() as stack:
        address, adapt = stack.enter_context(_scheduler(config, training=work.training))
        with connect(Cluster(address=address), config.timeout_s) as client:
            cluster = Cluster(
                address=address,
                token=stack.enter_context(token_in(workspace)),
                sample=work.sample,
                features_on_gpu_workers=config.features_on_gpu_workers,
                spare_workers_come=config.address is None and config.training is not None,
                lost_after_s=max(LOST_SECONDS, config.timeout_s),
            )
            for word in preflight(client, config, cluster, work):
                note(word)
            adapt(client)
        yield cluster


@contextmanager
def _scheduler(
    config: ClusterConfig, *, training: bool
) -> Iterator[tuple[str, Callable[[Client], None]]]:
    """The address of a scheduler, and what is to be called when its workers have been checked."""
    if config.address is not None:
        yield config.address, lambda _client: None
    elif config.kind == "local":
        with _loop() as loop, ExitStack() as stack:
            with defer_signals():
                local = _started(config, loop, training=training)
                stack.callback(local.close)
            yield local.scheduler_address, lambda _client: None
    else:
        with cluster_by_name(config, training=training) as cluster:
            yield cluster.address, cluster.adapt


def local_workers(
    config: ClusterConfig, accelerators: list[str], *, training: bool = True
) -> dict[str, dict[str, Any]]:
    """The workers of a local cluster: one per core, and one per accelerator for training.

    Without an accelerator one training worker stands in, on the processor. A training worker
    has as many places as members share an accelerator.
    """
    cores = config.cpu_workers or os.cpu_count() or 1
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
    seen, places = accelerators or [""], config.members_per_gpu
    for index in range((config.training_workers or len(seen)) if training else 0):
        workers[f"training-{index}"] = {
            **shared,
            "nthreads": places,
            "resources": {name: places * need for name, need in TRAINING_RESOURCE.items()},
            "env": {"CUDA_VISIBLE_DEVICES": seen[index % len(seen)]},
        }
    return {name: {"cls": Nanny, "options": options} for name, options in workers.items()}


@contextmanager
def _loop() -> Iterator[IOLoop]:
    """An event loop in a thread whose processes, the workers, never receive Ctrl-C."""
    runner = LoopRunner()
    with block_sigint():
        runner.start()
    try:
        yield runner.loop
    finally:
        runner.stop()


def _started(config: ClusterConfig, loop: IOLoop, *, training: bool) -> SpecCluster:
    """A local cluster; one of its processes may be killed as it starts, so there is another try.

    Raises:
        ClusterLostError: it did not start again.
    """
    for left in reversed(range(STARTS)):
        try:
            return _local(config, loop, training=training)
        except RuntimeError as error:
            if FAILED_START not in str(error):
                raise
            if not left:
                raise ClusterLostError(
                    f"the local Dask cluster did not start ({error}), {STARTS} times; {RESUME_HINT}"
                ) from error
            note(f"the local Dask cluster did not start ({error}); it is started again")
    raise AssertionError  # the last try returned or raised


def _local(config: ClusterConfig, loop: IOLoop, *, training: bool) -> SpecCluster:
    # Scheduler and nannies listen on the machine's outer address unless they are told a host.
    options = {
        "host": LOOPBACK,
        "protocol": _protocol(),
        "port": 0,
        "dashboard": False,
        "dashboard_address": f"{LOOPBACK}:0",  # of health and metrics
    }
    return SpecCluster(
        scheduler={"cls": Scheduler, "options": options},
        workers=local_workers(config, visible_accelerators(), training=training),
        silence_logs=logging.CRITICAL,
        name="overlap",
        loop=loop,
    )


def _protocol() -> str:
    """Of a local cluster: TLS where Dask's configuration refuses everything else."""
    return "tls://" if dask.config.get("distributed.comm.require-encryption") else "tcp://"
