"""The processes that train and predict: what they import, what they print, what they report."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from overlap.errors import ChildError
from overlap.io.location import Location
from overlap.system.child_process import CHILD_ENV, run_child
from support.errors import raises
from support.trials import trial

REPORTS_KERAS = """
import sys
from overlap.system.child_process import child_main
import yaml

def work(emit):
    import typer
    print("while it works")
    emit({"yaml": yaml.__file__, "typer": typer.__file__})

sys.exit(child_main(work))
"""
STRAY = """
import os, sys
from overlap.system.child_process import CHILD_ENV, child_main

os.write(int(os.environ[CHILD_ENV]), b"a plugin greets you\\n")
sys.exit(child_main(lambda emit: emit({"event": "done"})))
"""


@pytest.fixture
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder on the path of children, that is not the current folder."""
    folder = tmp_path / "modules"
    folder.mkdir()
    path = os.pathsep.join([str(folder), *filter(None, [os.getenv("PYTHONPATH")])])
    monkeypatch.setenv("PYTHONPATH", path)
    monkeypatch.delenv("PYTHONSAFEPATH", raising=False)
    return folder


def reports_of(module: str, log: Location | None = None) -> list[Any]:
    reports: list[Any] = []
    run_child(module, [], reports.append, log=log)
    return reports


@trial(
    "A",
    "`yaml.py`, `typer.py` and a copy of `overlap/` in the current folder",
    source="own",
    before="the child runs them: wrong numbers with exit code 0, or code of a downloaded folder",
    now="the child imports the installed packages",
)
def test_a_child_imports_nothing_from_the_current_folder(
    modules: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (modules / "reporting_child.py").write_text(REPORTS_KERAS)
    place = tmp_path / "hostile"
    (place / "overlap").mkdir(parents=True)
    for name in ("yaml.py", "typer.py", "reporting_child.py", "json.py", "overlap/__init__.py"):
        (place / name).write_text("import os; os._exit(97)")
    monkeypatch.chdir(place)
    (report,) = reports_of("reporting_child")
    assert not [file for file in report.values() if Path(file).is_relative_to(place)]


@pytest.mark.parametrize(
    "file",
    [
        pytest.param(
            "sitecustomize.py",
            marks=trial(
                "A", "`sitecustomize` prints when Python starts", source="own",
                before="JSONDecodeError: the training fails",
                now="the training succeeds; the text is in the member's log",
            ),
        ),
        pytest.param(
            "yaml.py",
            marks=trial(
                "A", "a package of the user's PYTHONPATH prints when it is imported", source="own",
                before="JSONDecodeError: the training fails",
                now="the training succeeds; the text is in the member's log",
            ),
        ),
    ],
)  # fmt: skip
def test_prints_while_a_child_starts(file: str, modules: Path, tmp_path: Path) -> None:
    (modules / "reporting_child.py").write_text(REPORTS_KERAS)
    (modules / file).write_text("import os\nprint('Welcome!')\nos.write(1, b'{\"event\": 1}\\n')")
    log = Location.of(tmp_path / "log.txt")
    (report,) = reports_of("reporting_child", log)
    assert report.keys() == {"yaml", "typer"}
    lines = Path(log.url).read_text().splitlines()
    assert sorted(lines) == ["Welcome!", "while it works", '{"event": 1}']


@trial(
    "A",
    "a plugin writes to the descriptor of the reports",
    source="own",
    before="JSONDecodeError: Expecting value: line 1 column 1 (char 0)",
    now="one sentence with the line and the module",
)
def test_a_stray_line_is_reported_with_its_text(modules: Path) -> None:
    (modules / "stray_child.py").write_text(STRAY)
    with raises(
        ChildError, "stray-output", module="stray_child", line="a plugin greets you"
    ) as raised:
        reports_of("stray_child")
    assert "a plugin greets you" in str(raised.value)


@trial(
    "A",
    "the package is upgraded while a worker of the earlier version runs",
    source="own",
    before="correct",
    now="the child reports to standard output, where a parent of the earlier version reads",
)
def test_a_child_of_an_earlier_parent(modules: Path) -> None:
    (modules / "reporting_child.py").write_text(REPORTS_KERAS)
    child = subprocess.Popen(
        [sys.executable, "-m", "reporting_child"], env=os.environ | {CHILD_ENV: "1"},
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert child.stdout is not None
    report = child.stdout.read()
    assert report.startswith('{"yaml": ')
    assert len(report.splitlines()) == 1
    assert child.wait(30) == 0
    child.communicate()


def test_a_child_leaves_no_file_open(modules: Path) -> None:
    (modules / "reporting_child.py").write_text(REPORTS_KERAS)
    reports_of("reporting_child")
    before = len([*Path("/dev/fd").iterdir()])
    reports_of("reporting_child")
    assert len([*Path("/dev/fd").iterdir()]) == before
