"""The report says what the records say, asks no host for anything, and escapes what it is given."""

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from overlap.config import RunConfig
from overlap.ensemble.registry import EnsembleRecord, report_of
from overlap.reporting.page import CLIPS_SHOWN, render, write_report
from overlap.reporting.per_word import find_mistakes, likeliest, per_word_metrics
from overlap.reporting.report_data import gather_facts
from support.pooled_predictions import noisy
from support.untrained_members import Ready, champion_of

FOLDS = {"holdout": 0, "folds": 2}
NOTHING = {"holdout": 0, "folds": 0}


class Page(HTMLParser):
    """Tags with their attributes, and text, of a page; tags that are not closed are errors."""

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
def test_figures_are_those_of_the_records(config, ready: Ready, validation) -> None:
    record, page = page_of(config, ready, validation)
    values = page.text
    assert f"{record.kl:.4f}" in values
    assert f"{record.trivial_kl:.4f}" in values
    assert "95 % {:.4f} to {:.4f}".format(*record.kl_interval) in values
    assert any("It was the champion" in text for text in values)
    for word in record.words:
        assert word in values
    assert len(page.all("audio")) == 2 * CLIPS_SHOWN
    assert len(page.all("img")) == 2 * CLIPS_SHOWN * len(config.features.resolutions)
    assert all(image["alt"] for image in page.all("img"))
    assert all(sound["aria-label"] for sound in page.all("audio"))


def test_nothing_is_asked_of_any_host(config, ready: Ready) -> None:
    _, page = page_of(config, ready)
    asked = [
        value
        for _, attributes in page.tags
        for name, value in attributes.items()
        if name in ("src", "href", "xlink:href", "action", "data", "poster")
    ]
    assert asked
    assert [value for value in asked if not value.startswith(("#", "data:"))] == []
    (policy,) = (m for m in page.all("meta") if m.get("http-equiv") == "Content-Security-Policy")
    assert policy["content"].startswith("default-src 'none'")


def test_identifiers_are_unique_and_links_lead_somewhere(config, ready: Ready) -> None:
    _, page = page_of(config, ready)
    named = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(named) == len(set(named))
    links = [a["href"][1:] for a in page.all("a")]
    inside = [use["xlink:href"][1:] for use in page.all("use")]
    assert links
    assert inside
    assert set(links + inside) <= set(named)


def test_what_comes_from_tables_and_names_is_escaped(config, ready: Ready) -> None:
    workspace, record = champion_of(config, ready, 4)
    facts = gather_facts(workspace, record)
    evil = "<script>alert('x')</script>"
    words = (evil, *record.words[1:])
    clips = facts.catalog.clips.assign(clip_id=evil, file=evil)
    page = render(
        replace(
            facts,
            record=record.model_copy(update={"words": words, "data": evil}),
            catalog=replace(facts.catalog, words=words, clips=clips),
        )
    )
    assert "<script" not in page
    assert Page(page).text.count(evil) > 2


def test_without_held_out_clips_it_says_so(config, ready: Ready) -> None:
    record, page = page_of(config, ready, NOTHING)
    assert record.kl is None
    assert "No clips were held out, so nothing can be said of single clips." in page.text
    assert page.all("audio") == []


def test_a_clip_whose_sound_is_gone_is_shown_without_it(config, ready: Ready) -> None:
    workspace, record = champion_of(config, ready, 4)
    facts = gather_facts(workspace, record)
    elsewhere = replace(facts.catalog, data=str(Path(str(workspace)) / "gone"))
    page = Page(render(replace(facts, catalog=elsewhere)))
    assert page.all("audio") == []
    assert page.text.count("Its sound cannot be read now.") == 2 * CLIPS_SHOWN


def test_members_that_are_gone_and_other_clips_leave_the_rest(config, ready: Ready) -> None:
    workspace, record = champion_of(config, ready, 4)
    other = record.model_copy(update={"held_out_key": "0" * 32})
    assert gather_facts(workspace, other).held_out is None
    (workspace / "members" / record.members[0]).remove()
    facts = gather_facts(workspace, record)
    assert len(facts.members) == 3
    page = Page(render(facts))
    assert f"{record.kl:.4f}" in page.text
    assert any(text.startswith("The data or the members changed") for text in page.text)


def test_the_same_facts_give_the_same_bytes(config, ready: Ready) -> None:
    workspace, record = champion_of(config, ready, 4)
    first = write_report(workspace, record).read_bytes()
    assert write_report(workspace, record).read_bytes() == first
    assert report_of(workspace, record).read_bytes() == first
    assert len(first) < 10e6
    assert not re.search(rb"\bNaN\b|\bnan\b|None", re.sub(rb"base64,[^\"]*", b"", first))


def test_mistakes_are_counted() -> None:
    labels = np.array([[0.5, 0.5, 0, 0], [0.5, 0.5, 0, 0], [0, 0, 0.5, 0.5]])
    said = np.array([[0.4, 0.1, 0.3, 0.2], [0.1, 0.2, 0.3, 0.4], [0.1, 0.1, 0.4, 0.4]])
    found = find_mistakes(labels, said)
    assert found.instead.tolist() == [[0, 0, 0.5, 0.5], [0, 0, 1.5, 0.5], [0] * 4, [0] * 4]
    assert found.often_together(5) == [(0, 1, 1)]
    assert found.often_instead(1) == [(1, 2, 1.5)]
    told = {one.word: one for one in per_word_metrics(("a", "b", "c", "d"), labels, said)}
    assert told["a"].found == 0.5
    assert told["c"].imagined == pytest.approx(0.3)


def test_as_many_are_missed_as_are_wrongly_said() -> None:
    labels = np.random.default_rng(0).integers(0, 2, (200, 9)).astype(float)
    labels[:, 0] = 1
    labels /= labels.sum(axis=1, keepdims=True)
    said = noisy(labels + 0.05, 1, 2.0)[0]
    there, chosen = labels > 0, likeliest(labels, said)
    found = find_mistakes(labels, said)
    assert (chosen.sum(axis=1) == there.sum(axis=1)).all()
    np.testing.assert_allclose(found.instead.sum(axis=1), (there & ~chosen).sum(axis=0))
