"""The web page in front of people: by day, by night, on a phone, by keyboard, live, by voice."""

import json
import re
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import soundfile

from overlap.ensemble.registry import list_ensembles
from overlap.promotion.champion import promote
from overlap.workspace.runs import recorded_run
from support import browser as browsers
from support.browser import keep, leaves, playwright
from support.earlier_workspace import Earlier, rename_words, use_data
from support.running_service import missing
from support.view_client import add_graphs, add_runs, begin_member
from support.view_server import serving

pytestmark = pytest.mark.nightly

axe = pytest.importorskip("axe_playwright_python.sync_playwright")

LOOKS = {
    "light": {"viewport": {"width": 1280, "height": 900}, "color_scheme": "light"},
    "dark": {"viewport": {"width": 1280, "height": 900}, "color_scheme": "dark"},
    "phone": {"viewport": {"width": 360, "height": 740}, "color_scheme": "light"},
}
MICROPHONE = ("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream")


@pytest.fixture
def url(earlier: Earlier) -> Iterator[str]:
    """The address of the page of a workspace with runs and a member in training."""
    use_data(earlier)
    add_graphs(earlier.location)
    add_runs(earlier.location)
    begin_member(earlier.location)
    with serving(earlier.workspace) as (_, address):
        yield address


@contextmanager
def opened(
    url: str, look: str, path: str, *options: str, scripts: bool = True
) -> Iterator["playwright.Page"]:
    """A page in a browser, which must not complain and ask no other host."""
    said: list[str] = []
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        missing("no Chromium on this machine (Debian's package chromium)")
    browsers.PICTURES.mkdir(parents=True, exist_ok=True)
    with playwright.sync_playwright() as driver:
        chromium = driver.chromium.launch(
            executable_path=program, args=[*browsers.CHROMIUM, *options]
        )
        shown = chromium.new_page(**LOOKS[look], java_script_enabled=scripts)
        shown.on("console", lambda message: said.append(message.text))
        shown.on("pageerror", lambda error: said.append(str(error)))
        shown.on("request", lambda r: said.append(r.url) if leaves(r.url) else None)
        shown.goto(url + path)
        yield shown
        chromium.close()
    assert said == []


def paths(earlier: Earlier) -> dict[str, str]:
    first, last = (record.version for record in list_ensembles(earlier.location))
    return {
        "overview": "/", "members": "/members", "try": "/try",
        "version": f"/versions/{last}?with={first}", "missing": "/nothing",
        "clips": "/clips", "clip": "/clips/train_010", "quarantine": "/quarantine",
    }  # fmt: skip


@pytest.mark.parametrize("look", LOOKS)
@pytest.mark.parametrize(
    "name", ["overview", "members", "version", "try", "clips", "clip", "quarantine"]
)
def test_everyone_can_read_it(earlier: Earlier, url: str, name: str, look: str) -> None:
    with opened(url, look, paths(earlier)[name]) as shown:
        keep(shown, f"view-{name}-{look}")
        width = shown.evaluate("[document.documentElement.scrollWidth, window.innerWidth]")
        assert width[0] <= width[1]  # nothing has to be pushed sideways
        found = axe.Axe().run(shown).response
        serious = [v for v in found["violations"] if v["impact"] in ("serious", "critical")]
        assert [(v["id"], [n["html"] for n in v["nodes"]][:3]) for v in serious] == []
        assert len(found["passes"]) > 15


def test_by_keyboard(url: str) -> None:
    with opened(url, "light", "/") as shown:
        shown.keyboard.press("Tab")
        assert shown.evaluate("document.activeElement.getAttribute('href')") == "#content"
        shown.keyboard.press("Enter")
        assert shown.evaluate("document.activeElement.id") == "content"
        for _ in range(30):
            shown.keyboard.press("Tab")
            target = shown.evaluate("document.activeElement.getAttribute('href')") or ""
            if target.startswith("/versions/"):
                break
        shown.keyboard.press("Enter")
        shown.wait_for_url("**/versions/**")


def test_runs_and_members_are_live(earlier: Earlier, url: str) -> None:
    over = threading.Event()

    def work() -> None:
        with recorded_run(earlier.location, "retrain") as run:
            stage = run.stage("members", 8)
            stage.move(3)
            over.wait(60)
            run.result("later", promoted=False, reason="no better")

    with opened(url, "light", "/") as shown:
        thread = threading.Thread(target=work)
        thread.start()
        shown.get_by_text("3 of 8").wait_for()
        keep(shown, "view-running")
        over.set()
        thread.join()
        shown.get_by_text("no better").wait_for()
    with opened(url, "light", "/members") as shown:
        shown.get_by_text("epoch 3 of 10").wait_for()
        progress = earlier.workspace / "members" / ("f" * 32) / "progress.jsonl"
        line = json.loads(progress.read_bytes().splitlines()[-1])
        with progress.open("a") as file:
            file.write(json.dumps(line | {"epoch": 4, "loss": 0.5}) + "\n")
        shown.get_by_text("epoch 4 of 10").wait_for()


