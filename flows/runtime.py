"""The Dask cluster of a flow: opened once, checked before anything is submitted."""

import importlib
import logging
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from distributed import Client, Nanny, Scheduler, SpecCluster

import overlap
from overlap.accelerators import visible_accelerators
from overlap.config import ClusterConfig
from overlap.errors import ClusterError
from overlap.storage import Location
from tasks.cluster import TRAINING_RESOURCE, connect, trainers

LOOPBACK = "127.0.0.1"
ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


@contextmanager
def open_cluster(
    config: ClusterConfig, workspace: Location, *, training: bool, scheduler: str | None = None
) -> Iterator[str]:
    """The address of a scheduler that can do the work.

    Args:
        config: An address, or what to start.
        workspace: Must be visible to every worker.
        training: Whether members will be trained.
        scheduler: Address of a cluster that the calling flow has opened and checked already.

    Raises:
        ClusterError: it does not answer, or cannot do the work.
    """
    if scheduler is not None:
        yield scheduler
    elif config.address is not None:
        with connect(config.address, config.timeout_s) as client:
            check(client, config, workspace, training=training)
        yield config.address
    else:
        with _started(config, training=training) as cluster:
            with connect(cluster.scheduler_address, config.timeout_s) as client:
                check(client, config, workspace, training=training)
            yield cluster.scheduler_address


@contextmanager
def _started(config: ClusterConfig, *, training: bool) -> Iterator[Any]:
    cluster = _local(config, training=training) if config.kind == "local" else _by_name(config)
    try:
        yield cluster
    finally:
        cluster.close()


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


def _local(config: ClusterConfig, *, training: bool) -> SpecCluster:
    # Scheduler and nannies listen on the machine's outer address unless they are told a host.
    return SpecCluster(
        scheduler={"cls": Scheduler, "options": {"host": LOOPBACK, "port": 0, "dashboard": False}},
        workers=local_workers(config, visible_accelerators(), training=training),
        silence_logs=logging.CRITICAL,
        name="overlap",
    )


def _by_name(config: ClusterConfig) -> Any:  # noqa: ANN401  any cluster class
    module, _, name = config.kind.rpartition(".")
    try:
        kind = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ClusterError(
            f"cluster.kind {config.kind}: cannot be imported ({error}); "
            "it is `local`, or a class such as dask_jobqueue.SLURMCluster"
        ) from None
    try:
        cluster = kind(**config.arguments)
        if config.cpu_workers is not None:
            cluster.scale(config.cpu_workers)
    except (TypeError, ValueError, OSError) as error:
        raise ClusterError(f"cluster.kind {config.kind}: does not start: {error}") from None
    return cluster


def check(client: Client, config: ClusterConfig, workspace: Location, *, training: bool) -> None:
    """Look at every worker before any work is given to it.

    Raises:
        ClusterError: there is no worker, one has another version or does not see the
            workspace, or none offers what training needs. Without that look a job that no
            worker can take would wait for ever.
    """
    address = client.scheduler_info()["address"]
    try:
        client.wait_for_workers(1, timeout=config.timeout_s)
    except TimeoutError:
        raise ClusterError(
            f"the cluster at {address} has no worker after "
            f"{config.timeout_s:g} s; start workers, or raise cluster.timeout_s"
        ) from None
    workers = client.scheduler_info(n_workers=-1)["workers"]
    name, amount = next(iter(TRAINING_RESOURCE.items()))
    if training and not trainers(client):
        raise ClusterError(
            f"none of the {len(workers)} workers offers {name}, which training needs; start "
            f'one with `dask worker {address} --resources "{name}={amount}"`'
        )
    _check_workers(client, workspace)


def _check_workers(client: Client, workspace: Location) -> None:
    token = workspace / f".seen-{secrets.token_hex(6)}"
    token.write_bytes(b"overlap")
    try:
        answers = client.run(_look, token, on_error="return")
    finally:
        token.remove()
    faults = []
    for address, answer in sorted(answers.items()):
        if isinstance(answer, BaseException):
            faults.append(f"{address}: does not have the package overlap ({answer})")
        elif answer["version"] != overlap.__version__:
            faults.append(f"{address}: overlap {answer['version']}, here {overlap.__version__}")
        elif not answer["sees"]:
            faults.append(f"{address}: does not see the workspace {workspace}")
    if faults:
        raise ClusterError("workers that cannot do the work:\n  " + "\n  ".join(faults))


def _look(token: Location) -> dict[str, Any]:
    """On a worker: its version, and whether it sees what the flow just wrote."""
    return {"version": overlap.__version__, "sees": token.exists()}
