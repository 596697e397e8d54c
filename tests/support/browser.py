"""A real browser for tests: Chromium of this machine, without a window."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from support.running_service import missing

playwright = pytest.importorskip("playwright.sync_api")

CHROMIUM = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update",
]  # fmt: skip
PICTURES = Path(os.environ.get("OVERLAP_PICTURES", "build/pictures"))
"""Where screenshots are kept."""


@contextmanager
def browser() -> Iterator["playwright.Browser"]:
    """Chromium; a test without it is skipped, or fails where nothing may be missing."""
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        missing("no Chromium on this machine (Debian's package chromium)")
    PICTURES.mkdir(parents=True, exist_ok=True)
    with playwright.sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=program, args=CHROMIUM)
        yield opened
        opened.close()


@contextmanager
def page(opened: "playwright.Browser", **how) -> Iterator["playwright.Page"]:
    """A page; that nothing is asked of another machine is checked in the end."""
    shown = opened.new_page(**how)
    outside: list[str] = []
    shown.on("request", lambda r: outside.append(r.url) if leaves(r.url) else None)
    yield shown
    shown.close()
    assert outside == []


def leaves(url: str) -> bool:
    here = ("http://127.0.0.1:", "ws://127.0.0.1:", "data:", "blob:", "file:")
    return not url.startswith(here)


def keep(page: "playwright.Page", name: str) -> None:
    """Keep a screenshot of the whole page."""
    page.wait_for_timeout(1500)  # drawings move into place
    page.screenshot(path=PICTURES / f"{name}.png", full_page=True)