def test_a_clip_is_tried(earlier: Earlier, url: str) -> None:
    clips = sorted((earlier.data / "test").iterdir())
    bad = earlier.workspace.parent / "bad.wav"
    bad.write_bytes(b"not a sound")
    with opened(url, "light", "/try") as shown:
        shown.set_input_files("#file", clips[0])
        shown.get_by_text("is the most probable word").wait_for()
        assert shown.locator("[data-words] tr").count() == 4
        image = shown.locator("[data-image]")
        image.wait_for()
        while image.evaluate("image => image.naturalWidth") < 100:  # the policy forbids `eval`
            shown.wait_for_timeout(100)
        keep(shown, "view-tried")
        found = axe.Axe().run(shown).response
        serious = [v for v in found["violations"] if v["impact"] in ("serious", "critical")]
        assert [v["id"] for v in serious] == []
        # Another champion answers without a restart.
        first = str(shown.locator("[data-summary]").text_content())
        other = next(
            record.version
            for record in list_ensembles(earlier.location)
            if record.version not in first
        )
        promote(earlier.location, other)
        shown.wait_for_timeout(5000)
        shown.set_input_files("#file", clips[1])
        shown.locator("[data-summary]", has_text=other).wait_for()


def test_a_voice_is_recorded(url: str, tmp_path: Path) -> None:
    """Chromium's fake microphone repeats a file; without one it is silent between two beeps."""
    tone = 0.3 * np.sin(2 * np.pi * 440 * np.arange(48_000) / 48_000)
    soundfile.write(tmp_path / "voice.wav", tone, 48_000, subtype="PCM_16")
    voice = f"--use-file-for-fake-audio-capture={tmp_path / 'voice.wav'}"
    with opened(url, "light", "/try", *MICROPHONE, voice) as shown:
        shown.get_by_role("button", name="Record").click()
        shown.get_by_text("the recording: ").wait_for()
        said = str(shown.locator("[data-status]").text_content())
        assert "is the most probable word" in said


def test_clips_are_found_without_scripts(earlier: Earlier, url: str) -> None:
    rename_words(earlier, ("아래", "왼쪽", "위", "영"))
    with opened(url, "phone", "/clips", scripts=False) as shown:
        shown.get_by_label("Contains", exact=True).select_option("왼쪽")
        shown.get_by_label("KL from").fill("1.2")
        shown.get_by_role("button", name="Show").click()
        shown.wait_for_url("**/clips?*kl_min=1.2*")
        assert shown.get_by_label("Contains", exact=True).input_value() == "왼쪽"
        rows = shown.get_by_role("region", name="Clips").get_by_role("row")
        assert 1 < rows.count() < 5
        keep(shown, "view-clips-found")
        shown.get_by_role("link", name="train_010").click()
        shown.get_by_role("heading", name="train_010").wait_for()
        assert "왼쪽" in str(shown.get_by_role("region", name="Words", exact=True).text_content())
        shown.get_by_role("link", name="all clips").click()
        shown.get_by_role("link", name="quarantine").click()
        shown.get_by_role("link", name="unreadable").click()
        shown.get_by_role("link", name="train_005").click()
        shown.get_by_text("No run uses this clip: unreadable").wait_for()


def test_clips_are_found_by_keyboard(url: str) -> None:
    with opened(url, "light", "/clips") as shown:
        shown.get_by_label("Id contains").focus()
        shown.keyboard.type("TEST_003")
        shown.keyboard.press("Enter")
        shown.get_by_text("1 clip of").wait_for()
        for _ in range(40):
            shown.keyboard.press("Tab")
            if "/clips/" in (shown.evaluate("document.activeElement.getAttribute('href')") or ""):
                break
        shown.keyboard.press("Enter")
        shown.get_by_role("heading", name="test_003").wait_for()


def test_a_clip_is_played_and_drawn(url: str) -> None:
    with opened(url, "light", "/clips/train_010") as shown:
        audio, picture = shown.locator("audio"), shown.locator("img.picture")
        audio.evaluate("audio => audio.play()")
        while audio.evaluate("audio => audio.currentTime") == 0:
            shown.wait_for_timeout(50)
        assert 0.2 < audio.evaluate("audio => audio.duration") < 0.3
        while picture.evaluate("image => image.naturalWidth") < 100:
            shown.wait_for_timeout(100)
        keep(shown, "view-clip-played")


def test_a_command_is_copied(earlier: Earlier, url: str) -> None:
    with opened(url, "light", paths(earlier)["version"]) as shown:
        shown.get_by_role("button", name="Copy the command: Make it the champion").click()
        shown.get_by_text(re.compile("^(Copied|Selected)$")).first.wait_for()
