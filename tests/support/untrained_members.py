"""Complete members with synthetic predictions, without training."""

from collections.abc import Iterable

import numpy as np

from overlap.catalog import Catalog, partition
from overlap.config import RunConfig
from overlap.ensemble.members import load_members
from overlap.ensemble.publish import publish
from overlap.ensemble.registry import EnsembleRecord
from overlap.features import FeatureStore
from overlap.io.location import Location
from overlap.io.workspace_paths import MEMBER_FILE, PREDICTIONS_FILE
from overlap.metrics.divergence import kl
from overlap.promotion.decision import consider
from overlap.training.spec import MemberRecord, MemberSpec, plan_members
from overlap.training.spec import test_key as key_of_tests
from support.pooled_predictions import noisy

Ready = tuple[Catalog, FeatureStore]


def with_ensemble(config: RunConfig, validation: dict | None = None, **ensemble) -> RunConfig:
    values = config.model_dump() | {"ensemble": ensemble}
    return RunConfig.model_validate(values | ({"validation": validation} if validation else {}))


def predicted(spec: MemberSpec, rows: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return a member's predictions; each clip's prediction is independent of the other clips."""
    values = [noisy(labels[i : i + 1] + 0.02, 1, 1.0, spec.seed * 1000 + row)[0, 0]
              for i, row in enumerate(rows)]  # fmt: skip
    return np.array(values, np.float32).reshape(len(rows), labels.shape[1])


def complete(config: RunConfig, ready: Ready, numbers: Iterable[int], *, tests: str = "") -> None:
    """Complete the members with these numbers (from 1) with synthetic predictions."""
    (catalog, store), workspace = ready, Location.of(config.workspace)
    specs = plan_members(config, catalog, store)
    for spec in (specs[number - 1] for number in numbers):
        folder, test = spec.folder(workspace), catalog.rows("test")
        held_out = partition(catalog, config.validation, spec.fold).held_out
        predictions = predicted(spec, held_out, catalog.labels[held_out])
        score = kl(catalog.labels[held_out], predictions) if len(held_out) else None
        flat = np.full((len(test), len(catalog.words)), 1 / len(catalog.words))
        (folder / PREDICTIONS_FILE).write_arrays(
            {"test_rows": test, "test": predicted(spec, test, flat),
             "held_out_rows": held_out, "held_out": predictions}
        )  # fmt: skip
        history = [{"loss": 1.0} | ({} if score is None else {"held_out_kl": score})]
        record = MemberRecord(
            fingerprint=spec.fingerprint, spec=spec, test_key=tests or key_of_tests(catalog),
            parameters=1, history=history, held_out_kl=score,
            clips=1, seconds=1, clips_per_second=1, device="", peak_memory_mb=1, software={},
            files={PREDICTIONS_FILE: str((folder / PREDICTIONS_FILE).digest())},
        )  # fmt: skip
        (folder / MEMBER_FILE).write_record(record)


def published(config: RunConfig, ready: Ready) -> EnsembleRecord:
    """Publish the complete members as an ensemble."""
    workspace = Location.of(config.workspace)
    return publish(workspace, config, ready[0], load_members(workspace, config, *ready))


def champion_of(
    config: RunConfig, ready: Ready, members: int, validation: dict | None = None
) -> tuple[Location, EnsembleRecord]:
    """Publish the first ensemble of a workspace, with this number of members, as champion."""
    config = with_ensemble(config, validation, members=members)
    complete(config, ready, range(1, members + 1))
    workspace, record = Location.of(config.workspace), published(config, ready)
    consider(workspace, record, config.promotion)
    return workspace, record
