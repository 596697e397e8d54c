import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile

from overlap.errors import UserError
from overlap.synthetic import MixConfig, mix
from overlap.synthetic.mix import JOB_CLIPS
from overlap.synthetic.speakers import plan_pools

CONFIG = MixConfig(train=30, test=10, words_per_clip=2, groups=3, test_speakers=0.2, seed=5)


def content(folder: Path) -> dict[str, bytes]:
    return {str(f.relative_to(folder)): f.read_bytes() for f in folder.rglob("*") if f.is_file()}


def test_the_data_set_follows_the_contract(words: Path, tmp_path: Path) -> None:
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


def test_the_number_of_processes_changes_no_byte(
    words: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    many = replace(CONFIG, train=3 * JOB_CLIPS, test=1)
    mix(words, tmp_path / "several", many)
    monkeypatch.setattr("os.cpu_count", lambda: 1)
    mix(words, tmp_path / "one", many)
    assert content(tmp_path / "several") == content(tmp_path / "one")


def test_more_clips_leave_the_first_as_they_are(words: Path, tmp_path: Path) -> None:
    mix(words, tmp_path / "few", CONFIG)
    mix(words, tmp_path / "more", replace(CONFIG, train=40))
    few, more = content(tmp_path / "few"), content(tmp_path / "more")
    assert all(more[name] == few[name] for name in few if name.endswith(".wav"))


def test_nobody_is_heard_on_both_sides(words: Path) -> None:
    _, pools = plan_pools(words, CONFIG)
    heard = [{speaker for said in pool.recordings for speaker, _ in said} for pool in pools]
    assert [pool.split for pool in pools] == ["test", "train", "train", "train"]
    for index, speakers in enumerate(heard):
        assert all(speakers.isdisjoint(other) for other in heard[index + 1 :])
    assert sum(map(len, heard)) == 20


def test_every_word_of_a_clip_is_by_someone_else(words: Path) -> None:
    from overlap.synthetic.mix import _draw_recordings

    _, pools = plan_pools(words, CONFIG)
    for seed in range(50):
        chosen, files = _draw_recordings(pools[1], CONFIG, np.random.default_rng(seed))
        assert len({Path(f).name.split("_")[0] for f in files}) == 2
        spoken = sorted({Path(f).parent.name for f in files})
        assert spoken == [("down", "eight", "five", "left", "up", "zero")[w] for w in chosen]


def test_no_word_is_cut(words: Path, tmp_path: Path) -> None:
    """Clips of one word: scaled alike, each is a whole recording."""
    alone = replace(CONFIG, words_per_clip=1, train=12, offset_seconds=0.5)
    mix(words, tmp_path / "d", alone)
    table = pd.read_csv(tmp_path / "d" / "train_answer.csv").set_index("id")
    starts = set()
    for name, word in table.idxmax(axis=1).items():
        clip = soundfile.read(tmp_path / "d" / "train" / f"{name}.wav")[0]
        alike = []
        for file in sorted((words / word).iterdir()):
            recording = soundfile.read(file)[0]
            at = np.correlate(clip, recording, "valid")
            alike.append((at.max() / np.linalg.norm(recording) / np.linalg.norm(clip), at.argmax()))
        likeness, start = max(alike)
        assert likeness > 0.999
        starts.add(start)
    assert len(starts) > 6  # and they are at different places


def test_folders_of_noise_are_no_words(words: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(words, tmp_path / "w"))
    shutil.copytree(folder / "up", folder / "_background_noise_")
    assert plan_pools(folder, CONFIG)[0] == plan_pools(words, CONFIG)[0]


def test_there_are_fewer_groups_where_words_have_few_speakers(words: Path) -> None:
    """More groups than speakers allow is no error, whatever the seed."""
    for seed in range(20):
        many = replace(CONFIG, groups=50, seed=seed)
        _, pools = plan_pools(words, many)
        groups = [pool for pool in pools if pool.split == "train"]
        assert 1 < len(groups) <= 8
        assert all(len(said) >= 2 for pool in groups for said in pool.recordings)


def test_words_with_few_recordings_are_left_out(words: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(words, tmp_path / "w"))
    for file in sorted((folder / "up").iterdir())[3:]:
        file.unlink()
    used, _ = plan_pools(folder, replace(CONFIG, min_clips=4))
    assert "up" not in used


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"min_clips": 1000}, "0 words have at least 1000 recordings, but a clip needs 2"),
        ({"words_per_clip": 7}, "6 words have at least 2 recordings, but a clip needs 7"),
        ({"test_speakers": 0.05}, "too few speakers: only 1 people speak in test"),
    ],
)
def test_too_few_words_or_speakers(
    words: Path, tmp_path: Path, change: dict[str, float], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        mix(words, tmp_path / "d", replace(CONFIG, **change))
    assert not (tmp_path / "d").exists()


def test_nothing_is_overwritten_and_nothing_half_written_stays(words: Path, tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "mine.txt").write_text("precious")
    with pytest.raises(UserError, match="exists and is not empty"):
        mix(words, tmp_path / "d", CONFIG)
    folder = Path(shutil.copytree(words, tmp_path / "w"))
    for word in folder.iterdir():
        for file in word.iterdir():
            file.write_bytes(b"no sound")
    with pytest.raises(UserError, match="remove it from the words"):
        mix(folder, tmp_path / "e", CONFIG)
    assert sorted(f.name for f in tmp_path.iterdir()) == ["d", "w"]


def test_a_folder_without_words(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no words there"):
        mix(tmp_path, tmp_path / "d", CONFIG)
    with pytest.raises(UserError, match="there is no such folder"):
        mix(tmp_path / "nothing", tmp_path / "d", CONFIG)
