"""The service as a whole: minutes. `make test` skips these tests, `make test-e2e` runs them.

With OVERLAP_SKIP_NOTHING=1 what is missing on the machine is a failure instead of a skip.
"""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.running_service import Service, serving

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if os.environ.get("OVERLAP_E2E") != "1":
        skip = pytest.mark.skip(reason="the service as a whole takes minutes: make test-e2e")
        for item in items:
            if item.path.is_relative_to(HERE):
                item.add_marker(skip)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A server on SQLite for the tests of one file."""
    with serving(tmp_path_factory.mktemp("service")) as running:
        yield running


@pytest.fixture(scope="module")
def clips(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data set, to be changed."""
    return Path(shutil.copytree(data, tmp_path_factory.mktemp("clips") / "data"))
