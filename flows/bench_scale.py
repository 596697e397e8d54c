"""`overlap bench scale`: measure the driver of a run in child processes, without audio.

    python -m flows.bench_scale stage WORKSPACE WORKERS
    python -m flows.bench_scale catalogue WORKSPACE CLIPS

The first measures the feature stage over the catalogue of the workspace, the second builds that
catalogue from a generated listing and compares it. Both report a JSON object.
"""

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from flows.service.environment import prepare
from overlap.bench.catalogue_scale import drive_catalogue
from overlap.bench.phases import Phase, PhaseRecorder
from overlap.bench.scale import ScaleReport, Stage, drive, write_catalogue
from overlap.config import ClusterConfig
from overlap.errors import BenchError
from overlap.io.location import Location
from overlap.system.child_process import child_reporter, start_child


def bench_scale(clips: int, workers: int, *, catalogue: bool = True) -> ScaleReport:
    """Measure the driver of a run over non-existent clips.

    Args:
        clips: Number of clips.
        workers: CPU workers of the local cluster.
        catalogue: Whether to build and compare the catalogue, too. Otherwise it is written in
            parts, and only the stage over it is measured.

    Raises:
        BenchError: the driver failed.
    """
    with tempfile.TemporaryDirectory(prefix="overlap-scale-") as folder:
        phases: list[Phase] = []
        if catalogue:
            phases = TypeAdapter(list[Phase]).validate_python(
                _measured("catalogue", folder, clips, clips)["phases"]
            )
        else:
            write_catalogue(Location.of(folder), clips)
        report = _measured("stage", folder, workers, clips)
    whole = TypeAdapter(ScaleReport).validate_python(report)
    return replace(whole, catalogue=tuple(phases))


def _measured(what: str, folder: str, number: int, clips: int) -> dict[str, Any]:
    """Run one of the two processes and return its report."""
    with Path(folder, f"{what}.log").open("w+", errors="replace") as log:
        child = start_child("flows.bench_scale", [what, folder, str(number)], os.environ, log)
        try:
            report, code = child.read_report(), child.process.wait()
        finally:
            child.close()
        log.seek(0)
        printed = log.read()
    if code or report is None:
        raise BenchError(
            f"the driver failed over {clips} clips:\n{printed[-2000:]}",
            code="driver-failed",
            clips=clips,
        )
    return report


def main(what: str, folder: str, number: str) -> None:
    """Measure one part of the driver in this process."""
    with child_reporter() as emit:
        workspace = Location.of(folder)
        if what == "catalogue":
            phases = PhaseRecorder()
            drive_catalogue(workspace, int(number), phases)
            emit({"phases": [asdict(phase) for phase in phases.done]})
            return
        prepare(verbose=False)
        from flows.service.servers import connected

        with connected(lambda line: print(line, file=sys.stderr)):
            emit(asdict(drive(workspace, lambda: _stage(workspace, int(number)))))


@contextmanager
def _stage(workspace: Location, workers: int) -> Iterator[Stage]:
    from flows.clusters.opening import open_cluster
    from flows.clusters.preflight import Work
    from tasks.features import compute_missing

    config = ClusterConfig(cpu_workers=workers)
    with open_cluster(config, workspace, Work(training=False)) as scheduler:
        yield partial(compute_missing, scheduler)


if __name__ == "__main__":
    main(*sys.argv[1:])
