import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile

from overlap.catalog import Catalog, build_catalog, list_clips, list_data
from overlap.catalog.catalog import in_order
from overlap.catalog.inspection import digest, load_clip
from overlap.config import AudioFormat, ChecksConfig, RunConfig
from overlap.errors import DataError, NotReadyError
from overlap.io.location import Location
from support.run_steps import catalogue

WANTED = AudioFormat(16000, 16000)


@pytest.fixture
def copy(data: Path, tmp_path: Path) -> Path:
    """A copy of the data set that a test may change."""
    return Path(shutil.copytree(data, tmp_path / "copy"))


def built(folder: Path, previous: Catalog | None = None, bad: float = 0.01):
    return build_catalog(list_data(folder), WANTED, ChecksConfig(max_bad_fraction=bad), previous)


def problems(folder: Path) -> str:
    with pytest.raises(DataError) as error:
        built(folder)
    return str(error.value)


def rewrite(file: Path, change) -> None:
    frame = pd.read_csv(file, dtype={"id": str})
    change(frame).to_csv(file, index=False)


def test_rows_and_labels_follow_the_ids(copy: Path) -> None:
    rewrite(copy / "train_answer.csv", lambda t: t.sample(frac=1, random_state=1))
    catalog = built(copy).catalog
    assert catalog.counts() == {"train": 100, "test": 20, "quarantined": 0, "removed": 0}
    assert [*catalog.clips["clip_id"][:2]] == ["train_000000", "train_000001"]
    truth = pd.read_csv(copy / "train_answer.csv").set_index("id")[[*catalog.words]]
    train = catalog.rows("train")
    assert np.array_equal(catalog.labels[train], truth.loc[catalog.clips["clip_id"][train]])
    assert np.isnan(catalog.labels[catalog.rows("test")]).all()


def test_the_template_gives_the_order_of_rows_and_words(copy: Path) -> None:
    def turned(table: pd.DataFrame) -> pd.DataFrame:
        return table.iloc[::-1][["id", *table.columns[:0:-1]]]

    before = built(copy).catalog
    rewrite(copy / "submission.csv", turned)
    catalog = built(copy).catalog
    assert catalog.words == before.words[::-1]
    assert [*catalog.submission["table_id"]] == [*before.submission["table_id"]][::-1]
    assert np.array_equal(catalog.labels[:100], before.labels[:100, ::-1])
    assert [*catalog.clips["clip_id"]] == [*before.clips["clip_id"]]


def test_bare_numbers_name_files(copy: Path) -> None:
    for name in ("train_answer.csv", "submission.csv"):
        rewrite(copy / name, lambda t: t.assign(id=t["id"].str[-6:].astype(int)))
    catalog = built(copy).catalog
    assert catalog.counts()["train"] == 100
    assert catalog.submission["table_id"].iloc[3] == "3"
    assert catalog.submission["clip_id"].iloc[3] == "test_000003"


def test_groups_are_known(copy: Path) -> None:
    catalog = built(copy).catalog
    assert catalog.clips["group"][:4].tolist() == ["g00", "g01", "g02", "g03"]
    (copy / "groups.csv").unlink()
    assert set(built(copy).catalog.clips["group"]) == {""}


def test_a_clip_with_two_groups_is_refused(copy: Path) -> None:
    with (copy / "groups.csv").open("a") as file:
        file.write("train_000001,another\n")
    with pytest.raises(DataError, match=r"groups.csv has ids more than once: train_000001"):
        built(copy)


def test_a_table_that_is_a_folder_is_refused(copy: Path) -> None:
    (copy / "groups.csv").unlink()
    (copy / "groups.csv").mkdir()
    with pytest.raises(DataError, match=r"groups.csv cannot be read .*Is a directory"):
        built(copy)


def test_every_problem_is_in_one_report(copy: Path) -> None:
    (copy / "train" / "train_000003.wav").unlink()
    rewrite(copy / "train_answer.csv", lambda t: t.assign(up=t["up"] + (t.index == 5)))
    rewrite(copy / "submission.csv", lambda t: t.rename(columns={"up": "down2"}))
    shutil.copy(copy / "test" / "test_000001.wav", copy / "test" / "test_000001.flac")
    for number in (7, 8, 9):
        (copy / "train" / f"train_00000{number}.wav").write_bytes(b"no sound")
    text = problems(copy)
    assert "5 problems with the data" in text
    assert "several files have one id" in text
    assert "test/test_000001.flac, test/test_000001.wav" in text
    assert "train_answer.csv has ids without a file in train/: train_000003" in text
    assert "train_answer.csv has rows that do not sum to 1: train_000005" in text
    assert "train_answer.csv and submission.csv have different words: down2, up" in text
    assert "3 of 119 clips cannot be used" in text
    assert "train/train_000007.wav (unreadable" in text


