"""Time and memory of the catalogue for any number of clips, from a generated listing.

No file of a clip exists: the listing is generated, and the inspection of a file is replaced by a
function that returns a digest of its name. Everything else is the code of a run: the catalogue is
built, saved, loaded, and compared with the same listing.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

import numpy as np
import pandas as pd
from xxhash import xxh3_128_hexdigest

from overlap.bench.phases import PhaseRecorder
from overlap.bench.scale import TEST_SHARE, WORDS
from overlap.catalog import Catalog, Listing, build_catalog
from overlap.catalog.inspection import InspectionJob
from overlap.catalog.rows import Split
from overlap.catalog.tables.label_tables import Table
from overlap.config import ChecksConfig, FeatureConfig
from overlap.io.location import Location

TABLES = ("train_answer.csv", "submission.csv")
"""Names of the tables of the training and the test clips."""
_CHUNK = 65_536
"""Names that are generated at once."""
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
    with phases.phase("generate a listing and its tables"):
        listing = generated_listing(workspace / "data", clips)
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


def generated_listing(data: Location, clips: int) -> Listing:
    """Return the listing of a data set that does not exist, with labels and a template.

    Args:
        data: Address of the folder, which is not read.
        clips: Number of clips, of which one of `TEST_SHARE` is a test clip.
    """
    test = clips // TEST_SHARE
    counts: dict[Split, int] = {"train": clips - test, "test": test}
    files = pd.concat([_files(split, n) for split, n in counts.items()], ignore_index=True)
    random = np.random.default_rng(0)
    tables = {
        split: Table(
            name=name,
            ids=tuple(files.loc[files["split"] == split, "clip_id"]),
            words=WORDS,
            values=random.dirichlet(np.ones(len(WORDS)), count),
        )
        for (split, count), name in zip(counts.items(), TABLES, strict=True)
    }
    return Listing(data, files, tables["train"], tables["test"], None)


def _files(split: Split, count: int) -> pd.DataFrame:
    """Return the files of one split; names and versions are as long as usual."""
    parts = []
    for start in range(0, max(1, count), _CHUNK):
        numbers = range(start, min(start + _CHUNK, count))
        stamps = [1_700_000_000_000_000_000 + number * 1_000_003 for number in numbers]
        parts.append(
            pd.DataFrame(
                {
                    "split": pd.Series([split] * len(numbers), dtype="str"),
                    "clip_id": pd.Series([f"{split}_{n:08d}" for n in numbers], dtype="str"),
                    "file": pd.Series(
                        [f"{split}/{split}_{n:08d}.wav" for n in numbers], dtype="str"
                    ),
                    "version": pd.Series(
                        [f"32044-{n}-{t}-{t}" for n, t in zip(numbers, stamps, strict=True)],
                        dtype="str",
                    ),
                }
            )
        )
    return pd.concat(parts, ignore_index=True)


def _named(_function: Callable[[Job], Result], jobs: Sequence[Job]) -> Iterable[Result]:
    """Return an inspection of each job's files that depends on their names only."""
    return map(_inspected, jobs)  # type: ignore[arg-type]


def _inspected(job: InspectionJob) -> pd.DataFrame:
    digests = [xxh3_128_hexdigest(file.encode()) for file in job.files]
    return pd.DataFrame({"digest": digests, "repairs": "", "clipped": False, "reason": ""})
