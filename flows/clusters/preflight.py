"""Preflight checks of a cluster: one error that lists every fault, before work is submitted.

Without them, a job that no worker can take would wait forever, and a job on an unfit worker would
fail hours later with an unrelated error.
"""

import secrets
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from distributed import Client

from overlap.catalog import Listing
from overlap.config import ClusterConfig, RunConfig
from overlap.errors import ClusterError
from overlap.features.memory import feature_worker_bytes
from overlap.io.formatting import counted, format_bytes
from overlap.io.location import Location
from overlap.io.workspace_paths import WorkspacePaths
from overlap.system.provenance import software
from tasks.cluster import Cluster
from tasks.on_worker import TRAINING_RESOURCE, WorkerProbe, look
from tasks.workers import (
    Worker,
    Workers,
    feature_workers,
    offers_training,
    other_versions,
    slots_of,
    version_fault,
    workers_of,
)

EQUAL = (
    *("dask", "distributed", "numpy", "scipy", "numba", "librosa", "zarr", "keras"),
    "tensorflow",
)
"""Packages whose versions affect results, or messages between flow, scheduler and workers."""
EQUAL_ON_SCHEDULER = ("dask", "distributed")
USABLE = 0.8
"""Fraction of a worker's memory limit above which Dask submits no more jobs to it."""
PROBE_SECONDS = 0.5
NAMED = 3
"""Number of workers that a message names for each fault."""


@dataclass(frozen=True)
class Work:
    """The work that a cluster is opened for."""

    training: bool
    """Whether members are trained or applied."""
    run: RunConfig | None = None
    """The run that the work belongs to."""
    files: Listing | None = None
    """Files that workers read, to compute features or to apply members."""
    members: int = 0
    """Members that can train at the same time; 0: none are trained."""

    @property
    def sample(self) -> Location | None:
        """The first of the files; None without files."""
        if self.files is None or self.files.files.empty:
            return None
        return self.files.data / str(self.files.files["file"].iloc[0])

    @property
    def features(self) -> bool:
        """Whether features are computed."""
        return self.run is not None and self.files is not None


@contextmanager
def token_in(workspace: Location) -> Iterator[Location]:
    """Keep a file with a random name in the workspace within the block."""
    token = WorkspacePaths(workspace).probe(secrets.token_hex(6))
    token.write_bytes(b"overlap")
    try:
        yield token
    finally:
        token.remove()


def preflight(client: Client, config: ClusterConfig, cluster: Cluster, work: Work) -> list[str]:
    """Wait for the workers that the work needs, and check every worker.

    Args:
        client: A client of the cluster.
        config: The cluster's configuration.
        cluster: The cluster, with the files that its workers must see.
        work: The work.

    Returns:
        Warnings.

    Raises:
        ClusterError: there is no worker, or the cluster cannot do the work; the message lists
            every fault, and so does the field `faults`.
    """
    workers = _wait(client, config, cluster, work)
    faults = [*_faults_of_scheduler(client), *_faults_of_workers(client, workers, cluster, work)]
    if work.training and not any(map(offers_training, workers.values())):
        name, amount = next(iter(TRAINING_RESOURCE.items()))
        faults.append(
            f"none of {counted(len(workers), 'worker')} offers {name}, which training needs; start "
            f'one with `dask worker {cluster.address} --resources "{name}={amount}"`'
        )
    if faults:
        raise unfit_cluster(cluster.address, faults)
    return list(training_warnings(workers, config, work))


def unfit_cluster(address: str, faults: list[str]) -> ClusterError:
    """Return the error of a cluster that cannot do the work.

    Args:
        address: Address of the scheduler.
        faults: One line each, with the workers that have it.
    """
    return ClusterError(
        f"the cluster at {address} cannot do the work:\n  " + "\n  ".join(faults),
        code="cluster-unfit",
        address=address,
        faults=faults,
    )


def _wait(client: Client, config: ClusterConfig, cluster: Cluster, work: Work) -> Workers:
    """Wait until every required kind of worker has joined, or the timeout has passed."""
    until = time.monotonic() + config.timeout_s
    while True:
        workers = workers_of(client)
        training = sum(map(offers_training, workers.values()))
        enough = bool(workers)
        enough &= bool(training) or not work.training
        enough &= training < len(workers) or not cluster.spare_workers_come
        if enough or time.monotonic() > until:
            break
        time.sleep(PROBE_SECONDS)
    if not workers:
        raise ClusterError(
            f"the cluster at {cluster.address} has no worker after {config.timeout_s:g} s; start "
            "workers, or raise cluster.timeout_s",
            code="no-worker",
            address=cluster.address,
            timeout_s=config.timeout_s,
        )
    return workers


def _faults_of_scheduler(client: Client) -> Iterator[str]:
    try:
        there = client.run_on_scheduler(software)
    except (ImportError, AttributeError) as error:
        yield f"scheduler: {version_fault(error)}"
        return
    different = _different(there, ("overlap", *EQUAL_ON_SCHEDULER))
    if different:
        yield f"scheduler: {different}"


