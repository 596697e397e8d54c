"""Pages of clips: the list with its filters, a clip with its sound, the quarantine, bad queries."""

import io
import json
import shutil
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote, urlencode

import numpy as np
import pandas as pd
import pytest
import soundfile
from starlette.datastructures import QueryParams

from overlap.audio.decode import decode
from overlap.catalog import Catalog
from overlap.config import AudioFormat
from overlap.ensemble.registry import EnsembleRecord, list_ensembles
from overlap.io.location import Location
from overlap.io.records import FORMAT
from overlap.promotion.champion import promote, read_aliases
from overlap.reporting.report_data import HeldOutClips, load_report_data
from overlap.view.clips.listing import matching
from overlap.view.clips.names import ClipNames
from overlap.view.clips.predicted import PredictedClips, read_predicted
from overlap.view.clips.query import ROWS_SHOWN, ClipQuery, Pager
from overlap.view.clips.sound import sound_response
from overlap.view.reader import CLIPS_KEPT, WorkspaceReader
from overlap.view.settings import ViewSettings
from support.earlier_workspace import Earlier, rename_words, use_data, wav_bytes
from support.run_steps import publish_record, published
from support.view_client import HTML, page_client
from support.view_page import Page, page

PNG = b"\x89PNG\r\n"


@pytest.fixture
def moved(earlier: Earlier) -> Earlier:
    """The workspace of release 0.1.0, with the data of this test as its data set."""
    use_data(earlier)
    return earlier


def champion(earlier: Earlier) -> EnsembleRecord:
    wanted = read_aliases(earlier.location).version
    return next(one for one in list_ensembles(earlier.location) if one.version == wanted)


def names_in(shown: Page) -> list[str]:
    """The ids of the list, in order."""
    links = [a["href"] for tag, a in shown.tags if tag == "a" and "/clips/" in a["href"]]
    return [link.partition("/clips/")[2].partition("?")[0] for link in links]


def synthetic(clips: int, held_out: int, words: int = 4) -> tuple[PredictedClips, ClipNames]:
    """Clips with random predictions; the id of row n is clip_n."""
    random = np.random.default_rng(0)
    pooled = random.dirichlet(np.ones(words), clips).astype(np.float32)
    kl = np.where(np.arange(clips) < held_out, random.random(clips), np.nan)
    labels = np.eye(words, dtype=np.float32)[random.integers(words, size=held_out)]
    found = PredictedClips(
        version="v", words=tuple("abcdefgh"[:words]), rows=np.arange(clips), held_out=held_out,
        labels=labels, pooled=pooled, kl=kl, disagreement=random.random(clips), members=(),
        divergence=np.zeros((0, clips), np.float32), member_word=np.zeros((0, clips), np.int16),
        notes=(),
    )  # fmt: skip
    frame = pd.DataFrame({"clip_id": [f"clip_{n}" for n in range(clips)], "state": "ok"})
    catalog = Catalog("", AudioFormat(8000, 8000), found.words, frame, np.zeros((clips, words)))
    return found, ClipNames(catalog)


def selected(clips: PredictedClips, names: ClipNames, query: str) -> np.ndarray:
    found, ignored = ClipQuery.read(QueryParams(query), clips.words)
    assert ignored == []
    return matching(clips, names, found)


def test_the_list_has_the_figures_of_the_report(earlier: Earlier) -> None:
    """Also for the champion, which is older than the newest clips of the workspace."""
    for record in list_ensembles(earlier.location):
        report = load_report_data(earlier.location, record).held_out
        assert isinstance(report, HeldOutClips)
        clips = read_predicted(earlier.location, record, Catalog.load(earlier.location))
        own = slice(clips.held_out)
        np.testing.assert_array_equal(clips.rows[own], report.rows)
        np.testing.assert_array_equal(clips.kl[own], report.kl)
        np.testing.assert_array_equal(clips.disagreement[own], report.disagreement)
        assert np.isfinite(clips.disagreement).all()
        assert np.isnan(clips.kl[clips.held_out :]).all()
        assert clips.kl[own].mean() == pytest.approx(record.kl)
        assert len(clips.members) == len(record.members)
        assert clips.notes == ()


