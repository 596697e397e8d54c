"""Benchmark of recordings: words at known times over noise, found in windows.

Recordings of the test speakers' words are placed over noise (`overlap.synthetic.scenes`). An
ensemble predicts them in windows, each recording in its own process, whose peak memory is
reported. The segments are compared with the known times, and with what the same ensemble
recognises in clips that are cut out at the known times: its own limit.
"""

import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from overlap.audio.decode import INT16_SCALE
from overlap.bench.detections import Detections, known_clips, match_segments, score_clips
from overlap.config import FeatureConfig
from overlap.errors import BenchError, UserError
from overlap.features.compute import compute_features
from overlap.io.location import Location
from overlap.prediction.jobs import members_of
from overlap.prediction.networks import open_networks
from overlap.prediction.worker import predict_decibels
from overlap.promotion.champion import find_ensemble
from overlap.recordings.folder import WindowOptions, list_recordings, predict_recordings
from overlap.recordings.prediction import WindowPredictor
from overlap.recordings.recording_tables import WINDOWS
from overlap.recordings.segments import Segment, SegmentMerger
from overlap.synthetic.scenes import (
    MINUTE_SECONDS,
    PlacedWord,
    SceneConfig,
    minute,
    write_scene,
)
from overlap.synthetic.speakers import MixConfig, plan_pools
from overlap.system.child_process import child_reporter, start_child
from overlap.system.resources.memory import peak_memory_mb

TRAINING_EVERY_SECONDS: Final = 1.3
"""Mean time between the words of training recordings, s."""
PART: Final = 256
"""Clips that are predicted at once."""


@dataclass(frozen=True)
class RecordingsBench:
    """Input of the benchmark."""

    words: str
    """Folder with one subfolder of recordings per word."""
    workspace: str
    """Address of the workspace of the ensemble."""
    model: str = "champion"
    """The ensemble."""
    minutes: tuple[int, ...] = (10, 60)
    """Lengths of the recordings; the longest is compared with the known times."""
    hops: tuple[float, ...] = (0.5, 0.25)
    """Times from one window to the next, s."""
    thresholds: tuple[float, ...] = (0.3, 0.5, 0.7)
    """Least probabilities of a word in a segment."""
    every_seconds: float = 5.0
    """Mean time between words, s."""
    min_clips: int = 100
    """Least number of recordings of a word that is used."""
    seed: int = 0
    """Random seed."""


@dataclass(frozen=True)
class MemoryRow:
    """The prediction of one recording."""

    minutes: int
    hop_seconds: float
    windows: int
    seconds: float
    """Time of the whole process after its start."""
    peak_mb: float
    """Largest resident memory of the process, MB."""


@dataclass(frozen=True)
class RecordingsRows:
    """Results of the benchmark."""

    version: str
    """The ensemble."""
    placed: int
    """Number of words in the longest recording."""
    memory: tuple[MemoryRow, ...]
    detections: tuple[Detections, ...]


def bench_recordings(job: RecordingsBench) -> RecordingsRows:
    """Write recordings, predict them, and compare the segments with the known times.

    Raises:
        UserError: The ensemble has none of the words (`other-words`).
        BenchError: A process failed.
    """
    owner, record = find_ensemble(Location.of(job.workspace), job.model)
    scene = _scene(job, members_of(owner, record)[0].spec.features.sample_rate)
    used = [word for word in scene.words if word in record.words]
    if not used:
        raise UserError(
            f"{record.version} has none of the words {', '.join(scene.words)}; choose another "
            "--model or folder of words",
            code="other-words",
        )
    memory: list[MemoryRow] = []
    found: list[Detections] = []
    with tempfile.TemporaryDirectory(prefix="overlap-bench-") as folder:
        place, longest = Path(folder), max(job.minutes)
        for minutes in job.minutes:
            file = place / f"{minutes}.flac"
            placed = write_scene(file, scene, minutes)
            for hop in job.hops:
                out = place / f"{minutes}-{hop}"
                memory.append(_predicted(job, file, minutes, hop, out))
                if minutes == longest:
                    found += _found(job, out, hop, placed, used)
        ensemble = open_predictor(job.workspace, job.model)
        found += score_clips(*_at_known_times(ensemble, scene, longest), used, job.thresholds)
    return RecordingsRows(record.version, len(placed), tuple(memory), tuple(found))


