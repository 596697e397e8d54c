"""An ensemble in a notebook: its documentation, its predictions, and errors."""

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

pytestmark = pytest.mark.extended

PAGE = Path(__file__).resolve().parents[2] / "docs" / "notebook.md"
BLOCK = re.compile(r"^```pycon\n(.*?)^```$", re.DOTALL | re.MULTILINE)


@pytest.fixture(scope="module")
def ensemble(finished) -> library.Ensemble:
    return library.load_ensemble(finished.workspace)


def test_the_examples_of_the_page_are_correct(
    finished, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "data").symlink_to(data)
    shutil.copytree(finished.workspace, tmp_path / "workspace")
    monkeypatch.chdir(tmp_path)
    blocks = BLOCK.findall(PAGE.read_text())
    assert len(blocks) >= 6
    page = doctest.DocTestParser().get_doctest("\n".join(blocks), {}, PAGE.name, str(PAGE), 0)
    assert len(page.examples) > 20
    output: list[str] = []
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    with pytest.warns(UserWarning, match=r"1 of 2 .*1 \(silent\)"):
        done = runner.run(page, out=output.append)
    assert done.failed == 0, "".join(output)
    assert done.attempted == len(page.examples)


@pytest.mark.extended
def test_predictions_equal_those_of_the_command_line(
    overlap, finished, data: Path, tmp_path: Path, ensemble: library.Ensemble
) -> None:
    """A folder, files in any order, and samples give the same table."""
    out = tmp_path / "preds.csv"
    copy = shutil.copytree(finished.workspace, tmp_path / "workspace")
    overlap("predict", data / "test", "--workspace", copy, "--out", out)
    written = pd.read_csv(out, index_col="id")
    found = ensemble.predict(data / "test")
    assert found.index.name == "id"
    assert [*found.columns] == [*ensemble.words, "spread"]
    pd.testing.assert_frame_equal(found, written[[*found.columns]], atol=1e-5, rtol=0)
    files = sorted((data / "test").iterdir())[::-1]
    reverse = ensemble.predict(files)
    pd.testing.assert_frame_equal(reverse, found.loc[[f.stem for f in files]], atol=1e-6, rtol=0)
    samples = np.stack([soundfile.read(file, dtype="int16")[0] for file in files])
    for given in (samples, [*samples], samples / 2**15):
        same = ensemble.predict(given)
        assert same.index.tolist() == list(range(20))
        assert np.allclose(same, reverse, rtol=0, atol=1e-6)
    labels = data / "test_answer.csv"
    printed = overlap("score", "--labels", labels, out, "--json").stdout
    assert library.score(labels, found).kl == pytest.approx(json.loads(printed)["kl"], abs=1e-5)


def test_unusable_sounds_have_empty_rows_and_a_warning(
    ensemble: library.Ensemble, data: Path, tmp_path: Path
) -> None:
    clips = Path(shutil.copytree(data / "test", tmp_path / "clips"))
    (clips / "broken.wav").write_bytes(b"no sound")
    soundfile.write(clips / "silent.wav", np.zeros(16000), 16000)
    with pytest.warns(UserWarning, match="2 of 22 ") as caught:
        found = ensemble.predict(clips)
    assert "silent (silent)" in str(caught[0].message)
    assert Path(caught[0].filename).name == Path(__file__).name
    assert sorted(found.index[found.isna().all(axis=1)]) == ["broken", "silent"]
    assert found.notna().all(axis=1).sum() == 20


def test_the_representation_has_version_size_and_kl(ensemble: library.Ensemble) -> None:
    record = ensemble.record
    kl = f"{record.kl:.4f}"
    assert repr(ensemble) == f"<Ensemble {record.version}: 2 members, 6 words, held-out KL {kl}>"


def test_missing_ensembles_are_reported(finished, tmp_path: Path) -> None:
    with pytest.raises(NotReadyError, match=re.escape(str(tmp_path))):
        library.load_ensemble(tmp_path)
    with pytest.raises(NotReadyError, match=r"v9.*: 2"):
        library.load_ensemble(finished.workspace, "v9")
    copy = Path(shutil.copytree(finished.workspace, tmp_path / "copy"))
    shutil.rmtree(next((copy / "members").iterdir()))
    with pytest.raises(MemberError, match="1 member"):
        library.load_ensemble(copy)
