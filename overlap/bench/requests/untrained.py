"""Writes a workspace whose champion is an ensemble of untrained networks.

The time of a prediction does not depend on the weights, so nothing has to be trained. The records
are those of a real workspace; only the results of a training are missing.
"""

import json
import sys
from dataclasses import asdict
from typing import Any, Final

import numpy as np

from overlap.bench.features import speech_like
from overlap.bench.untrained_learner import constants
from overlap.bench.untrained_network import (
    save_graph,
    save_untrained,
)
from overlap.config import RunConfig, fingerprint
from overlap.ensemble import registry
from overlap.ensemble.registry import EnsembleRecord
from overlap.features.compute import compute_features
from overlap.io.location import Location
from overlap.io.workspace_paths import MODEL_FILE, MemberPaths, WorkspacePaths
from overlap.promotion.champion import promote
from overlap.system.child_process import child_reporter
from overlap.system.provenance import git_revision, software
from overlap.training.spec import MemberRecord, MemberSpec

COMPARED_CLIPS: Final = 16
"""Clips on which a graph is compared with its network."""


def write_untrained(workspace: Location, preset: str, members: int, words: int) -> None:
    """Write members and their ensemble, and make it the champion.

    Args:
        workspace: The workspace, which does not exist yet.
        preset: The preset whose network the members have.
        members: Number of members.
        words: Number of words.

    Raises:
        BenchError: No inference graph can be made of the network.
    """
    config = RunConfig.model_validate(
        {"data": "-", "workspace": str(workspace), "preset": preset,
         "ensemble": {"members": members}}
    )  # fmt: skip
    names = tuple(f"word{number:02d}" for number in range(words))
    sound = speech_like(COMPARED_CLIPS, config.features)
    decibels = np.empty((COMPARED_CLIPS, *config.features.shape), np.float16)
    compute_features(sound, config.features, decibels)
    records = [_write_member(workspace, spec, decibels) for spec in _specs(config, names)]
    _publish(workspace, config, records)


def _specs(config: RunConfig, words: tuple[str, ...]) -> list[MemberSpec]:
    shared: dict[str, Any] = {
        "fold": 0, "features": config.features, "network": config.network,
        "training": config.training, "validation": config.validation, "words": words,
        **asdict(constants(config.features.shape[-1])), "chunk_clips": config.store.chunk_clips,
        "training_key": "untrained",
    }  # fmt: skip
    return [MemberSpec(seed=seed, **shared) for seed in range(config.ensemble.members)]


def _write_member(workspace: Location, spec: MemberSpec, decibels: Any) -> MemberRecord:  # noqa: ANN401
    folder, shape = spec.folder(workspace), spec.features.shape
    network = save_untrained(folder, spec.network, shape, len(spec.words), spec.seed)
    record = MemberRecord(
        fingerprint=spec.fingerprint, spec=spec, test_key="", parameters=network.count_params(),
        history=[], held_out_kl=None, clips=0, seconds=0.0, clips_per_second=0.0, device="",
        peak_memory_mb=0.0, software=software(),
        files={MODEL_FILE: str(MemberPaths(folder).model.digest())},
    )  # fmt: skip
    save_graph(folder, record, network, decibels)
    MemberPaths(folder).record.write_record(record)
    return record


def _publish(workspace: Location, config: RunConfig, members: list[MemberRecord]) -> None:
    names = tuple(member.fingerprint for member in members)
    created, name = registry.now(), fingerprint(names)
    record = EnsembleRecord(
        version=registry.version_name(created, name), fingerprint=name, created=created,
        members=names, pooled=("",) * len(names), pool=config.ensemble.pool,
        words=members[0].spec.words, data=config.data, clips={}, kl=None, trivial_kl=None,
        member_kl=(None,) * len(names), curve=(), held_out_key=None, test_key="", files={},
        imputed=(), config=config.model_dump(mode="json"), software=software(),
        git_revision=git_revision(),
    )  # fmt: skip
    WorkspacePaths(workspace).ensemble(record.version).record.write_record(record)
    promote(workspace, record.version)


if __name__ == "__main__":
    with child_reporter() as emit:
        write_untrained(Location.of(sys.argv[1]), **json.loads(sys.argv[2]))
        emit({})
