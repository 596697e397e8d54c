"""Pools and scores complete members, and publishes the result as an ensemble."""

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from overlap.catalog import Catalog
from overlap.config import RunConfig, fingerprint
from overlap.ensemble import registry
from overlap.ensemble.curve import EnsembleCurve, ensemble_curve
from overlap.ensemble.exposure import digest_scheme, training_exposure
from overlap.ensemble.held_out import combine_held_out, trivial_kl
from overlap.ensemble.members import Members, ready_members
from overlap.ensemble.registry import EnsembleRecord
from overlap.ensemble.selection import select_pool
from overlap.ensemble.submission import submission_table, write_table
from overlap.features import FeatureStore
from overlap.features.compare import largest_drift_db
from overlap.io.location import Location
from overlap.io.workspace_paths import PREDICTIONS_FILE, SUBMISSION_FILE, WorkspacePaths
from overlap.metrics.bootstrap import interval, resampled_means
from overlap.metrics.divergence import kl_per_clip
from overlap.system.provenance import git_revision, software
from overlap.training.spec import MemberRecord, read_predictions, test_key


def ensemble_name(
    config: RunConfig, catalog: Catalog, planned: Members, members: Sequence[MemberRecord]
) -> str:
    """Return the fingerprint of an ensemble: members, predictions, pooling and template."""
    return fingerprint(
        *_parts(members), config.ensemble.pool, test_key(catalog), catalog.words,
        [*catalog.submission["table_id"]], *([len(planned.specs)] if planned.shortfall else []),
    )  # fmt: skip


def _parts(members: Sequence[MemberRecord]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the fingerprints of the members and the SHA-256 of their predictions."""
    return (
        tuple(member.fingerprint for member in members),
        tuple(member.files[PREDICTIONS_FILE] for member in members),
    )


def publish(
    workspace: Location,
    config: RunConfig,
    catalog: Catalog,
    planned: Members,
    store: FeatureStore | None = None,
    run_started: float | None = None,
    distilled_from: str | None = None,
) -> EnsembleRecord:
    """Pool the complete members, score the pool and publish the result under a version.

    The same members over the same test clips are published once: a second call returns the record
    of the first, and rewrites its files if they are lost or damaged.

    Args:
        workspace: The workspace.
        config: The run.
        catalog: The clips.
        planned: The members of the run; the complete ones are pooled.
        store: The features, for the drift in the record; None: the drift is not recorded.
        run_started: `time.perf_counter` at the beginning of the run; None: its duration is not
            recorded.
        distilled_from: Version of the ensemble whose student the only member is; None: the members
            learned from labels.

    Raises:
        NotReadyError: Members are missing.
        CorruptError: The predictions of a member are lost or damaged.
    """
    started = time.perf_counter()
    members = ready_members(workspace, planned)
    names, parts = _parts(members)
    listed = catalog.submission
    name = ensemble_name(config, catalog, planned, members)
    existing = registry.published(workspace, name)
    if existing is not None and not registry.folder_of(workspace, existing).changed(existing.files):
        return existing
    saved = [read_predictions(m.folder(workspace), m) for m in members]
    held_out = combine_held_out(
        catalog,
        config.validation,
        [
            (member.spec.fold, part["held_out_rows"], part["held_out"])
            for member, part in zip(members, saved, strict=True)
        ],
    )
    selected = select_pool(config.ensemble.pool, held_out, len(members))
    curve = ensemble_curve(held_out) if held_out else EnsembleCurve(())
    created = existing.created if existing else registry.time_of_publication(workspace)
    version = existing.version if existing else registry.version_name(created, name)
    paths = WorkspacePaths(workspace).ensemble(version)
    imputed: list[str] = []
    pooled = selected.pool(np.stack([part["test"] for part in saved]))
    test_rows = catalog.rows("test")
    if len(listed):
        table, imputed = submission_table(listed, test_rows, pooled, catalog.words)
        write_table(table, paths.submission)
    arrays: dict[str, NDArray[Any]] = {"test_rows": test_rows, "test": pooled}
    exposure = training_exposure(catalog, config.validation)
    arrays |= exposure.to_arrays(digest_scheme(catalog))
    kl_interval = None
    if held_out and selected.held_out is not None:
        arrays |= {"held_out_rows": held_out.rows, "held_out": selected.held_out}
        kls = kl_per_clip(held_out.labels, selected.held_out)
        kl_interval = interval(resampled_means(kls[None], held_out.groups)[:, 0])
    paths.predictions.write_arrays(arrays)
    record = EnsembleRecord(
        version=version,
        fingerprint=name,
        created=created,
        members=names,
        pooled=parts,
        pool=config.ensemble.pool,
        words=catalog.words,
        data=catalog.data,
        clips=catalog.counts(),
        kl=selected.kl,
        trivial_kl=trivial_kl(held_out) if held_out else None,
        member_kl=tuple(member.held_out_kl for member in members),
        curve=curve.points,
        held_out_key=catalog.key(held_out.rows, labels=True) if held_out else None,
        test_key=test_key(catalog),
        files={
            file: digest
            for file in (SUBMISSION_FILE, PREDICTIONS_FILE)
            if (digest := (paths.folder / file).digest()) is not None
        },
        imputed=tuple(imputed),
        config=config.model_dump(mode="json"),
        software=software(),
        git_revision=git_revision(),
        fitted=selected.pool,
        choice=selected.choice,
        law=curve.law,
        more=curve.more,
        fewer=planned.shortfall,
        kl_interval=kl_interval,
        seconds=time.perf_counter() - started,
        run_seconds=None if run_started is None else time.perf_counter() - run_started,
        drift_db=None if store is None else largest_drift_db(store, config.training.top_db),
        distilled_from=distilled_from,
    )
    paths.record.write_record(record)
    return record