def test_the_list_begins_with_the_worst_clip_of_the_champion(earlier: Earlier) -> None:
    record = champion(earlier)
    clips = read_predicted(earlier.location, record, Catalog.load(earlier.location))
    names = Catalog.load(earlier.location).clips["clip_id"]
    worst = names[clips.rows[np.nanargmax(clips.kl)]]
    with page_client(earlier.location) as client:
        shown = page(client, "/clips")
        assert names_in(shown)[0] == worst
        assert f"{len(clips)} clips" in shown.text
        assert record.version in shown.text
        assert names_in(page(client, "/clips?kind=test")) == [f"test_{n:03d}" for n in range(6)]
        assert names_in(page(client, "/clips?id=TEST_003")) == ["test_003"]
        assert "No clip matches" in page(client, "/clips?id=nothing").text
        last = list_ensembles(earlier.location)[-1].version
        assert last in page(client, f"/clips?version={last}").text
        link = f"/clips/{worst}?split=train&version={record.version}"
        assert link in shown.links()
        for path in (link, f"/clips/test_003?version={record.version}"):
            assert "Most probable word" in page(client, path).text


def test_labels_are_where_they_are_known(earlier: Earlier) -> None:
    version = champion(earlier).version
    with page_client(earlier.location) as client:
        held_out = page(client, names_in(page(client, "/clips"))[0].join(("/clips/", "")))
        assert "Part of KL" in held_out.text
        assert "50.0 %" in held_out.text
        test = page(client, "/clips/test_000")
        assert "Part of KL" not in test.text
        assert test.text.count("KL from the version") == 1
        trained = page(client, "/clips/train_000")
        assert f"The members of {version} were trained on this clip" in trained.text


@pytest.mark.parametrize(
    ("query", "keeps"),
    [
        ("kind=held-out", lambda clips, n: n < clips.held_out),
        ("kind=test", lambda clips, n: n >= clips.held_out),
        ("word=b", lambda clips, n: n < clips.held_out and clips.labels[n, 1] > 0),
        ("word=b&word=c", lambda _clips, _n: False),
        ("predicted=d", lambda clips, n: clips.pooled[n].argmax() == 3),
        ("kl_min=0.4&kl_max=0.6", lambda clips, n: 0.4 <= clips.kl[n] <= 0.6),
        ("missed=1", lambda clips, n: n < clips.held_out
         and clips.labels[n, clips.pooled[n].argmax()] == 0),
        ("id=_1", lambda _clips, n: str(n).startswith("1")),
        ("", lambda _clips, _n: True),
    ],
)  # fmt: skip
def test_filters(query: str, keeps) -> None:
    clips, names = synthetic(300, 200)
    expected = {n for n in range(300) if keeps(clips, n)}
    assert {*selected(clips, names, query).tolist()} == expected


@pytest.mark.parametrize(
    ("sort", "values", "sign"),
    [("", "kl", -1), ("kl-lowest", "kl", 1), ("disagreement", "disagreement", -1),
     ("disagreement-lowest", "disagreement", 1), ("data", "rows", 1)],
)  # fmt: skip
def test_orders(sort: str, values: str, sign: int) -> None:
    clips, names = synthetic(300, 200)
    order = sign * getattr(clips, values)[selected(clips, names, f"sort={sort}")]
    known = order[~np.isnan(order)]
    assert (np.diff(known) >= 0).all()
    assert not np.isnan(order[: len(known)]).any()  # unknown ones are last


