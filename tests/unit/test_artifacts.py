"""Artifacts of Prefect: their links."""

from pathlib import Path

import pytest

from overlap.io.location import Location
from overlap.reporting.links import ResultLinks, link_to
from support.run_steps import publish_record, published
from support.trials import trial


@trial(
    "R",
    "a workspace in a folder named `my data #1 (50%)`",
    source="own",
    before="the link of the report in Prefect's UI ended at the first blank",
    now="blanks, `#` and `%` are escaped",
)
@pytest.mark.parametrize(
    ("place", "expected"),
    [
        ("/my data #1 (50%)/report.html", "file:///my%20data%20%231%20%2850%25%29/report.html"),
        ("s3://bucket/a b/report.html", "s3://bucket/a%20b/report.html"),
        ("/plain/report.html", "file:///plain/report.html"),
    ],
)
def test_a_link_is_escaped(place: str, expected: str) -> None:
    assert link_to(Location.of(place if "://" in place else Path(place))) == expected


@pytest.mark.parametrize("view", [None, "http://team.example/overlap", "http://team.example/"])
def test_results_are_files_or_pages(workspace: Location, view: str | None) -> None:
    record = published("v1")
    links = ResultLinks(workspace, view)
    assert links.submission(record) is None
    publish_record(workspace, record)
    (workspace / "ensembles" / "v1" / "submission.csv").write_bytes(b"id\n")
    place = f"{view.rstrip('/')}/" if view else f"{link_to(workspace)}/"
    version = f"{place}versions/v1" if view else f"{place}ensembles/v1"
    file = f"{version}/files" if view else version
    assert links.overview.rstrip("/") == place.rstrip("/")
    assert links.ensemble(record) == version
    assert links.report(record) == f"{file}/report.html"
    assert links.submission(record) == f"{file}/submission.csv"
