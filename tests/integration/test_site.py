"""The documentation site: built strictly, offline, and without requests to other hosts."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from html.parser import HTMLParser
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
import yaml

from docs.site.write_reference import GENERATED, current, page_file
from support.browser import browser, keep, page

pytest.importorskip("mkdocs")
pytestmark = pytest.mark.extended
ROOT = Path(__file__).resolve().parents[2]


def no_network() -> list[str]:
    """What runs a command without any network, where this machine allows it."""
    alone = ["unshare", "--net"]
    allowed = (
        shutil.which(alone[0]) and not subprocess.run([*alone, "true"], check=False).returncode
    )
    return alone if allowed else []


def build(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*no_network(), sys.executable, "-m", "mkdocs", "build", "--strict", *map(str, arguments)],
        cwd=ROOT, env=os.environ | {"NO_MKDOCS_2_WARNING": "1", "PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, timeout=280, check=False,
    )  # fmt: skip


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, as `make docs` builds it."""
    folder = tmp_path_factory.mktemp("site")
    done = build("--site-dir", folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


class Asked(HTMLParser):
    """Addresses that a browser fetches by itself when it shows a page."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        names = {"link": ("href",), "a": ()}.get(tag, ("src", "srcset", "data", "poster"))
        self.addresses += [found[name] or "" for name in names if name in found]


def test_no_page_asks_another_host(site: Path) -> None:
    pages = list(site.rglob("*.html"))
    assert len(pages) > 30
    for file in pages:
        asked = Asked()
        asked.feed(file.read_text())
        assert asked.addresses, file
        assert [a for a in asked.addresses if re.match(r"\w+:|//", a)] == [], file
        assert "Content-Security-Policy" in file.read_text()
    for file in site.rglob("*.css"):
        assert not re.search(r"(url\(|@import)\s*[\"']?(https?:)?//", file.read_text()), file


def test_every_address_leads_to_a_file(site: Path) -> None:
    for file in site.rglob("*.html"):
        if file.name == "404.html":  # its addresses begin at the server's root
            continue
        asked = Asked()
        asked.feed(file.read_text())
        for address in asked.addresses:
            assert (file.parent / address.partition("?")[0]).exists(), (file, address)


def test_the_generated_pages_exist(site: Path) -> None:
    front = (site / "index.html").read_text()
    assert "Quick start" in front
    assert "training.augment.shift_frames" in (site / "reference" / "settings.html").read_text()
    assert "overlap models promote" in (site / "reference" / "commands.html").read_text()
    store = (site / "reference" / "library" / "overlap.features.store.html").read_text()
    assert "The feature store of a workspace." in store


def test_the_reference_pages_in_the_repository_are_current() -> None:
    """`make reference` brings them up to date."""
    for name in GENERATED:
        assert page_file(name).read_text("utf-8") == current(name), name


def test_decisions_keep_their_numbers(site: Path) -> None:
    written = re.findall(r"(?m)^(\d+)\. ", (ROOT / "docs" / "decisions.md").read_text())
    shown: list[str] = []
    text = (site / "decisions.html").read_text().partition("<article")[2].partition("</article")[0]
    for start, content in re.findall(r'<ol(?: start="(\d+)")?>(.*?)</ol>', text, re.DOTALL):
        first = int(start or 1)
        shown += [str(first + i) for i in range(content.count("<li>"))]
    assert shown == written


def test_every_wrong_link_ends_the_build(tmp_path: Path) -> None:
    wrong = {
        "[x](nowhere.md)": "'nowhere.md'",
        "[x](index.md#nowhere)": "no such anchor",
        "[x](/index.md)": "absolute link",
        "[x](../elsewhere)": "'../elsewhere'",
    }
    done = build("--config-file", small_site(tmp_path, "\n\n".join(wrong)))
    assert done.returncode != 0
    output = done.stdout + done.stderr
    for reported in wrong.values():
        assert reported in output
    assert f"Aborted with {len(wrong)} warnings" in output  # each of them would have ended it


def test_a_page_that_nobody_finds_ends_the_build(tmp_path: Path) -> None:
    config = small_site(tmp_path, "all is well")
    assert build("--config-file", config).returncode == 0
    (tmp_path / "docs" / "lost.md").write_text("# Lost")
    done = build("--config-file", config)
    assert done.returncode != 0
    assert "lost.md" in done.stdout + done.stderr


def small_site(folder: Path, content: str) -> Path:
    """A site of one page under the rules of ours; its configuration."""
    (folder / "docs").mkdir()
    (folder / "docs" / "index.md").write_text(f"# One\n\n{content}\n")
    changes = {
        "INHERIT": str(ROOT / "mkdocs.yml"), "docs_dir": "docs", "site_dir": "site", "hooks": [],
        "plugins": [], "nav": [{"One": "index.md"}],
        "theme": {"name": "material", "custom_dir": str(ROOT / "docs" / "site" / "theme")},
    }  # fmt: skip
    config = folder / "mkdocs.yml"
    config.write_text(yaml.safe_dump(changes))
    return config


@pytest.fixture
def address(site: Path) -> Iterator[str]:
    """The site on the loopback."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(site)))
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.mark.nightly
def test_a_browser_finds_what_it_looks_for_and_asks_nobody_else(address: str) -> None:
    said: list[str] = []
    with browser() as chromium, page(chromium) as shown:
        shown.on("console", lambda message: said.append(message.text))
        shown.goto(f"{address}/architecture.html")
        width = "document.querySelector('article img').naturalWidth"
        assert shown.evaluate(width) > 0
        keep(shown, "site")
        shown.click("input[name=query]")
        shown.keyboard.type("shift_frames")
        found = '.md-search-result__link[href*="settings.html"]'
        shown.wait_for_selector(found, state="attached", timeout=20_000)
    assert said == []
