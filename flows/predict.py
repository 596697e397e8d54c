"""Predictions for new clips with a published ensemble."""

from prefect import flow
from prefect.runtime import flow_run

from flows.clusters.opening import open_cluster
from flows.clusters.preflight import Work
from flows.retrain import MEMBER_THREADS, concluded
from overlap.catalog import list_clips
from overlap.config import ClusterConfig
from overlap.io.formatting import counted
from overlap.io.location import Location
from overlap.io.urls import name_of
from overlap.io.user_output import output_location
from overlap.prediction.here import PredictReport
from overlap.prediction.jobs import clips_of, plan_prediction
from overlap.prediction.retention import keep_used_predictions
from overlap.promotion.champion import caution, find_ensemble
from tasks.cluster import NO_CLUSTER
from tasks.predictions import apply_to_all, write_predictions
from tasks.progress import doing, followed, note


def _run_name() -> str:
    given = flow_run.parameters
    clips = given["clips"]
    first = clips if isinstance(clips, str) else str(next(iter(clips)))
    return f"predict-{name_of(first.rstrip('/'))}-{given['model']}"


@flow(name="predict", flow_run_name=_run_name, task_runner=MEMBER_THREADS)
def predict(
    clips: str | list[str],
    out: str,
    model: str = "champion",
    workspace: str = "workspace",
    cluster: ClusterConfig = ClusterConfig(),  # noqa: B008  frozen
) -> PredictReport:
    """Predict a folder of clips, or sound files.

    Jobs of a few thousand clips run on the training workers; a single job runs on this machine,
    unless the cluster is elsewhere. Each reads its files, computes the features in memory and
    applies every member. The workspace keeps only the predictions, below predictions/, and an
    interrupted run resumes from them.

    Args:
        clips: Folder or URL with audio files, a sound file, or several files.
        out: CSV file, device or pipe to write: id, one column per word, and the members' spread
            in nats.
        model: `champion`, a version, or the address of an ensemble's folder.
        workspace: Folder or URL of the workspace.
        cluster: The cluster that computes.
    """
    root = Location.of(workspace)
    with followed():
        with doing("listing the clips"):
            owner, ensemble = find_ensemble(root, model)
            listing = list_clips(clips)
            plan = plan_prediction(root, owner, ensemble, listing)
        keep_used_predictions(root, plan.jobs, note)
        missing = plan.missing()
        if missing:
            # One job on this machine needs no cluster, which takes longer to start than most jobs.
            opened = NO_CLUSTER if cluster.is_local and len(missing) == 1 else None
            work = Work(training=True, files=listing)
            with open_cluster(cluster, root, work, opened) as scheduler:
                apply_to_all(scheduler, missing, "predictions")
        report = write_predictions(plan, output_location(out), clips_of(missing))
    message = f"{counted(report.clips, 'clip')} predicted with {ensemble.version}, in {out}"
    warning = caution(owner, ensemble)
    return concluded(f"{message}; it is {warning}" if warning else message, report)
