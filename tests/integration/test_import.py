"""The command `overlap import`, and a plan of its result, in processes."""

import json
from pathlib import Path

import pytest
import soundfile

from support.errors import printed_code

pytestmark = pytest.mark.extended


@pytest.fixture
def spoken_folders(words: Path, tmp_path: Path) -> Path:
    """Recordings of three words in a folder per word and split, padded to a second."""
    source = tmp_path / "source"
    for word in ("down", "left", "up"):
        for number, file in enumerate(sorted((words / word).iterdir())[:12]):
            folder = source / ("test" if number < 2 else "train") / word
            folder.mkdir(parents=True, exist_ok=True)
            samples, rate = soundfile.read(file)
            soundfile.write(folder / file.name, samples, rate)
    return source


def test_folders_named_by_label_are_imported_and_planned(
    overlap, spoken_folders: Path, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    workspace = ("--workspace", tmp_path / "w")
    message = overlap("plan", "--data", spoken_folders, *workspace, code=2).stderr
    assert f"`overlap import {spoken_folders} DATA`" in message
    printed = overlap("import", spoken_folders, data).stdout
    assert "folders named by label" in printed
    assert f"overlap plan --data {data}" in printed
    planned = json.loads(overlap("plan", "--data", data, *workspace, "--json").stdout)
    assert (planned["train_clips"], planned["test_clips"]) == (30, 6)
    multi_hot = [row.replace("1.0", "1") for row in (data / "train_answer.csv").read_text().split()]
    multi_hot[1] = ",".join([multi_hot[1].partition(",")[0], "1", "1", "1"])
    (data / "train_answer.csv").write_text("\n".join(multi_hot))
    noted = overlap("plan", "--data", data, *workspace).stderr
    assert "note: train_answer.csv is read as multi-hot rows" in noted
    again = overlap("import", spoken_folders, data, code=2).stderr
    assert printed_code(again) == "import-target-exists"
    report = json.loads(overlap("import", spoken_folders, data, "--replace", "--json").stdout)
    assert (report["format"], report["train"], report["test"]) == ("folders", 30, 6)
    assert printed_code(overlap("import", data, tmp_path / "d", "--format", "x", code=2).stderr)
