"""The measurement of the catalogue over a generated listing builds a real catalogue."""

from pathlib import Path

from overlap.bench.catalogue_scale import drive_catalogue
from overlap.bench.phases import PhaseRecorder
from overlap.catalog import Catalog, stored_rows
from overlap.io.location import Location


def test_every_clip_is_in_the_catalogue(tmp_path: Path) -> None:
    workspace, phases = Location.of(tmp_path), PhaseRecorder()
    drive_catalogue(workspace, 2_000, phases)
    with stored_rows(workspace) as rows:
        assert rows.counts() == {"train": 1_819, "test": 181, "quarantined": 0, "removed": 0}
    catalog = Catalog.load(workspace)
    assert catalog.clips["digest"].nunique() == 2_000
    names = [phase.name for phase in phases.done]
    assert names[:3] == ["list the files", "read the tables", "build the catalogue"]
    assert len(set(names)) == len(names)
    assert all(phase.seconds >= 0 for phase in phases.done)
    assert all(0 < phase.unreclaimable_mb < phase.peak_mb for phase in phases.done)