def test_every_clip_of_a_large_set_is_on_one_page() -> None:
    clips, names = synthetic(110_000, 100_000)
    chosen = selected(clips, names, "sort=disagreement")
    query, _ = ClipQuery.read(QueryParams("sort=disagreement"), clips.words)
    first = Pager.of(len(chosen), query)
    pages = [Pager.of(len(chosen), replace(query, page=n + 1)) for n in range(first.pages)]
    found = np.concatenate([chosen[one.rows] for one in pages])
    np.testing.assert_array_equal(np.sort(found), np.arange(110_000))
    assert max(one.rows.stop - one.rows.start for one in pages) == ROWS_SHOWN
    assert {*first.links} == {"Next", "Last"}
    assert {*pages[-1].links} == {"First", "Previous"}
    assert len(selected(clips, names, "id=clip_10999")) == 11


def test_pages_keep_the_filter() -> None:
    text = urlencode(
        [("version", "v"), ("id", "a&b"), ("word", "a"), ("word", "b"), ("predicted", "c"),
         ("kind", "test"), ("kl_min", "0.125"), ("missed", "1"), ("sort", "kl-lowest")]
    )  # fmt: skip
    query, ignored = ClipQuery.read(QueryParams(text), "abc")
    assert ignored == []
    again = QueryParams(query.address(3).partition("?")[2])
    assert ClipQuery.read(again, "abc")[0] == replace(query, page=3)


def test_the_files_are_read_once_and_few_versions_are_kept(earlier: Earlier) -> None:
    reader = WorkspaceReader(earlier.location, 0)
    record = champion(earlier)
    first = reader.predicted_clips(record).value
    assert first is not None
    folder = earlier.workspace / "ensembles" / record.version
    (folder / "predictions.npz").rename(folder / "away.npz")
    assert reader.predicted_clips(record).value is first
    for n in range(CLIPS_KEPT):
        other = record.model_copy(update={"version": f"v{n}"})
        shutil.copytree(folder, folder.with_name(other.version))
        (folder.with_name(other.version) / "away.npz").rename(
            folder.with_name(other.version) / "predictions.npz"
        )
        assert reader.predicted_clips(other).value is not None
    assert "is gone" in reader.predicted_clips(record).problem
    (folder / "away.npz").rename(folder / "predictions.npz")
    assert reader.predicted_clips(record).value is not None


def test_a_new_catalogue_is_read(moved: Earlier) -> None:
    reader = WorkspaceReader(moved.location, 0)
    before = reader.clip_names().value
    assert reader.clip_names().value is before
    catalog = Catalog.load(moved.location)
    replace(catalog, data="/elsewhere").save(moved.location)
    after = reader.clip_names().value
    assert after is not None
    assert after.catalog.data == "/elsewhere"


def test_changed_clips_are_not_shown_with_old_predictions(earlier: Earlier) -> None:
    catalog, record = Catalog.load(earlier.location), champion(earlier)
    before = read_predicted(earlier.location, record, catalog)
    clips = catalog.clips.copy()
    clips.loc[clips.index[before.rows[0]], "digest"] = "0" * 32
    after = read_predicted(earlier.location, record, replace(catalog, clips=clips))
    assert after.held_out == 0
    assert len(after) == 6
    assert ["Held-out clips have changed" in note for note in after.notes] == [True]
    clips.loc[clips.index[before.rows[-1]], "digest"] = "0" * 32
    assert len(read_predicted(earlier.location, record, replace(catalog, clips=clips))) == 0
    words = replace(catalog, words=("other", *catalog.words[1:]))
    assert "words have changed" in read_predicted(earlier.location, record, words).notes[0]


def test_a_lost_member_leaves_the_predictions(earlier: Earlier) -> None:
    record = champion(earlier)
    shutil.rmtree(earlier.workspace / "members" / record.members[0])
    clips = read_predicted(earlier.location, record, Catalog.load(earlier.location))
    assert np.isfinite(clips.kl[: clips.held_out]).all()
    assert np.isnan(clips.disagreement).all()
    assert [one.fingerprint for one in clips.members] == [record.members[1]]
    with page_client(earlier.location) as client:
        shown = page(client, "/clips")
        assert "The predictions of 1 member cannot be read" in shown.text
        assert record.members[1][:10] in page(client, "/clips/test_000").text


