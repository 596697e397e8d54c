"""Updates of one file by several processes: nothing lost, nothing written in vain."""

import subprocess
import sys
from pathlib import Path

import fsspec
import pytest

from overlap.errors import CorruptError, UserError
from overlap.io.atomic_update import update
from overlap.io.location import Location
from overlap.io.records import Record
from support.errors import raises


class Numbers(Record):
    """Content of the file."""

    known: tuple[int, ...] = ()


def adding(number: int):
    return lambda numbers: (Numbers(known=(*numbers.known, number)), len(numbers.known))


@pytest.fixture(params=["local", "memory"])
def file(request: pytest.FixtureRequest, tmp_path: Path) -> Location:
    if request.param == "local":
        yield Location.of(tmp_path / "folder" / "numbers.json")
        return
    yield Location.of(f"memory://{tmp_path.name}/numbers.json")
    fsspec.filesystem("memory").rm(f"/{tmp_path.name}", recursive=True)


def test_updates_build_on_the_current_content(file: Location) -> None:
    assert [update(file, Numbers, adding(number)) for number in (5, 7)] == [0, 1]
    assert file.read_record(Numbers).known == (5, 7)


def test_an_error_changes_nothing(file: Location) -> None:
    def refuse(_numbers: Numbers) -> tuple[Numbers, None]:
        raise UserError("refused", code="refused-by-test")

    with raises(UserError, "refused-by-test"):
        update(file, Numbers, refuse)
    assert not file.exists()
    file.write_bytes(b"damaged")
    with raises(CorruptError, "not-json"):
        update(file, Numbers, adding(1))
    assert file.read_bytes() == b"damaged"


def test_an_unchanged_content_is_not_written(tmp_path: Path) -> None:
    file = Location.of(tmp_path / "numbers.json")
    update(file, Numbers, adding(1))
    before = file.local.stat().st_ino
    assert update(file, Numbers, lambda numbers: (numbers, "same")) == "same"
    assert file.local.stat().st_ino == before


def test_processes_wait_for_each_other(tmp_path: Path) -> None:
    """Two processes update one file 30 times each; no change is lost."""
    here = Path(__file__).parent
    code = (
        f"import sys; sys.path[:0] = [{str(here)!r}, {str(here.parent)!r}]\n"
        "from test_atomic_update import Numbers, adding, update, Location\n"
        f"for n in range(30): update(Location({str(tmp_path / 'n.json')!r}), Numbers, adding(n))"
    )
    running = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(2)]
    assert [process.wait(120) for process in running] == [0, 0]
    known = Location.of(tmp_path / "n.json").read_record(Numbers).known
    assert sorted(known) == sorted([*range(30)] * 2)
