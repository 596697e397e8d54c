"""Formats of other libraries, written and read by these libraries themselves.

`datasets` and `lhotse` run in processes of their own, without network.
"""

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile

from overlap.catalog.formats.importing import import_data
from overlap.catalog.formats.source import ImportOptions
from support.labelled_sound import RATE, write_csv, write_json_lines, write_tone, write_tones

pytestmark = pytest.mark.nightly


def library(name: str, script: str, folder: Path, *arguments: object) -> object:
    """Run a script that imports a library; return the JSON that it prints last."""
    if find_spec(name) is None:
        pytest.skip(f"{name} is not installed: install the extra `formats` to run this test")
    offline = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "HF_HOME": str(folder / ".hf")}
    done = subprocess.run(
        [sys.executable, "-c", script, *map(str, arguments)],
        env=os.environ | offline, capture_output=True, text=True, timeout=500, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


READ_AUDIOFOLDER = """
import json, os, sys
from datasets import Audio, load_dataset
found = load_dataset("audiofolder", data_dir=sys.argv[1])
content = {}
for split, rows in found.items():
    feature = rows.features.get("label")
    for row in rows.cast_column("audio", Audio(decode=False)):
        label = row.get("labels", row.get("label"))
        label = feature.int2str(label) if hasattr(feature, "int2str") else label
        path = os.path.relpath(row["audio"]["path"], os.path.realpath(sys.argv[1]))
        content[path] = [split, label if isinstance(label, list) else [label]]
print(json.dumps(content))
"""


def read_back(target: Path) -> dict[str, list[object]]:
    """Return split and words of each source file of an imported data set."""
    sources = pd.read_csv(target / "sources.csv")
    content = {}
    for split, table in (("train", "train_answer.csv"), ("test", "test_answer.csv")):
        labels = pd.read_csv(target / table).set_index("id")
        for row in sources[sources["split"] == split].itertuples():
            shares = labels.loc[row.id]
            content[row.file] = [split, sorted(shares.index[shares > 0])]
    return content


@pytest.mark.parametrize("form", ["csv", "jsonl", "folders"])
def test_datasets_and_overlap_read_the_same_audiofolder(tmp_path: Path, form: str) -> None:
    source = tmp_path / "source"
    for split in ("train", "test"):
        names = ("1.wav", "2.wav") if form != "folders" else ("x/1.wav", "y/1.wav")
        write_tones(source / split, names)
        rows = [("1.wav", "x"), ("2.wav", "y")]
        if form == "csv":
            write_csv(source / split / "metadata.csv", [("file_name", "label"), *rows])
        if form == "jsonl":
            objects = [{"file_name": "1.wav", "labels": ["x", "y"]},
                       {"file_name": "2.wav", "labels": ["y"]}]  # fmt: skip
            write_json_lines(source / split / "metadata.jsonl", objects)
    theirs = library("datasets", READ_AUDIOFOLDER, tmp_path, source)
    report = import_data(source, tmp_path / "data")
    assert report.format == ("folders" if form == "folders" else "audiofolder")
    assert read_back(tmp_path / "data") == theirs


WRITE_MANIFESTS = """
import sys
from lhotse import Recording, RecordingSet, SupervisionSegment, SupervisionSet
folder = sys.argv[1]
for split in ("train", "test"):
    recordings = RecordingSet.from_recordings(
        Recording.from_file(f"{folder}/{split}-{n}.wav") for n in range(2))
    supervisions = SupervisionSet.from_segments(
        SupervisionSegment(id=f"{r.id}-{n}", recording_id=r.id, start=n + 0.25, duration=0.5,
                           channel=0, text=("yes", "no")[n % 2], speaker=r.id)
        for r in recordings for n in range(3))
    recordings.to_file(f"{folder}/toy_recordings_{split}.jsonl.gz")
    supervisions.to_file(f"{folder}/toy_supervisions_{split}.jsonl.gz")
print("true")
"""
READ_MANIFESTS = """
import json, sys
import numpy as np
from lhotse import CutSet, load_manifest
folder, out = sys.argv[1:]
content, samples = {}, {}
for split in ("train", "test"):
    cuts = CutSet.from_manifests(
        recordings=load_manifest(f"{folder}/toy_recordings_{split}.jsonl.gz"),
        supervisions=load_manifest(f"{folder}/toy_supervisions_{split}.jsonl.gz"))
    for cut in cuts.trim_to_supervisions():
        (supervision,) = cut.supervisions
        start = cut.start - 0.25
        name = f"{cut.recording.id}@{round(1000 * start)}"
        content[name] = [split, [supervision.text]]
        samples[name] = cut.recording.load_audio(offset=start, duration=1.0)[0]
np.savez(out, **samples)
print(json.dumps(content))
"""


def test_manifests_of_lhotse_are_cut_as_lhotse_cuts(tmp_path: Path) -> None:
    source = tmp_path / "source"
    for number, name in enumerate(("train-0", "train-1", "test-0", "test-1")):
        write_tone(source / f"{name}.wav", 200 + 50 * number, 3.0)
    library("lhotse", WRITE_MANIFESTS, tmp_path, source)
    theirs = library("lhotse", READ_MANIFESTS, tmp_path, source, tmp_path / "cuts.npz")
    report = import_data(source, tmp_path / "data", ImportOptions(clip_seconds=1.0))
    assert (report.format, report.train, report.test) == ("lhotse", 6, 6)
    sources = pd.read_csv(tmp_path / "data" / "sources.csv")
    found = {}
    for split, table in (("train", "train_answer.csv"), ("test", "test_answer.csv")):
        labels = pd.read_csv(tmp_path / "data" / table).set_index("id")
        for clip in sources.loc[sources["split"] == split, "id"]:
            found[clip] = [split, [*labels.columns[labels.loc[clip] > 0]]]
    assert found == theirs
    with np.load(tmp_path / "cuts.npz") as samples:
        for clip, (split, _) in found.items():
            ours, rate = soundfile.read(tmp_path / "data" / split / f"{clip}.wav", dtype="float32")
            assert rate == RATE
            assert np.array_equal(ours, samples[clip])