def test_the_sound_and_the_picture_of_a_clip(moved: Earlier) -> None:
    wanted = Catalog.load(moved.location).wanted
    with page_client(moved.location) as client:
        shown = page(client, "/clips/test_002")
        (sound,) = [a["src"] for tag, a in shown.tags if tag == "audio"]
        (picture,) = [a["src"] for tag, a in shown.tags if tag == "img"]
        answer = client.get(sound)
        assert answer.headers["content-type"] == "audio/wav"
        samples, rate = soundfile.read(io.BytesIO(answer.content), dtype="float32")
        expected = decode((moved.data / "test" / "test_002.wav").read_bytes(), wanted)
        assert rate == wanted.sample_rate
        np.testing.assert_allclose(samples, expected.samples, atol=2**-15)
        part = client.get(sound, headers={"range": "bytes=0-43"})
        assert (part.status_code, len(part.content)) == (206, 44)
        drawn = client.get(picture)
        assert drawn.headers["content-type"] == "image/png"
        assert drawn.content.startswith(PNG)


def test_without_the_data_the_stored_features_remain(earlier: Earlier) -> None:
    replace(Catalog.load(earlier.location), data="/nowhere").save(earlier.location)
    with page_client(earlier.location) as client:
        shown = page(client, "/clips/test_002")
        assert "The sound is not readable: cannot be opened (No such file" in shown.text
        assert not [tag for tag, _ in shown.tags if tag == "audio"]
        (picture,) = [a["src"] for tag, a in shown.tags if tag == "img"]
        assert client.get("/clips/test_002/sound").status_code == 404
        assert client.get(picture).content.startswith(PNG)
        shutil.rmtree(earlier.workspace / "features.zarr")
        assert "no spectrograms" in page(client, "/clips/test_002").text
        assert client.get("/clips/test_002/picture").status_code == 404


def test_a_file_that_has_changed_is_named(moved: Earlier, tmp_path: Path) -> None:
    data = tmp_path / "changed"
    shutil.copytree(moved.data, data)
    (data / "test" / "test_002.wav").write_bytes(wav_bytes(7))
    (data / "test" / "test_003.wav").write_bytes(b"no sound")
    replace(Catalog.load(moved.location), data=str(data)).save(moved.location)
    with page_client(moved.location) as client:
        assert "The file has changed" in page(client, "/clips/test_002").text
        assert "The file has changed" not in page(client, "/clips/test_001").text
        assert "not readable: unreadable" in page(client, "/clips/test_003").text


def test_only_clips_of_the_catalogue_are_served(moved: Earlier) -> None:
    with page_client(moved.location) as client:
        for name in ("..%2Ftrain%2Ftrain_1", "train_001.wav", "%2Fetc%2Fpasswd", "%00"):
            for part in ("", "/sound", "/picture"):
                assert client.get(f"/clips/{name}{part}").status_code == 404
        assert client.get("/clips/train_001/sound?file=/etc/passwd").status_code == 200


def test_an_id_of_both_splits_is_a_choice(moved: Earlier) -> None:
    catalog = Catalog.load(moved.location)
    clips = catalog.clips.copy()
    clips["clip_id"] = clips["clip_id"].str.replace("test_", "train_")
    replace(catalog, clips=clips).save(moved.location)
    with page_client(moved.location) as client:
        links = page(client, "/clips/train_001").links()
        wanted = {"/clips/train_001?split=train", "/clips/train_001?split=test"}
        assert wanted <= links
        assert "test/test_001.wav" in page(client, "/clips/train_001?split=test").text


