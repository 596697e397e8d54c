"""Training of one member: a Dask job on a training worker that supervises a child process."""

import logging
import secrets
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import CancelledError
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from threading import Event
from typing import Any, cast

from distributed import get_worker
from prefect import get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.states import Cancelled

from overlap.errors import ClusterError, ConfigError, UnfitWorkerError
from overlap.io.formatting import format_rate
from overlap.io.location import Location
from overlap.io.workspace_paths import MemberPaths
from overlap.system.child_process import run_child
from overlap.system.resources.accelerators import shared_by
from overlap.system.resources.sharing import sharing_environment, trainings_here
from overlap.training.backends.choice import VARIABLE, named_backend, select_backend
from overlap.training.backends.resumed import backend_of_training
from overlap.training.placement import record_placement
from overlap.training.spec import MemberRecord, MemberSpec, load_record
from tasks.cluster import Cluster, awaited, connect, listen
from tasks.on_worker import (
    TRAINING_RESOURCE,
    placement,
    places_on_this_worker,
    portable_call,
    report,
    still_wanted,
)
from tasks.progress import TERMINAL, Stage, note, parent_run, stage
from tasks.workers import trainers, unfit_workers


def train_on_worker(workspace: Location, spec: MemberSpec, backend: str, topic: str) -> None:
    """Complete a member in a child process; runs on a worker.

    Args:
        workspace: The workspace.
        spec: The member.
        backend: Keras's backend of the run.
        topic: Topic of the reports.

    Raises:
        UnfitWorkerError: The backend cannot train here; the worker joined after the preflight.
    """
    report(topic, {"event": "started"})
    paths, here = MemberPaths(spec.folder(workspace)), placement()
    backend = _backend_here(spec, paths.folder, backend)
    paths.spec.write_record(spec)
    with record_placement(paths.folder, here):
        run_child(
            "overlap.training.member",
            [str(workspace), spec.fingerprint],
            lambda event: report(topic, event),
            still_wanted(),
            paths.log,
            {
                **shared_by(places := places_on_this_worker()),
                **sharing_environment(max(places, trainings_here())),
                **here.environment(),
                VARIABLE: backend,
            },
        )


def _backend_here(spec: MemberSpec, folder: Location, backend: str) -> str:
    """Return the backend of a member: that of its checkpoint, if it was not chosen by name.

    Raises:
        UnfitWorkerError: The backend of the run cannot train here.
    """
    earlier = backend_of_training(folder)
    if earlier not in (None, backend) and not named_backend(spec.training.backend):
        with suppress(ConfigError):
            return select_backend(earlier)
    try:
        return select_backend(backend)
    except ConfigError as error:
        raise UnfitWorkerError(get_worker().address, str(error)) from None


@task(name="member", task_run_name="{name}", cache_policy=NO_CACHE)
def train_member(  # noqa: PLR0913, PLR0917  each is one part of the job
    scheduler: Cluster,
    workspace: Location,
    spec: MemberSpec,
    number: int,
    name: str,
    members: Stage,
    stop: Event,
    follow: Callable[[Mapping[str, Any]], None] = lambda _event: None,
) -> MemberRecord:
    """Train a member and follow its epochs; cancelled when `stop` is set.

    The first event of a member starts the clock of the stage `members`. `follow` receives every
    event, in a thread of the cluster's client.
    """
    with stage(
        f"{name} (epochs)", spec.training.epochs, unit="epoch", keep=False,
        waits_for="a training worker",
    ) as progress:  # fmt: skip
        job = TrainingJob(train_on_worker, (workspace, spec, scheduler.backend), name, number)
        shown = _epoch_shown_on(progress, name)

        def on_event(event: Mapping[str, Any]) -> None:
            members.start()
            shown(event)
            follow(event)

        try:
            on_training_worker(scheduler, job, stop, on_event)
        except CancelledError:
            # Not a failure of this member: Prefect raises for the caller that waits for it.
            return cast(
                "MemberRecord",
                Cancelled(message="cancelled: the run ended, or the trial was pruned"),
            )
    record = load_record(spec.folder(workspace))
    if record is None:
        raise RuntimeError(f"{name} ended without a record; see {spec.folder(workspace)}")
    return record


