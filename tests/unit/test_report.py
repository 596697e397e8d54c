"""The report shows the numbers of the records, loads nothing from other hosts, and escapes text."""

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from overlap.config import RunConfig
from overlap.ensemble.registry import EnsembleRecord, report_of
from overlap.reporting.page import CLIPS_SHOWN, render, write_report
from overlap.reporting.per_word import count_confusions, per_word_metrics, predicted_words
from overlap.reporting.report_data import load_report_data
from support.pooled_predictions import noisy
from support.untrained_members import Ready, champion_of

FOLDS = {"holdout": 0, "folds": 2}
NOTHING = {"holdout": 0, "folds": 0}


class Page(HTMLParser):
    """Tags with attributes, and text, of a page; fails on unbalanced tags."""

    EMPTY = ("meta", "link", "img", "br")

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.text: list[str] = []
        self._open: list[str] = []
        self.feed(html)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in self.EMPTY:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data.strip())

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.tags if name == tag]


def page_of(
    config: RunConfig, ready: Ready, validation: dict | None = None
) -> tuple[EnsembleRecord, Page]:
    workspace, record = champion_of(config, ready, 4, validation)
    return record, Page(write_report(workspace, record).read_bytes().decode())


@pytest.mark.parametrize("validation", [None, FOLDS], ids=["hold-out", "folds"])
def test_values_equal_those_of_the_records(config, ready: Ready, validation) -> None:
    record, page = page_of(config, ready, validation)
    values = page.text
    assert f"{record.kl:.4f}" in values
    assert f"{record.trivial_kl:.4f}" in values
    assert "95 % {:.4f} to {:.4f}".format(*record.kl_interval) in values
    assert any("was the champion" in text for text in values)
    for word in record.words:
        assert word in values
    assert len(page.all("audio")) == 2 * CLIPS_SHOWN
    assert len(page.all("img")) == 2 * CLIPS_SHOWN * len(config.features.resolutions)
    assert all(image["alt"] for image in page.all("img"))
    assert all(sound["aria-label"] for sound in page.all("audio"))


def test_the_reader_is_told_what_is_unusual(config, ready: Ready) -> None:
    """An ensemble that is not better than the trivial prediction, and negative contributions."""
    workspace, record = champion_of(config, ready, 4)
    data = load_report_data(workspace, record)
    assert data.promotion is not None
    assert data.promotion.trivial is not None
    assert data.held_out is not None
    worse = data.promotion.trivial.model_copy(update={"low": -0.1, "gain": -0.05})
    pooled = data.held_out.pooled.copy()
    pooled[:, 0] += 1.0  # a word that is predicted with more than its label wherever it is present
    page = Page(
        render(
            replace(
                data,
                promotion=data.promotion.model_copy(update={"trivial": worse}),
                held_out=replace(data.held_out, pooled=pooled / pooled.sum(axis=1, keepdims=True)),
            )
        )
    )
    text = " ".join(page.text)
    assert "not better than the trivial prediction" in text
    assert "The contributions of all words sum to the KL" in text
    assert {sound["preload"] for sound in page.all("audio")} == {"metadata"}
    assert all(sound["aria-label"].endswith(", 1 s") for sound in page.all("audio"))
    (colours,) = [one for one in page.all("div") if one.get("class") == "colours"]
    assert "80 dB" in colours["aria-label"]


def test_the_page_loads_nothing_from_other_hosts(config, ready: Ready) -> None:
    _, page = page_of(config, ready)
    addresses = [
        value
        for _, attributes in page.tags
        for name, value in attributes.items()
        if name in ("src", "href", "xlink:href", "action", "data", "poster")
    ]
    assert addresses
    assert [value for value in addresses if not value.startswith(("#", "data:"))] == []
    (policy,) = (m for m in page.all("meta") if m.get("http-equiv") == "Content-Security-Policy")
    assert policy["content"].startswith("default-src 'none'")


def test_identifiers_are_unique_and_links_have_targets(config, ready: Ready) -> None:
    _, page = page_of(config, ready)
    named = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(named) == len(set(named))
    links = [a["href"][1:] for a in page.all("a")]
    inside = [use["xlink:href"][1:] for use in page.all("use")]
    assert links
    assert inside
    assert set(links + inside) <= set(named)


