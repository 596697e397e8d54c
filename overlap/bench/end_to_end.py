"""Benchmark of the whole feature path, from wav files to the Zarr store, with one and two workers.

Each worker is a process that computes blocks sequentially, like a Dask worker. Files and store are
in memory unless a folder is given, and each round rewrites all chunks. The librosa loop is
measured before and after each measurement: only its features, without reading and writing.
"""

import os
import shutil
import sys
import tempfile
import time
import wave
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from overlap.audio.clips import load_clip
from overlap.bench.features import cpu_seconds, largest_error_db
from overlap.catalog import Catalog, build_catalog, list_clips, stored_rows
from overlap.config import ChecksConfig, FeatureConfig, StoreConfig
from overlap.errors import BenchError
from overlap.features import FeatureStore, block_jobs, extract_block
from overlap.features.reference import reference_features
from overlap.io.location import Location
from overlap.io.workspace_paths import WorkspacePaths
from overlap.system.child_process import Child, child_reporter, start_child

MODULE = "overlap.bench.end_to_end"
STDERR = 2
LOOP_CLIPS = 64
WORKERS = (1, 2)


@dataclass(frozen=True)
class EndToEndRow:
    """Result for one number of workers."""

    name: str
    clips_per_cpu_second: float
    """Median over the rounds; CPU time of all workers, including the operating system."""
    clips_per_second: float
    """Median over the rounds; wall time."""
    ratio: float
    """Clips per CPU-second relative to the librosa loop in the same round; median."""
    speedup: float
    """Clips per second relative to one worker in the same round; median."""
    bytes_per_clip: float
    """Size of the feature chunks in the store."""
    max_error_db: float
    """Largest difference of stored values from the reference within 80 dB of the peak."""


def bench_end_to_end(
    clips: NDArray[np.float32],
    config: FeatureConfig,
    store: StoreConfig,
    files: int = 8192,
    rounds: int = 5,
    folder: Path | None = None,
) -> list[EndToEndRow]:
    """Write clips as wav files and measure the path from the files to the store.

    Args:
        clips: (clips, samples) float32; written repeatedly with changed samples, so that no two
            files are equal.
        config: The features.
        store: Chunks, blocks and compression of the store.
        files: Number of files.
        rounds: Each round measures each number of workers once.
        folder: Folder of files and store. None uses a file system in memory if the machine has
            one with enough space, else the folder for temporary files.
    """
    size = files * 2 * (config.clip_samples + config.clip_bytes)
    place = in_memory(size) if folder is None else folder
    with tempfile.TemporaryDirectory(prefix="overlap-bench-", dir=place) as temporary:
        data, workspace = Path(temporary) / "clips", Location(f"{temporary}/workspace")
        _write(data, clips, files, config.sample_rate)
        listing, checks = list_clips(str(data)), ChecksConfig(max_bad_fraction=1.0)
        catalog = build_catalog(listing, config.clip_format, checks).catalog
        catalog.save(workspace)
        features = FeatureStore.create(workspace, config, store)
        features.sync(catalog)
        measured: dict[int, list[_Measured]] = {workers: [] for workers in WORKERS}
        loop = []
        loop_clips = np.resize(clips, (LOOP_CLIPS, config.clip_samples))
        for _ in range(rounds + 1):  # the first one compiles and fills caches
            speeds = [_loop(loop_clips, config)]
            for workers in WORKERS:
                measured[workers].append(_round(workspace, workers))
                speeds.append(_loop(loop_clips, config))
            loop.append(float(np.mean(speeds)))
        error = _error(catalog, features)
        chunks = Path((WorkspacePaths(workspace).features / "mel").url).rglob("*")
        stored = sum(chunk.stat().st_size for chunk in chunks if chunk.is_file())
    one = np.array([m.clips_per_second for m in measured[1]])
    return [
        EndToEndRow(
            name=f"{workers} worker" + "s" * (workers > 1),
            clips_per_cpu_second=_median([m.clips_per_cpu_second for m in found]),
            clips_per_second=_median([m.clips_per_second for m in found]),
            ratio=_median([m.clips_per_cpu_second for m in found] / np.array(loop)),
            speedup=_median([m.clips_per_second for m in found] / one),
            bytes_per_clip=stored / files,
            max_error_db=error,
        )
        for workers, found in measured.items()
    ]


