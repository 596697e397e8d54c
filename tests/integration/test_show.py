"""`overlap show` as a process: the picture, the printed lines, and invalid requests."""

import json
import shutil
import sys
from pathlib import Path

import matplotlib.image
import pandas as pd
import pytest

import overlap as library
from support.errors import printed_code

pytestmark = pytest.mark.extended


@pytest.mark.extended
def test_a_clip_of_the_data_set_with_the_champions_prediction(
    overlap, finished, data: Path, tmp_path: Path
) -> None:
    out = tmp_path / "clip.png"
    typed = ("show", "train_000004", "--workspace", finished.workspace, "--out", out, "--json")
    shown = json.loads(overlap(*typed).stdout)
    image = matplotlib.image.imread(out)
    assert image.shape[0] > 600
    assert image.shape[1] > 1200
    assert image.std() > 0.1
    assert (shown["clip"], shown["split"], shown["picture"]) == ("train_000004", "train", str(out))
    answers = pd.read_csv(data / "train_answer.csv", index_col="id").loc["train_000004"]
    assert shown["true"] == answers.to_dict()
    assert shown["kl"] > 0
    ensemble = library.load_ensemble(finished.workspace)
    assert shown["predicted"]["version"] == ensemble.version
    row = ensemble.predict(data / "train" / "train_000004.wav").loc["train_000004"]
    assert row.drop("spread").to_dict() == pytest.approx(shown["predicted"]["shares"], abs=1e-5)
    assert row["spread"] == pytest.approx(shown["predicted"]["spread"], abs=1e-5)


@pytest.mark.extended
def test_the_picture_is_opened_only_on_request(overlap, data: Path, tmp_path: Path) -> None:
    """Without a workspace, the command still writes the picture."""
    opened, browser = tmp_path / "opened", tmp_path / "browser"
    note = f"import sys\nopen({str(opened)!r}, 'a').write(sys.argv[1])\n"
    browser.write_text(f"#!{sys.executable}\n{note}")
    browser.chmod(0o755)
    clip, nothing = data / "test" / "test_000001.wav", tmp_path / "nothing"
    typed = ("show", clip, "--workspace", nothing, "--out", tmp_path / "a b.png")
    output = overlap(*typed, BROWSER=f"{browser} %s").stdout
    assert f"picture         {tmp_path}/a b.png" in output
    assert "nothing: " in output
    assert not opened.exists()
    overlap(*typed, "--open", BROWSER=f"{browser} %s")
    assert opened.read_text() == (tmp_path / "a b.png").as_uri()
    assert not nothing.exists()


@pytest.mark.extended
def test_the_picture_is_named_by_the_clip(
    overlap, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    overlap("show", data / "test" / "test_000001.wav")
    assert [file.name for file in tmp_path.iterdir()] == ["test_000001.png"]


def test_invalid_requests(overlap, finished, data: Path, tmp_path: Path) -> None:
    bad, clip = tmp_path / "bad.wav", data / "test" / "test_000001.wav"
    bad.write_bytes(b"no sound")
    workspace = ("--workspace", finished.workspace)
    png = ("--out", tmp_path / "x.png")
    for typed, code, fact in (
        ((tmp_path / "missing.wav", *workspace, *png), "no-such-clip", "missing.wav"),
        ((bad, *png), "unusable-clip", "bad.wav: unreadable"),
        (("tset_000011", *workspace, *png), "no-such-clip", "test_000011"),
        ((clip, "--out", tmp_path / "no" / "x.png"), "no-such-folder", f"{tmp_path}/no"),
        ((clip, *png, *workspace, "--model", "v9"), None, "v9"),
    ):
        output = overlap("show", *typed, code=2).stderr
        assert code in (None, printed_code(output)), output
        assert fact in output, output
        assert "Traceback" not in output
        assert not (tmp_path / "x.png").exists()


@pytest.mark.extended
def test_a_damaged_champion(overlap, finished, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(finished.workspace, tmp_path / "copy"))
    network = next(copy.glob("members/*/model.keras"))
    network.write_bytes(network.read_bytes()[:-9])
    typed = ("show", "train_000004", "--workspace", copy, "--out", tmp_path / "x.png")
    output = overlap(*typed, code=1).stderr
    assert printed_code(output) == "ensemble-unusable"
    assert "SHA-256" in output
    assert not (tmp_path / "x.png").exists()
