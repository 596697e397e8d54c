"""Commands in folders whose files have names that Python, Prefect and other packages look for."""

import os
import shutil
from pathlib import Path

import pytest
from distributed import Client

from support.dask_processes import scheduler, worker
from support.processes import console_script
from support.trials import trial
from tasks.on_worker import WorkerRequirements, portable_call

ROOT = Path(__file__).resolve().parents[2]
NAMES = (
    *("keras", "numpy", "prefect", "dask", "yaml", "typer", "rich", "pydantic", "zarr", "pandas"),
    *("logging", "typing", "json", "csv", "re", "email", "enum", "dataclasses", "random", "copy"),
    *("flows", "tasks", "deployments", "matplotlib", "numba", "soundfile", "distributed", "types"),
    *("uvicorn", "tensorflow", "multiprocessing", "h5py", "sqlalchemy", "fastapi", "httpx"),
)


@pytest.fixture
def script(tmp_path: Path) -> Path:
    """The console script of this version."""
    return console_script(tmp_path)


@pytest.fixture
def hostile(tmp_path: Path) -> Path:
    """A folder with a changed copy of the package, and a file for every other import."""
    place = tmp_path / "hostile"
    shutil.copytree(ROOT / "overlap", place / "overlap")
    for name in ("prediction/worker.py", "training/saved.py", "catalog/__init__.py"):
        (place / "overlap" / name).write_text("import os; os._exit(97)")
    for name in NAMES:
        (place / f"{name}.py").write_text("import os; os._exit(97)")
    return place


@trial(
    "A",
    "a folder full of names of modules, and a changed copy of `overlap/`: `overlap pool`",
    source="own",
    before="Prefect's server and Dask's workers run the files",
    now="exit code 0; nothing is computed again",
)
def test_a_run_among_names_of_modules(run, again, hostile: Path, script: Path) -> None:
    done = run(*again, folder=hostile, script=script)
    assert done.code == 0, done.err
    assert "submission.csv" in done.out


@trial(
    "A",
    "the same folder: `overlap show` and `overlap predict`",
    source="own",
    before="the copy's probabilities, with exit code 0",
    now="the probabilities of the ensemble",
)
def test_predictions_among_names_of_modules(
    run, finished, data: Path, hostile: Path, script: Path, tmp_path: Path
) -> None:
    workspace = shutil.copytree(finished.workspace, tmp_path / "workspace")
    clip = min((data / "test").iterdir())
    shown = run(
        "show", clip, "--workspace", workspace, "--out", "x.png", folder=hostile, script=script
    )
    assert shown.code == 0, shown.err
    assert (hostile / "x.png").stat().st_size > 10_000
    options = ("--workspace", workspace, "--out")
    done = run("predict", data / "test", *options, "here.csv", folder=hostile, script=script)
    assert done.code == 0, done.err
    expected = run("predict", data / "test", *options, tmp_path / "elsewhere.csv", script=script)
    assert expected.code == 0, expected.err
    assert (hostile / "here.csv").read_bytes() == (tmp_path / "elsewhere.csv").read_bytes()


@trial(
    "F",
    "PYTHONPATH names a Prefect project with `flows/` and `tasks/`: `overlap pool`",
    source="PrefectHQ/prefect#16998",
    before="ModuleNotFoundError",
    now="exit code 0; nothing is computed again",
)
def test_a_run_with_another_project_on_the_path(run, again, script: Path, tmp_path: Path) -> None:
    for name in ("flows", "tasks", "deployments"):
        (tmp_path / "pp" / name).mkdir(parents=True)
        (tmp_path / "pp" / name / "__init__.py").touch()
    known = filter(None, [str(tmp_path / "pp"), os.environ.get("PYTHONPATH")])
    done = run(*again, script=script, extra={"PYTHONPATH": os.pathsep.join(known)})
    assert done.code == 0, done.err
    assert "submission.csv" in done.out


@pytest.mark.extended
@trial(
    "F",
    "a Dask worker whose PYTHONPATH has another package `tasks` first",
    source="PrefectHQ/prefect#16419",
    before="ModuleNotFoundError: No module named 'tasks.on_worker'",
    now="the job runs with the `tasks` of overlap",
)
def test_a_worker_with_another_package_tasks(tmp_path: Path) -> None:
    import overlap

    theirs = tmp_path / "pp" / "tasks"
    theirs.mkdir(parents=True)
    (theirs / "__init__.py").touch()
    path = os.pathsep.join([str(theirs.parent), str(ROOT)])
    changed = os.environ | {"PYTHONPATH": path}
    job = portable_call(WorkerRequirements(overlap.__version__, ()), os.getpid)
    with (
        scheduler(tmp_path / "logs") as address,
        worker(address, tmp_path / "logs", "other", environment=changed, folder=tmp_path / "pp"),
        Client(address, set_as_default=False) as client,
    ):
        client.wait_for_workers(1, timeout=60)
        assert client.submit(job, pure=False).result(timeout=60) != os.getpid()


