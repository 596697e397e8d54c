"""Benchmark of listing a data set: files per second, compared with a bare loop or a bare client.

On a local disk the bare loop is `os.scandir` with `stat` of each file; on an S3-compatible server
the bare client is the one that s3fs uses itself, which requests all pages of `list_objects_v2` and
keeps nothing. Both ways alternate, over the same empty files.
"""

import os
import secrets
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import fsspec
import fsspec.asyn
import numpy as np

from overlap.catalog.listing import LABELS, list_data
from overlap.errors import BenchError, UserError
from overlap.io.location import Location
from overlap.io.storage_errors import storage_errors

OURS: Final = "list_data"
LABELS_OF_ONE: Final = b"id,one,two\ntrain_0000000,0.5,0.5\n"
"""The smallest table of labels: without one, `list_data` searches for other formats."""


@dataclass(frozen=True)
class ListingRow:
    """Result of one way to list the files."""

    name: str
    files_per_second: float
    """Median over the rounds."""
    files_per_cpu_second: float
    """Per second of processor time of this process, not of the server; median over the rounds."""
    ratio: float
    """Files per second relative to the bare way in the same round; median over the rounds."""
    cpu_ratio: float
    """The same for files per CPU-second."""


def bench_listing(files: int, rounds: int, address: str | None = None) -> list[ListingRow]:
    """Write empty files, list them in both ways, and remove them.

    Args:
        files: Number of files.
        rounds: Each round measures each way once.
        address: An s3:// folder, below which a new one is filled; None: a temporary folder.

    Raises:
        UserError: the address is neither (code `not-s3`).
        StorageError: the address cannot be written.
        BenchError: a way found another number of files.
    """
    if address is not None and not address.startswith("s3://"):
        raise UserError(
            f"--address {address}: give an address that begins with s3://, or none",
            code="not-s3",
            address=address,
        )
    with _local(files) if address is None else _remote(files, address) as (place, name, bare):
        ways: dict[str, Callable[[], int]] = {name: bare, OURS: lambda: _listed(place)}
        measured: dict[str, list[tuple[float, float]]] = {way: [] for way in ways}
        for number in range(rounds + 1):
            for way, count in ways.items():
                wall, processor = time.perf_counter(), time.process_time()
                found = count()
                taken = time.perf_counter() - wall, time.process_time() - processor
                if found != files:
                    raise BenchError(f"{way} found {found} of {files} files", way=way, found=found)
                if number:  # the first round connects and fills caches
                    measured[way].append(taken)
    seconds = {way: np.array(taken).T for way, taken in measured.items()}
    return [
        ListingRow(
            name=way,
            files_per_second=files / float(np.median(wall)),
            files_per_cpu_second=files / float(np.median(processor)),
            ratio=float(np.median(seconds[name][0] / wall)),
            cpu_ratio=float(np.median(seconds[name][1] / processor)),
        )
        for way, (wall, processor) in seconds.items()
    ]


def _listed(place: Location) -> int:
    return len(list_data(place).files)


def _name(number: int) -> str:
    return f"train_{number:07d}.wav"


@contextmanager
def _local(files: int) -> Iterator[tuple[Location, str, Callable[[], int]]]:
    with tempfile.TemporaryDirectory(prefix="overlap-bench-") as folder:
        train = Path(folder, "train")
        train.mkdir()
        Path(folder, LABELS).write_bytes(LABELS_OF_ONE)
        for number in range(files):
            (train / _name(number)).touch()

        def bare() -> int:
            with os.scandir(train) as found:
                return sum(item.stat().st_size == 0 for item in found)

        yield Location(folder), "os.scandir and stat", bare


@contextmanager
def _remote(files: int, address: str) -> Iterator[tuple[Location, str, Callable[[], int]]]:
    place = Location.of(address) / f"overlap-bench-{secrets.token_hex(4)}"
    filesystem, path = fsspec.core.url_to_fs(place.url)
    bucket, _, key = path.partition("/")

    async def pages() -> int:
        client = await filesystem.set_session()
        pages: Any = client.get_paginator("list_objects_v2")
        found = 0
        async for page in pages.paginate(Bucket=bucket, Prefix=f"{key}/train/", Delimiter="/"):
            found += len(page.get("Contents", ()))
        return found

    def bare() -> int:
        return int(fsspec.asyn.sync(filesystem.loop, pages))

    try:
        with storage_errors(place):
            filesystem.pipe({f"{path}/train/{_name(number)}": b"" for number in range(files)})
        (place / LABELS).write_bytes(LABELS_OF_ONE)
        yield place, "list_objects_v2, all pages", bare
    finally:
        place.remove()
