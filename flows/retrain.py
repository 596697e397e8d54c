"""The main flow and its stages: catalogue, features, members, ensemble.

A run is a function of its workspace. A run that is started again after a failure determines from
the workspace's files, never from Prefect's state, which work is missing, and does only that.
"""

import time
from collections.abc import Mapping
from contextlib import closing
from dataclasses import replace
from typing import Any, NamedTuple, TypeVar, cast

from prefect import flow
from prefect.futures import PrefectFuture
from prefect.states import Completed
from prefect.task_runners import TaskRunner, ThreadPoolTaskRunner

from flows.announcer import announced
from flows.clusters.opening import open_cluster
from flows.clusters.preflight import Work
from flows.promotion import settle_champion
from flows.recording import recorded
from flows.service.limits import is_deployed, only_run_on
from overlap.config import RunConfig
from overlap.ensemble.members import Members
from overlap.ensemble.registry import EnsembleRecord
from overlap.errors import ClusterLostError, MemberError, NotReadyError, OverlapError
from overlap.features.compare import DriftRow, comparison_store, read_comparison_set
from overlap.io.formatting import counted
from overlap.io.location import Location
from overlap.promotion.champion import Promotion
from overlap.training.spec import MemberRecord, MemberSpec
from overlap.workspace.pending import pending_work
from overlap.workspace.workspace import Workspace
from tasks.artifacts import show_members, show_run
from tasks.catalog import catalogue
from tasks.cluster import NO_CLUSTER, Cluster
from tasks.dispatch import dispatched
from tasks.features import FeatureReport, extract_features, measure_drift
from tasks.gather import pool_members
from tasks.members import stopped_on_error, train_member
from tasks.progress import doing, followed, note, on_wait, stage
from tasks.report import make_report, track_ensemble

MEMBER_THREADS: TaskRunner[Any] = ThreadPoolTaskRunner(max_workers=64)
"""One thread per member that waits for a worker; surplus members wait for a thread."""


class RunReport(NamedTuple):
    """The results of a run."""

    features: FeatureReport
    """Computed features, and the drift between data sets."""
    ensemble: EnsembleRecord
    """The published ensemble."""
    promotion: Promotion
    """The decision about the champion."""

    @property
    def drift(self) -> tuple[DriftRow, ...]:
        """Drift of the clips from the training clips and from another data set."""
        return self.features.drift

    @property
    def headline(self) -> str:
        """A one-line summary."""
        record = self.ensemble
        score = "nothing held out" if record.kl is None else f"KL {record.kl:.4f}"
        return (
            f"ensemble {record.version} of {counted(len(record.members), 'member')}, {score}; "
            f"{self.promotion.state}: {self.promotion.reason}"
        )


class TrainReport(NamedTuple):
    """The results of the training stage."""

    trained: list[MemberRecord]
    """Members that the stage completed."""
    complete: int
    """Number of complete members after the stage."""
    fewer: str | None
    """Why there are fewer members than planned; None if there are not."""


@flow(name="retrain", flow_run_name="retrain-{config.data_name}-{config.preset}")
def retrain(config: RunConfig) -> RunReport:
    """From sound files to a published ensemble."""
    workspace = Workspace.of(config.workspace)
    with (
        announced(config) as announcer,
        followed(),
        only_run_on(workspace.location, wait=True),
        workspace.shared(),
    ):
        with doing("listing the data"):
            # Report a wrong folder before anything is written.
            workspace.list_data(config)
        report = run_stages(config, wait=is_deployed())
        announcer.published(report.ensemble, report.promotion, report.drift, report.headline)
    return concluded(report.headline, report)


def run_stages(config: RunConfig, *, wait: bool = False) -> RunReport:
    """Run all stages in order; must be called within a flow.

    The work to do is determined under the run lock: its previous holder may have done some of it,
    or undone some, as `overlap verify --repair` does.

    Args:
        config: The run.
        wait: Whether to wait for another run on the workspace.

    Raises:
        WorkspaceLockedError: another run holds the workspace's lock, and `wait` is false.
    """
    workspace = Workspace.of(config.workspace)
    comparison_store(config)  # report a wrong address before anything is written
    workspace.check_usable()
    with workspace.lock(wait=wait, on_wait=on_wait), recorded(workspace, "retrain", config):
        workspace.run_started = time.perf_counter()
        listing = workspace.list_data(config)
        pending = pending_work(config, listing)
        opened = None if pending.anything else NO_CLUSTER
        files = listing if pending.features else None
        work = Work(training=True, run=config, files=files, members=config.ensemble.at_once)
        with open_cluster(config.cluster, workspace.location, work, opened) as scheduler:
            report = features(config, scheduler)
            train(config, scheduler)
            made = RunReport(report, *pool(config, scheduler))
    show_run(workspace, made.ensemble, made.promotion, made.headline, config.view.url)
    if config.tracking.mlflow:
        track_ensemble(workspace, made.ensemble, config.tracking)
    return made


Result = TypeVar("Result")


def concluded(message: str, result: Result) -> Result:
    """Return the value of a flow that ends in the state Completed with a message.

    Prefect separates message and value; the caller of the flow receives the value.
    """
    return cast("Result", Completed(message=message, data=result))