def _faults_of_workers(
    client: Client, workers: Workers, cluster: Cluster, work: Work
) -> Iterator[str]:
    """Yield every fault once, with its workers."""
    found: dict[str, list[str]] = {}
    for address, fault in _each_fault(client, workers, cluster, work):
        found.setdefault(fault, []).append(address)
    for fault, addresses in sorted(found.items(), key=lambda item: item[1]):
        more = len(addresses) - NAMED
        named = ", ".join(sorted(addresses)[:NAMED]) + (f" and {more} more" if more > 0 else "")
        yield f"{named}: {fault}"


def _each_fault(
    client: Client, workers: Workers, cluster: Cluster, work: Work
) -> Iterator[tuple[str, str]]:
    others = other_versions(client)
    yield from others.items()
    same = {a: worker for a, worker in workers.items() if a not in others}
    readers = feature_workers(same, cluster) if work.features else _trainers(same)
    answers: dict[str, Any] = {}
    if same:
        asked = (cluster.token, cluster.sample)
        answers = client.run(look, *asked, workers=list(same), on_error="return")
    there = workers_of(client)
    for address, answer in sorted(answers.items()):
        if not isinstance(answer, WorkerProbe):
            if address in there:  # otherwise it has ended
                yield address, f"does not respond: {type(answer).__name__}: {answer}"
            continue
        sample = cluster.sample if address in readers else None
        for fault in faults_seen(answer, cluster.token, sample):
            yield address, fault
    if work.run is not None and work.features:
        for address, worker in sorted(readers.items()):
            fault = _memory_fault(worker, work.run)
            if fault:
                yield address, fault


def _trainers(workers: Workers) -> Workers:
    return {a: worker for a, worker in workers.items() if offers_training(worker)}


def faults_seen(
    seen: WorkerProbe, token: Location | None, sample: Location | None
) -> Iterator[str]:
    """Yield the faults of a worker, from its report about itself."""
    different = _different(seen.software, EQUAL)
    if different:
        yield different
    if token is not None:
        if not seen.sees_workspace:
            yield f"does not see the workspace {token.parent}"
        elif not seen.answer:
            yield f"cannot write into the workspace {token.parent} ({seen.why})"
        else:
            answer = token.parent / seen.answer
            if not answer.exists():
                yield f"writes into another workspace than {token.parent} here"
            with suppress(OSError):
                answer.remove()
    if sample is not None and not seen.sees_sample:
        yield f"cannot read the data: {sample}"


def _different(there: Mapping[str, str], packages: tuple[str, ...]) -> str:
    """Describe the versions that differ from those in this process."""
    here = software()
    wrong = [(p, there.get(p, "none"), here[p]) for p in packages if there.get(p) != here.get(p)]
    minors = [".".join(versions["python"].split(".")[:2]) for versions in (there, here)]
    if minors[0] != minors[1]:
        wrong.insert(0, ("python", there["python"], here["python"]))
    return "; ".join(f"{package} {other}, here {own}" for package, other, own in wrong)


def _memory_fault(worker: Worker, run: RunConfig) -> str:
    limit, threads = worker["memory_limit"], worker["nthreads"]
    needed = feature_worker_bytes(run.features, run.store, threads)
    if not limit or needed <= USABLE * limit:
        return ""
    return (
        f"has {format_bytes(limit)} of memory, of which Dask uses {format_bytes(USABLE * limit)}; "
        f"features take {format_bytes(needed)} with {threads} threads; raise --memory-limit, "
        "reduce the threads, or lower store.chunk_clips"
    )


def training_warnings(workers: Workers, config: ClusterConfig, work: Work) -> Iterator[str]:
    """Yield warnings about the workers that train."""
    if work.training and not config.is_local:
        trainers = _trainers(workers)
        yield from _thread_warnings(trainers)
        if work.members and work.run is not None:
            yield from _memory_warnings(trainers, work.run, work.files)


def _thread_warnings(trainers: Workers) -> Iterator[str]:
    # Dask moves waiting jobs to a new worker only from workers with more jobs than threads.
    wide = {a: w for a, w in trainers.items() if w["nthreads"] > slots_of(w, "training")}
    if wide:
        address, worker = min(wide.items())
        yield (
            f"training workers have more threads than training slots, such as {address}: members "
            "may wait there while a worker that joined later is idle; start it with --nthreads "
            f"{slots_of(worker, 'training')}"
        )


def _memory_warnings(trainers: Workers, run: RunConfig, files: Listing | None) -> Iterator[str]:
    limits = [worker["memory_limit"] for worker in trainers.values() if worker["memory_limit"]]
    if not limits:
        return
    least, configured = min(limits), run.training.memory_gb
    if configured is not None and 1e9 * configured > least:
        yield (
            f"training.memory_gb is {configured:g}, but a training worker has {format_bytes(least)}"
        )
    elif configured is None and files is not None:
        clips = int((files.files["split"] == "train").sum())
        needed = run.features.clip_bytes * clips
        if needed > least / 2:
            yield (
                f"a member's features take {format_bytes(needed)} and a training worker has "
                f"{format_bytes(least)}; if the machine has more, set training.memory_gb; "
                "otherwise a member uses the memory that is free there"
            )
