"""Things that are made once per test session, also where pytest-xdist runs several workers."""

import fcntl
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest


def session_folder(factory: pytest.TempPathFactory) -> Path:
    """Return the temporary folder that all workers of pytest-xdist share."""
    base = factory.getbasetemp()
    return base.parent if "PYTEST_XDIST_WORKER" in os.environ else base


def once_per_session(
    factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]
) -> Path:
    """Return a folder that the first worker to ask makes; others wait for it.

    A worker that fails leaves no mark, so that the next one reports the same failure.

    Args:
        factory: Of the calling fixture.
        name: Of the folder.
        make: Receives the path of an empty folder and fills it.
    """
    common = session_folder(factory)
    folder, done = common / f"shared-{name}", common / f"shared-{name}.done"
    with (common / f"shared-{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists():
            if folder.exists():
                folder.rename(factory.mktemp("failed") / name)
            folder.mkdir()
            make(folder)
            done.touch()
    return folder


def write_facts(folder: Path, **facts: str | int) -> None:
    """Keep facts about a shared folder for the workers that did not make it."""
    (folder / "facts.json").write_text(json.dumps(facts))


def read_facts(folder: Path) -> dict[str, str | int]:
    """Return the facts about a shared folder."""
    return dict(json.loads((folder / "facts.json").read_text()))
