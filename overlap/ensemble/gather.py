"""From complete members to a published ensemble."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from overlap.catalog import Catalog
from overlap.config import RunConfig, fingerprint
from overlap.ensemble import registry
from overlap.ensemble.pooling import curve, gather_held_out, pool_mean, trivial_kl
from overlap.ensemble.registry import EnsembleRecord
from overlap.ensemble.submission import submission_table, write_table
from overlap.errors import NotReadyError
from overlap.provenance import git_revision, software
from overlap.storage import Location
from overlap.training.spec import (
    PREDICTIONS_FILE,
    MemberRecord,
    MemberSpec,
    complete_record,
    test_key,
)


def complete_members(
    workspace: Location, catalog: Catalog, specs: Sequence[MemberSpec]
) -> list[MemberRecord]:
    """The records of these members.

    Raises:
        NotReadyError: some are not complete, or predicted other test clips.
    """
    records = [complete_record(workspace, spec, catalog) for spec in specs]
    ready = [record for record in records if record is not None]
    if len(ready) < len(specs):
        raise NotReadyError(
            f"{workspace}: {len(ready)} of {len(specs)} members are complete; `overlap train` "
            "makes the others"
        )
    return ready


def publish(
    workspace: Location, config: RunConfig, catalog: Catalog, members: Sequence[MemberRecord]
) -> EnsembleRecord:
    """Pool the members, score them, and publish the result under a version.

    The same members over the same test clips are published once: a second call returns the
    first one's record, and writes its files again if they were lost or damaged.
    """
    names = tuple(member.fingerprint for member in members)
    parts = tuple(member.files[PREDICTIONS_FILE] for member in members)
    listed = catalog.submission
    name = fingerprint(
        names, parts, config.ensemble.pool, test_key(catalog), catalog.words, [*listed["table_id"]]
    )
    existing = registry.published(workspace, name)
    if existing is not None and not registry.folder_of(workspace, existing).changed(existing.files):
        return existing
    saved = [(m.spec.folder(workspace) / PREDICTIONS_FILE).read_arrays() for m in members]
    held_out = gather_held_out(
        catalog,
        config.validation,
        [
            (member.spec.fold, part["held_out_rows"], part["held_out"])
            for member, part in zip(members, saved, strict=True)
        ],
    )
    points = curve(held_out, catalog.words) if held_out else []
    created = existing.created if existing else registry.now()
    version = existing.version if existing else registry.version_name(created, name)
    folder = workspace / registry.ENSEMBLES / version
    imputed: list[str] = []
    pooled = pool_mean(np.stack([part["test"] for part in saved]))
    test_rows = catalog.rows("test")
    if len(listed):
        table, imputed = submission_table(listed, test_rows, pooled, catalog.words)
        write_table(table, folder / registry.SUBMISSION_FILE)
    arrays: dict[str, NDArray[Any]] = {"test_rows": test_rows, "test": pooled}
    if held_out:
        arrays |= {"held_out_rows": held_out.rows, "held_out": pool_mean(held_out.rounds)}
    (folder / registry.PREDICTIONS_FILE).write_arrays(arrays)
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
        kl=points[-1].kl if points else None,
        trivial_kl=trivial_kl(held_out) if held_out else None,
        member_kl=tuple(member.held_out_kl for member in members),
        curve=tuple(points),
        held_out_key=catalog.key(held_out.rows, labels=True) if held_out else None,
        test_key=test_key(catalog),
        files={
            file: digest
            for file in (registry.SUBMISSION_FILE, registry.PREDICTIONS_FILE)
            if (digest := (folder / file).digest()) is not None
        },
        imputed=tuple(imputed),
        config=config.model_dump(mode="json"),
        software=software(),
        git_revision=git_revision(),
    )
    (folder / registry.RECORD_FILE).write_json(record.model_dump(mode="json"))
    return record
