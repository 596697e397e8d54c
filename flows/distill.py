"""The flow that distils a published ensemble into one network.

The student is trained like a member, so that a flow that is started again continues its training,
and one with nothing to do changes no file.
"""

from contextlib import closing
from typing import NamedTuple

from prefect import flow

from flows.clusters.opening import open_cluster
from flows.clusters.preflight import Work
from flows.recording import recorded
from flows.retrain import MEMBER_THREADS, concluded, ready_features
from flows.service.limits import is_deployed
from overlap.config import RunConfig
from overlap.ensemble.publish import publish
from overlap.ensemble.registry import EnsembleRecord, report_of
from overlap.ensemble.student import plan_student, student_state
from overlap.promotion.champion import Promotion, find_ensemble
from overlap.promotion.student import judge_student
from overlap.training.spec import MemberSpec
from overlap.workspace.workspace import Workspace
from tasks.members import stopped_on_error, train_member
from tasks.progress import doing, followed, on_wait, stage
from tasks.report import make_report


class DistillReport(NamedTuple):
    """The results of a distillation."""

    ensemble: EnsembleRecord
    """The ensemble that was distilled."""
    student: EnsembleRecord
    """The published student."""
    judgement: Promotion
    """The comparison of the two, as it was recorded."""


@flow(
    name="distill",
    flow_run_name="distill-{config.data_name}-{version}",
    task_runner=MEMBER_THREADS,
)
def distill(
    config: RunConfig, version: str, label_weight: float, warm_start: bool
) -> DistillReport:
    """Train the student of an ensemble, publish it, and compare the two.

    Args:
        config: The configuration of the student (`overlap.ensemble.student.student_config`).
        version: Version of the ensemble.
        label_weight: Weight of the labels in the targets, 0 to 1.
        warm_start: Whether the student begins with the weights of a member, if it can.
    """
    workspace = ready_features(config)
    with followed(), workspace.lock(wait=is_deployed(), on_wait=on_wait) as changed:
        if changed:
            workspace = ready_features(config)
        with recorded(workspace, "distill", config) as run:
            _, ensemble = find_ensemble(workspace.location, version)
            spec = plan_student(
                workspace.location, config, ensemble, workspace.catalog, workspace.store,
                label_weight, warm_start=warm_start,
            )  # fmt: skip
            if student_state(workspace.location, spec, workspace.catalog).pending:
                _train(config, workspace, spec)
            with closing(run.stage("pooling")):
                report = _publish(config, workspace, spec, ensemble)
                student, judgement = report.student, report.judgement
                run.result(student.version, promoted=False, reason=judgement.reason)
                if not report_of(workspace.location, student).exists():
                    make_report(workspace, student, judgement)
    return concluded(f"student {student.version}: {judgement.reason}", report)


def _train(config: RunConfig, workspace: Workspace, spec: MemberSpec) -> None:
    work = Work(training=True, run=config, members=1)
    with (
        open_cluster(config.cluster, workspace.location, work, None) as cluster,
        stage("student", 1, unit="member") as progress,
        stopped_on_error() as stop,
    ):
        place = workspace.location
        train_member.submit(cluster, place, spec, 1, "student", progress, stop).result()
        progress.advance()


def _publish(
    config: RunConfig, workspace: Workspace, spec: MemberSpec, ensemble: EnsembleRecord
) -> DistillReport:
    place, catalog = workspace.location, workspace.catalog
    with doing("comparing the student with its ensemble"):
        student = publish(
            place, config, catalog, student_state(place, spec, catalog), workspace.store,
            distilled_from=ensemble.version,
        )  # fmt: skip
        judgement = judge_student(place, ensemble, student, config.promotion.confidence, catalog)
    return DistillReport(ensemble, student, judgement)
