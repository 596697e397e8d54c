"""Synthesis of words with espeak-ng."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from overlap.errors import UserError
from overlap.synthetic.speech import SynthConfig, synthesise
from support.errors import raises


def test_every_word_has_recordings_of_speech(words: Path) -> None:
    assert sorted(f.name for f in words.iterdir()) == [
        "down",
        "eight",
        "five",
        "left",
        "up",
        "zero",
    ]
    files = sorted((words / "eight").iterdir())
    assert len(files) == 40
    for file in files:
        samples, rate = soundfile.read(file)
        assert rate == 16000
        assert samples.ndim == 1
        assert 0.1 < len(samples) / rate <= 1
        assert np.abs(samples).max() > 0.05


def test_voices_differ(words: Path) -> None:
    spoken = {file.read_bytes() for file in (words / "five").iterdir()}
    assert len(spoken) == 40


def test_a_seed_gives_the_same_bytes(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from overlap.synthetic.speech import *;"
        "synthesise(Path(sys.argv[1]), SynthConfig(words=('no', 'six'), voices=9, takes=2))"
    )
    for name in ("one", "two"):
        subprocess.run([sys.executable, "-c", code, str(tmp_path / name)], check=True)
    one, two = (sorted((tmp_path / name).rglob("*.wav")) for name in ("one", "two"))
    assert len(one) == 36
    assert [f.read_bytes() for f in one] == [f.read_bytes() for f in two]


@pytest.mark.parametrize("word", ["..", "a/b", "", "!", ".hidden"])
def test_words_that_cannot_name_a_folder_are_refused(word: str) -> None:
    with raises(UserError, "word-unfit", words=(word,)):
        SynthConfig(words=("one", word))


def test_duplicate_words_are_refused() -> None:
    with raises(UserError, "word-repeated"):
        SynthConfig(words=("one", "one"))


def test_too_many_voices_are_refused(tmp_path: Path) -> None:
    with raises(UserError, "too-few-voices") as error:
        synthesise(tmp_path / "w", SynthConfig(voices=10000))
    assert 60 <= error.value.fields["voices"] < 10000


def test_a_missing_extra_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "espeakng_loader", None)
    with raises(UserError, "espeak-not-installed"):
        synthesise(tmp_path / "w", SynthConfig())
