"""`overlap bench scale`: measure the driver of a feature stage in a child process, without audio.

    python -m flows.bench_scale WORKSPACE WORKERS

measures it over the catalogue of the workspace, and reports a JSON object.
"""

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path

from pydantic import TypeAdapter

from flows.service.environment import prepare
from overlap.bench.scale import ScaleReport, Stage, drive, write_catalogue
from overlap.config import ClusterConfig
from overlap.errors import BenchError
from overlap.io.location import Location
from overlap.system.child_process import child_reporter, start_child


def bench_scale(clips: int, workers: int) -> ScaleReport:
    """Measure the driver of a feature stage over a catalogue of non-existent clips.

    Args:
        clips: Rows of the catalogue.
        workers: CPU workers of the local cluster.

    Raises:
        BenchError: the driver failed.
    """
    with tempfile.TemporaryDirectory(prefix="overlap-scale-") as folder:
        write_catalogue(Location.of(folder), clips)
        with Path(folder, "driver.log").open("w+", errors="replace") as log:
            child = start_child("flows.bench_scale", [folder, str(workers)], os.environ, log)
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
    return TypeAdapter(ScaleReport).validate_python(report)


def main(folder: str, workers: str) -> None:
    """Measure the driver in this process."""
    with child_reporter() as emit:
        prepare(verbose=False)
        from flows.service.servers import connected

        workspace = Location.of(folder)
        with connected(lambda line: print(line, file=sys.stderr)):
            emit(asdict(drive(workspace, lambda: _stage(workspace, int(workers)))))


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