@pytest.mark.extended
@pytest.mark.parametrize(
    ("name", "content"),
    [
        pytest.param(
            "prefect.toml", b"x = [",
            marks=trial(
                "H", "a damaged `prefect.toml` in the current folder",
                source="PrefectHQ/prefect#15602", before="a traceback, a bug in overlap",
                now="one sentence with the file, exit code 2",
            ),
        ),
        pytest.param(
            ".env", b"NAME=caf\xe9\n",
            marks=trial(
                "H", "a `.env` of another program, in Latin-1, in the current folder", source="own",
                before="a traceback, a bug in overlap",
                now="one sentence with the file, exit code 2",
            ),
        ),
        pytest.param(
            ".env", b"PREFECT_API_REQUEST_TIMEOUT=soon\n",
            marks=trial(
                "H", "a `.env` with a value that Prefect refuses",
                source="PrefectHQ/prefect#15943", before="a traceback, a bug in overlap",
                now="one sentence with the file and the setting, exit code 2",
            ),
        ),
        pytest.param(
            "pyproject.toml", b"[tool.prefect",
            marks=trial(
                "H", "a damaged `pyproject.toml` in the current folder",
                source="PrefectHQ/prefect#16044", before="a traceback, a bug in overlap",
                now="one sentence with the file, exit code 2",
            ),
        ),
    ],
)  # fmt: skip
def test_settings_files_of_prefect(
    run, data: Path, tmp_path: Path, script: Path, name: str, content: bytes
) -> None:
    (tmp_path / "place").mkdir()
    (tmp_path / "place" / name).write_bytes(content)
    done = run(
        "run", "--data", data, "--workspace", tmp_path / "w", folder=tmp_path / "place",
        script=script,
    )  # fmt: skip
    assert done.code == 2, done.err
    assert done.err.endswith("[prefect-settings]\n")
    assert str(tmp_path / "place" / name) in done.err
    assert "Traceback" not in done.err
    assert ("request_timeout" in done.err) == (b"soon" in content)
    assert "soon" not in done.err.splitlines()[-1]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        pytest.param(
            "matplotlibrc", b"text.usetex: True\nfigure.dpi: 3\n",
            marks=trial(
                "H", "a `matplotlibrc` of a publication in the current folder", source="own",
                before="pictures need TeX", now="pictures are the same in every folder",
            ),
        ),
        pytest.param(
            "matplotlibrc", b"\xff\xfe\x00",
            marks=trial(
                "H", "a `matplotlibrc` in another encoding", source="own",
                before="UnicodeDecodeError", now="pictures are the same in every folder",
            ),
        ),
        pytest.param(
            ".numba_config.yaml", b"disable_jit: 1\n",
            marks=trial(
                "H", "a `.numba_config.yaml` that disables compilation",
                source="numba/numba#2870", before="the features are computed without the kernel",
                now="pictures are the same in every folder",
            ),
        ),
        pytest.param(
            ".numba_config.yaml", b"a: [",
            marks=trial(
                "H", "a damaged `.numba_config.yaml`", source="numba/numba#2870",
                before="a traceback, a bug in overlap", now="pictures are the same in every folder",
            ),
        ),
        pytest.param(
            "dask.yaml", b"a: [",
            marks=trial(
                "H", "a damaged `dask.yaml` in the current folder", source="own",
                before="correct", now="pictures are the same in every folder",
            ),
        ),
    ],
)  # fmt: skip
def test_pictures_do_not_depend_on_the_folder(
    run, finished, data: Path, tmp_path: Path, script: Path, name: str, content: bytes
) -> None:
    clip = min((data / "train").iterdir())
    pictures = []
    for place in ("empty", "other"):
        (tmp_path / place).mkdir()
        if place == "other":
            (tmp_path / place / name).write_bytes(content)
        options = ("show", clip, "--workspace", finished.workspace, "--out", "x.png")
        done = run(*options, folder=tmp_path / place, script=script)
        assert done.code == 0, done.err
        pictures.append((tmp_path / place / "x.png").read_bytes())
    assert pictures[0] == pictures[1]
