"""Fixtures of the service as a whole: a Prefect server with deployments, workers and the UI.

With OVERLAP_SKIP_NOTHING=1 what is missing on the machine is a failure instead of a skip.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.running_service import Service, serving


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A server on SQLite for the tests of one file."""
    with serving(tmp_path_factory.mktemp("service")) as running:
        yield running


@pytest.fixture
def page() -> Iterator[Any]:
    """A page in a browser of a usual size; skipped without playwright."""
    from support import browser

    with browser.browser() as opened:
        size = {"width": 1300, "height": 1000}
        with browser.page(opened, viewport=size) as page:
            yield page


@pytest.fixture(scope="module")
def clips(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the data set that tests may change."""
    return Path(shutil.copytree(data, tmp_path_factory.mktemp("clips") / "data"))
