"""`overlap show` as a person types it: a picture, what it says beside it, and every mistake."""

import json
import shutil
import sys
from pathlib import Path

import matplotlib.image
import pandas as pd
import pytest

import overlap as library

pytestmark = pytest.mark.slow


def test_a_clip_of_the_data_set_with_the_champions_words(
    overlap, finished, data: Path, tmp_path: Path
) -> None:
    out = tmp_path / "clip.png"
    typed = ("show", "train_000004", "--workspace", finished.workspace, "--out", out, "--json")
    told = json.loads(overlap(*typed).stdout)
    image = matplotlib.image.imread(out)
    assert image.shape[0] > 600
    assert image.shape[1] > 1200
    assert image.std() > 0.1
    assert (told["clip"], told["split"], told["picture"]) == ("train_000004", "train", str(out))
    answers = pd.read_csv(data / "train_answer.csv", index_col="id").loc["train_000004"]
    assert told["true"] == answers.to_dict()
    assert told["kl"] > 0
    ensemble = library.load_ensemble(finished.workspace)
    assert told["predicted"]["version"] == ensemble.version
    row = ensemble.predict(data / "train" / "train_000004.wav").loc["train_000004"]
    assert row.drop("spread").to_dict() == pytest.approx(told["predicted"]["shares"], abs=1e-5)
    assert row["spread"] == pytest.approx(told["predicted"]["spread"], abs=1e-5)


def test_it_is_opened_only_when_asked(overlap, data: Path, tmp_path: Path) -> None:
    """Without a workspace, to a file named by the clip in the folder where it is typed."""
    opened, browser = tmp_path / "opened", tmp_path / "browser"
    note = f"import sys\nopen({str(opened)!r}, 'a').write(sys.argv[1])\n"
    browser.write_text(f"#!{sys.executable}\n{note}")
    browser.chmod(0o755)
    clip, nothing = data / "test" / "test_000001.wav", tmp_path / "nothing"
    typed = ("show", clip, "--workspace", nothing, "--out", tmp_path / "a b.png")
    said = overlap(*typed, BROWSER=f"{browser} %s").stdout
    assert f"picture         {tmp_path}/a b.png" in said
    assert "nothing: " in said
    assert "no champion" in said
    assert not opened.exists()
    overlap(*typed, "--open", BROWSER=f"{browser} %s")
    assert opened.read_text() == (tmp_path / "a b.png").as_uri()
    assert not nothing.exists()


def test_the_picture_is_named_by_the_clip(
    overlap, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    overlap("show", data / "test" / "test_000001.wav")
    assert [file.name for file in tmp_path.iterdir()] == ["test_000001.png"]


def test_mistakes(overlap, finished, data: Path, tmp_path: Path) -> None:
    bad, clip = tmp_path / "bad.wav", data / "test" / "test_000001.wav"
    bad.write_bytes(b"no sound")
    workspace = ("--workspace", finished.workspace)
    png = ("--out", tmp_path / "x.png")
    for typed, why in (
        ((tmp_path / "missing.wav", *workspace, *png), "there is no such sound file, and"),
        ((bad, *png), "bad.wav: unreadable"),
        (("tset_000011", *workspace, *png), "no clip of that id; did you mean test_000011?"),
        ((clip, "--out", tmp_path / "no" / "x.png"), f"there is no folder {tmp_path}/no"),
        ((clip, *png, *workspace, "--model", "v9"), "[no-such-ensemble]"),
    ):
        said = overlap("show", *typed, code=2).stderr
        assert why in said, said
        assert "Traceback" not in said
        assert not (tmp_path / "x.png").exists()


def test_a_champion_that_is_damaged(overlap, finished, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(finished.workspace, tmp_path / "copy"))
    network = next(copy.glob("members/*/model.keras"))
    network.write_bytes(network.read_bytes()[:-9])
    typed = ("show", "train_000004", "--workspace", copy, "--out", tmp_path / "x.png")
    said = overlap(*typed, code=1).stderr
    assert "cannot be applied" in said
    assert "its SHA-256 is not the one that was noted" in said
    assert not (tmp_path / "x.png").exists()
