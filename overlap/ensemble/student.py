"""Plans the student of a published ensemble, and publishes it as a version of its own.

A student is a member like any other, whose training targets come from the members of the ensemble.
It holds out the clips that all of these members held out, so that its KL and the ensemble's are
measured on the same clips, and neither has learned from them.
"""

from collections.abc import Mapping
from typing import Any, Final

from overlap.catalog import Catalog
from overlap.config import RunConfig
from overlap.config.loading import checked
from overlap.config.old_spellings import current_values
from overlap.config.presets import merged
from overlap.ensemble.members import Members
from overlap.ensemble.registry import EnsembleRecord
from overlap.errors import ConfigError, NotReadyError
from overlap.features import FeatureStore
from overlap.io.location import Location
from overlap.io.workspace_paths import MODEL_FILE
from overlap.training.distillation.lesson import Distillation
from overlap.training.spec import (
    MemberRecord,
    MemberSpec,
    load_record,
    plan_members,
    records_of,
    test_key,
)

LABEL_WEIGHT: Final = 0.5
"""Default weight of the labels in the targets: docs/experiments.md."""
OWN_SECTIONS: Final = ("network", "training", "cluster", "tracking", "view")
"""Sections that may differ from those of the ensemble."""


def student_config(
    workspace: Location, ensemble: EnsembleRecord, data: str, given: Mapping[str, Any]
) -> RunConfig:
    """Return the configuration of a student: that of its ensemble, with some changes.

    Args:
        workspace: The workspace.
        ensemble: The ensemble to distil.
        data: Address of the data folder, of which the workspace has the catalogue.
        given: Settings that differ from the ensemble's, nested like `RunConfig`.

    Raises:
        ConfigError: A setting is invalid, or must be that of the ensemble (code
            `setting-of-the-ensemble`, with the `sections`); the ensemble was trained with folds
            (`folds-not-distilled`).
    """
    if foreign := sorted({*given} - {*OWN_SECTIONS}):
        raise ConfigError(
            f"{', '.join(foreign)}: a student has the settings of its ensemble; only settings of "
            f"{', '.join(OWN_SECTIONS)} can differ",
            code="setting-of-the-ensemble", sections=foreign,
        )  # fmt: skip
    stored = RunConfig.from_stored(ensemble.config)
    if stored.validation.folds:
        raise ConfigError(
            f"{ensemble.version} was trained with validation.folds={stored.validation.folds}: no "
            "clip was held out by all of its members, so its student could not be judged; distil "
            "an ensemble that was trained with validation.holdout",
            code="folds-not-distilled", version=ensemble.version,
        )  # fmt: skip
    values, _ = current_values(stored.model_dump(mode="json", exclude={"notify"}))
    members = stored.ensemble.members
    one = {
        "data": data,
        "workspace": str(workspace),
        "ensemble": {
            "members": 1, "min_members": None, "pool": "mean", "stop_when_gain_below": None,
        },
        # No member has this seed; equal initial weights would make the student similar to one.
        "training": {"seed": stored.training.seed + members},
    }  # fmt: skip
    return checked(merged(merged(values, one), given))


def plan_student(
    workspace: Location,
    config: RunConfig,
    ensemble: EnsembleRecord,
    catalog: Catalog,
    store: FeatureStore,
    label_weight: float = LABEL_WEIGHT,
    *,
    warm_start: bool = True,
) -> MemberSpec:
    """Return the specification of the student of an ensemble.

    Args:
        workspace: The workspace, which holds the members of the ensemble.
        config: See `student_config`.
        ensemble: The ensemble.
        catalog: The clips.
        store: The features, complete.
        label_weight: Weight of the labels in the targets, 0 to 1.
        warm_start: Whether the student begins with the weights of the first member, if it has the
            same network. Not with those of the best: the held-out clips would choose it.

    Raises:
        NotReadyError: The training clips have changed since the ensemble was trained (code
            `teacher-of-other-clips`).
        MemberError: A member of the ensemble no longer exists (code `members-missing`).
    """
    members = records_of(workspace, ensemble.members)
    (plain,) = plan_members(config, catalog, store)
    if any(_differs(member.spec, plain) for member in members):
        # Otherwise a clip that the student holds out could be one that its teacher has learned.
        raise NotReadyError(
            f"{workspace}: the training clips have changed since {ensemble.version} was trained; "
            "`overlap run` trains an ensemble on the current ones, which can be distilled",
            code="teacher-of-other-clips", version=ensemble.version,
        )  # fmt: skip
    first = members[0].spec
    same = (first.network, first.subset) == (plain.network, plain.subset)
    lesson = Distillation(
        members=ensemble.members,
        networks=tuple(member.files[MODEL_FILE] for member in members),
        label_weight=label_weight,
        start=ensemble.members[0] if warm_start and same else None,
    )
    return plain.model_copy(update={"distillation": lesson})


def _differs(member: MemberSpec, student: MemberSpec) -> bool:
    """Return whether a member has learned from, or held out, other clips than the student."""
    compared = ("training_key", "validation", "features", "words")
    return any(getattr(member, name) != getattr(student, name) for name in compared)


def student_state(workspace: Location, spec: MemberSpec, catalog: Catalog) -> Members:
    """Return the student as the only member of a run: complete, or still to be trained.

    Raises:
        CorruptError: The record of the student cannot be read.
    """
    record: MemberRecord | None = load_record(spec.folder(workspace))
    current = record if record and record.test_key == test_key(catalog) else None
    return Members((spec,), (current,), (record is not None,), stop=None, min_members=None)
