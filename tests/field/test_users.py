"""Commands of other users: a container's number without an account, and a service's account.

The tests need root, to change the user. Where the interpreter is in a folder that only root reads,
the process keeps the capability to read it; it gets no right to write.
"""

import os
import pwd
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from support.errors import printed_code
from support.running_service import missing
from support.trials import trial

CONTAINER_USER = 1234
READ_ALL = ("--inh-caps", "+dac_read_search", "--ambient-caps", "+dac_read_search")


@dataclass(frozen=True)
class Place:
    """A folder that every user can read, with copies of data, configuration and workspace."""

    folder: Path

    def arguments(self) -> tuple[object, ...]:
        """Return the arguments of the finished run."""
        workspace = ("--workspace", self.folder / "workspace")
        config = ("--config", self.folder / "tiny.yaml")
        return ("run", "--data", self.folder / "data", *config, *workspace)

    def give_to(self, user: int) -> None:
        """Make a user the owner of the workspace."""
        for path in (self.folder, *self.folder.glob("workspace/**/*"), self.folder / "workspace"):
            os.chown(path, user, user)


@pytest.fixture
def place(finished, data: Path, tiny: Path) -> Iterator[Place]:
    """Copies in a folder of their own: only root reads pytest's temporary folders."""
    if os.geteuid() != 0:
        missing("only root can change the user of a process")
    if not shutil.which("setpriv"):
        missing("setpriv is not installed")
    with tempfile.TemporaryDirectory(prefix="overlap-user-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        shutil.copytree(finished.workspace, folder / "workspace")
        shutil.copytree(data, folder / "data")
        shutil.copy(tiny, folder / "tiny.yaml")
        yield Place(folder)


def as_user(user: int) -> tuple[str, ...]:
    """Return the command in front of another that changes the user."""
    change = ("setpriv", "--reuid", str(user), "--regid", str(user), "--clear-groups")
    python = Path(sys.executable).resolve()
    public = all(folder.stat().st_mode & 0o001 for folder in python.parents)
    return change if public else (*change, *READ_ALL)


@trial(
    "W",
    "`docker run --user 1234`: no account, HOME=/, which cannot be written: `overlap run` and "
    "`overlap predict`",
    source="OmegaVVeapon/kopf-k8s-sidecar#12",
    before="a traceback",
    now="the run ends with exit code 0 and computes nothing; the table has every clip",
)
def test_a_user_without_an_account(run, place: Place) -> None:
    with pytest.raises(KeyError):
        pwd.getpwuid(CONTAINER_USER)
    place.give_to(CONTAINER_USER)
    container = {"prefix": as_user(CONTAINER_USER), "folder": Path("/"), "extra": {"HOME": "/"}}
    done = run(*place.arguments(), **container)
    assert done.code == 0, done.err
    assert "submission.csv" in done.out
    clips, table = place.folder / "data" / "test", place.folder / "new.csv"
    options = ("--workspace", place.folder / "workspace", "--out", table)
    done = run("predict", clips, *options, **container)
    assert done.code == 0, done.err
    assert len(table.read_text().splitlines()) == 1 + len([*clips.iterdir()])


@trial(
    "W",
    "a service user without HOME, whose account names a folder that does not exist: "
    "`overlap features` in a new workspace",
    source="librosa/librosa#1156",
    before="a traceback of Numba: no locator available",
    now="exit code 0; database and machine code are in a temporary folder",
)
def test_a_service_user(run, place: Place) -> None:
    try:
        account = pwd.getpwnam("nobody")
    except KeyError:
        missing("there is no account `nobody`")
    if Path(account.pw_dir).exists():
        missing("the account `nobody` has a home")
    place.give_to(account.pw_uid)
    arguments = ("features", *place.arguments()[1:], "--workspace", place.folder / "new")
    done = run(
        *arguments, prefix=as_user(account.pw_uid), folder=place.folder,
        without=("HOME", "COLUMNS", "NO_COLOR", "LANG"),
    )  # fmt: skip
    assert done.code == 0, done.err
    assert (place.folder / "new" / "features.zarr").is_dir()


@pytest.mark.extended
@trial(
    "W",
    "a workspace of another user: `overlap run`",
    source="own",
    before="correct",
    now="exit code 1, one sentence that names the file; nothing is written",
)
def test_a_workspace_of_another_user(run, place: Place) -> None:
    seed = ("--set", "training.seed=5")
    done = run(
        *place.arguments(), *seed, prefix=as_user(CONTAINER_USER), folder=Path("/"),
        extra={"HOME": "/"},
    )  # fmt: skip
    assert (done.code, printed_code(done.err)) == (1, "storage"), done.err
    assert "Traceback" not in done.err
