"""Steps of a run made in the test's own process, and a configuration that takes seconds."""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from overlap.catalog import Catalog, build_catalog, list_data
from overlap.config import ChecksConfig, RunConfig
from overlap.ensemble import registry
from overlap.ensemble.registry import EnsembleRecord
from overlap.features import FeatureStore, block_job, extract_block
from overlap.io.location import Location
from overlap.io.workspace_paths import ENSEMBLE_FILE

TINY = {
    # A network and a training that take seconds, for tests of everything around them.
    "network": {
        "stages": [{"kind": "bottleneck", "filters": 8}],
        "input_pool": [4, 4],
        "dense": 8,
    },
    "training": {"epochs": 3, "batch_size": 16},
    "store": {"chunk_clips": 8, "block_clips": 16},
    "ensemble": {"members": 2},
    "validation": {"holdout": 0.2},
    # These trainings are too short to beat the trivial prediction, and most tests need a champion.
    "promotion": {"better_than_trivial": "ignored"},
}


@dataclass(frozen=True)
class Finished:
    """A whole run that nothing disturbed."""

    workspace: Path
    submission: bytes
    printed: str


def catalogue(config: RunConfig, previous: Catalog | None = None) -> Catalog:
    """The catalogue of a run, made in this process and saved."""
    wanted = config.features.clip_format
    built = build_catalog(list_data(config.data), wanted, ChecksConfig(), previous)
    built.catalog.save(Location.of(config.workspace))
    return built.catalog


def computed(config: RunConfig, previous: Catalog | None = None) -> tuple[Catalog, FeatureStore]:
    """Catalogue and complete features of a run, made in this process."""
    workspace, catalog = Location.of(config.workspace), catalogue(config, previous)
    store = FeatureStore.create(workspace, config.features, config.store)
    store.sync(catalog)
    for block in store.missing(catalog):
        extract_block(block_job(workspace, catalog, block))
    return catalog, store


def published(version: str, words: str = "abcd", members: tuple[str, ...] = ()) -> EnsembleRecord:
    """A record of an ensemble that says little."""
    return EnsembleRecord(
        version=version, fingerprint=version, created=datetime(2026, 1, 1, tzinfo=UTC),
        members=members, pooled=(), pool="mean", words=tuple(words), data="D", clips={}, kl=None,
        trivial_kl=None, member_kl=(), curve=(), held_out_key=None, test_key="t", files={},
        imputed=(), config={"preset": "demo"}, software={}, git_revision=None,
    )  # fmt: skip


def publish_record(workspace: Location, record: EnsembleRecord) -> Location:
    """Write a record where a published ensemble's stands."""
    place = registry.folder_of(workspace, record) / ENSEMBLE_FILE
    place.write_record(record)
    return place
