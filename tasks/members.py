"""One ensemble member: a Dask job on a training worker, which starts and watches a process."""

import secrets
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import CancelledError
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Event
from typing import Any, cast

from prefect import get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.states import Cancelled

from overlap.accelerators import shared_by
from overlap.child import run_child
from overlap.storage import Location
from overlap.training.spec import (
    LOG_FILE,
    SPEC_FILE,
    MemberRecord,
    MemberSpec,
    load_record,
)
from tasks.cluster import (
    TRAINING_RESOURCE,
    connect,
    listen,
    places_on_this_worker,
    report,
    still_wanted,
    training_result,
)
from tasks.progress import Stage, stage


def train_on_worker(workspace: Location, spec: MemberSpec, topic: str) -> None:
    """On a worker: make a member complete in a process of its own."""
    folder = spec.folder(workspace)
    (folder / SPEC_FILE).write_json(spec.model_dump(mode="json"))
    run_child(
        "overlap.training.member",
        [str(workspace), spec.fingerprint],
        lambda event: report(topic, event),
        still_wanted(),
        folder / LOG_FILE,
        shared_by(places_on_this_worker()),
    )


@task(name="member", task_run_name="{name}", cache_policy=NO_CACHE)
def train_member(
    scheduler: str, workspace: Location, spec: MemberSpec, number: int, name: str, stop: Event
) -> MemberRecord:
    """Train a member, and follow its epochs; given up when `stop` is set."""
    with stage(f"{name} (epochs)", spec.training.epochs, keep=False) as progress:
        job = TrainingJob(train_on_worker, (workspace, spec), name, number)
        try:
            on_training_worker(scheduler, job, stop, _epoch_shown_on(progress))
        except CancelledError:
            # Not a fault of this member: its state says so, and Prefect raises for who waits.
            return cast("MemberRecord", Cancelled(message="given up, because the run ended"))
    record = load_record(spec.folder(workspace))
    if record is None:
        raise RuntimeError(f"{name} ended without its record; see {spec.folder(workspace)}")
    return record


@dataclass(frozen=True)
class TrainingJob:
    """A call on a training worker."""

    function: Callable[..., None]
    """Takes the arguments and a topic to report under."""
    arguments: tuple[object, ...]
    name: str
    """Name of the Dask task."""
    number: int
    """Of several jobs that wait, the one with the lowest number goes first."""


@contextmanager
def stopped_on_error() -> Iterator[Event]:
    """An event that is set when the block is left by an error or an interruption.

    The threads that wait for jobs end then, and with them the jobs; the task runner, which
    waits for its threads, would wait for every training otherwise.
    """
    stop = Event()
    try:
        yield stop
    except BaseException:
        stop.set()
        raise


def on_training_worker(
    scheduler: str, job: TrainingJob, stop: Event, on_event: Callable[[Mapping[str, Any]], None]
) -> None:
    """Do a job on a training worker, and wait for it.

    Args:
        scheduler: Address of the cluster.
        job: The job.
        stop: Gives it up when it is set.
        on_event: Receives what the job reports.
    """
    topic = f"overlap-{secrets.token_hex(6)}"
    with connect(scheduler) as client, listen(client, topic, on_event):
        future = client.submit(
            job.function, *job.arguments, topic, key=f"{job.name}-{topic}", pure=False,
            priority=-job.number, resources=dict(TRAINING_RESOURCE),
        )  # fmt: skip
        try:
            training_result(client, future, stop)
        finally:
            future.cancel()


def _epoch_shown_on(progress: Stage) -> Callable[[Mapping[str, Any]], None]:
    logger = get_run_logger()  # here: events come in a thread that has no task run

    def on_event(event: Mapping[str, Any]) -> None:
        if event["event"] == "epoch":
            held_out = event.get("held_out_kl")
            score = f" held-out KL {held_out:.4f}" if held_out is not None else ""
            note = f"loss {event['loss']:.4f}{score} {event['clips_per_second']:,.0f} clips/s"
            progress.advance(event["epoch"] - progress.done, note)
            logger.info("epoch %d: %s", event["epoch"], note)
        elif event["event"] == "diverged":
            logger.warning("%s; it begins again with another seed", event["reason"])
            progress.advance(-progress.done, "begins again with another seed")

    return on_event
