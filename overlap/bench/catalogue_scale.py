"""Time and memory of the catalogue for any number of clips, from generated names.

No file of a clip exists: the entries of the folders are generated, and the inspection of a file is
replaced by a function that returns a digest of its name. Everything else is the code of a run: the
files are listed, the tables read, and the catalogue is built, saved, loaded, and compared with the
same listing.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TypeVar

import numpy as np
import pandas as pd
from xxhash import xxh3_128_hexdigest

from overlap.bench.phases import PhaseRecorder
from overlap.bench.scale import TEST_SHARE, WORDS
from overlap.catalog import Catalog, Listing, build_catalog
from overlap.catalog.clip_files import FileFrame
from overlap.catalog.inspection import InspectionJob
from overlap.catalog.listing import LABELS, TEMPLATE
from overlap.catalog.problems import Problems
from overlap.catalog.rows import Split
from overlap.catalog.tables.data_tables import read_label_table, read_template
from overlap.columns.frames import concatenated
from overlap.columns.temporary_files import BLOCK
from overlap.config import ChecksConfig, FeatureConfig
from overlap.io.listing import Entry
from overlap.io.location import Location

Job = TypeVar("Job")
Result = TypeVar("Result")


def drive_catalogue(workspace: Location, clips: int, phases: PhaseRecorder) -> None:
    """Build, save, load and compare a catalogue.

    Args:
        workspace: An empty workspace; receives the catalogue.
        clips: Number of clips.
        phases: Receives the phases.
    """
    wanted, checks = FeatureConfig().clip_format, ChecksConfig()
    counts: dict[Split, int] = {"test": clips // TEST_SHARE}
    counts["train"] = clips - counts["test"]
    data = workspace / "data"
    write_tables(data, counts)
    with phases.phase("list the files"):
        files = generated_files(counts)
    with phases.phase("read the tables"):
        problems = Problems()
        labels = read_label_table(data / LABELS, problems, "auto")
        template = read_template(data / TEMPLATE, problems)
        listing = Listing(data, files, labels, template, None, problems)
    with phases.phase("build the catalogue"):
        catalog = build_catalog(listing, wanted, checks, run=_named).catalog
    with phases.phase("save the catalogue"):
        catalog.save(workspace)
    del catalog
    with phases.phase("load the catalogue"):
        previous = Catalog.load(workspace)
    with phases.phase("compare the listing with the catalogue"):
        again = build_catalog(listing, wanted, checks, previous, _named)
        if again.inspected:
            raise RuntimeError(f"{again.inspected} unchanged clips were inspected again")
    with phases.phase("find that the catalogue is unchanged"):
        if not previous.equals(again.catalog):
            raise RuntimeError("an unchanged listing changed the catalogue")


def write_tables(data: Location, counts: Mapping[Split, int]) -> None:
    """Write the tables of a data set, with labels of `WORDS`, in the order of the ids."""
    random = np.random.default_rng(0)
    tables: dict[Split, str] = {"train": LABELS, "test": TEMPLATE}
    for split, table in tables.items():
        with (data / table).writing() as file:
            file.write(",".join(("id", *WORDS)).encode() + b"\n")
            for numbers in _blocks(counts[split]):
                labels = random.dirichlet(np.ones(len(WORDS)), len(numbers))
                shares = [",".join([f"{share:.5f}" for share in row]) for row in labels.tolist()]
                ids = [f"{split}_{number:08d}" for number in numbers]
                lines = [f"{clip},{row}\n" for clip, row in zip(ids, shares, strict=True)]
                file.write("".join(lines).encode())


def generated_files(counts: Mapping[Split, int]) -> pd.DataFrame:
    """Return the files of a data set that does not exist; names and versions are of usual length.

    Args:
        counts: Number of clips by split.
    """
    problems, parts = Problems(), []
    for split in ("train", "test"):
        found = FileFrame(split, f"{split}/")
        for number in range(counts[split]):
            stamp = 1_700_000_000_000_000_000 + number * 1_000_003
            version = f"32044-{number}-{stamp}-{stamp}"
            found.add(Entry(f"{split}_{number:08d}.wav", 32044, version))
        parts.append(found.finish(problems))
    return concatenated(parts)


def _blocks(count: int) -> Iterator[range]:
    for start in range(0, count, BLOCK):
        yield range(start, min(start + BLOCK, count))


def _named(_function: Callable[[Job], Result], jobs: Sequence[Job]) -> Iterable[Result]:
    """Return an inspection of each job's files that depends on their names only."""
    return map(_inspected, jobs)  # type: ignore[arg-type]


def _inspected(job: InspectionJob) -> pd.DataFrame:
    digests = [xxh3_128_hexdigest(file.encode()) for file in job.files]
    return pd.DataFrame({"digest": digests, "repairs": "", "clipped": False, "reason": ""})
