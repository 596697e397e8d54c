"""Benchmark of prediction: members as networks of Keras and as inference graphs.

Every variant has its own process, which opens the networks of its members. The processes then
alternate, one pass over the same decibels each, so that a slow machine affects all equally.
"""

import json
import os
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from overlap.bench.untrained_network import save_graph, save_untrained
from overlap.config import FeatureConfig, RunConfig
from overlap.errors import BenchError
from overlap.io.location import Location
from overlap.io.workspace_paths import MODEL_FILE, MemberPaths
from overlap.system.child_process import Child, child_reporter, start_child
from overlap.system.resources.memory import peak_memory_mb
from overlap.training.inference.store import Predictor, stored_network
from overlap.training.spec import MemberRecord

KERAS, GRAPH = "Keras", "inference graphs"
ENSEMBLES = {"demo": "demo", "full": "baseline"}
"""The preset whose network each ensemble has."""
BATCH = 256


@dataclass(frozen=True)
class PredictionBench:
    """Input of all variants."""

    clips: int
    words: int
    members: Mapping[str, int]
    """Number of members by ensemble, a key of `ENSEMBLES`."""


@dataclass(frozen=True)
class PredictionRow:
    """Result of one variant."""

    ensemble: str
    name: str
    clips_per_second: float
    """Of the whole ensemble, without features; median over rounds."""
    ratio: float
    """Speed relative to Keras; median over rounds."""
    start_seconds: float
    """From the start of the process until all networks are open."""
    peak_mb: float
    """Peak memory of the process, MB."""
    max_difference: float
    """Largest difference of a member's probabilities from those of Keras."""


def bench_prediction(job: PredictionBench, rounds: int) -> list[PredictionRow]:
    """Measure both ways to predict, for each ensemble.

    Args:
        job: Clips and members.
        rounds: Number of measured passes per variant.

    Raises:
        BenchError: A process failed.
    """
    with tempfile.TemporaryDirectory(prefix="overlap-bench-") as folder:
        place = Path(folder)
        np.save(place / "decibels.npy", _decibels(job.clips))
        _finished(_started("prepare", "", job, place), place)
        rows: list[PredictionRow] = []
        for ensemble in job.members:
            rows += _measured(ensemble, job, rounds, place)
    return rows


def _measured(ensemble: str, job: PredictionBench, rounds: int, place: Path) -> list[PredictionRow]:
    started: dict[str, Child] = {}
    begin, done = {}, {}
    passes: dict[str, list[Mapping[str, float]]] = {KERAS: [], GRAPH: []}
    try:
        for name in passes:
            began = time.perf_counter()
            started[name] = _started(ensemble, name, job, place)
            _message(started[name], place)
            begin[name] = time.perf_counter() - began
        for _ in range(rounds + 1):  # the first pass compiles
            for name, child in started.items():
                child.process.stdin.write("go\n")  # type: ignore[union-attr]  # it is a pipe
                child.process.stdin.flush()  # type: ignore[union-attr]
                passes[name].append(_message(child, place))
    finally:
        for child in started.values():
            child.close()
    for name in passes:
        done[name] = np.load(place / f"{ensemble} {name}.npy")
    seconds = {name: np.array([one["seconds"] for one in passes[name][1:]]) for name in passes}
    return [
        PredictionRow(
            ensemble=f"{job.members[ensemble]} members of {ensemble}",
            name=name,
            clips_per_second=float(np.median(job.clips / seconds[name])),
            ratio=float(np.median(seconds[KERAS] / seconds[name])),
            start_seconds=begin[name],
            peak_mb=max(one["peak_mb"] for one in passes[name]),
            max_difference=float(np.abs(done[name] - done[KERAS]).max()),
        )
        for name in passes
    ]


def _started(ensemble: str, name: str, job: PredictionBench, place: Path) -> Child:
    arguments = [ensemble, name, json.dumps(asdict(job)), str(place)]
    with (place / "log").open("w") as log:
        return start_child(__name__, arguments, {**os.environ, "CUDA_VISIBLE_DEVICES": ""}, log)


def _message(child: Child, place: Path) -> Mapping[str, float]:
    message = child.read_report()
    if message is None:
        log = (place / "log").read_text()[-2000:]
        raise BenchError(f"the process failed; its log ends with\n{log}")
    return message


def _finished(child: Child, place: Path) -> None:
    try:
        _message(child, place)
    finally:
        child.close()


def _decibels(clips: int) -> NDArray[np.float16]:
    shape = FeatureConfig().shape
    return np.random.default_rng(0).normal(-40, 15, (clips, *shape)).astype(np.float16)


def _members(ensemble: str, job: PredictionBench, place: Path) -> list[Location]:
    return [Location(f"{place}/{ensemble}-{n}") for n in range(job.members[ensemble])]


def _record(folder: Location) -> MemberRecord:
    digest = str(MemberPaths(folder).model.digest())
    used: dict[str, Any] = {"fingerprint": folder.name, "files": {MODEL_FILE: digest}}
    return MemberRecord.model_construct(**used)  # nothing was trained: the rest has no values


def _prepare(job: PredictionBench, place: Path) -> None:
    """Build and save the untrained networks and their graphs."""
    decibels = np.load(place / "decibels.npy")[:16]
    shape = FeatureConfig().shape
    for ensemble in job.members:
        config = RunConfig(data="-", preset=ENSEMBLES[ensemble]).network
        for seed, folder in enumerate(_members(ensemble, job, place)):
            network = save_untrained(folder, config, shape, job.words, seed)
            save_graph(folder, _record(folder), network, decibels)


def _open(ensemble: str, name: str, job: PredictionBench, place: Path) -> list[Predictor]:
    folders = _members(ensemble, job, place)
    if name == GRAPH:
        found = [stored_network(folder, _record(folder)) for folder in folders]
        return [network for network in found if network is not None]
    from overlap.training.device import prepare_device
    from overlap.training.saved import load_network

    prepare_device()
    return [load_network(folder, _record(folder)) for folder in folders]


def _predict(networks: list[Predictor], decibels: NDArray[np.float16]) -> NDArray[Any]:
    """Return (members, clips, words) probabilities, as the service computes them."""
    parts = [
        np.asarray([network.predict_on_batch(decibels[i : i + BATCH]) for network in networks])
        for i in range(0, len(decibels), BATCH)
    ]
    return np.concatenate(parts, axis=1)


def _work(ensemble: str, name: str, job: PredictionBench, place: Path) -> None:
    with child_reporter(reads_input=True) as emit:
        if ensemble == "prepare":
            _prepare(job, place)
            emit({})
            return
        networks, decibels = _open(ensemble, name, job, place), np.load(place / "decibels.npy")
        emit({})
        for _ in sys.stdin:
            began = time.perf_counter()
            found = _predict(networks, decibels)
            seconds = time.perf_counter() - began
            np.save(place / f"{ensemble} {name}.npy", found)
            emit({"seconds": seconds, "peak_mb": peak_memory_mb()})


if __name__ == "__main__":
    _work(sys.argv[1], sys.argv[2], PredictionBench(**json.loads(sys.argv[3])), Path(sys.argv[4]))
