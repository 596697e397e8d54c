"""Where commands and their processes import packages from; each test is a process of its own."""

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from overlap.system.import_path import OWN_FOLDER, child_environment
from support.processes import console_script
from support.trials import trial

NAMES = (
    *("keras", "numpy", "prefect", "dask", "yaml", "typer", "rich", "pydantic", "zarr", "pandas"),
    *("logging", "typing", "json", "csv", "re", "email", "enum", "dataclasses", "random", "copy"),
    *("flows", "tasks", "deployments", "matplotlib", "numba", "soundfile", "distributed", "types"),
)
"""Modules that commands import, of this project, of packages and of Python."""
EARLIER = "from flows.cli.main import main; main()"


def packages(folder: Path, *names: str, content: str = "") -> Path:
    """Create packages that are not ours."""
    for name in names:
        (folder / name).mkdir(parents=True)
        (folder / name / "__init__.py").write_text(content)
    return folder


def hostile(folder: Path) -> Path:
    """A folder in which every import that reaches it ends the process with code 97."""
    folder.mkdir()
    for name in NAMES:
        (folder / f"{name}.py").write_text("import os; os._exit(97)")
    return folder


def call(
    *command: object, folder: Path, extra: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": OWN_FOLDER, "NO_COLOR": "1", **(extra or {})}
    if "PYTHONSAFEPATH" not in (extra or {}):
        environment.pop("PYTHONSAFEPATH", None)
    return subprocess.run(
        [*map(str, command)], cwd=folder, env=environment, capture_output=True, text=True,
        timeout=120, check=False,
    )  # fmt: skip


@trial(
    "F",
    "PYTHONPATH names a folder with a package `flows`",
    source="PrefectHQ/prefect#16998",
    before="ModuleNotFoundError: No module named 'flows.cli'",
    now="the command runs with its own `flows`",
)
@pytest.mark.parametrize("start", ["console script", "python -m"])
def test_another_package_flows_on_the_path(start: str, tmp_path: Path) -> None:
    theirs = packages(tmp_path / "pp", "flows", "tasks")
    command = (
        [console_script(tmp_path)]
        if start == "console script"
        else [sys.executable, "-m", "overlap"]
    )
    path = os.pathsep.join([str(theirs), OWN_FOLDER])
    done = call(*command, "--help", folder=tmp_path, extra={"PYTHONPATH": path})
    assert done.returncode == 0, done.stderr
    assert "Usage:" in done.stdout


@pytest.mark.extended
@pytest.mark.parametrize(
    "make",
    [
        pytest.param(
            lambda folder: packages(folder, "tasks"),
            marks=trial(
                "F",
                "PYTHONPATH names a folder with a package `tasks` only",
                source="PrefectHQ/prefect#16154",
                before="ModuleNotFoundError when the flow starts",
                now="flows, tasks and their children are those of overlap",
            ),
        ),
        pytest.param(
            lambda folder: (folder.mkdir(), (folder / "tasks.py").touch(), folder)[-1],
            marks=trial(
                "F",
                "PYTHONPATH names a folder with a file `tasks.py`",
                source="own",
                before="'tasks' is not a package",
                now="flows, tasks and their children are those of overlap",
            ),
        ),
        pytest.param(
            lambda folder: ((folder / "flows").mkdir(parents=True), folder)[-1],
            marks=trial(
                "F",
                "PYTHONPATH names a folder with a folder `flows` without `__init__.py`",
                source="own",
                before="correct",
                now="flows, tasks and their children are those of overlap",
            ),
        ),
    ],
)
def test_flows_tasks_and_children_are_ours(make: Callable[[Path], Path], tmp_path: Path) -> None:
    theirs = make(tmp_path / "pp")
    program = (
        "import subprocess, sys\n"
        "from overlap.__main__ import PACKAGES\n"
        "from overlap.system.import_path import own_packages_first\n"
        "own_packages_first(PACKAGES)\n"
        "import flows.retrain, tasks.members\n"
        "print(flows.__file__); print(tasks.__file__, flush=True)\n"
        "code = 'import flows, tasks; print(flows.__file__); print(tasks.__file__)'\n"
        "subprocess.run([sys.executable, '-c', code], check=True)\n"
    )
    path = os.pathsep.join([str(theirs), OWN_FOLDER])
    done = call(sys.executable, "-c", program, folder=tmp_path, extra={"PYTHONPATH": path})
    assert done.returncode == 0, done.stderr
    ours = [f"{OWN_FOLDER}/{name}/__init__.py" for name in ("flows", "tasks")]
    assert done.stdout.splitlines() == ours * 2


@trial(
    "F",
    "sitecustomize imports a package `flows` before overlap starts",
    source="own",
    before="ModuleNotFoundError: No module named 'flows.cli'",
    now="one sentence that names the folder, exit code 2",
)
def test_another_package_flows_is_loaded_already(tmp_path: Path) -> None:
    theirs = packages(tmp_path / "pp", "flows")
    (theirs / "sitecustomize.py").write_text("import flows")
    path = os.pathsep.join([str(theirs), OWN_FOLDER])
    done = call(console_script(tmp_path), "--help", folder=tmp_path, extra={"PYTHONPATH": path})
    assert done.returncode == 2
    assert done.stderr.endswith("[foreign-package]\n")
    assert len(done.stderr.splitlines()) == 1
    assert str(theirs) in done.stderr


@pytest.mark.parametrize(
    ("start", "path"),
    [
        pytest.param(
            "console script", "{own}",
            marks=trial(
                "A", "a folder full of files named as modules: `overlap --help`",
                source="pdm-project/pdm#3775", before="correct", now="none of them runs",
            ),
        ),
        pytest.param(
            "python -m", "{own}",
            marks=trial(
                "A", "a folder full of files named as modules: `python -m overlap --help`",
                source="python/cpython#101210", before="`python -m overlap` did not exist",
                now="none of them runs",
            ),
        ),
        pytest.param(
            "console script", "{own}:",
            marks=trial(
                "A", "`PYTHONPATH=$PYTHONPATH:` adds the current folder by an empty entry",
                source="own", before="the files in the current folder run",
                now="those of overlap's and other packages run",
            ),
        ),
    ],
)  # fmt: skip
def test_a_folder_full_of_names_of_modules(start: str, path: str, tmp_path: Path) -> None:
    script = console_script(tmp_path)
    place = hostile(tmp_path / "hostile")
    for name in ("types", "typing", "re", "enum", "copy", "random", "email", "csv", "json",
                 "logging", "dataclasses"):  # fmt: skip
        if path.endswith(":"):  # Python itself imports them before any code of ours runs
            (place / f"{name}.py").unlink()
    if start == "python -m":  # runpy imports them
        (place / "types.py").unlink()
    command = [script] if start == "console script" else [sys.executable, "-m", "overlap"]
    extra = {"PYTHONPATH": path.format(own=OWN_FOLDER)}
    done = call(*command, "--help", folder=place, extra=extra)
    assert done.returncode == 0, done.stderr
    done = call(*command, "models", "list", "--workspace", "w", folder=place, extra=extra)
    assert done.returncode == 0, done.stderr
    assert "overlap run" in done.stdout


@trial(
    "A",
    "`python -m overlap` where the current folder is the clone",
    source="own",
    before="`python -m overlap` did not exist",
    now="the command runs from the clone, without an installation",
)
def test_the_clone_is_the_current_folder() -> None:
    program = "import os; print(os.environ['PYTHONPATH'], os.environ['PYTHONSAFEPATH'])"
    command = "from overlap.__main__ import main; import flows; " + program
    done = call(sys.executable, "-c", command, folder=Path(OWN_FOLDER), extra={"PYTHONPATH": ""})
    assert done.stdout.split() == [OWN_FOLDER, "1"], done.stderr


RUN = """
import os, sys
sys.path.insert(0, os.getcwd())  # as Prefect does while it imports a flow
import flows
sys.path.remove(os.getcwd())
print(os.getcwd() in sys.path[1:], os.getcwd() in os.environ["PYTHONPATH"].split(os.pathsep))
import keras
"""


def test_a_flow_run_searches_its_working_directory_last(tmp_path: Path) -> None:
    (tmp_path / "keras.py").write_text("print('theirs')")
    (tmp_path / "ours").mkdir()
    (tmp_path / "ours" / "keras.py").write_text("print('ours')")
    path = os.pathsep.join(map(str, (tmp_path, tmp_path / "ours", OWN_FOLDER)))
    extra = {"PYTHONPATH": path, "PREFECT__FLOW_RUN_ID": "1"}
    done = call(sys.executable, "-c", RUN, folder=tmp_path, extra=extra)
    assert done.stdout.split() == ["True", "False", "ours"], done.stderr


def test_a_flow_run_that_has_loaded_a_foreign_module_is_refused(tmp_path: Path) -> None:
    (tmp_path / "wave.py").touch()
    extra = {"PYTHONPATH": f"{tmp_path}{os.pathsep}{OWN_FOLDER}", "PREFECT__FLOW_RUN_ID": "1"}
    done = call(sys.executable, "-c", "import wave; import flows", folder=tmp_path, extra=extra)
    assert done.returncode == 1
    assert "`wave`" in done.stderr.splitlines()[-1]


def test_scripts_of_earlier_installations_still_start(tmp_path: Path) -> None:
    done = call(sys.executable, "-c", EARLIER, "--help", folder=tmp_path)
    assert done.returncode == 0, done.stderr


def test_the_environment_of_children() -> None:
    made = child_environment({"PYTHONPATH": os.pathsep.join(["", "/a", "", "/b"]), "X": "y"})
    assert made["PYTHONPATH"].split(os.pathsep) == [OWN_FOLDER, "/a", "/b"]
    assert (made["PYTHONSAFEPATH"], made["X"]) == ("1", "y")
    assert child_environment(made) == made


def test_installed_packages_come_first_only_where_others_hide_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or packages with the name of a standard module would come before that."""
    monkeypatch.setattr("overlap.system.import_path._of_installed_packages", lambda _folder: True)
    theirs = str(packages(tmp_path, "flows"))
    assert "PYTHONPATH" not in child_environment({})
    assert child_environment({"PYTHONPATH": theirs})["PYTHONPATH"] == theirs
    found = child_environment({"PYTHONPATH": theirs}, ("flows", "tasks"))["PYTHONPATH"]
    assert found.split(os.pathsep) == [OWN_FOLDER, theirs]
