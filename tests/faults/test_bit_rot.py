"""Damage on the disk of a workspace: a flipped bit, a lost tail, a sector of zeros, a lost file.

What a run takes from a workspace must be what was written there, or be made again, or be refused
in words: never another number. Which files are hit, and where, is drawn by a seed.
"""

import os
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from overlap.catalog import Catalog
from overlap.config import RunConfig
from overlap.ensemble import registry
from overlap.ensemble.members import load_members
from overlap.errors import OverlapError
from overlap.features import FeatureStore
from overlap.io.location import Location
from overlap.promotion.champion import read_aliases
from overlap.promotion.decision import consider
from overlap.training.spec import read_predictions
from support.fault_tables import write_table
from support.untrained_members import complete, published, with_ensemble

SEED = int(os.environ.get("OVERLAP_SEED", "1"))
AGAIN = "made again"
REFUSED = "refused"
HARMLESS = "without effect"

Damage = Callable[[bytes, random.Random], bytes | None]


def flip(content: bytes, draw: random.Random) -> bytes:
    """One bit."""
    changed = bytearray(content)
    changed[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
    return bytes(changed)


def cut(content: bytes, draw: random.Random) -> bytes:
    """Only a part was written."""
    return content[: draw.randrange(len(content))]


def zeros(content: bytes, draw: random.Random) -> bytes:
    """A sector that came back empty."""
    start = draw.randrange(len(content)) // 512 * 512
    end = min(start + 512, len(content))
    return content[:start] + bytes(end - start) + content[end:]


def lose(_content: bytes, _draw: random.Random) -> None:
    """The whole file."""


DAMAGES: dict[str, Damage] = {
    "a flipped bit": flip, "a lost tail": cut, "a sector of zeros": zeros, "a lost file": lose,
}  # fmt: skip


@dataclass(frozen=True)
class Taken:
    """What a run takes from a workspace, part by part; None where it will be made again."""

    config: RunConfig

    @property
    def workspace(self) -> Location:
        return Location.of(self.config.workspace)

    def catalogue(self) -> Any:
        found = Catalog.load(self.workspace)
        return found.clips.to_dict(), found.labels.tobytes(), found.words, found.data, found.wanted

    def _store(self) -> FeatureStore | None:
        found = FeatureStore.find(self.workspace, self.config.features)
        return None if found is None or found.missing(Catalog.load(self.workspace)) else found

    def features(self) -> Any:
        store = self._store()
        return store and store.read_rows(0, len(Catalog.load(self.workspace))).tobytes()

    def counts(self) -> Any:
        store = self._store()
        return store and store.histogram().tobytes()

    def members(self) -> Any:
        store = self._store()
        if store is None:
            return None
        found = load_members(self.workspace, self.config, Catalog.load(self.workspace), store)
        if found.pending:
            return None
        printed = [
            read_predictions(spec.folder(self.workspace), record)
            for spec, record in zip(found.specs, found.complete, strict=True)
        ]
        return [record.model_dump() for record in found.complete], _comparable(printed)

    def ensembles(self) -> Any:
        found = registry.list_ensembles(self.workspace)
        folders = [registry.folder_of(self.workspace, record) for record in found]
        if not found or any(
            folder.changed(record.files) for folder, record in zip(folders, found, strict=True)
        ):
            return None  # published again
        printed = [registry.read_predictions(self.workspace, record) for record in found]
        return [record.model_dump() for record in found], _comparable(printed)

    def champion(self) -> Any:
        aliases = read_aliases(self.workspace)
        return None if aliases.version is None else aliases.model_dump()

    @property
    def parts(self) -> dict[str, Callable[[], Any]]:
        return {
            take.__name__: take
            for take in (
                self.catalogue, self.features, self.counts, self.members, self.ensembles,
                self.champion,
            )
        }  # fmt: skip


def _comparable(arrays: list[dict[str, np.ndarray]]) -> list[dict[str, bytes]]:
    return [{name: array.tobytes() for name, array in some.items()} for some in arrays]


@pytest.fixture
def written(config: RunConfig, ready) -> RunConfig:
    """A workspace with catalogue, features, members, an ensemble and a champion."""
    config = with_ensemble(config, members=2)
    complete(config, ready, (1, 2))
    record = published(config, ready)
    consider(Location.of(config.workspace), record, config.promotion)
    return config


def rot(config: RunConfig, hits: int, kinds: dict[str, Damage]) -> dict[str, Counter[str]]:
    """Damage one file after the other, each put back afterwards; how often what came of it."""
    draw = random.Random(SEED)
    parts = Taken(config).parts
    before = {name: take() for name, take in parts.items()}
    assert None not in before.values()
    files = sorted(file for file in Path(config.workspace).rglob("*") if file.is_file())
    files = [file for file in files if file.stat().st_size and not file.name.endswith(".lock")]
    found: dict[str, Counter[str]] = {kind: Counter() for kind in kinds}
    for number in range(hits):
        kind = [*kinds][number % len(kinds)]
        file = draw.choice(files)
        content = file.read_bytes()
        changed = kinds[kind](content, draw)
        if changed is None:
            file.unlink()
        else:
            file.write_bytes(changed)
        try:
            outcome = _outcome(parts, before, f"{kind} in {file}, hit {number}")
        finally:
            file.write_bytes(content)
        found[kind][outcome] += 1
    return found


def _outcome(parts: dict[str, Callable[[], Any]], before: dict[str, Any], what: str) -> str:
    outcome = HARMLESS
    for name, take in parts.items():
        try:
            value = take()
        except OverlapError:
            return REFUSED
        except Exception as error:
            raise AssertionError(f"{what}: {name} fails without a message for the user") from error
        if value is None:
            outcome = AGAIN
        else:
            assert value == before[name], f"{what}: {name} is wrong, and nobody sees it"
    return outcome


@pytest.mark.extended
def test_no_wrong_number_comes_from_a_damaged_disk(written: RunConfig) -> None:
    found = rot(written, 60, DAMAGES)
    assert sum(outcomes[REFUSED] for outcomes in found.values()) > 20


@pytest.mark.faults
def test_no_wrong_number_comes_from_a_disk_that_rots(written: RunConfig) -> None:
    found = rot(written, 2000, DAMAGES)
    columns = ("damage", "times", REFUSED, AGAIN, HARMLESS, "wrong", "without a word")
    write_table(
        "bit-rot", columns,
        [
            (kind, outcomes.total(), outcomes[REFUSED], outcomes[AGAIN], outcomes[HARMLESS], 0, 0)
            for kind, outcomes in found.items()
        ],
    )  # fmt: skip