def test_ids_of_any_letters(moved: Earlier) -> None:
    """Decomposed letters, as macOS writes them, are found by composed ones."""
    ids = ["한글 1", "é/?#&=%", "<b>", 'x"y\n']
    catalog = Catalog.load(moved.location)
    clips = catalog.clips.copy()
    tests = np.flatnonzero(clips["split"] == "test")[: len(ids)]
    clips.loc[clips.index[tests], "clip_id"] = ids
    replace(catalog, clips=clips).save(moved.location)
    # Other ids make other clips, so the version no longer predicts them.
    with page_client(moved.location) as client:
        names = WorkspaceReader(moved.location).clip_names().value
        assert names is not None
        assert np.flatnonzero(names.containing("한글")).tolist() == [tests[0]]
        assert np.flatnonzero(names.containing("É")).tolist() == [tests[1]]
        for name in ids[:1] + ids[2:]:
            answer = client.get(f"/clips/{quote(name, safe='')}", headers=HTML)
            assert answer.status_code == 200
            assert "<b>" not in answer.text
            shown = Page(answer.text)
            (sound,) = [a["src"] for tag, a in shown.tags if tag == "audio"]
            assert client.get(sound).status_code == 200


def test_words_of_any_letters(earlier: Earlier) -> None:
    words = ("아래", "왼쪽", "위", '"&<영>')
    rename_words(earlier, words)
    with page_client(earlier.location) as client:
        found = names_in(page(client, "/clips?kind=held-out"))
        some = page(client, f"/clips?{urlencode([('word', words[1]), ('word', words[3])])}")
        assert 0 < len(names_in(some)) < len(found)
        assert "왼쪽" in page(client, f"/clips/{found[0]}").text
        version = champion(earlier).version
        links = page(client, f"/versions/{version}").links()
        (link,) = [link for link in links if quote(words[3]) in link]
        assert {*names_in(some)} <= {*names_in(page(client, link))} < {*found}


def test_the_quarantine(earlier: Earlier) -> None:
    catalog = Catalog.load(earlier.location)
    clips = catalog.clips.copy()
    for n, reason in ((1, "silent"), (2, "too loud (peak 9; full scale is 1)"),
                      (3, "too loud (peak 12; full scale is 1)")):  # fmt: skip
        clips.loc[clips.index[n], ["state", "reason"]] = ["quarantined", reason]
    replace(catalog, clips=clips).save(earlier.location)
    with page_client(earlier.location) as client:
        shown = page(client, "/quarantine")
        assert "too loud 2" in shown.text
        assert "unreadable 1" in shown.text
        assert "4 clips" in shown.text
        assert len(names_in(shown)) == 4
        assert len(names_in(page(client, "/quarantine?reason=too+loud"))) == 2
        assert names_in(page(client, "/quarantine?id=005")) == ["train_005"]
        assert "No clip matches" in page(client, "/quarantine?id=nothing").text
        assert "Left out" in page(client, "/quarantine?reason=nothing").text
        one = page(client, "/clips/train_005")
        assert "unreadable (Format not recognised)" in one.text
        assert not [tag for tag, _ in one.tags if tag in ("audio", "img")]
        assert "/quarantine" in page(client, "/").links()


HOSTILE = (
    "", "0", "-1", "1e999", "nan", "a" * 1000, "%00", "%ff%fe", "<script>alert(1)",
    "'; DROP TABLE clips; --", "%F0%9F%98%80", "٣", "../../etc/passwd", "{{7*7}}", "%0d%0aX: y",
)  # fmt: skip
FIELDS = ("version", "id", "word", "predicted", "kind", "kl_min", "kl_max", "missed", "sort",
          "page", "split", "reason")  # fmt: skip


@pytest.mark.parametrize("path", ["/clips", "/clips/test_001", "/quarantine"])
def test_hostile_queries_are_harmless(earlier: Earlier, path: str) -> None:
    with page_client(earlier.location) as client:
        for value in HOSTILE:
            query = "&".join(f"{field}={value}" for field in FIELDS)
            answer = client.get(f"{path}?{query}", headers=HTML)
            assert answer.status_code in (200, 404)
            assert "<script>alert" not in answer.text
            Page(answer.text)
        digits = "9" * 5000  # more than Python converts to a number
        assert client.get(f"{path}?page={digits}&kl_min={digits}").status_code == 200
        many = "&".join(f"word={n}" for n in range(1000))
        assert client.get(f"{path}?{many}").status_code == 200
        for value in HOSTILE:
            name = value.replace("/", "%2F") or "%20"
            for part in ("", "/sound", "/picture"):
                assert client.get(f"/clips/{name}{part}", headers=HTML).status_code == 404


