"""An ensemble in a notebook: the page about it, the command line's numbers, what is refused."""

import doctest
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile

import overlap as library
from overlap.errors import MemberError, NotReadyError

pytestmark = pytest.mark.slow

PAGE = Path(__file__).resolve().parents[2] / "docs" / "notebook.md"
BLOCK = re.compile(r"^```pycon\n(.*?)^```$", re.DOTALL | re.MULTILINE)


@pytest.fixture(scope="module")
def ensemble(finished) -> library.Ensemble:
    return library.load_ensemble(finished.workspace)


def test_the_page_prints_what_it_shows(
    finished, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "data").symlink_to(data)
    (tmp_path / "workspace").symlink_to(finished.workspace)
    monkeypatch.chdir(tmp_path)
    blocks = BLOCK.findall(PAGE.read_text())
    assert len(blocks) >= 6
    page = doctest.DocTestParser().get_doctest("\n".join(blocks), {}, PAGE.name, str(PAGE), 0)
    assert len(page.examples) > 20
    told: list[str] = []
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    with pytest.warns(UserWarning, match=re.escape("1 of 2 sounds are unusable: 1 (silent)")):
        done = runner.run(page, out=told.append)
    assert done.failed == 0, "".join(told)
    assert done.attempted == len(page.examples)


def test_predictions_are_those_of_the_command_line(
    overlap, finished, data: Path, tmp_path: Path, ensemble: library.Ensemble
) -> None:
    """Of a folder, of files in any order, of samples: one table."""
    out = tmp_path / "preds.csv"
    overlap("predict", data / "test", "--workspace", finished.workspace, "--out", out)
    written = pd.read_csv(out, index_col="id")
    found = ensemble.predict(data / "test")
    assert found.index.name == "id"
    assert [*found.columns] == [*ensemble.words, "spread"]
    pd.testing.assert_frame_equal(found, written[[*found.columns]], atol=1e-5, rtol=0)
    files = sorted((data / "test").iterdir())[::-1]
    turned = ensemble.predict(files)
    pd.testing.assert_frame_equal(turned, found.loc[[f.stem for f in files]], atol=1e-6, rtol=0)
    samples = np.stack([soundfile.read(file, dtype="int16")[0] for file in files])
    for given in (samples, [*samples], samples / 2**15):
        same = ensemble.predict(given)
        assert same.index.tolist() == list(range(20))
        assert np.allclose(same, turned, rtol=0, atol=1e-6)
    labels = data / "test_answer.csv"
    said = overlap("score", "--labels", labels, out, "--json").stdout
    assert library.score(labels, found).kl == pytest.approx(json.loads(said)["kl"], abs=1e-5)


def test_what_cannot_be_used_is_told_and_stays_empty(
    ensemble: library.Ensemble, data: Path, tmp_path: Path
) -> None:
    clips = Path(shutil.copytree(data / "test", tmp_path / "clips"))
    (clips / "broken.wav").write_bytes(b"no sound")
    soundfile.write(clips / "silent.wav", np.zeros(16000), 16000)
    with pytest.warns(UserWarning, match="2 of 22 sounds are unusable") as told:
        found = ensemble.predict(clips)
    assert "silent (silent)" in str(told[0].message)
    assert Path(told[0].filename).name == Path(__file__).name
    assert sorted(found.index[found.isna().all(axis=1)]) == ["broken", "silent"]
    assert found.notna().all(axis=1).sum() == 20


def test_it_says_what_it_is(ensemble: library.Ensemble) -> None:
    record = ensemble.record
    kl = f"{record.kl:.4f}"
    assert repr(ensemble) == f"<Ensemble {record.version}: 2 members, 6 words, held-out KL {kl}>"


def test_ensembles_that_are_not_there(finished, tmp_path: Path) -> None:
    with pytest.raises(NotReadyError, match="no champion there yet"):
        library.load_ensemble(tmp_path)
    with pytest.raises(NotReadyError, match="no ensemble v9; there are: 2"):
        library.load_ensemble(finished.workspace, "v9")
    copy = Path(shutil.copytree(finished.workspace, tmp_path / "copy"))
    shutil.rmtree(next((copy / "members").iterdir()))
    with pytest.raises(MemberError, match="1 members are no longer there"):
        library.load_ensemble(copy)
