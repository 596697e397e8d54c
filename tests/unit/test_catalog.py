"""Building, saving and loading the catalogue of a data set."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import soundfile

from overlap.audio.clips import digest, load_clip
from overlap.catalog import Catalog, CatalogReport, build_catalog, list_clips, list_data
from overlap.columns.search import natural_order, positions
from overlap.config import AudioFormat, ChecksConfig, RunConfig
from overlap.errors import DataError, NotReadyError
from overlap.io.location import Location
from support.errors import raises
from support.run_steps import catalogue
from support.trials import trial

WANTED = AudioFormat(16000, 16000)


@pytest.fixture
def copy(data: Path, tmp_path: Path) -> Path:
    """A copy of the data set that a test may modify."""
    return Path(shutil.copytree(data, tmp_path / "copy"))


def built(folder: Path, previous: Catalog | None = None, bad: float = 0.01):
    return build_catalog(list_data(folder), WANTED, ChecksConfig(max_bad_fraction=bad), previous)


def refusal(folder: Path) -> tuple[dict[str, int], str]:
    """The problems of bad data by code, with the count of their cases, and the message."""
    with raises(DataError, "invalid-data", data=str(folder)) as error:
        built(folder)
    problems = error.value.fields["problems"]
    assert len(dict(problems)) == len(problems)
    return dict(problems), str(error.value)


def reported(report: CatalogReport) -> dict[str, tuple[str, ...]]:
    """The handled problems by code, with their first cases."""
    return {problem.code: problem.cases for problem in report.problems}


def rewrite(file: Path, change) -> None:
    frame = pd.read_csv(file, dtype={"id": str})
    change(frame).to_csv(file, index=False)


def test_rows_are_ordered_by_id_whatever_the_order_of_the_table(copy: Path) -> None:
    rewrite(copy / "train_answer.csv", lambda t: t.sample(frac=1, random_state=1))
    catalog = built(copy).catalog
    assert catalog.counts() == {"train": 100, "test": 20, "quarantined": 0, "removed": 0}
    assert [*catalog.clips["clip_id"][:2]] == ["train_000000", "train_000001"]
    truth = pd.read_csv(copy / "train_answer.csv").set_index("id")[[*catalog.words]]
    train = catalog.rows("train")
    assert np.array_equal(catalog.labels[train], truth.loc[catalog.clips["clip_id"][train]])
    assert np.isnan(catalog.labels[catalog.rows("test")]).all()


def test_the_template_determines_the_order_of_rows_and_words(copy: Path) -> None:
    def reverse(table: pd.DataFrame) -> pd.DataFrame:
        return table.iloc[::-1][["id", *table.columns[:0:-1]]]

    before = built(copy).catalog
    rewrite(copy / "submission.csv", reverse)
    catalog = built(copy).catalog
    assert catalog.words == before.words[::-1]
    assert [*catalog.submission["table_id"]] == [*before.submission["table_id"]][::-1]
    assert np.array_equal(catalog.labels[:100], before.labels[:100, ::-1])
    assert [*catalog.clips["clip_id"]] == [*before.clips["clip_id"]]


def test_plain_numbers_match_files(copy: Path) -> None:
    for name in ("train_answer.csv", "submission.csv"):
        rewrite(copy / name, lambda t: t.assign(id=t["id"].str[-6:].astype(int)))
    catalog = built(copy).catalog
    assert catalog.counts()["train"] == 100
    assert catalog.submission["table_id"].iloc[3] == "3"
    assert catalog.submission["clip_id"].iloc[3] == "test_000003"


def test_groups_are_read_from_their_table(copy: Path) -> None:
    catalog = built(copy).catalog
    assert catalog.clips["group"][:4].tolist() == ["g00", "g01", "g02", "g03"]
    (copy / "groups.csv").unlink()
    assert set(built(copy).catalog.clips["group"]) == {""}


def test_a_clip_with_two_groups_is_refused(copy: Path) -> None:
    with (copy / "groups.csv").open("a") as file:
        file.write("train_000001,another\n")
    problems, message = refusal(copy)
    assert problems == {"duplicate-ids": 1}
    assert "groups.csv" in message
    assert message.endswith(": train_000001")


def test_a_table_that_is_a_folder_is_refused(copy: Path) -> None:
    (copy / "groups.csv").unlink()
    (copy / "groups.csv").mkdir()
    problems, message = refusal(copy)
    assert problems == {"table-not-readable": 0}
    assert "groups.csv" in message
    assert "Is a directory" in message


def test_every_problem_is_in_one_report(copy: Path) -> None:
    (copy / "train" / "train_000003.wav").unlink()
    rewrite(copy / "train_answer.csv", lambda t: t.assign(up=t["up"] + (t.index == 5)))
    rewrite(copy / "submission.csv", lambda t: t.rename(columns={"up": "down2"}))
    shutil.copy(copy / "test" / "test_000001.wav", copy / "test" / "test_000001.flac")
    for number in (7, 8, 9):
        (copy / "train" / f"train_00000{number}.wav").write_bytes(b"no sound")
    problems, message = refusal(copy)
    assert problems == {
        "duplicate-file-ids": 2,
        "ids-without-file": 1,
        "row-sum": 1,
        "different-words": 2,
        "too-many-unusable-clips": 3,
    }
    for fact in (
        "5 problems",
        ": test/test_000001.flac, test/test_000001.wav",
        ": train_000003",
        ": train_000005",
        ": down2, up",
        "3 of 119",
        "train/train_000007.wav (unreadable",
    ):
        assert fact in message


def test_a_message_shows_an_example_if_no_id_matches_a_file(copy: Path) -> None:
    rewrite(copy / "train_answer.csv", lambda t: t.assign(id="x" + t["id"]))
    problems, message = refusal(copy)
    assert problems["no-id-matches"] == 100
    assert "train_000000)" in message


def test_files_that_no_table_lists_are_ignored(copy: Path) -> None:
    shutil.copy(copy / "train" / "train_000000.wav", copy / "train" / "extra.wav")
    report = built(copy)
    assert report.catalog.counts()["train"] == 100
    assert reported(report)["unlisted-files"] == ("train/extra.wav",)


def test_only_regular_files_with_the_name_of_a_clip_are_clips(copy: Path) -> None:
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
    assert len(reported(report)["quarantined"]) == 2


@trial(
    "R",
    "a data set without one usable test clip",
    source="own",
    before="members were trained, and publishing the ensemble failed",
    now="refused before anything is trained; exit code 2",
)
def test_a_data_set_needs_a_usable_test_clip(copy: Path) -> None:
    for file in (copy / "test").iterdir():
        file.write_bytes(b"no sound")
    with raises(DataError, "invalid-data") as error:
        build_catalog(list_data(copy), WANTED, ChecksConfig(max_bad_fraction=0.5))
    assert error.value.fields["problems"] == (("no-usable-test-clip", 0),)


def test_unusable_clips_are_inspected_once(copy: Path) -> None:
    """A clip is inspected again if its file changed, or could not be opened before."""
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
    assert again.inspected == 2  # the link and its target
    assert again.catalog.counts()["quarantined"] == 1


def test_repairs_and_suspicious_clips_are_reported(copy: Path) -> None:
    soundfile.write(copy / "train" / "train_000000.wav", np.ones((8000, 2)) * 0.3, 8000)
    soundfile.write(copy / "train" / "train_000001.wav", np.sign(np.sin(np.arange(16000))), 16000)
    shutil.copy(copy / "train" / "train_000002.wav", copy / "train" / "train_000003.wav")
    shutil.copy(copy / "train" / "train_000004.wav", copy / "test" / "test_000000.wav")
    report = built(copy)
    pair = "train/train_000002.wav = train/train_000003.wav"
    problems = reported(report)
    # The groups of equal clips are ordered by digest.
    duplicates = {*problems.pop("duplicate-audio")}
    assert duplicates == {pair, "train/train_000004.wav = test/test_000000.wav"}
    assert problems == {
        "resampled": ("train/train_000000.wav",),
        "downmixed": ("train/train_000000.wav",),
        "clipped": ("train/train_000001.wav",),
        "conflicting-labels": (pair,),
    }
    assert all(line.endswith(".wav") for line in report.warnings)


def test_without_a_test_set_there_is_no_submission(copy: Path) -> None:
    shutil.rmtree(copy / "test")
    (copy / "submission.csv").unlink()
    catalog = built(copy).catalog
    assert catalog.counts()["test"] == 0
    assert catalog.submission.empty


def test_without_a_template_the_submission_is_ordered_by_id(copy: Path) -> None:
    (copy / "submission.csv").unlink()
    submission = built(copy).catalog.submission
    assert submission["table_id"].tolist() == [f"test_{i:06d}" for i in range(20)]


@pytest.mark.parametrize(
    ("spoil", "code"),
    [
        (lambda d: shutil.rmtree(d), "no-such-folder"),
        (lambda d: shutil.rmtree(d / "train"), "no-training-folder"),
    ],
)
def test_folders_that_are_not_data_sets_are_refused(copy: Path, spoil, code: str) -> None:
    spoil(copy)
    with raises(DataError, code, folder=str(copy)):
        built(copy)


def test_a_data_set_without_training_clips_is_refused(copy: Path) -> None:
    for file in (copy / "train").iterdir():
        file.unlink()
    with raises(DataError, "no-clips", folder=str(copy / "train")):
        built(copy)


@pytest.mark.parametrize(
    ("spoil", "problem"),
    [
        (lambda d: (d / "train_answer.csv").unlink(), ("no-labels", 0)),
        (lambda d: shutil.rmtree(d / "test"), ("no-test-folder", 0)),
        (lambda d: (d / "groups.csv").write_text("id\nx\n"), ("missing-columns", 1)),
    ],
)
def test_incomplete_data_sets_are_refused(copy: Path, spoil, problem: tuple[str, int]) -> None:
    spoil(copy)
    code, count = problem
    assert refusal(copy)[0][code] == count


def test_a_folder_of_unlabelled_clips_is_listed(data: Path) -> None:
    listing = list_clips(data / "test")
    catalog = build_catalog(listing, WANTED, ChecksConfig()).catalog
    assert catalog.counts()["test"] == 20
    assert catalog.words == ()
    with raises(DataError, "no-clips", folder=str(data)) as error:
        list_clips(data)
    assert f"{data}/train" in str(error.value)


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


def test_an_unchanged_catalogue_shares_its_texts_with_the_earlier_one(copy: Path) -> None:
    first = built(copy).catalog
    second = built(copy, first)
    assert second.inspected == 0
    assert second.catalog.equals(first)
    for name in ("clip_id", "file", "version", "digest"):
        assert _addresses(second.catalog.clips[name]) == _addresses(first.clips[name])


def _addresses(texts: pd.Series) -> list[int]:
    """Where the texts are in memory: objects with pandas 2, buffers of Arrow with pandas 3."""
    if texts.dtype == object:
        return [id(text) for text in texts]
    array = pa.array(texts)
    chunks = array.chunks if isinstance(array, pa.ChunkedArray) else [array]
    return [buffer.address for chunk in chunks for buffer in chunk.buffers() if buffer]


@pytest.mark.parametrize("known", [["b", "a"], ["a", "b"], ["a"], ["a", "b", "c"], []])
def test_positions_are_those_of_a_search(known: list[str]) -> None:
    found = positions(["a", "b"], known)
    assert found.dtype == np.int64
    assert found.tolist() == [known.index(text) if text in known else -1 for text in "ab"]


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


def test_a_restored_clip_returns_to_its_row(copy: Path) -> None:
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


def test_a_catalogue_is_saved_and_loaded(config: RunConfig) -> None:
    catalog = catalogue(config)
    loaded = Catalog.load(Location.of(config.workspace))
    assert loaded.clips.equals(catalog.clips)
    assert np.array_equal(loaded.labels, catalog.labels, equal_nan=True)
    assert (loaded.words, loaded.data, loaded.wanted) == (
        catalog.words,
        catalog.data,
        catalog.wanted,
    )


def test_the_quarantine_is_a_table_of_its_own(copy: Path, tmp_path: Path) -> None:
    (copy / "train" / "train_000000.wav").write_bytes(b"no sound")
    built(copy).catalog.save(Location.of(tmp_path / "w"))
    table = pd.read_parquet(tmp_path / "w" / "quarantine.parquet")
    assert table["clip_id"].tolist() == ["train_000000"]


def test_a_folder_without_a_catalogue_is_refused(tmp_path: Path) -> None:
    with raises(NotReadyError, "no-catalog", workspace=str(tmp_path)):
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


def test_natural_order_is_total() -> None:
    ids = ["clip_10", "clip_2", "a", "clip_02", "clip_1"]
    ordered = [ids[i] for i in natural_order(ids)]
    assert ordered == ["a", "clip_1", "clip_02", "clip_2", "clip_10"]
    assert [ids[::-1][i] for i in natural_order(ids[::-1])] == ordered


def test_ids_of_one_pattern_are_ordered_as_in_a_mixed_set() -> None:
    """Ids with digits in the same places are sorted without padding; any other id prevents it."""
    ids = [f"a{number * 7919 % 1000:03d}_{number % 3}" for number in range(1000)]
    mixed = [i for i in natural_order([*ids, "a1"]) if i < len(ids)]
    assert natural_order(ids).tolist() == mixed


def test_a_column_without_a_type_is_read_as_texts(copy: Path, tmp_path: Path) -> None:
    """Arrow has none for a column without values, which a catalogue may have."""
    workspace = Location.of(tmp_path / "w")
    catalog = built(copy).catalog
    clips = catalog.clips.assign(repairs=pd.Series([None] * len(catalog), dtype=object))
    replace(catalog, clips=clips).save(workspace)
    assert (Catalog.load(workspace).clips["repairs"] == "").all()