def test_ids_that_fit_nothing_show_an_example(copy: Path) -> None:
    rewrite(copy / "train_answer.csv", lambda t: t.assign(id="x" + t["id"]))
    text = problems(copy)
    assert "no id of train_answer.csv fits a file of train/ (such as train_000000)" in text


def test_files_that_no_table_names_are_left_out(copy: Path) -> None:
    shutil.copy(copy / "train" / "train_000000.wav", copy / "train" / "extra.wav")
    report = built(copy)
    assert report.catalog.counts()["train"] == 100
    assert any("train_answer.csv does not name" in w and "extra.wav" in w for w in report.warnings)


def test_other_files_are_no_clips(copy: Path) -> None:
    (copy / "train" / "notes.txt").write_text("hello")
    (copy / "train" / ".hidden.wav").write_text("hello")
    (copy / "train" / "folder.wav").mkdir()
    assert built(copy).catalog.counts()["train"] == 100


def test_bad_clips_are_quarantined(copy: Path) -> None:
    (copy / "train" / "train_000004.wav").write_bytes(b"no sound")
    soundfile.write(copy / "test" / "test_000002.wav", np.zeros(16000), 16000)
    report = built(copy, bad=0.05)
    catalog = report.catalog
    assert catalog.counts() == {"train": 99, "test": 19, "quarantined": 2, "removed": 0}
    assert 4 not in catalog.rows("train")
    assert len(catalog.submission) == 20
    bad = catalog.clips[catalog.clips["state"] == "quarantined"].set_index("clip_id")["reason"]
    assert bad["train_000004"].startswith("unreadable")
    assert bad["test_000002"] == "silent"
    assert any("quarantined" in warning for warning in report.warnings)


def test_bad_clips_are_looked_at_once(copy: Path) -> None:
    """Until they change; but one that could not be opened is tried again."""
    (copy / "train" / "train_000004.wav").write_bytes(b"no sound")
    (copy / "train" / "train_000005.wav").unlink()
    (copy / "train" / "train_000005.wav").symlink_to(copy / "train" / "train_000006.wav")
    listing = list_data(copy)
    (copy / "train" / "train_000006.wav").rename(copy / "gone")
    first = build_catalog(listing, WANTED, ChecksConfig(max_bad_fraction=0.1))
    assert first.catalog.clips["reason"][4].startswith("unreadable")
    assert first.catalog.clips["reason"][5].startswith("cannot be opened")
    (copy / "gone").rename(copy / "train" / "train_000006.wav")
    again = build_catalog(
        listing, WANTED, ChecksConfig(max_bad_fraction=0.1), previous=first.catalog
    )
    assert again.inspected == 2  # the link, and what it leads to
    assert again.catalog.counts()["quarantined"] == 1


def test_repairs_and_oddities_are_counted(copy: Path) -> None:
    soundfile.write(copy / "train" / "train_000000.wav", np.ones((8000, 2)) * 0.3, 8000)
    soundfile.write(copy / "train" / "train_000001.wav", np.sign(np.sin(np.arange(16000))), 16000)
    shutil.copy(copy / "train" / "train_000002.wav", copy / "train" / "train_000003.wav")
    shutil.copy(copy / "train" / "train_000004.wav", copy / "test" / "test_000000.wav")
    text = "\n".join(built(copy).warnings)
    for expected in (
        "clips were resampled: train/train_000000.wav",
        "clips were downmixed: train/train_000000.wav",
        "clips are clipped (kept as they are): train/train_000001.wav",
        "train/train_000002.wav = train/train_000003.wav",
        "train/train_000004.wav = test/test_000000.wav",
        "the same audio has different labels: train/train_000002.wav = train/train_000003.wav",
    ):
        assert expected in text


def test_without_a_test_set_there_is_no_submission(copy: Path) -> None:
    shutil.rmtree(copy / "test")
    (copy / "submission.csv").unlink()
    catalog = built(copy).catalog
    assert catalog.counts()["test"] == 0
    assert catalog.submission.empty


def test_a_test_set_without_template_is_predicted_in_the_order_of_ids(copy: Path) -> None:
    (copy / "submission.csv").unlink()
    submission = built(copy).catalog.submission
    assert submission["table_id"].tolist() == [f"test_{i:06d}" for i in range(20)]


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda d: shutil.rmtree(d), "there is no such folder"),
        (lambda d: shutil.rmtree(d / "train"), "there is no train/ in it"),
        (lambda d: [f.unlink() for f in (d / "train").iterdir()], "no clips directly in it"),
        (lambda d: (d / "train_answer.csv").unlink(), "there is train/ but no train_answer.csv"),
        (lambda d: shutil.rmtree(d / "test"), "there is submission.csv but no test/"),
        (lambda d: (d / "groups.csv").write_text("id\nx\n"), "groups.csv has no column group"),
    ],
)
def test_what_is_no_data_set(copy: Path, spoil, message: str) -> None:
    spoil(copy)
    with pytest.raises(DataError, match=message):
        built(copy)


