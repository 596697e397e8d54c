"""Input that is not used is counted and named, and a wrong address is explained."""

import shutil
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest

from overlap.audio.decode import decode
from overlap.catalog import build_catalog, list_clips, list_data
from overlap.catalog.listing import Listing
from overlap.config import AudioFormat, ChecksConfig
from overlap.errors import AudioError, DataError, UserError
from overlap.synthetic import MixConfig, mix
from overlap.synthetic.speakers import plan_pools, unused_recordings
from support.errors import raises
from support.hostile_cases import TONE, encoded
from support.trials import trial

WANTED = AudioFormat(16000, 16000)
FOREIGN = ("m4a", "webm", "mp4", "aac", "wma", "amr")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two clips."""
    top = tmp_path / "clips"
    top.mkdir()
    for shift, name in enumerate("ab"):
        (top / f"{name}.wav").write_bytes(encoded(np.roll(TONE, shift)))
    return top


@pytest.fixture
def dataset(folder: Path, tmp_path: Path) -> Path:
    """The two clips with labels, as train/."""
    top = tmp_path / "d"
    shutil.copytree(folder, top / "train")
    (top / "train_answer.csv").write_text("id,yes,no\na,1,0\nb,0,1\n")
    return top


def unused(listing: Listing) -> tuple[int, str]:
    """Count and text of the files that are not used."""
    found = [one for one in listing.problems.found if one.code == "unused-files"]
    assert not any(one.fatal for one in found)
    return sum(one.count for one in found), " ".join(map(str, found))


@trial(
    "I", "m4a, webm, mp4, aac, wma and amr beside two wavs", source="own",
    before='"2 clips predicted"',
    now="6 files of an unsupported format are counted, with the advice to convert them",
)  # fmt: skip
def test_foreign_formats(folder: Path) -> None:
    for suffix in FOREIGN:
        (folder / f"c.{suffix}").write_bytes(b"x")
    count, text = unused(list_clips(folder))
    assert count == 6
    assert "6 of an unsupported format" in text
    assert "ffmpeg" in text


@trial(
    "I", "foreign formats and subfolders in train/ and next to it: `overlap run`", source="own",
    before="ignored silently", now="counted by folder in the warnings of the run",
)  # fmt: skip
def test_unused_files_of_a_data_set(dataset: Path, folder: Path) -> None:
    (dataset / "train" / "C.M4A").write_bytes(b"x")
    shutil.copytree(folder, dataset / "train" / "more")
    shutil.copytree(folder, dataset / "valid" / "deep")
    report = build_catalog(list_data(dataset), WANTED, ChecksConfig())
    texts = [str(one) for one in report.problems if one.code == "unused-files"]
    assert len(texts) == 2
    assert "2 files are not used: 2 in subfolders (valid/)" in texts[0]
    assert "3 files are not used: 1 of an unsupported format (.m4a" in texts[1]
    assert "2 in subfolders (more/)" in texts[1]


@trial(
    "I", "clips only in subfolders: `overlap predict`", source="own",
    before="no clips", now="no clips; the subfolders and the number of their clips are named",
)  # fmt: skip
def test_clips_in_subfolders_only(folder: Path, tmp_path: Path) -> None:
    shutil.move(folder, tmp_path / "top" / "inner")
    with raises(DataError, "no-clips") as error:
        list_clips(tmp_path / "top")
    assert "2 in subfolders (inner/)" in str(error.value)


@trial(
    "I", "a text file and a file without a suffix beside the clips", source="own",
    before="ignored silently", now="counted as files that are no sound files",
)  # fmt: skip
def test_other_files(folder: Path) -> None:
    (folder / "notes.txt").write_text("x")
    (folder / "clip").write_bytes(b"x")
    count, text = unused(list_clips(folder))
    assert count == 2
    assert "(.txt, no suffix)" in text or "(no suffix, .txt)" in text


@trial(
    "I", "`.DS_Store`, `._a.wav`, `Thumbs.db`, `desktop.ini` and `__MACOSX/`", source="own",
    before="correct", now="not used and not mentioned",
)  # fmt: skip
def test_files_of_systems_are_no_news(folder: Path) -> None:
    for name in (".DS_Store", "._a.wav", "Thumbs.db", "desktop.ini"):
        (folder / name).write_bytes(b"x")
    (folder / "__MACOSX").mkdir()
    (folder / "__MACOSX" / "a.wav").write_bytes(b"x")
    assert unused(list_clips(folder)) == (0, "")


@trial(
    "I", "an empty subfolder and a link to a parent folder among the clips", source="own",
    before="correct", now="not mentioned; the link is not followed for ever",
)  # fmt: skip
def test_links_to_parents(folder: Path) -> None:
    (folder / "empty").mkdir()
    (folder / "loop").symlink_to(folder)
    assert unused(list_clips(folder)) == (0, "")


@pytest.mark.parametrize(
    ("start", "name"),
    [
        pytest.param(b"\0\0\0\x1cftypM4A \0\0\0\0", "M4A", marks=trial(
            "I", "a phone's m4a that was renamed to a.wav", source="own",
            before="unreadable: format not recognised",
            now="quarantined; the reason names M4A and ffmpeg")),
        pytest.param(b"\x1aE\xdf\xa3" + bytes(20), "WebM", marks=trial(
            "I", "a browser's webm that was renamed to a.wav", source="own",
            before="unreadable: format not recognised",
            now="quarantined; the reason names WebM and ffmpeg")),
    ],
)  # fmt: skip
def test_renamed_files(start: bytes, name: str) -> None:
    with raises(AudioError, "unreadable") as error:
        decode(start + bytes(100), WANTED)
    assert name in str(error.value)
    assert "ffmpeg" in str(error.value)


@trial(
    "I", "further columns, and rows of unknown ids, in groups.csv", source="own",
    before="ignored silently", now="both are named in notes",
)  # fmt: skip
def test_unused_cells_of_groups(dataset: Path) -> None:
    (dataset / "groups.csv").write_text("id,group,age\na,1,30\nb,2,31\nz.wav,3,32\n")
    report = build_catalog(list_data(dataset), WANTED, ChecksConfig())
    cases = {one.code: one.cases for one in report.problems}
    assert cases == {"unused-columns": ("age",), "unused-rows": ("z.wav",)}


# --- addresses ---------------------------------------------------------------------------------


@trial(
    "J", "`overlap predict ONE.wav`", source="own", before="no such folder",
    now="the one clip is predicted",
)  # fmt: skip
def test_one_file(folder: Path) -> None:
    listing = list_clips(folder / "a.wav")
    assert (str(listing.data), [*listing.files["file"]]) == (str(folder), ["a.wav"])
    assert listing.problems.found == []


@trial(
    "J", "`overlap predict */*.wav`: files of different folders", source="own",
    before="refused: the sound files are in different folders",
    now="these clips are predicted; if two have the same name, both are named",
)  # fmt: skip
def test_files_of_several_folders(folder: Path, tmp_path: Path) -> None:
    deep = tmp_path / "x" / "y"
    deep.mkdir(parents=True)
    shutil.copy(folder / "a.wav", deep / "other.wav")
    listing = list_clips([folder / "a.wav", deep / "other.wav"])
    files = [listing.data / name for name in listing.files["file"]]
    assert [file.local for file in files] == [folder / "a.wav", deep / "other.wav"]
    assert [*listing.files["clip_id"]] == ["a", "other"]
    shutil.copy(folder / "a.wav", deep / "a.wav")
    twice = list_clips([folder / "a.wav", deep / "a.wav"]).problems.found
    assert [one.code for one in twice] == ["duplicate-file-ids"]
    assert twice[0].cases == tuple(sorted([f"{folder.name}/a.wav", "x/y/a.wav"]))
    with raises(DataError, "several-folders"):
        list_clips([folder / "a.wav", archived(deep, tmp_path / "deep.zip")])


def archived(folder: Path, archive: Path) -> str:
    shutil.make_archive(str(archive.with_suffix("")), "zip", folder)
    return f"zip://a.wav::{archive}"


@trial(
    "J", "`overlap predict clips/*.wav`: several files of one folder", source="own",
    before="unexpected extra arguments", now="these clips are predicted",
)  # fmt: skip
def test_several_files(folder: Path, tmp_path: Path) -> None:
    shutil.copy(folder / "a.wav", folder / "c.wav")
    listing = list_clips([folder / "a.wav", str(folder / "b.wav")])
    assert sorted(listing.files["clip_id"]) == ["a", "b"]
    with raises(DataError, "not-sound-files"):
        list_clips([folder / "a.wav", folder])


@pytest.mark.parametrize(
    ("name", "code", "fact"),
    [
        pytest.param("d.tar.gz", "unsupported-archive", "tar -xf", marks=trial(
            "J", "`--data d.tar.gz`", source="own", before="no such folder",
            now="the kind of archive is named, with `tar -xf`")),
        pytest.param("d.7z", "unsupported-archive", ".zip", marks=trial(
            "J", "`--data d.7z`", source="own", before="no such folder",
            now="the kind of archive is named")),
        pytest.param("d.RAR", "unsupported-archive", ".zip", marks=trial(
            "J", "`--data d.RAR`", source="own", before="no such folder",
            now="the kind of archive is named")),
        pytest.param("a.m4a", "unsupported-format", "ffmpeg", marks=trial(
            "J", "`overlap predict a.m4a`", source="own", before="no such folder",
            now="the format is named, with ffmpeg")),
        pytest.param("labels.csv", "not-a-folder", "is a file", marks=trial(
            "J", "a table as the folder of clips", source="own", before="no such folder",
            now="it is called a file")),
    ],
)  # fmt: skip
def test_files_that_are_no_folders(tmp_path: Path, name: str, code: str, fact: str) -> None:
    with tarfile.open(tmp_path / name, "w:gz"):
        pass
    for read in (list_data, list_clips):
        with raises(DataError, code, file=str(tmp_path / name)) as error:
            read(tmp_path / name)
        assert fact in str(error.value)


@trial(
    "J", "a zip with `D/` and `__MACOSX/`, as macOS packs it", source="own",
    before="no folder train/, without a hint", now="the inner folder is named",
)  # fmt: skip
def test_an_archive_of_a_folder(dataset: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "d.zip", "w") as archive:
        for file in dataset.rglob("*.*"):
            archive.write(file, f"D/{file.relative_to(dataset)}")
        archive.writestr("__MACOSX/D/._train", b"x")
    with raises(DataError, "no-training-folder") as error:
        list_data(tmp_path / "d.zip")
    inner = str(error.value).rpartition("; use ")[2]
    assert inner == f"zip://D::{tmp_path}/d.zip"
    assert len(list_data(inner).files) == 2


@trial(
    "J", "a data set two folders deep, beside a folder of other things", source="own",
    before="no folder train/, without a hint", now="the inner folder is named",
)  # fmt: skip
def test_a_deep_data_set(dataset: Path, tmp_path: Path) -> None:
    top = tmp_path / "top"
    (top / "docs").mkdir(parents=True)
    shutil.move(dataset, top / "x" / "D")
    with raises(DataError, "no-training-folder") as error:
        list_data(top)
    assert str(error.value).endswith(f"; use {top}/x/D")


@trial(
    "J", "the folder `Train/` instead of `train/`", source="own",
    before="no folder train/, without a hint", now="the advice to rename it",
)  # fmt: skip
def test_a_folder_in_another_case(dataset: Path) -> None:
    (dataset / "train").rename(dataset / "Train")
    with raises(DataError, "no-training-folder") as error:
        list_data(dataset)
    assert "rename Train/ to train/" in str(error.value)


@pytest.mark.parametrize(
    ("address", "fact"),
    [
        pytest.param("C:\\Users\\me\\data", "/mnt/c/Users/me/data", marks=trial(
            "J", "`--data C:\\Users\\me\\data` in WSL", source="own", before="no such folder",
            now="the path as WSL sees it")),
        pytest.param("'clips'", "quotes", marks=trial(
            "J", "quotes within the address", source="own", before="no such folder",
            now="the advice to leave the quotes out")),
        pytest.param("clips ", "white space", marks=trial(
            "J", "a space after the address", source="own", before="no such folder",
            now="the advice to leave it out")),
        pytest.param("$HOME/clips", "variables", marks=trial(
            "J", "`$HOME` in a configuration file", source="own", before="no such folder",
            now="variables are not expanded, says the message")),
        pytest.param("clps", "clips", marks=trial(
            "J", "a typing error in the address", source="own", before="no such folder",
            now="the similar name is suggested")),
        pytest.param("link", "gone", marks=trial(
            "J", "a link whose target is gone", source="own", before="no such folder",
            now="the target is named")),
    ],
)  # fmt: skip
def test_addresses_of_nothing(
    folder: Path, monkeypatch: pytest.MonkeyPatch, address: str, fact: str
) -> None:
    monkeypatch.chdir(folder.parent)
    Path("link").symlink_to("gone")
    with raises(DataError, "no-such-folder") as error:
        list_clips(address)
    assert fact in str(error.value).rpartition("no such folder")[2]


@pytest.mark.parametrize(
    "form",
    [
        pytest.param("{}/", marks=trial(
            "J", "a slash after the address", source="own", before="correct", now="correct")),
        pytest.param("file://{}", marks=trial(
            "J", "a `file://` address", source="own", before="correct", now="correct")),
        pytest.param("{}/./", marks=trial(
            "J", "a dot in the address", source="own", before="correct", now="correct")),
    ],
)  # fmt: skip
def test_forms_of_an_address(folder: Path, form: str) -> None:
    assert len(list_clips(form.format(folder)).files) == 2


@trial("J", "`~/clips` in quotes", source="own", before="correct", now="the home folder is used")
def test_home(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(folder.parent))
    assert len(list_clips("~/clips").files) == 2


# --- ids and numbers of tables -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "code", "fact"),
    [
        pytest.param("a.wav,1,0\nb.wav,0,1", "no-id-matches", "write a instead of a.wav",
            marks=trial("J", "ids with the suffix: `a.wav`", source="own",
                before="no id matches, without a hint", now="the advice to leave the suffix out")),
        pytest.param("train/a,1,0\nb,0,1", "ids-without-file", "write a instead of train/a",
            marks=trial("J", "ids with the folder: `train/a`", source="own",
                before="ids without a file", now="the advice to leave the folder out")),
        pytest.param("12.0,1,0\nb,0,1", "ids-without-file", "write 12",
            marks=trial("J", "ids of pandas: `12.0`", source="own",
                before="ids without a file", now="the cause, and the advice to write 12")),
        pytest.param("A,1,0\nb,0,1", "ids-without-file", "write a instead of A",
            marks=trial("J", "ids in another case", source="own",
                before="ids without a file", now="the name of the file is suggested")),
        pytest.param("1.23E+11,1,0\nb,0,1", "ids-without-file", "spreadsheet",
            marks=trial("J", "ids that Excel shortened: `1.23E+11`", source="own",
                before="ids without a file", now="the cause is named")),
        pytest.param('a,"0,5","0,5"\nb,0,1', "not-a-number", "write 0.5",
            marks=trial("J", "decimal commas", source="own",
                before="not a number", now="the advice to write 0.5")),
        pytest.param("a,50%,50%\nb,0,1", "not-a-number", "fractions",
            marks=trial("J", "percentages", source="own",
                before="not a number", now="the advice to write fractions")),
        pytest.param("a,0.334,0.669\nb,0,1", "row-sum", "a (sum 1.003)",
            marks=trial("J", "rounded shares that sum to 1.003", source="own",
                before="refused without the sum and the tolerance",
                now="sum and tolerance are stated, with the remedy")),
    ],
)  # fmt: skip
def test_hints_about_cells(dataset: Path, text: str, code: str, fact: str) -> None:
    (dataset / "train_answer.csv").write_text(f"id,yes,no\n{text}\n")
    with raises(DataError, "invalid-data") as error:
        build_catalog(list_data(dataset), WANTED, ChecksConfig())
    assert code in dict(error.value.fields["problems"])
    assert fact in str(error.value)
    if code == "row-sum":
        assert "within 0.001; write shares with at least four digits" in str(error.value)
        assert "checks.normalise_labels" in str(error.value)


@trial(
    "J", "rows of labels whose shares are six times 0.167, or counts", source="own",
    before="refused without an offer to normalise",
    now="refused; with `checks.normalise_labels` divided by their sum, counted and reported",
)  # fmt: skip
def test_labels_are_normalised_where_that_is_set(dataset: Path) -> None:
    (dataset / "train_answer.csv").write_text("id,yes,no\na,0.334,0.669\nb,0,2\n")
    checks = ChecksConfig(normalise_labels=True)
    report = build_catalog(list_data(dataset), WANTED, checks)
    assert report.catalog.labels[0] == pytest.approx([0.334 / 1.003, 0.669 / 1.003], rel=1e-12)
    assert [*report.catalog.labels[1]] == [0, 1]
    assert {one.code: one.count for one in report.problems}["rows-normalised"] == 2
    (dataset / "train_answer.csv").write_text("id,yes,no\na,0.334,0.669\nb,0,0\n")
    with raises(DataError, "invalid-data", problems=(("row-sum", 1),)):
        build_catalog(list_data(dataset), WANTED, checks)
    (dataset / "train_answer.csv").write_text("id,yes,no\na,0.3341,0.6659\nb,0,1\n")
    plain = build_catalog(list_data(dataset), WANTED, ChecksConfig()).catalog
    same = build_catalog(list_data(dataset), WANTED, checks).catalog
    assert np.array_equal(plain.labels, same.labels)


@pytest.mark.parametrize(
    ("content", "code", "fact"),
    [
        pytest.param("id,yes\na,1\n".encode("utf-16"), "table-not-utf8", "UTF-16", marks=trial(
            "J", "a table that Excel saved as Unicode text (UTF-16)", source="own",
            before="byte 0xff is not valid UTF-8", now="UTF-16 is named, with the remedy")),
        pytest.param(b"PK\x03\x04" + bytes(40), "not-a-csv", "Excel", marks=trial(
            "J", "an xlsx renamed to .csv", source="own", before="no column id",
            now="an Excel workbook, says the message")),
        pytest.param(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "not-a-csv", "Excel", marks=trial(
            "J", "an xls renamed to .csv", source="own", before="byte 0xd0 is not valid UTF-8",
            now="an Excel workbook, says the message")),
        pytest.param(b"\x1f\x8b\x08" + bytes(20), "not-a-csv", "gunzip", marks=trial(
            "J", "a gzip-compressed csv", source="own", before="byte 0x8b is not valid UTF-8",
            now="gzip is named, with gunzip")),
        pytest.param(b"version https://git-lfs.github.com/spec/v1\n", "not-a-csv", "git lfs pull",
            marks=trial("J", "a Git LFS pointer instead of the table", source="own",
                before="no column id", now="the pointer is named, with `git lfs pull`")),
        pytest.param(b"PAR1" + bytes(20), "not-a-csv", "Parquet", marks=trial(
            "J", "a Parquet file renamed to .csv", source="own", before="no column id",
            now="Parquet is named")),
        pytest.param(b"id;yes\na;1\n", "wrong-separator", "CSV UTF-8", marks=trial(
            "J", "semicolons, as Excel writes in Europe", source="own", before="correct",
            now="refused with the separator and the remedy")),
        pytest.param(b"id\tyes\na\t1\n", "wrong-separator", repr("\t"), marks=trial(
            "J", "tabs as separators", source="own", before="correct",
            now="refused with the separator and the remedy")),
        pytest.param(b",id,yes\n0,a,1\n", "unnamed-columns", "index=False", marks=trial(
            "J", "the index of pandas as an unnamed column", source="own",
            before="a column without a name", now="the advice index=False")),
    ],
)  # fmt: skip
def test_tables_of_other_kinds(dataset: Path, content: bytes, code: str, fact: str) -> None:
    (dataset / "train_answer.csv").write_bytes(content)
    with raises(DataError, "invalid-data") as error:
        build_catalog(list_data(dataset), WANTED, ChecksConfig())
    assert dict(error.value.fields["problems"]).keys() == {code}
    assert fact in str(error.value)


# --- recordings of words -----------------------------------------------------------------------


@pytest.fixture
def spoken(tmp_path: Path) -> Path:
    """Two words by ten speakers."""
    for word in ("no", "yes"):
        (tmp_path / "words" / word).mkdir(parents=True)
        for speaker in range(10):
            content = encoded(np.roll(TONE, speaker))
            (tmp_path / "words" / word / f"s{speaker}_0.wav").write_bytes(content)
    return tmp_path / "words"


MIX = MixConfig(train=40, test=10, words_per_clip=2, test_speakers=0.3, groups=1)


@trial(
    "J", "three silent recordings: `overlap mix`", source="own",
    before="one is named per call", now="all three are named",
)  # fmt: skip
def test_every_silent_recording_is_named(spoken: Path, tmp_path: Path) -> None:
    silent = [spoken / "yes" / f"s{n}_0.wav" for n in (1, 2, 3)]
    for file in silent:
        file.write_bytes(encoded(np.zeros_like(TONE)))
    with raises(UserError, "unusable-recording") as error:
        mix(spoken, tmp_path / "out", MIX)
    assert {*error.value.fields["files"]} == {*map(str, silent)}
    assert all(file.name in str(error.value) for file in silent)
    assert not (tmp_path / "out").exists()


@trial(
    "J", "too few speakers reserved for test: `overlap mix`", source="own",
    before="the advice to raise --min-clips, which does not help",
    now="the advice to raise --test-speakers to a fraction that works",
)  # fmt: skip
def test_the_advice_of_mix_works(spoken: Path) -> None:
    from dataclasses import replace

    few = replace(MIX, test_speakers=0.05)
    with raises(UserError, "too-few-speakers", split="test") as error:
        plan_pools(spoken, few)
    assert "raise --test-speakers to 0.15" in str(error.value)
    assert "--min-clips" not in str(error.value)
    plan_pools(spoken, replace(MIX, test_speakers=0.15))


@trial(
    "I", "m4a recordings and nested folders in a folder of words: `overlap mix`", source="own",
    before="ignored silently", now="counted in a note",
)  # fmt: skip
def test_unused_recordings(spoken: Path) -> None:
    assert unused_recordings(spoken) == ""
    (spoken / "yes" / "s1_1.m4a").write_bytes(b"x")
    shutil.copytree(spoken / "no", spoken / "no" / "more")
    (spoken / "_background_noise_").mkdir()
    text = unused_recordings(spoken)
    assert text.startswith("11 files are not used: 1 of an unsupported format (.m4a")
    assert "10 in subfolders (no/more/)" in text


@trial(
    "C", "the folders `yes` and `yes` with a space after it: `overlap mix`", source="own",
    before="two words", now="refused; both are named",
)  # fmt: skip
def test_two_folders_of_one_word(spoken: Path) -> None:
    shutil.copytree(spoken / "yes", spoken / "yes ")
    with raises(UserError, "repeated-word") as error:
        plan_pools(spoken, MIX)
    assert "'yes' and 'yes '" in str(error.value)