def test_what_cannot_be_used_is_named(earlier: Earlier) -> None:
    with page_client(earlier.location) as client:
        text = page(client, "/clips?kl_min=low&sort=random&word=nothing&page=0&id=test").text
        assert "kl_min=low, sort=random, page=0" in text.replace("word=nothing, ", "")
        assert "6 clips" in text
        assert "There is no version v9." in page(client, "/clips?version=v9").text


@pytest.mark.parametrize("made", [False, True])
def test_an_empty_workspace(tmp_path: Path, made: bool) -> None:
    workspace = tmp_path / "workspace"
    if made:
        workspace.mkdir()
    with page_client(workspace) as client:
        assert "No version has been published yet" in page(client, "/clips").text
        assert "contains no catalogue" in page(client, "/quarantine").text
        assert "contains no catalogue" in page(client, "/clips/x", 404).text


def test_damaged_and_newer_parts_are_sentences(earlier: Earlier) -> None:
    record = champion(earlier)
    folder = earlier.workspace / "ensembles" / record.version
    with page_client(earlier.location) as client:
        (folder / "predictions.npz").write_bytes(b"damaged")
        for path in ("/clips", "/clips/test_001"):
            assert "is damaged" in page(client, path).text
        (earlier.workspace / "champion.json").write_text(json.dumps({FORMAT: 99}))
        assert "clips" in page(client, "/clips").text
        (earlier.workspace / "catalog.parquet").write_bytes(b"damaged")
        for path in ("/clips", "/quarantine"):
            assert "is damaged" in page(client, path).text
        assert "is damaged" in page(client, "/clips/test_001", 404).text


def test_a_version_without_predictions_of_clips(workspace: Location) -> None:
    record = published("20260101-000000-aaaa", words="ab")
    publish_record(workspace, record)
    promote(workspace, record.version)
    with page_client(workspace) as client:
        assert "contains no catalogue" in page(client, "/clips").text


def test_versions_link_to_their_clips(earlier: Earlier) -> None:
    first, last = (one.version for one in list_ensembles(earlier.location))
    with page_client(earlier.location) as client:
        links = page(client, f"/versions/{last}?with={first}").links()
        assert f"/clips?version={last}" in links
        assert f"/clips?version={last}&word=left" in links
        clips = {link for link in links if link.startswith("/clips/train_")}
        assert clips
        for link in sorted(clips)[:2]:
            assert "Part of KL" in page(client, link).text


def test_links_respect_the_path_of_a_proxy(earlier: Earlier) -> None:
    settings = ViewSettings(base_url="https://localhost/overlap")
    with page_client(earlier.location, settings) as client:
        for path in ("/clips", "/clips/test_001", "/quarantine"):
            shown = page(client, path)
            inner = [link for link in shown.links() if link.startswith("/")]
            inner += [a["src"] for tag, a in shown.tags if tag == "img"]
            inner += [a["action"] for tag, a in shown.tags if tag == "form"]
            assert all(link.startswith("/overlap/") for link in inner)


@pytest.mark.parametrize(
    ("requested", "status", "content"),
    [
        (None, 200, b"0123456789"), ("bytes=0-3", 206, b"0123"), ("bytes=4-", 206, b"456789"),
        ("bytes=-2", 206, b"89"), ("bytes=8-100", 206, b"89"), ("bytes=10-", 416, b""),
        ("bytes=-0", 416, b""), ("bytes=5-4", 416, b""), ("bytes=0-1,3-4", 200, b"0123456789"),
        ("items=1-2", 200, b"0123456789"), ("bytes=-", 200, b"0123456789"),
    ],
)  # fmt: skip
def test_a_player_reads_a_part(requested: str | None, status: int, content: bytes) -> None:
    answer = sound_response(b"0123456789", requested)
    assert (answer.status_code, answer.body) == (status, content)
    if status == 206:
        assert answer.headers["content-range"].endswith("/10")