def test_a_folder_of_clips(data: Path) -> None:
    listing = list_clips(data / "test")
    catalog = build_catalog(listing, WANTED, ChecksConfig()).catalog
    assert catalog.counts()["test"] == 20
    assert catalog.words == ()
    with pytest.raises(DataError, match=f"give {data}/train"):
        list_clips(data)


def test_unchanged_files_are_not_decoded_again(copy: Path) -> None:
    first = built(copy)
    assert first.inspected == 120
    (copy / "train" / "train_000000.wav").write_bytes(
        (copy / "train" / "train_000001.wav").read_bytes()
    )
    second = built(copy, first.catalog)
    assert second.inspected == 1
    assert second.catalog.clips["digest"][0] == first.catalog.clips["digest"][1]
    assert second.catalog.clips[1:].equals(first.catalog.clips[1:])


def test_rows_are_stable(copy: Path) -> None:
    first = built(copy).catalog
    (copy / "train" / "train_000010.wav").unlink()
    rewrite(copy / "train_answer.csv", lambda t: t[t["id"] != "train_000010"])
    shutil.copy(copy / "train" / "train_000001.wav", copy / "train" / "a_new_one.wav")
    rewrite(
        copy / "train_answer.csv",
        lambda t: pd.concat([t.iloc[:1].assign(id="a_new_one"), t]),
    )
    rewrite(copy / "groups.csv", lambda t: pd.concat([t.iloc[:1].assign(id="a_new_one"), t]))
    second = built(copy, first).catalog
    assert len(second) == 121
    assert second.clips["clip_id"][:120].equals(first.clips["clip_id"])
    assert second.clips["clip_id"][120] == "a_new_one"
    assert second.clips["state"][10] == "removed"
    assert 10 not in second.rows("train")
    assert 120 in second.rows("train")
    assert np.array_equal(second.labels[120], first.labels[0])
    assert second.key(slice(0, 10)) == first.key(slice(0, 10))
    assert second.key(slice(0, 11)) != first.key(slice(0, 11))


def test_a_clip_that_comes_back_gets_its_row_back(copy: Path) -> None:
    first = built(copy).catalog
    content = (copy / "test" / "test_000005.wav").read_bytes()
    (copy / "test" / "test_000005.wav").unlink()
    rewrite(copy / "submission.csv", lambda t: t[t["id"] != "test_000005"])
    second = built(copy, first).catalog
    assert second.counts()["removed"] == 1
    assert second.submission["clip_id"].tolist().count("test_000005") == 0
    (copy / "test" / "test_000005.wav").write_bytes(content)
    rewrite(copy / "submission.csv", lambda t: pd.concat([t, t.iloc[:1].assign(id="test_000005")]))
    third = built(copy, second).catalog
    assert len(third) == 120
    assert third.key(slice(None)) == first.key(slice(None))


def test_saved_and_loaded(config: RunConfig) -> None:
    catalog = catalogue(config)
    loaded = Catalog.load(Location.of(config.workspace))
    assert loaded.clips.equals(catalog.clips)
    assert np.array_equal(loaded.labels, catalog.labels, equal_nan=True)
    assert (loaded.words, loaded.data, loaded.wanted) == (
        catalog.words,
        catalog.data,
        catalog.wanted,
    )


def test_the_quarantine_can_be_read_by_itself(copy: Path, tmp_path: Path) -> None:
    (copy / "train" / "train_000000.wav").write_bytes(b"no sound")
    built(copy).catalog.save(Location.of(tmp_path / "w"))
    table = pd.read_parquet(tmp_path / "w" / "quarantine.parquet")
    assert table["clip_id"].tolist() == ["train_000000"]


def test_a_folder_that_is_no_workspace(tmp_path: Path) -> None:
    with pytest.raises(NotReadyError, match="no catalogue there"):
        Catalog.load(Location.of(tmp_path))


def test_labels_and_groups_are_part_of_the_training_key(copy: Path) -> None:
    first = built(copy).catalog
    rewrite(copy / "groups.csv", lambda t: t.assign(group=t["group"].replace("g00", "g09")))
    second = built(copy).catalog
    rows = first.rows("train")
    assert first.key(rows) == second.key(rows)
    assert first.key(rows, labels=True) != second.key(rows, labels=True)


def test_equal_audio_has_equal_digests(copy: Path) -> None:
    folder = Location.of(copy / "train")
    samples, rate = soundfile.read(copy / "train" / "train_000000.wav", dtype="int16")
    soundfile.write(copy / "train" / "same.flac", samples, rate)
    one, other = (load_clip(folder, name, WANTED) for name in ("train_000000.wav", "same.flac"))
    assert digest(one) == digest(other)


def test_in_order_is_natural_and_total() -> None:
    ids = ["clip_10", "clip_2", "a", "clip_02", "clip_1"]
    ordered = [ids[i] for i in in_order(ids)]
    assert ordered == ["a", "clip_1", "clip_02", "clip_2", "clip_10"]
    assert [ids[::-1][i] for i in in_order(ids[::-1])] == ordered
