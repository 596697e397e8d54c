"""Flow runs of a Prefect worker in a folder whose files have names of modules."""

import shutil
from pathlib import Path

from support.process_fixtures import TIMEOUT
from support.running_service import serving
from support.trials import trial

NAMES = (
    *("keras", "tensorflow", "numba", "zarr", "dask", "distributed", "soundfile", "matplotlib"),
    *("h5py", "onnx", "onnxruntime", "pyarrow"),
)
"""Modules that a flow run or its children import, but Prefect does not before the flow."""


@trial(
    "A",
    "a process worker of Prefect whose runs work in a folder with files `keras.py`, `dask.py` and "
    "others",
    source="own",
    before="the flow run imports them: Prefect puts the working directory first on its path",
    now="the run trains a member and is completed; none of them runs",
)
def test_a_worker_among_names_of_modules(finished, data: Path, tiny: Path, tmp_path: Path) -> None:
    workspace = shutil.copytree(finished.workspace, tmp_path / "workspace")
    with serving(tmp_path) as service:
        service.overlap("deploy", "--data", data, "--workspace", workspace, "--config", tiny)
        for name in NAMES:
            (service.folder / f"{name}.py").write_text("import os; os._exit(97)")
        service.worker()
        run = service.start_run("retrain/retrain", {"ensemble": {"members": 3}})
        state, message = service.ended(run, 2 * TIMEOUT)
    assert state == "COMPLETED", message
    assert len([*workspace.glob("members/*/member.json")]) == 3
