"""The flow that searches settings: features, trials, judgement, report.

A search is a function of its workspace, as a run is: the journal of the study and the folders of
its members determine what is missing.
"""

from dataclasses import dataclass
from typing import NamedTuple

from prefect import flow

from flows.clusters.opening import open_cluster
from flows.clusters.preflight import Work
from flows.recording import recorded
from flows.retrain import MEMBER_THREADS, concluded, features, ready_features
from flows.service.limits import is_deployed
from overlap.config import RunConfig
from overlap.errors import MemberError
from overlap.io.formatting import counted
from overlap.reporting.study.page import StudyResult, write_study_report
from overlap.tuning.best import best_toml
from overlap.tuning.definition import Study, define_study, study_config
from overlap.tuning.judgement import (
    SEEDS,
    Judgement,
    JudgePlan,
    judge,
    plan_judgement,
    read_judgement,
    unfinished,
)
from overlap.tuning.outcomes import Trial, best_trial
from overlap.tuning.space import parse_space
from overlap.tuning.trials import Trials, importances
from overlap.workspace.pending import pending_work
from overlap.workspace.workspace import Workspace
from tasks.cluster import NO_CLUSTER, Cluster
from tasks.members import stopped_on_error, train_member
from tasks.progress import doing, followed, note, on_wait, stage
from tasks.trials import TrialRunner


@dataclass(frozen=True)
class Search:
    """What a search is asked for, besides the settings that it begins with."""

    space: tuple[str, ...] = ()
    """Options of the form KEY=LOW:HIGH; without any, the space is the default one."""
    trials: int = 16
    """Number of trials of the study, with those of earlier runs."""
    parallel: int | None = None
    """Trials at a time; None: as many as the cluster trains at a time."""
    seeds: int = SEEDS
    """Seeds with which the best settings are judged."""


class TuneReport(NamedTuple):
    """The results of a search."""

    study: Study
    trials: list[Trial]
    best: Trial
    judgement: Judgement | None
    """None if the best settings are those that the study began with."""


@flow(
    name="tune",
    flow_run_name="tune-{config.data_name}-{config.preset}",
    task_runner=MEMBER_THREADS,
    validate_parameters=False,  # keeps which settings were given, for best.toml
)
def tune(config: RunConfig, search: Search) -> TuneReport:
    """Search settings with trials, and judge the best on a fold that no trial has seen."""
    workspace = Workspace.of(config.workspace)
    with followed(), workspace.shared():
        parse_space(search.space, study_config(config))  # report a mistake before any work
        with doing("listing the data"):
            workspace.list_data(config)
        workspace.check_usable()
        with (
            workspace.lock(wait=is_deployed(), on_wait=on_wait),
            recorded(workspace, "tune", config),
        ):
            report = _search(config, search, workspace)
    best = report.best
    return concluded(f"study {report.study.record.id}: trial {best.number}, KL {best.kl}", report)


def _search(config: RunConfig, search: Search, workspace: Workspace) -> TuneReport:
    listing = workspace.list_data(config)
    pending = pending_work(study_config(config), listing)
    files = listing if pending.features else None
    at_once = search.parallel or search.trials
    work = Work(training=True, run=config, files=files, members=at_once)
    opened = NO_CLUSTER if not pending.features and _is_finished(config, search) else None
    with open_cluster(config.cluster, workspace.location, work, opened) as cluster:
        if pending.features:
            features(config, cluster)
        workspace = ready_features(config)
        study = define_study(config, search.space, workspace.catalog, workspace.store)
        if not study.paths.record.exists():
            study.paths.record.write_record(study.record)
        trials = Trials(study)
        if _is_searching(trials, search):
            TrialRunner(cluster, workspace, study, trials, search.parallel).run(search.trials)
        best = best_trial(trials.all())
        if best is None:
            raise MemberError(
                f"none of {counted(len(trials.all()), 'trial')} was trained to its end; search "
                "other ranges",
                code="no-complete-trial", study=study.record.id,
            )  # fmt: skip
        judgement = _judged(cluster, workspace, study, best, search.seeds)
    _publish(config, study, trials, best, judgement)
    return TuneReport(study, trials.all(), best, judgement)


def _is_finished(config: RunConfig, search: Search) -> bool:
    """Return whether a search, whose features are complete, needs no worker."""
    workspace = ready_features(config)
    study = define_study(config, search.space, workspace.catalog, workspace.store)
    if not study.paths.journal.exists():
        return False
    trials = Trials(study)
    best = best_trial(trials.all())
    if _is_searching(trials, search) or best is None:
        return False
    plan = plan_judgement(study, best, search.seeds, workspace.catalog, workspace.store)
    return plan is None or not unfinished(workspace.location, plan)


def _is_searching(trials: Trials, search: Search) -> bool:
    return bool(trials.running()) or len(trials.all()) < search.trials


def _publish(
    config: RunConfig, study: Study, trials: Trials, best: Trial, judgement: Judgement | None
) -> None:
    """Write the best settings and the report."""
    origin = (
        f"overlap tune, study {study.record.id}, trial {best.number}: held-out KL {best.kl:.4f}"
    )
    settings = best_toml(config, best.values, study.space, origin)
    study.paths.best.write_bytes(settings.encode())
    found = trials.all()
    importance = importances(found, study.space, study.record.first_rung)
    with doing("writing the report"):
        write_study_report(StudyResult(study, found, best, judgement, importance, settings))


def _judged(
    cluster: Cluster, workspace: Workspace, study: Study, best: Trial, seeds: int
) -> Judgement | None:
    plan = plan_judgement(study, best, seeds, workspace.catalog, workspace.store)
    if plan is None:
        note("the best settings are those that the study began with; there is nothing to judge")
        study.paths.judgement.remove()
        return None
    _train(cluster, workspace, plan)
    before = read_judgement(study.paths.judgement)
    judgement = judge(workspace.location, plan, workspace.catalog, before)
    study.paths.judgement.write_record(judgement)
    return judgement


def _train(cluster: Cluster, workspace: Workspace, plan: JudgePlan) -> None:
    """Train the members of a judgement that are not complete."""
    left = unfinished(workspace.location, plan)
    if not left:
        return
    with (
        stage("judging members", len(left), unit="member") as progress,
        stopped_on_error() as stop,
    ):
        futures = [
            train_member.submit(
                cluster, workspace.location, spec, number,
                f"judging member {number} of {len(left)}", progress, stop,
            )
            for number, spec in enumerate(left, 1)
        ]  # fmt: skip
        for future in futures:
            future.result()
            progress.advance()