@dataclass(frozen=True)
class TrainingJob:
    """A call on a training worker."""

    function: Callable[..., None]
    """Takes the arguments and the topic of its reports."""
    arguments: tuple[object, ...]
    name: str
    """Name of the Dask task."""
    number: int
    """Of several waiting jobs, the one with the lowest number starts first."""


@contextmanager
def stopped_on_error() -> Iterator[Event]:
    """An event that is set when an error or an interruption ends the block.

    It ends the threads that wait for jobs, and with them the jobs. The task runner waits for its
    threads, and would otherwise wait for every training.
    """
    stop = Event()
    try:
        yield stop
    except BaseException:
        stop.set()
        raise


def on_training_worker(
    scheduler: Cluster,
    job: TrainingJob,
    stop: Event,
    on_event: Callable[[Mapping[str, Any]], None],
) -> None:
    """Run a job on a training worker, and wait for it.

    Args:
        scheduler: The cluster.
        job: The job; if a worker is unfit for it, another receives it.
        stop: Cancels the job when it is set.
        on_event: Receives the events that the job reports.

    Raises:
        ClusterError: no training worker is fit for it.
        ClusterLostError: the cluster, or its training workers, are gone.
    """
    topic = f"overlap-{secrets.token_hex(6)}"
    unfit: dict[str, str] = {}
    with connect(scheduler) as client, listen(client, topic, on_event):

        def able() -> list[str]:
            return [address for address in trainers(client) if address not in unfit]

        while True:
            if unfit and not able():
                faults = "\n  ".join(f"{address}: {fault}" for address, fault in unfit.items())
                raise ClusterError(
                    f"no worker is left that can train:\n  {faults}",
                    code="no-fit-worker",
                    workers=sorted(unfit),
                )
            place = able() if unfit else None
            future = client.submit(
                portable_call(scheduler.fit(training=True), job.function, *job.arguments, topic),
                key=f"{job.name}-{secrets.token_hex(6)}", pure=False, priority=-job.number,
                resources=dict(TRAINING_RESOURCE), workers=place,
            )  # fmt: skip
            try:
                awaited(client, future, stop, lambda: bool(able()), scheduler.lost_after_s)
                break
            except (UnfitWorkerError, ImportError, AttributeError) as error:
                found = unfit_workers(client, error, place)
                for address in sorted(found.keys() - unfit.keys()):
                    note(
                        f"a worker that joined later is unfit to train: {address}: {found[address]}"
                    )
                unfit |= found
            finally:
                if not future.done():  # the scheduler informs every client of it
                    future.cancel()


def _epoch_shown_on(progress: Stage, name: str) -> Callable[[Mapping[str, Any]], None]:
    # Events arrive in a thread without a task run.
    logger, parent = get_run_logger(), parent_run()

    def log(level: int, text: str) -> None:
        logger.log(level, "%s", text)
        if parent is not None:
            parent.log(f"{name}: {text}", level)

    def warn(text: str) -> None:
        log(logging.WARNING, text)
        TERMINAL.note(text)

    def epoch(event: Mapping[str, Any]) -> None:
        figures = _figures(event)
        progress.advance(event["epoch"] - progress.done, figures)
        log(logging.INFO, f"epoch {event['epoch']} of {progress.total}: {figures}")

    def diverged(event: Mapping[str, Any]) -> None:
        warn(f"{event['reason']}; the training restarts with another seed")
        progress.restart("restarts with another seed")

    handlers: dict[str, Callable[[Mapping[str, Any]], None]] = {
        "started": lambda _event: progress.say("starts"),
        "plan": lambda event: progress.say(f"reads its features, trains on {event['device']}"),
        "epoch": epoch,
        "predict": lambda _event: log(logging.INFO, "predicts the test and the held-out clips"),
        "diverged": diverged,
        "again": lambda event: warn(event["reason"]),
    }

    def on_event(event: Mapping[str, Any]) -> None:
        if (handler := handlers.get(event["event"])) is not None:
            handler(event)

    return on_event


def _figures(event: Mapping[str, Any]) -> str:
    """Return the figures of an epoch; its rate is unknown in the first of a process."""
    held_out, rate = event.get("held_out_kl"), event.get("rate")
    figures = [f"loss {event['loss']:.4f}"]
    if held_out is not None:
        figures.append(f"held-out KL {held_out:.4f}")
    if rate is not None:
        figures.append(format_rate(rate, "clip"))
    return ", ".join(figures)
