"""Mixing recordings of words into a data set."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile

from overlap.config import AudioFormat
from overlap.errors import UserError
from overlap.synthetic import MixConfig, mix, mixtures
from overlap.synthetic.draws import STATE, draw_recordings
from overlap.synthetic.mix_jobs import JOB_CLIPS
from overlap.synthetic.recordings import load_recording
from overlap.synthetic.speakers import plan_pools
from support.errors import raises

CONFIG = MixConfig(train=30, test=10, words_per_clip=2, groups=3, test_speakers=0.2, seed=5)


def content(folder: Path) -> dict[str, bytes]:
    return {str(f.relative_to(folder)): f.read_bytes() for f in folder.rglob("*") if f.is_file()}


def test_the_data_set_fulfils_the_data_contract(words: Path, tmp_path: Path) -> None:
    used = mix(words, tmp_path / "d", CONFIG)
    assert used == ("down", "eight", "five", "left", "up", "zero")
    train = pd.read_csv(tmp_path / "d" / "train_answer.csv")
    assert [*train.columns] == ["id", *used]
    assert (np.sort(train[[*used]].to_numpy(), axis=1)[:, -2:] == 0.5).all()
    assert np.allclose(train[[*used]].sum(axis=1), 1)
    answers = pd.read_csv(tmp_path / "d" / "test_answer.csv")
    template = pd.read_csv(tmp_path / "d" / "submission.csv")
    assert answers["id"].tolist() == template["id"].tolist()
    assert [*template.columns] == [*train.columns]
    for split, table in (("train", train), ("test", answers)):
        files = sorted(f.stem for f in (tmp_path / "d" / split).iterdir())
        assert files == table["id"].tolist()
    info = soundfile.info(tmp_path / "d" / "train" / "train_000000.wav")
    assert (info.samplerate, info.channels, info.frames, info.subtype) == (
        16000,
        1,
        16000,
        "PCM_16",
    )


def test_a_seed_gives_the_same_bytes(words: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        mix(words, tmp_path / name, CONFIG)
    mix(words, tmp_path / "other", replace(CONFIG, seed=6))
    assert content(tmp_path / "one") == content(tmp_path / "two")
    assert content(tmp_path / "one") != content(tmp_path / "other")


@pytest.mark.parametrize("seed", [5, 2**40 + 3])
def test_the_samples_are_those_of_numpy_with_its_default_generator(
    words: Path, tmp_path: Path, seed: int
) -> None:
    """Compiled sums give every clip as the arithmetic of whole arrays does."""
    loud = replace(CONFIG, words_per_clip=3, gain_db=24.0, train=60, seed=seed)
    mix(words, tmp_path / "d", loud)
    _, pools = plan_pools(words, loud)
    limited = 0
    for split, number, count in (("train", 0, 60), ("test", 1, 10)):
        chosen = [pool for pool in pools if pool.split == split]
        for index in range(count):
            random = np.random.default_rng((loud.seed, number, index))
            recordings = chosen[index % len(chosen)].recordings
            while True:  # until each word has a speaker of its own
                speakers: list[str] = []
                files: list[str] = []
                for word in random.permutation(len(recordings))[:3]:
                    left = [take for take in recordings[word] if take[0] not in speakers]
                    if not left:
                        break
                    speaker, takes = left[random.integers(len(left))]
                    speakers.append(speaker)
                    files.append(takes[random.integers(len(takes))])
                if len(files) == 3:
                    break
            mixed = np.zeros(16000)
            for file in files:
                recording = load_recording(file, AudioFormat(16000, 16000))
                gain = 10 ** (random.uniform(-24.0, 24.0) / 20)
                earliest, latest = -min(1600, recording.before), min(1600, recording.after)
                delay = int(random.integers(earliest, latest + 1))
                word = np.zeros(16000 + 3200)
                word[1600 + delay :][:16000] = recording.samples * np.float64(
                    0.05 * gain / recording.rms
                )
                mixed += word[1600:-1600]
            peak = np.abs(mixed).max()
            limited += peak > 0.99
            expected = np.round(mixed * min(1.0, 0.99 / peak) * 32767).astype(np.int16)
            file = tmp_path / "d" / split / f"{split}_{index:06d}.wav"
            written = soundfile.read(file, dtype="int16")[0]
            assert np.array_equal(written, expected), index
    assert 5 < limited < 65


def test_a_clip_that_needs_more_raw_numbers_is_the_same(
    words: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mix(words, tmp_path / "enough", CONFIG)
    monkeypatch.setattr(mixtures, "RAW_NUMBERS", 1)
    mix(words, tmp_path / "more", CONFIG)
    assert content(tmp_path / "more") == content(tmp_path / "enough")


@pytest.mark.extended
def test_the_number_of_processes_does_not_change_a_byte(
    words: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    many = replace(CONFIG, train=3 * JOB_CLIPS, test=1)
    mix(words, tmp_path / "several", many)
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", "1")
    mix(words, tmp_path / "one", many)
    assert content(tmp_path / "several") == content(tmp_path / "one")


def test_more_clips_leave_the_first_ones_unchanged(words: Path, tmp_path: Path) -> None:
    mix(words, tmp_path / "few", CONFIG)
    mix(words, tmp_path / "more", replace(CONFIG, train=40))
    few, more = content(tmp_path / "few"), content(tmp_path / "more")
    assert all(more[name] == few[name] for name in few if name.endswith(".wav"))


def test_speakers_occur_in_one_pool_only(words: Path) -> None:
    _, pools = plan_pools(words, CONFIG)
    speakers = [{name for takes in pool.recordings for name, _ in takes} for pool in pools]
    assert [pool.split for pool in pools] == ["test", "train", "train", "train"]
    for index, some in enumerate(speakers):
        assert all(some.isdisjoint(other) for other in speakers[index + 1 :])
    assert sum(map(len, speakers)) == 20


def test_every_word_of_a_clip_has_another_speaker(words: Path) -> None:
    _, pools = plan_pools(words, CONFIG)
    for seed in range(50):
        chosen, drawn = np.empty((2, 2), np.int64)
        raw = np.random.PCG64(seed).random_raw(128)
        assert draw_recordings(*pools[1].arrays, raw, np.zeros(STATE, np.uint64), chosen, drawn)
        files = [pools[1].files[index] for index in drawn]
        assert len({Path(f).name.split("_")[0] for f in files}) == 2
        spoken = sorted({Path(f).parent.name for f in files})
        assert spoken == [
            ("down", "eight", "five", "left", "up", "zero")[w] for w in sorted(chosen)
        ]


@pytest.mark.extended
def test_no_word_is_truncated(words: Path, tmp_path: Path) -> None:
    """A clip of one word is a complete recording, apart from its scale."""
    alone = replace(CONFIG, words_per_clip=1, train=12, offset_seconds=0.5)
    mix(words, tmp_path / "d", alone)
    table = pd.read_csv(tmp_path / "d" / "train_answer.csv").set_index("id")
    starts = set()
    for name, word in table.idxmax(axis=1).items():
        clip = soundfile.read(tmp_path / "d" / "train" / f"{name}.wav")[0]
        similarities = []
        for file in sorted((words / word).iterdir()):
            recording = soundfile.read(file)[0]
            at = np.correlate(clip, recording, "valid")
            similarities.append(
                (at.max() / np.linalg.norm(recording) / np.linalg.norm(clip), at.argmax())
            )
        similarity, start = max(similarities)
        assert similarity > 0.999
        starts.add(start)
    assert len(starts) > 6  # the offsets differ


def test_folders_of_noise_are_not_words(words: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(words, tmp_path / "w"))
    shutil.copytree(folder / "up", folder / "_background_noise_")
    assert plan_pools(folder, CONFIG)[0] == plan_pools(words, CONFIG)[0]


def test_groups_are_limited_by_the_speakers_of_each_word(words: Path) -> None:
    """More groups than the speakers allow are not an error, for any seed."""
    for seed in range(20):
        many = replace(CONFIG, groups=50, seed=seed)
        _, pools = plan_pools(words, many)
        groups = [pool for pool in pools if pool.split == "train"]
        assert 1 < len(groups) <= 8
        assert all(len(takes) >= 2 for pool in groups for takes in pool.recordings)


def test_words_with_few_recordings_are_omitted(words: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(words, tmp_path / "w"))
    for file in sorted((folder / "up").iterdir())[3:]:
        file.unlink()
    used, _ = plan_pools(folder, replace(CONFIG, min_clips=4))
    assert "up" not in used


@pytest.mark.parametrize(
    ("change", "code", "fields"),
    [
        ({"min_clips": 1000}, "too-few-words", {"words": 0, "words_per_clip": 2}),
        ({"words_per_clip": 7}, "too-few-words", {"words": 6, "words_per_clip": 7}),
        ({"test_speakers": 0.05}, "too-few-speakers", {"split": "test", "speakers": 1}),
    ],
)
def test_too_few_words_or_speakers_are_refused(
    words: Path, tmp_path: Path, change: dict[str, float], code: str, fields: dict[str, object]
) -> None:
    with raises(UserError, code, **fields):
        mix(words, tmp_path / "d", replace(CONFIG, **change))
    assert not (tmp_path / "d").exists()


def test_existing_files_are_kept_and_partial_output_is_removed(words: Path, tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "mine.txt").write_text("precious")
    with raises(UserError, "folder-not-empty"):
        mix(words, tmp_path / "d", CONFIG)
    folder = Path(shutil.copytree(words, tmp_path / "w"))
    for word in folder.iterdir():
        for file in word.iterdir():
            file.write_bytes(b"no sound")
    with raises(UserError, "unusable-recording", fault="unreadable") as error:
        mix(folder, tmp_path / "e", CONFIG)
    assert Path(error.value.fields["file"]).is_file()
    assert sorted(f.name for f in tmp_path.iterdir()) == ["d", "w"]


def test_a_folder_without_words_is_refused(tmp_path: Path) -> None:
    with raises(UserError, "no-words", folder=str(tmp_path)):
        mix(tmp_path, tmp_path / "d", CONFIG)
    with raises(UserError, "no-such-folder", folder=str(tmp_path / "nothing")):
        mix(tmp_path / "nothing", tmp_path / "d", CONFIG)
