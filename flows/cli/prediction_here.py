"""The part of `overlap predict` that needs no server and no cluster.

One job that runs on this machine gains nothing from either, and both take longer to start than most
jobs take. A flow predicts where a server is configured, which shows the run, and where several jobs
run at once.
"""

from collections.abc import Mapping
from typing import Any

from flows.cli.console import bar, print_note
from flows.service.configured_server import server_needed
from flows.service.early_start import launch
from overlap.catalog import Listing
from overlap.ensemble.registry import EnsembleRecord
from overlap.io.location import Location
from overlap.prediction.here import PredictReport, apply_here, write_table
from overlap.prediction.jobs import JOB_CLIPS, PredictionJob, clips_of, plan_prediction
from overlap.prediction.retention import keep_used_predictions


def predicted_here(
    workspace: Location, owner: Location, ensemble: EnsembleRecord, listing: Listing, out: Location
) -> PredictReport | None:
    """Predict clips in a child of this process, if at most one job is missing.

    Args:
        workspace: The workspace that stores the predictions.
        owner: The workspace of the ensemble.
        ensemble: The ensemble.
        listing: The listed clips.
        out: Where the table goes.

    Returns:
        None if a flow is to predict; a server that it probably needs is launched.

    Raises:
        DataError: The clips do not fit the ensemble, or none is usable.
        MemberError: Members of the ensemble no longer exist.
        ChildError: The prediction failed.
    """
    if server_needed():
        return None
    if len(listing.files) > JOB_CLIPS:
        launch()
    plan = plan_prediction(workspace, owner, ensemble, listing)
    missing = plan.missing()
    if len(missing) > 1:
        return None
    keep_used_predictions(workspace, plan.jobs, print_note)
    for job in missing:
        _predict(job)
    return write_table(plan, out, clips_of(missing), print_note)


def _predict(job: PredictionJob) -> None:
    with bar("predicting clips") as on_progress:

        def on_event(event: Mapping[str, Any]) -> None:
            if event.get("event") == "note":
                print_note(event["text"])
            else:
                on_progress(event["done"], len(job.files))

        apply_here(job, on_event)