@flow(name="features", flow_run_name="features-{config.data_name}")
def features(config: RunConfig, scheduler: Cluster | None = None) -> FeatureReport:
    """Check the data and compute the missing features."""
    workspace = Workspace.of(config.workspace)
    with followed(), workspace.shared():
        # Report a wrong folder before anything is written.
        workspace.list_data(config)
        other = read_comparison_set(config)
        workspace.check_usable()
        with (
            workspace.lock(wait=is_deployed(), on_wait=on_wait),
            recorded(workspace, "features", config),
        ):
            listing = workspace.list_data(config)
            if scheduler is None and not pending_work(config, listing).features:
                scheduler = NO_CLUSTER
            work = Work(training=False, run=config, files=listing)
            with open_cluster(config.cluster, workspace.location, work, scheduler) as cluster:
                catalogue(cluster, listing, workspace, config.features, config.checks)
                report = extract_features(cluster, workspace, config.features, config.store)
        drift = measure_drift(workspace, other, config.training.top_db)
    return replace(report, drift=drift)


@flow(
    name="train",
    flow_run_name="train-{config.data_name}-{config.preset}",
    task_runner=MEMBER_THREADS,
)
def train(config: RunConfig, scheduler: Cluster | None = None) -> TrainReport:
    """Train the wanted members that are not complete."""
    workspace = ready_features(config)
    with followed(), workspace.lock(wait=is_deployed(), on_wait=on_wait) as changed:
        if changed:
            workspace = ready_features(config)
        with recorded(workspace, "train", config):
            return _train_members(config, workspace, scheduler)


def _train_members(
    config: RunConfig, workspace: Workspace, scheduler: Cluster | None
) -> TrainReport:
    """Train the members that are missing now; the run lock is held."""
    tracker = workspace.track_members(config)
    members = tracker.members()
    if not members.pending:
        return TrainReport([], len(members.complete), members.shortfall)
    one_by_one = config.ensemble.one_by_one
    records, failed = {}, {}
    work = Work(training=True, run=config, members=config.ensemble.at_once)
    with (
        open_cluster(config.cluster, workspace.location, work, scheduler) as cluster,
        stage("members", len(members.pending), unit="member") as progress,
        stopped_on_error() as stop,
    ):

        def submit(job: tuple[int, MemberSpec]) -> PrefectFuture[MemberRecord]:
            number, spec = job
            name = f"member {number} of {len(members.specs)}"
            place = workspace.location
            return train_member.submit(cluster, place, spec, number, name, progress, stop)

        wanted = (lambda job: job in tracker.members().pending) if one_by_one else None
        for (number, _), future in dispatched(cluster, submit, members.pending, wanted):
            try:
                records[number] = future.result()
            except OverlapError as error:
                failed[number] = error
            if one_by_one:
                tracker.reread(number)
            progress.advance()
        members = workspace.members(config)
    if failed:
        _judge_failures(failed, members)
    show_members(members.complete)
    trained = [records[number] for number in sorted(records)]
    return TrainReport(trained, len(members.complete), members.shortfall)


def _judge_failures(failed: Mapping[int, OverlapError], members: Members) -> None:
    """Warn about failed members if the complete ones are enough.

    Args:
        failed: The error of each failed member, by its number.
        members: All members.

    Raises:
        ClusterLostError: they are not enough, because of the cluster alone.
        MemberError: they are not enough.
    """
    planned = len(members.specs)
    lines = [f"member {number} of {planned}: {failed[number]}" for number in sorted(failed)]
    count = f"{len(failed)} of {counted(planned, 'member')} failed"
    if members.sufficient:
        note("\n".join([f"{count}; the run continues with {len(members.complete)}", *lines]))
        return
    # The UI shows the first line of a failed run's message, so the cause comes first.
    message = (
        f"{count}: {lines[0]}\nComplete members are kept; a new run trains only the missing ones."
        + "".join(f"\n{line}" for line in lines[1:])
    )
    lost = [error for error in failed.values() if isinstance(error, ClusterLostError)]
    if len(lost) == len(failed):
        raise ClusterLostError(message, code=lost[0].code, **lost[0].fields)
    raise MemberError(message, code="members-failed", failed=len(failed), planned=planned)


@flow(
    name="pool",
    flow_run_name="pool-{config.data_name}-{config.preset}",
    task_runner=MEMBER_THREADS,
)
def pool(config: RunConfig, scheduler: Cluster | None = None) -> tuple[EnsembleRecord, Promotion]:
    """Pool, score and publish the members, and write the report."""
    workspace = ready_features(config)
    with followed(), workspace.lock(wait=is_deployed(), on_wait=on_wait) as changed:
        if changed:
            workspace = ready_features(config)
        with recorded(workspace, "pool", config) as run, closing(run.stage("pooling")):
            record = pool_members(config, workspace)
            run.result(record.version)
            promotion = settle_champion(config, workspace, record, scheduler)
            run.result(record.version, promoted=promotion.promoted, reason=promotion.reason)
            make_report(workspace, record, promotion)
    return record, promotion


def ready_features(config: RunConfig) -> Workspace:
    """Return the workspace of a run, whose features are complete.

    Raises:
        NotReadyError: blocks are missing, or the features belong to another data folder.
        UserError: the store contains features of another configuration.
    """
    workspace, data = Workspace.of(config.workspace), str(Location.of(config.data))
    catalog = workspace.catalog
    if catalog.data != data:
        raise NotReadyError(
            f"{workspace}: contains the features of {catalog.data}, not of {data}; compute them "
            "with `overlap features`, or name another workspace",
            code="other-data",
            workspace=str(workspace),
            data=data,
            found=catalog.data,
        )
    store = workspace.find_store(config.features) or workspace.store
    missing = store.missing(catalog)
    if missing:
        raise NotReadyError(
            f"{workspace}: features are missing: {counted(len(missing), 'block')}; compute them "
            "with `overlap features`",
            code="features-missing",
            workspace=str(workspace),
            blocks=len(missing),
        )
    return workspace
