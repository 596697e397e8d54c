"""Throughput of the feature stage on this machine, measured in a process like a worker's.

The process computes blocks of a sample of the clips into a temporary store, with the same steps
as a worker: reading, decoding, digests, the kernel, statistics, writing.
"""

import json
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from overlap.catalog import Listing, build_catalog
from overlap.config import ChecksConfig, FeatureConfig, StoreConfig
from overlap.errors import DataError, UserError
from overlap.features import FeatureStore, block_job, extract_block
from overlap.features.compute import warm_up
from overlap.io.location import Location
from overlap.system.child_process import child_reporter, run_child
from overlap.system.resources.memory import peak_memory_mb

SECONDS = 2.0
"""Length of the measurement, seconds."""
CLIPS = 512
"""Size of the sample, at most."""


@dataclass(frozen=True)
class Calibration:
    """Measured costs of the feature stage."""

    start_seconds: float
    """Seconds from the start of a process to its first block: imports, and the compiled kernel."""
    check_seconds: float
    """Seconds per clip to read, decode and digest it for the catalogue."""
    compute_seconds: float
    """Seconds per clip from its file to the store."""
    stored_bytes: float
    """Bytes per clip in the store."""
    worker_bytes: int
    """Peak memory of the process, bytes."""


def calibrate(
    listing: Listing, features: FeatureConfig, store: StoreConfig, seconds: float | None = None
) -> Calibration:
    """Measure the feature stage on a sample of a data set.

    Args:
        listing: The data; evenly spaced clips are computed repeatedly.
        features: The features.
        store: Chunks, blocks and compression of the store.
        seconds: Length of the measurement; None: `SECONDS`.

    Raises:
        DataError: no clip of the sample is usable.
        ChildError: the measuring process failed.
    """
    files = listing.files.reset_index(drop=True)
    chosen = files.iloc[np.unique(np.linspace(0, len(files) - 1, CLIPS).astype(int))]
    reports: list[Mapping[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="overlap-plan-") as folder:
        job = {
            "data": str(listing.data),
            "files": chosen[["split", "clip_id", "file", "version"]].to_dict("list"),
            "features": features.model_dump(mode="json"),
            "store": store.model_dump(mode="json"),
            "seconds": SECONDS if seconds is None else seconds,
        }
        (Location(folder) / "job.json").write_json(job)
        started = time.monotonic()  # comparable between processes of one machine
        run_child(__name__, [folder, str(started)], reports.append)
    if "error" in reports[0]:
        raise DataError(reports[0]["error"], code=reports[0]["code"])
    return Calibration(**reports[0])


def _measure(folder: Path, started: float) -> Calibration:
    job = json.loads((folder / "job.json").read_bytes())
    features = FeatureConfig.from_stored(job["features"])
    cut = StoreConfig.from_stored(job["store"])
    warm_up(features)
    start_seconds = time.monotonic() - started
    listing = Listing(Location(job["data"]), pd.DataFrame(job["files"]), None, None, None)
    workspace, any_clip = Location(str(folder / "workspace")), ChecksConfig(max_bad_fraction=1.0)

    begun = time.perf_counter()
    catalog = build_catalog(listing, features.clip_format, any_clip).catalog
    check_seconds = (time.perf_counter() - begun) / len(catalog)

    store = FeatureStore.create(workspace, features, cut)
    store.sync(catalog)
    jobs = [block_job(workspace, catalog, block) for block in store.blocks(catalog)]

    def compute_all() -> int:
        return sum(extract_block(job).clips for job in jobs)

    if not compute_all():
        raise DataError(
            f"{job['data']}: none of the {len(catalog)} sampled clips is usable",
            code="no-usable-clip",
            clips=len(catalog),
        )
    clips, taken = _repeat(compute_all, job["seconds"])
    written = (file.stat().st_size for file in Path(store.location.url).rglob("*")
               if file.is_file())  # fmt: skip
    return Calibration(
        start_seconds=start_seconds,
        check_seconds=check_seconds,
        compute_seconds=taken / clips,
        stored_bytes=sum(written) / len(catalog),
        worker_bytes=round(1e6 * peak_memory_mb()),
    )


def _repeat(work: Callable[[], int], seconds: float) -> tuple[int, float]:
    """Repeat the work for about `seconds`; return the amount done and the time taken."""
    done, started = 0, time.perf_counter()
    while (taken := time.perf_counter() - started) < seconds or not taken:
        done += work()
    return done, taken


if __name__ == "__main__":
    with child_reporter() as emit:
        try:
            emit(asdict(_measure(Path(sys.argv[1]), float(sys.argv[2]))))
        except UserError as error:
            emit({"error": str(error), "code": error.code})
