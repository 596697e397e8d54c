"""Artifacts of Prefect: their links."""

from pathlib import Path

import pytest

from overlap.io.location import Location
from overlap.reporting.html import link_to
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
