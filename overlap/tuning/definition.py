"""What defines a study: the settings that it begins with, the space, the folds and the data."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Final

from overlap.catalog import Catalog
from overlap.config import RunConfig, fingerprint
from overlap.errors import ConfigError, DataError
from overlap.features import FeatureStore
from overlap.io.location import Location
from overlap.io.records import Record
from overlap.system.distribution import extra_hint
from overlap.training.spec import MemberSpec, plan_members
from overlap.tuning.paths import StudyPaths
from overlap.tuning.pruning import first_rung
from overlap.tuning.space import Dimension, Value, applied, parse_space

FOLDS: Final = 5
"""Folds of a study where the configuration sets fewer than three."""
SCORED: Final = 0
"""Fold on which every epoch of a trial is scored."""


class StudyRecord(Record):
    """The definition of a study; the content of its `study.json`."""

    id: str
    preset: str
    data: str
    """Address of the data folder."""
    space: tuple[str, ...]
    """The dimensions, as the option --search takes them."""
    base: MemberSpec
    """A member with the settings that the study begins with."""
    first_rung: int
    """First epoch after which trials are compared; the following ones are `REDUCTION` times it."""

    @property
    def epochs(self) -> int:
        """Epochs of a trial that is not pruned."""
        return self.base.training.epochs


@dataclass(frozen=True)
class Study:
    """A study of a workspace, without its trials."""

    record: StudyRecord
    config: RunConfig
    """The settings that it begins with, with the folds of the study."""
    space: tuple[Dimension, ...]
    paths: StudyPaths

    @property
    def reserved(self) -> int:
        """Fold that no trial trains on or is scored on."""
        return self.config.validation.folds - 1

    def settings(self, values: dict[str, Value]) -> RunConfig:
        """Return the configuration of a trial.

        Raises:
            ConfigError: Its values do not fit each other.
        """
        return applied(self.config, values, self.space)

    def spec(self, config: RunConfig, catalog: Catalog, store: FeatureStore) -> MemberSpec:
        """Return the member that a trial with these settings trains."""
        return _trial_spec(config, catalog, store, self.reserved)


def check_available() -> None:
    """Raise an error if Optuna is not installed.

    Raises:
        ConfigError: It is not (code `no-optuna`).
    """
    if find_spec("optuna") is None:
        raise ConfigError(f"overlap tune needs Optuna: {extra_hint('tune')}", code="no-optuna")


def define_study(
    config: RunConfig, searches: Sequence[str], catalog: Catalog, store: FeatureStore
) -> Study:
    """Return the study of a configuration and a space; equal ones have one study.

    Args:
        config: The settings to begin with.
        searches: Options of the form KEY=LOW:HIGH; see `parse_space`.
        catalog: The clips.
        store: The features, complete.

    Raises:
        ConfigError: The space cannot be searched, or the settings do not fit the labels.
        DataError: There are fewer groups of clips than folds (code `too-few-groups`).
    """
    base = study_config(config)
    space = parse_space(searches, base)
    spec = _trial_spec(base, catalog, store, base.validation.folds - 1)
    _check_groups(spec, catalog)
    texts = tuple(sorted(dimension.text for dimension in space))
    name = fingerprint(spec.fingerprint, spec.seed, texts)
    record = StudyRecord(
        id=name, preset=config.preset, data=config.data, space=texts, base=spec,
        first_rung=first_rung(spec.training.epochs),
    )  # fmt: skip
    paths = StudyPaths.of(Location.of(config.workspace), name)
    return Study(record, base, space, paths)


def study_config(config: RunConfig) -> RunConfig:
    """Return a configuration with the folds of a study."""
    folds = config.validation.folds if config.validation.folds >= 3 else FOLDS
    ensemble = {
        **config.ensemble.model_dump(exclude_unset=True),
        "members": folds, "min_members": None, "stop_when_gain_below": None,
    }  # fmt: skip
    settings = config.model_dump(exclude_unset=True)
    settings["validation"] = {"folds": folds, "seed": config.validation.seed, "holdout": 0.0}
    return RunConfig.model_validate({**settings, "ensemble": ensemble})


def _check_groups(spec: MemberSpec, catalog: Catalog) -> None:
    try:
        spec.partition(catalog)
    except DataError as error:
        raise DataError(
            f"a study needs {spec.validation.folds} folds of training clips, but there are "
            f"{error.fields.get('groups')} groups; set validation.folds to 3 or 4, or define more "
            "groups in groups.csv",
            code=error.code, groups=error.fields.get("groups"), parts=spec.validation.folds,
        ) from None  # fmt: skip


def _trial_spec(
    config: RunConfig, catalog: Catalog, store: FeatureStore, reserved: int
) -> MemberSpec:
    first = plan_members(config, catalog, store)[0]
    return first.model_copy(update={"fold": SCORED, "reserved": reserved})