def write_training(job: RecordingsBench, out: Path, minutes: int) -> int:
    """Write recordings of the training speakers, with a table of the times of their words.

    Args:
        job: Words and seed.
        out: Existing, empty folder.
        minutes: Length of the recording of each group of speakers.

    Returns:
        The number of words.
    """
    words, pools = plan_pools(Path(job.words), _mix(job))
    rows: list[dict[str, object]] = []
    for number, pool in enumerate(one for one in pools if one.split == "train"):
        scene = SceneConfig(words, pool, TRAINING_EVERY_SECONDS, job.seed + 100 + number)
        file = f"{pool.name}.flac"
        for placed in write_scene(out / file, scene, minutes):
            times = {"start": round(placed.start, 4), "end": round(placed.end, 4)}
            rows.append({"file": file, **times, "label": placed.word})
    pd.DataFrame(rows).to_csv(out / "segments.csv", index=False, lineterminator="\n")
    return len(rows)


def open_predictor(workspace: str, model: str) -> WindowPredictor:
    """Open an ensemble for windows."""
    owner, record = find_ensemble(Location.of(workspace), model)
    members = members_of(owner, record)
    features = members[0].spec.features
    return WindowPredictor(
        features, tuple(open_networks(owner, members)), record.fitted, record.words
    )


def _mix(job: RecordingsBench) -> MixConfig:
    return MixConfig(train=1, test=1, words_per_clip=1, min_clips=job.min_clips, seed=job.seed)


def _scene(job: RecordingsBench, sample_rate: int) -> SceneConfig:
    words, pools = plan_pools(Path(job.words), _mix(job))
    pool = next(one for one in pools if one.split == "test")
    return SceneConfig(words, pool, job.every_seconds, job.seed, sample_rate)


def _predicted(job: RecordingsBench, file: Path, minutes: int, hop: float, out: Path) -> MemoryRow:
    """Predict a recording in a process of its own."""
    arguments = [json.dumps({"job": asdict(job), "file": str(file), "hop": hop, "out": str(out)})]
    log = out.with_suffix(".log")
    with log.open("w") as opened:
        child = start_child(__name__, arguments, {**os.environ}, opened)
    try:
        message = child.read_report()
    finally:
        child.close()
    if message is None:
        raise BenchError(f"the process failed; its log ends with\n{log.read_text()[-2000:]}")
    return MemoryRow(
        minutes, hop, int(message["windows"]), float(message["seconds"]), float(message["peak_mb"])
    )


def _found(
    job: RecordingsBench, out: Path, hop: float, placed: Sequence[PlacedWord], words: Sequence[str]
) -> Iterator[Detections]:
    table = pd.read_csv(out / WINDOWS)
    times = table[["start_s", "end_s"]].to_numpy()
    shares = table[[*words]].to_numpy()
    for threshold in job.thresholds:
        merger, segments = SegmentMerger(words, threshold), list[Segment]()
        for (start, end), row in zip(times.tolist(), shares, strict=True):
            segments += merger.add(start, end, None if np.isnan(row).any() else row)
        segments += merger.finish()
        within = float(times[0, 1] - times[0, 0]) / 2
        yield match_segments(f"windows every {hop:g} s", threshold, segments, placed, within)


def _at_known_times(
    ensemble: WindowPredictor, scene: SceneConfig, minutes: int
) -> tuple[list[tuple[str, ...]], NDArray[np.float64], tuple[str, ...]]:
    """Predict clips that are cut out at the known times, and those between the words.

    Returns:
        The words of each clip, (clips, words) probabilities, and the words of their columns.
    """
    features, contents = ensemble.features, list[tuple[str, ...]]()
    predictions: list[NDArray[np.float64]] = []
    length = features.clip_samples
    for number in range(minutes):
        samples, placed = minute(scene, number)
        clips = known_clips(placed, MINUTE_SECONDS, length / features.sample_rate)
        starts = [round(start * features.sample_rate) for start, _ in clips]
        cut = np.stack([samples[at : at + length] for at in starts]) * INT16_SCALE
        contents += [words for _, words in clips]
        predictions.append(_predict(ensemble, cut, features))
    return contents, np.concatenate(predictions), ensemble.words


def _predict(
    ensemble: WindowPredictor, clips: NDArray[np.float32], features: FeatureConfig
) -> NDArray[np.float64]:
    decibels = compute_features(clips, features).astype(np.float16)
    pooled, _ = predict_decibels(ensemble.networks, ensemble.pool, decibels, len(clips))
    return pooled


def _work(given: Mapping[str, Any]) -> None:
    with child_reporter() as emit:
        began = time.perf_counter()
        job = RecordingsBench(**given["job"])
        done = predict_recordings(
            list_recordings(given["file"]), open_predictor(job.workspace, job.model),
            WindowOptions(given["hop"]), Path(given["out"]),
        )  # fmt: skip
        seconds = time.perf_counter() - began
        emit({"windows": done.windows, "seconds": seconds, "peak_mb": peak_memory_mb()})


if __name__ == "__main__":
    _work(json.loads(sys.argv[1]))
