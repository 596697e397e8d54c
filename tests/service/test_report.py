"""The report in front of people: by day, by night, on a phone, by keyboard, and by ear."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from overlap.config import RunConfig
from overlap.io.location import Location
from overlap.reporting.page import write_report
from support.browser import browser, keep, page, playwright
from support.untrained_members import Ready, champion_of

pytestmark = pytest.mark.nightly

axe = pytest.importorskip("axe_playwright_python.sync_playwright")

LOOKS = {
    "light": {"viewport": {"width": 1280, "height": 900}, "color_scheme": "light"},
    "dark": {"viewport": {"width": 1280, "height": 900}, "color_scheme": "dark"},
    "phone": {"viewport": {"width": 360, "height": 740}, "color_scheme": "light"},
}


@pytest.fixture
def report(config: RunConfig, ready: Ready) -> Location:
    """The report of an ensemble of six members."""
    return write_report(*champion_of(config, ready, 6))


@contextmanager
def opened(report: Location, look: str) -> Iterator["playwright.Page"]:
    """The report in a browser, which must not complain."""
    said: list[str] = []
    with browser() as chromium, page(chromium, **LOOKS[look]) as shown:
        shown.on("console", lambda message: said.append(message.text))
        shown.on("pageerror", lambda error: said.append(str(error)))
        shown.goto(f"file://{report}")
        yield shown
    assert said == []


@pytest.mark.parametrize("look", LOOKS)
def test_everyone_can_read_it(report: Location, look: str) -> None:
    with opened(report, look) as shown:
        keep(shown, f"report-{look}")
        width = shown.evaluate("[document.documentElement.scrollWidth, window.innerWidth]")
        assert width[0] <= width[1]  # nothing has to be pushed sideways
        shown.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
        found = axe.Axe().run(shown).response
        serious = [v for v in found["violations"] if v["impact"] in ("serious", "critical")]
        assert [(v["id"], [n["html"] for n in v["nodes"]][:3]) for v in serious] == []
        assert len(found["passes"]) > 20


def test_keyboard_and_sound(report: Location) -> None:
    with opened(report, "light") as shown:
        shown.keyboard.press("Tab")
        assert shown.evaluate("document.activeElement.getAttribute('href')") == "#content"
        # Sounds are as long as their clips, and pictures as large as their features.
        length = """async () => {
            const sound = document.querySelector('audio');
            sound.preload = 'metadata';
            sound.load();
            await new Promise(done => sound.addEventListener('loadedmetadata', done));
            return sound.duration;
        }"""
        assert shown.evaluate(length) == pytest.approx(1.0, abs=0.01)
        image = shown.locator(".spectrograms img").first
        assert image.evaluate("i => [i.naturalWidth, i.naturalHeight]") == [101, 64]
        colour = "getComputedStyle(document.querySelector('.chart svg text')).fill"
        assert shown.evaluate(colour) == shown.evaluate("getComputedStyle(document.body).color")