def test_text_from_tables_and_file_names_is_escaped(config, ready: Ready) -> None:
    workspace, record = champion_of(config, ready, 4)
    data = load_report_data(workspace, record)
    hostile = "<script>alert('x')</script>"
    words = (hostile, *record.words[1:])
    clips = data.catalog.clips.assign(clip_id=hostile, file=hostile)
    page = render(
        replace(
            data,
            record=record.model_copy(update={"words": words, "data": hostile}),
            catalog=replace(data.catalog, words=words, clips=clips),
        )
    )
    assert "<script" not in page
    assert Page(page).text.count(hostile) > 2


def test_without_held_out_clips_the_report_has_no_clips(config, ready: Ready) -> None:
    record, page = page_of(config, ready, NOTHING)
    assert record.kl is None
    assert not {"words", "clips"} & {one.get("id") for one in page.all("section")}
    assert page.all("audio") == []


def test_clips_with_a_missing_sound_file_are_shown_without_sound(config, ready: Ready) -> None:
    workspace, record = champion_of(config, ready, 4)
    data = load_report_data(workspace, record)
    elsewhere = replace(data.catalog, data=str(Path(str(workspace)) / "gone"))
    page = Page(render(replace(data, catalog=elsewhere)))
    assert page.all("audio") == []
    missing = [one for one in page.all("p") if one.get("class") == "no-sound"]
    assert len(missing) == 2 * CLIPS_SHOWN


def test_removed_members_and_changed_clips_leave_the_other_sections(config, ready: Ready) -> None:
    workspace, record = champion_of(config, ready, 4)
    other = record.model_copy(update={"held_out_key": "0" * 32})
    assert load_report_data(workspace, other).held_out is None
    (workspace / "members" / record.members[0]).remove()
    data = load_report_data(workspace, record)
    assert len(data.members) == 3
    page = Page(render(data))
    assert f"{record.kl:.4f}" in page.text
    assert data.missing in page.text
    assert not {"words", "clips"} & {one.get("id") for one in page.all("section")}


@pytest.mark.extended
def test_the_same_data_give_the_same_bytes(config, ready: Ready) -> None:
    workspace, record = champion_of(config, ready, 4)
    first = write_report(workspace, record).read_bytes()
    assert write_report(workspace, record).read_bytes() == first
    assert report_of(workspace, record).read_bytes() == first
    assert len(first) < 10e6
    assert not re.search(rb"\bNaN\b|\bnan\b|None", re.sub(rb"base64,[^\"]*", b"", first))


def test_confusions_are_counted() -> None:
    labels = np.array([[0.5, 0.5, 0, 0], [0.5, 0.5, 0, 0], [0, 0, 0.5, 0.5]])
    predicted = np.array([[0.4, 0.1, 0.3, 0.2], [0.1, 0.2, 0.3, 0.4], [0.1, 0.1, 0.4, 0.4]])
    found = count_confusions(labels, predicted)
    assert found.substitutions.tolist() == [[0, 0, 0.5, 0.5], [0, 0, 1.5, 0.5], [0] * 4, [0] * 4]
    assert found.most_missed_together(5) == [(0, 1, 1)]
    assert found.most_confused(1) == [(1, 2, 1.5)]
    metrics = {one.word: one for one in per_word_metrics(("a", "b", "c", "d"), labels, predicted)}
    assert metrics["a"].recall == 0.5
    assert metrics["c"].mean_absent == pytest.approx(0.3)


def test_missed_and_wrongly_predicted_words_are_equally_many() -> None:
    labels = np.random.default_rng(0).integers(0, 2, (200, 9)).astype(float)
    labels[:, 0] = 1
    labels /= labels.sum(axis=1, keepdims=True)
    predicted = noisy(labels + 0.05, 1, 2.0)[0]
    present, chosen = labels > 0, predicted_words(labels, predicted)
    found = count_confusions(labels, predicted)
    assert (chosen.sum(axis=1) == present.sum(axis=1)).all()
    np.testing.assert_allclose(found.substitutions.sum(axis=1), (present & ~chosen).sum(axis=0))
