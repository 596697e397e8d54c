"""The main flow and its stages: catalogue, features, members, ensemble.

A run is a function of its workspace: started again after any failure it does what is missing,
and what is missing is read from the files there, never from Prefect's state.
"""

from typing import Any, NamedTuple, TypeVar, cast

from prefect import flow
from prefect.futures import PrefectFuture
from prefect.states import Completed
from prefect.task_runners import TaskRunner, ThreadPoolTaskRunner

from flows.clusters.opening import open_cluster
from flows.clusters.preflight import Work
from flows.promotion import settle_champion
from flows.service.limits import is_deployed, only_run_on
from overlap.catalog import Catalog, Listing, list_data
from overlap.config import RunConfig
from overlap.ensemble.members import Members, load_members
from overlap.ensemble.registry import EnsembleRecord
from overlap.errors import MemberError, NotReadyError, OverlapError
from overlap.features import FeatureStore
from overlap.features.compare import find_other, read_other
from overlap.io.location import Location
from overlap.io.locks import run_lock
from overlap.promotion.champion import Promotion
from overlap.training.spec import MemberRecord, MemberSpec
from overlap.workspace.pending import Pending, pending_work
from tasks.artifacts import show_members, show_run
from tasks.catalog import catalogue
from tasks.cluster import NO_CLUSTER, Cluster
from tasks.dispatch import dispatched
from tasks.features import FeatureReport, extract_features, measure_drift
from tasks.gather import pool_members
from tasks.members import stopped_on_error, train_member
from tasks.progress import note, stage
from tasks.report import make_report

MEMBER_THREADS: TaskRunner[Any] = ThreadPoolTaskRunner(max_workers=64)
"""A thread per member that waits for a worker; more members than threads wait for a thread."""


class RunReport(NamedTuple):
    """What came of a run."""

    features: FeatureReport
    """What was computed, and how far data sets are apart."""
    ensemble: EnsembleRecord
    """What was published."""
    promotion: Promotion
    """What became of the champion."""

    @property
    def headline(self) -> str:
        """One line that says it all."""
        record = self.ensemble
        score = "nothing held out" if record.kl is None else f"KL {record.kl:.4f}"
        return (
            f"ensemble {record.version} of {len(record.members)} members, {score}; "
            f"{self.promotion.state}: {self.promotion.reason}"
        )


class TrainReport(NamedTuple):
    """What came of the training stage."""

    trained: list[MemberRecord]
    """Members that it made complete."""
    complete: int
    """Members that are complete now."""
    fewer: str | None
    """Why these are fewer than planned."""


@flow(name="retrain", flow_run_name="retrain-{config.data_name}-{config.preset}")
def retrain(config: RunConfig) -> RunReport:
    """From sound files to a published ensemble."""
    with only_run_on(Location.of(config.workspace), wait=True):
        listing = list_data(config.data)
        pending = pending_work(config, listing)
        report = run_stages(config, listing, pending, wait=is_deployed())
    return concluded(report.headline, report)


def run_stages(
    config: RunConfig, listing: Listing, pending: Pending, *, wait: bool = False
) -> RunReport:
    """The stages of a run, one after the other; within a flow.

    Args:
        config: The run.
        listing: Its data.
        pending: What it has to do.
        wait: Whether to wait for another run on the workspace.

    Raises:
        WorkspaceLockedError: there is one, and `wait` is false.
    """
    workspace = Location.of(config.workspace)
    find_other(config)  # a wrong address is said before anything is written
    scheduler = None if pending.anything else NO_CLUSTER
    files = listing if pending.features else None
    work = Work(training=True, run=config, files=files, members=True)
    with (
        run_lock(workspace, wait=wait, on_wait=note),
        open_cluster(config.cluster, workspace, work, scheduler) as scheduler,
    ):
        report = features(config, scheduler)
        train(config, scheduler)
        made = RunReport(report, *pool(config, scheduler))
    show_run(workspace, made.ensemble, made.promotion, made.headline)
    return made


Result = TypeVar("Result")


def concluded(message: str, result: Result) -> Result:
    """The return value of a flow that ends Completed with a message.

    Prefect takes message and value apart; who called the flow receives the value.
    """
    return cast("Result", Completed(message=message, data=result))