def _loop(clips: NDArray[np.float32], config: FeatureConfig) -> float:
    """Return the clips per CPU-second of the librosa loop."""
    with threadpool_limits(1):
        return len(clips) / cpu_seconds(lambda: reference_features(clips, config))


def in_memory(size: int) -> Path | None:
    """Return a folder in memory with space for `size` bytes, or None."""
    shared = Path("/dev/shm")  # noqa: S108  the benchmark's folder in it has a random name
    return shared if shared.is_dir() and shutil.disk_usage(shared).free > 2 * size else None


@dataclass(frozen=True)
class _Measured:
    clips_per_cpu_second: float
    clips_per_second: float


def _median(rounds: NDArray[np.float64] | list[float]) -> float:
    return float(np.median(rounds[1:]))


def _round(workspace: Location, workers: int) -> _Measured:
    """Start workers, release them together, and wait for the last one."""
    started: list[Child] = []
    try:
        for number in range(workers):
            arguments = [str(workspace), str(number), str(workers)]
            started.append(start_child(MODULE, arguments, os.environ, STDERR))
        for worker in started:
            _read_report(worker)  # the worker is ready
        begun = time.perf_counter()
        for worker in started:
            worker.process.stdin.write("go\n")  # type: ignore[union-attr]  # it is a pipe
            worker.process.stdin.flush()  # type: ignore[union-attr]
        done = [_read_report(worker) for worker in started]
        seconds = time.perf_counter() - begun
    finally:
        for worker in started:
            worker.close()
    clips, cpu = sum(one["clips"] for one in done), sum(one["cpu_seconds"] for one in done)
    return _Measured(clips / cpu, clips / seconds)


def _read_report(worker: Child) -> dict[str, Any]:
    report = worker.read_report()
    if report is None:
        code = worker.process.wait()
        raise BenchError(
            f"a worker of the benchmark ended with exit code {code}; its error is printed above",
            code="benchmark-worker-failed",
            exit_code=code,
        )
    return report


def _work(workspace: Location, number: int, workers: int) -> None:
    """Run as a worker: compute every `workers`-th block when the parent sends a line."""
    with child_reporter(reads_input=True) as emit:
        with stored_rows(workspace) as rows:
            blocks = FeatureStore.open(workspace).blocks(rows)
            jobs = [*block_jobs(workspace, rows, blocks)]
        extract_block(jobs[number])
        emit({"event": "ready"})
        sys.stdin.readline()
        cpu = time.process_time()
        clips = sum(extract_block(job).clips for job in jobs[number::workers])
        emit({"clips": clips, "cpu_seconds": time.process_time() - cpu})


def _write(folder: Path, clips: NDArray[np.float32], files: int, rate: int) -> None:
    folder.mkdir()
    codes = (np.clip(clips, -1, 1) * 32767).astype("<i2")
    for index in range(files):
        samples = codes[index % len(codes)]
        samples[:2] = index // 32768, index % 32768
        with wave.open(str(folder / f"clip_{index:06d}.wav"), "wb") as file:
            file.setparams((1, 2, rate, 0, "NONE", ""))
            file.writeframes(samples.tobytes())


def _error(catalog: Catalog, store: FeatureStore) -> float:
    data = Location(catalog.data)
    files = catalog.clips["file"].iloc[:LOOP_CLIPS]
    clips = np.stack([load_clip(data, file, catalog.wanted).samples for file in files])
    return largest_error_db(store.read_rows(0, len(clips)), reference_features(clips, store.config))


if __name__ == "__main__":
    _work(Location(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
