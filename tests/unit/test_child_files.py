"""Temporary files of worker processes are removed, however the process ends."""

import os
import sys
import tempfile
from contextlib import nullcontext
from pathlib import Path

import pytest

from overlap.errors import ChildError
from overlap.system.child_process import run_child
from support.trials import trial

CHILD = """
import os, signal, sys, tempfile
from overlap.system.child_process import child_main

def work(emit):
    with tempfile.TemporaryDirectory() as folder:
        open(folder + "/model.keras", "w").write("x")
        emit({"folder": folder})
        if sys.argv[1] == "killed":
            os.kill(os.getpid(), signal.SIGKILL)

sys.exit(child_main(work))
"""


@trial(
    "R",
    "A training or export is killed while it saves a network",
    "own",
    "Its temporary folder, with a copy of the network, stays in `/tmp`.",
    "The parent process removes it.",
)
@pytest.mark.parametrize("end", ["normal", "killed"])
def test_no_temporary_file_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end: str) -> None:
    (tmp_path / "writes_temporary.py").write_text(CHILD)
    (tmp_path / "temporary").mkdir()
    path = os.pathsep.join([str(tmp_path), *sys.path])
    monkeypatch.setenv("PYTHONPATH", path)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    folders: list[str] = []
    killed = pytest.raises(ChildError, match="signal 9") if end == "killed" else nullcontext()
    with killed:
        run_child("writes_temporary", [end], lambda event: folders.append(event["folder"]))
    assert len(folders) == 1
    assert Path(folders[0]).is_relative_to(tmp_path / "temporary")
    assert [*(tmp_path / "temporary").iterdir()] == []
