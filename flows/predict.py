"""Predictions for new clips with a published ensemble."""

import numpy as np
from prefect import flow

from flows.retrain import MEMBER_THREADS
from flows.runtime import open_cluster
from overlap.catalog import Catalog, list_clips
from overlap.config import ChecksConfig, ClusterConfig, Section, StoreConfig, fingerprint
from overlap.ensemble.registry import find_ensemble
from overlap.ensemble.submission import submission_table, write_table
from overlap.errors import DataError, MemberError
from overlap.storage import Location
from overlap.training.spec import MEMBERS, load_record, test_key
from tasks.catalog import catalogue
from tasks.features import extract_features
from tasks.members import apply_member, stopped_on_error
from tasks.progress import stage

PREDICTIONS = "predictions"


class PredictReport(Section):
    """What a prediction made."""

    out: str
    """The table."""
    clips: int
    """Its rows."""
    imputed: tuple[str, ...]
    """Ids of clips whose audio cannot be used: their row is the mean prediction."""


@flow(
    name="predict",
    flow_run_name="predict-{model}",
    task_runner=MEMBER_THREADS,
)
def predict(
    clips: str,
    out: str,
    model: str = "champion",
    workspace: str = "workspace",
    cluster: ClusterConfig = ClusterConfig(),  # noqa: B008  frozen
) -> PredictReport:
    """Predict a folder of clips.

    What is computed on the way is kept in the workspace under predictions/, so that the same
    clips are cheap for the next model.

    Args:
        clips: Folder or URL with audio files.
        out: CSV file to write: id and one column per word.
        model: `champion`, a version, or the address of an ensemble's folder.
        workspace: Folder or URL of the workspace.
        cluster: Where the work is computed.

    """
    root = Location.of(workspace)
    owner, ensemble = find_ensemble(root, model)
    listing = list_clips(clips)
    members = [owner / MEMBERS / name for name in ensemble.members]
    records = [load_record(member) for member in members]
    if not all(records):
        raise MemberError(f"{owner}: members of ensemble {ensemble.version} are no longer there")
    features = records[0].spec.features  # type: ignore[union-attr]  # all are there
    folder = root / PREDICTIONS / fingerprint(str(listing.data), features)
    with open_cluster(cluster, root, training=True) as scheduler:
        catalogue(scheduler, listing, folder, features, ChecksConfig(max_bad_fraction=1.0))
        extract_features(scheduler, folder, features, StoreConfig())
        catalog = Catalog.load(folder)
        if not len(catalog.rows("test")):
            reasons = ", ".join(sorted(set(catalog.clips["reason"]))[:5])
            raise DataError(f"{listing.data}: no clip there can be used: {reasons}")
        outs = [folder / f"{m.name}-{test_key(catalog)}.npz" for m in members]
        with stage("members", len(members)) as progress, stopped_on_error() as stop:
            futures = [
                apply_member.submit(
                    scheduler, member, folder, target, number, f"member {number}", stop
                )
                for number, (member, target) in enumerate(zip(members, outs, strict=True), 1)
            ]
            for future in futures:
                future.result()
                progress.advance()
    pooled = ensemble.fitted(np.stack([target.read_arrays()["test"] for target in outs]))
    rows = catalog.rows("test")
    table, imputed = submission_table(catalog.submission, rows, pooled, ensemble.words)
    write_table(table, Location.of(out))
    return PredictReport(out=out, clips=len(table), imputed=tuple(imputed))
