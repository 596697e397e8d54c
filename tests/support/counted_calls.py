"""Counts what a run should do once: listing data, loading the catalogue, locking, reading files."""

from collections import Counter
from contextlib import AbstractContextManager

import pytest

from overlap.catalog import Catalog, Listing, list_data
from overlap.config.features import LabelTableFormat
from overlap.io.location import Location
from overlap.workspace import workspace as module

Calls = Counter[str]


def counted_calls(monkeypatch: pytest.MonkeyPatch) -> Calls:
    """Count listings, loads of the catalogue and acquisitions of the run lock from now on."""
    counted: Calls = Counter()
    load, lock = Catalog.load, module.run_lock

    def list_counted(address: Location, label_format: LabelTableFormat) -> Listing:
        counted["list"] += 1
        return list_data(address, label_format)

    def load_counted(workspace: Location) -> Catalog:
        counted["load"] += 1
        return load(workspace)

    def lock_counted(workspace: Location, **options) -> AbstractContextManager[None]:
        counted["lock"] += 1
        return lock(workspace, **options)

    monkeypatch.setattr(module, "list_data", list_counted)
    monkeypatch.setattr(Catalog, "load", load_counted)
    monkeypatch.setattr(module, "run_lock", lock_counted)
    return counted


def counted_reads(monkeypatch: pytest.MonkeyPatch) -> Calls:
    """Count the readings of files from now on, by the name of the file."""
    counted: Calls = Counter()
    read = Location.read_bytes

    def read_counted(location: Location) -> bytes:
        counted[location.name] += 1
        return read(location)

    monkeypatch.setattr(Location, "read_bytes", read_counted)
    return counted
