"""Trains one recipe with one seed: `python -m overlap.bench.quality.training JOB`, JOB as JSON.

The process trains as a member does, predicts the scored clips, and writes the record last. A
training that was killed continues from its checkpoint.
"""

import json
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from overlap.bench.quality.recipes import configuration
from overlap.bench.quality.records import TrainingJob, TrainingResult
from overlap.bench.quality.sets import KINDS, DataSet
from overlap.catalog import Catalog
from overlap.errors import CorruptError, MemberError
from overlap.features import FeatureStore
from overlap.io.workspace_paths import MemberPaths
from overlap.system.child_process import Emit, child_main
from overlap.training.engine.epochs import predict
from overlap.training.feed.sources import ChunkedSource
from overlap.training.member import train_member
from overlap.training.spec import plan_members


class Clock:
    """Measures the passes of a training without the first, which also compiles."""

    def __init__(self) -> None:
        self._begin, self._ends = self._now(), list[tuple[float, float]]()

    @staticmethod
    def _now() -> tuple[float, float]:
        return time.process_time(), time.perf_counter()

    def after(self, event: Mapping[str, Any]) -> None:
        """Note the time of an event that ends a pass."""
        if event.get("event") == "epoch":
            self._ends.append(self._now())

    def seconds(self, passes: int) -> tuple[float, float]:
        """Return processor and elapsed seconds of so many passes and what follows the last."""
        ends, now = self._ends or [self._now()], self._now()
        first = ends[0] if len(ends) > 1 else self._begin
        counted = max(1, len(ends) - 1)
        cpu, elapsed = (
            passes * (last - start) / counted + (end - last)
            for start, last, end in zip(first, ends[-1], now, strict=True)
        )
        return cpu, elapsed


def train_job(job: TrainingJob, emit: Emit) -> TrainingResult:
    """Train, predict, and write the predictions and the record.

    Raises:
        CorruptError: The scored clips have other words than the training clips (code
            `other-words`).
    """
    data = DataSet(KINDS[job.data_set], Path(job.set_folder))
    catalog, store = Catalog.load(data.training), FeatureStore.open(data.training)
    scored, scored_store = Catalog.load(data.scoring), FeatureStore.open(data.scoring)
    if scored.words != catalog.words:
        raise CorruptError(
            f"{job.set_folder}: the scored clips have other words than the training clips; remove "
            "the folder and run again",
            code="other-words", path=job.set_folder,
        )  # fmt: skip
    config = configuration(
        job.settings, data=catalog.data, workspace=str(data.training), width=job.width,
        passes=job.passes, seeds=job.seed + 1,
    )  # fmt: skip
    spec = plan_members(config, catalog, store)[job.seed]
    clock = Clock()

    def noted(event: Mapping[str, Any]) -> None:
        clock.after(event)
        emit(event)

    about = {
        "data_set": job.data_set, "recipe": job.recipe, "passes": job.passes, "seed": job.seed,
        "member": spec.fingerprint,
    }  # fmt: skip
    try:
        trained = train_member(spec, catalog, store, job.folder, noted)
    except MemberError as error:
        if error.code != "training-diverged":
            raise
        result = TrainingResult(**about, cpu_seconds=0, seconds=0, parameters=0, failure=str(error))
    else:
        cpu, elapsed = clock.seconds(job.passes)
        rows = scored.rows("train")
        found = predict(trained.network, ChunkedSource(scored_store), rows)
        job.predictions.write_arrays({"rows": rows, "probabilities": found.astype(np.float64)})
        result = TrainingResult(
            **about, cpu_seconds=cpu, seconds=elapsed, parameters=trained.network.count_params(),
            predictions_digest=job.predictions.digest() or "",
        )  # fmt: skip
    job.record.write_record(result)
    MemberPaths(job.folder).checkpoint.remove()
    return result


def main() -> int:
    """Complete the training that the command line describes."""
    content = json.loads(sys.argv[1])
    job = TrainingJob(**{**content, "settings": tuple(content["settings"])})

    def work(emit: Emit) -> None:
        train_job(job, emit)

    return child_main(work)


if __name__ == "__main__":
    sys.exit(main())
