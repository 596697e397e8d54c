"""Keeps the champion's networks in memory, and replaces them when another version is promoted.

A request uses the ensemble that is loaded when its prediction begins. The next champion is loaded
beside it, so no request waits for a promotion, and none fails because of it: if the new champion
cannot be loaded, the previous one continues to predict, and the reason is reported.
"""

import logging
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from overlap.config import FeatureConfig
from overlap.ensemble.registry import EnsembleRecord
from overlap.errors import NotReadyError, OverlapError
from overlap.features.compute import warm_up
from overlap.io.location import Location
from overlap.io.workspace_paths import WorkspacePaths
from overlap.prediction.jobs import members_of
from overlap.promotion.champion import champion, find_ensemble
from overlap.training.inference.store import Predictor, stored_network, unusable_reason
from overlap.training.spec import MemberRecord

POLL_SECONDS: Final = 2.0
"""Time between two looks at `champion.json` on a local disk."""
REMOTE_POLL_SECONDS: Final = 15.0
"""The same on an object store."""
LOGGER = logging.getLogger("overlap.view")


@dataclass(frozen=True, eq=False)
class LoadedEnsemble:
    """An ensemble that is ready to predict."""

    record: EnsembleRecord
    features: FeatureConfig
    networks: tuple[Predictor, ...]
    """Networks of the members, from decibels to probabilities."""


class ChampionHolder:
    """The loaded champion of a workspace, and the thread that keeps it current.

    Args:
        workspace: The workspace.
        poll_seconds: Time between two looks; None: by the kind of storage.
    """

    def __init__(self, workspace: Location, poll_seconds: float | None = None) -> None:
        usual = POLL_SECONDS if workspace.local is not None else REMOTE_POLL_SECONDS
        self._workspace, self._poll = workspace, poll_seconds or usual
        self._loaded: LoadedEnsemble | None = None
        self._problem: OverlapError | OSError | None = None
        self._first, self._over = threading.Event(), threading.Event()
        self._refused: str | None = None
        self._thread = threading.Thread(target=self._watch, daemon=True, name="champion")

    def start(self) -> None:
        """Begin to load the champion."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread."""
        self._over.set()
        self._thread.join(timeout=10)

    @property
    def loaded(self) -> LoadedEnsemble | None:
        """The ensemble that is in memory now; None before the first is loaded."""
        return self._loaded

    def current(self) -> LoadedEnsemble:
        """Return the ensemble to predict with; waits for the first attempt to load it.

        Raises:
            NotReadyError: The workspace has no champion (`no-champion`).
            OverlapError: The champion cannot be loaded.
        """
        self._first.wait()
        loaded = self._loaded
        if loaded is None:
            problem = self._problem
            if isinstance(problem, OverlapError):
                raise problem
            raise NotReadyError(
                f"{self._workspace}: the champion cannot be loaded: {problem}",
                code="champion-unusable", workspace=str(self._workspace),
            )  # fmt: skip
        return loaded

    def refresh(self) -> None:
        """Load the champion if it is not the loaded ensemble."""
        try:
            version = champion(self._workspace)
            known = self._loaded.record.version if self._loaded else None
            if version is not None and version == known:
                self._problem = self._refused = None
                return
            started = time.perf_counter()
            self._loaded = load_ensemble(self._workspace)
            self._problem = self._refused = None
            LOGGER.warning(
                "predicting with %s, loaded in %.1f s",
                self._loaded.record.version, time.perf_counter() - started,
            )  # fmt: skip
        except Exception as error:  # noqa: BLE001  a damaged network may raise anything
            self._report(error)

    def _report(self, error: Exception) -> None:
        known = isinstance(error, OverlapError | OSError)
        self._problem = error if known else NotReadyError(str(error), code="champion-unusable")  # type: ignore[assignment]
        if str(error) != self._refused:  # once, not at every look
            self._refused = str(error)
            LOGGER.warning("the champion cannot be loaded: %s", error)

    def _watch(self) -> None:
        while True:
            self.refresh()
            self._first.set()
            if self._over.wait(self._poll):
                return


def load_ensemble(workspace: Location, version: str = "champion") -> LoadedEnsemble:
    """Load an ensemble's networks, as inference graphs where that is possible.

    Args:
        workspace: The workspace.
        version: `champion`, or a version.

    Raises:
        NotReadyError: There is no such ensemble.
        MemberError: Members of the ensemble no longer exist.
        CorruptError: A stored file is damaged.
    """
    owner, record = find_ensemble(workspace, version)
    members = members_of(owner, record)
    features = members[0].spec.features
    warm_up(features)
    return LoadedEnsemble(record, features, tuple(_networks(owner, members)))


def _networks(owner: Location, members: Sequence[MemberRecord]) -> list[Predictor]:
    folders = [WorkspacePaths(owner).member(one.fingerprint).folder for one in members]
    graphs: list[Predictor | None] = [None] * len(members)
    if unusable_reason() is None:
        graphs = [stored_network(*one) for one in zip(folders, members, strict=True)]
    if all(graph is not None for graph in graphs):
        return [graph for graph in graphs if graph is not None]
    from overlap.training.device import prepare_device
    from overlap.training.saved import load_network

    prepare_device()
    pairs = zip(folders, members, graphs, strict=True)
    return [graph or load_network(folder, member) for folder, member, graph in pairs]