@flow(name="features", flow_run_name="features-{config.data_name}")
def features(config: RunConfig, scheduler: Cluster | None = None) -> FeatureReport:
    """Check the data and compute the features that are missing."""
    workspace = Location.of(config.workspace)
    listing = list_data(config.data)
    other = read_other(config)
    if scheduler is None and not pending_work(config, listing).features:
        scheduler = NO_CLUSTER
    work = Work(training=False, run=config, files=listing)
    with (
        run_lock(workspace, wait=is_deployed(), on_wait=note),
        open_cluster(config.cluster, workspace, work, scheduler) as cluster,
    ):
        catalogue(cluster, listing, workspace, config.features, config.checks)
        report = extract_features(cluster, workspace, config.features, config.store)
    drift = measure_drift(workspace, other, config.training.top_db)
    return report.model_copy(update={"drift": drift})


@flow(
    name="train",
    flow_run_name="train-{config.data_name}-{config.preset}",
    task_runner=MEMBER_THREADS,
)
def train(config: RunConfig, scheduler: Cluster | None = None) -> TrainReport:
    """Train the members that are wanted and not complete."""
    workspace = Location.of(config.workspace)
    catalog, store = ready_features(config)

    def look() -> Members:
        return load_members(workspace, config, catalog, store)

    members = look()
    if not members.pending:
        return TrainReport([], len(members.complete), members.shortfall)
    in_turn = config.ensemble.stop_when_gain_below is not None
    records, failed = {}, {}
    work = Work(training=True, run=config, members=True)
    with (
        run_lock(workspace, wait=is_deployed(), on_wait=note),
        open_cluster(config.cluster, workspace, work, scheduler) as cluster,
        stage("members", len(members.pending)) as progress,
        stopped_on_error() as stop,
    ):

        def submit(job: tuple[int, MemberSpec]) -> PrefectFuture[MemberRecord]:
            number, spec = job
            name = f"member {number} of {len(members.specs)}"
            return train_member.submit(cluster, workspace, spec, number, name, stop)

        wanted = (lambda job: job in look().pending) if in_turn else None
        for (number, _), future in dispatched(cluster, submit, members.pending, wanted):
            try:
                records[number] = future.result()
            except OverlapError as error:
                failed[number] = f"member {number} of {len(members.specs)}: {error}"
            progress.advance()
    members = look()
    if failed:
        _judge_failures([failed[number] for number in sorted(failed)], members)
    show_members(members.complete)
    trained = [records[number] for number in sorted(records)]
    return TrainReport(trained, len(members.complete), members.shortfall)


def _judge_failures(failed: list[str], members: Members) -> None:
    """Go on with a warning where the others are enough.

    Raises:
        MemberError: they are not.
    """
    what = f"{len(failed)} of {len(members.specs)} members failed"
    if not members.sufficient:
        # The cause stands in the first line: it is what the UI shows of a failed run.
        raise MemberError(
            f"{what}: {failed[0]}\nThe others are kept, and a new run trains only what is missing."
            + "".join(f"\n{failure}" for failure in failed[1:])
        )
    note("\n".join([f"{what}; the run goes on with {len(members.complete)}", *failed]))


@flow(
    name="pool",
    flow_run_name="pool-{config.data_name}-{config.preset}",
    task_runner=MEMBER_THREADS,
)
def pool(config: RunConfig, scheduler: Cluster | None = None) -> tuple[EnsembleRecord, Promotion]:
    """Pool, score and publish the members, and write the report."""
    workspace = Location.of(config.workspace)
    ready_features(config)
    with run_lock(workspace, wait=is_deployed(), on_wait=note):
        record = pool_members(config, workspace)
        promotion = settle_champion(config, record, scheduler)
        make_report(workspace, record, promotion)
    return record, promotion


def ready_features(config: RunConfig) -> tuple[Catalog, FeatureStore]:
    """Catalogue and store of a workspace whose features are complete.

    Raises:
        NotReadyError: blocks are missing, or are of another data folder.
        UserError: the store holds features of another configuration.
    """
    workspace, data = Location.of(config.workspace), str(Location.of(config.data))
    catalog = Catalog.load(workspace)
    if catalog.data != data:
        raise NotReadyError(
            f"{workspace}: holds the features of {catalog.data}, not of {data}; `overlap features` "
            "computes them, or name another workspace"
        )
    store = FeatureStore.find(workspace, config.features) or FeatureStore.open(workspace)
    missing = store.missing(catalog)
    if missing:
        raise NotReadyError(
            f"{workspace}: {len(missing)} blocks of features are missing; `overlap features` "
            "computes them"
        )
    return catalog, store
