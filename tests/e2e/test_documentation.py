"""Every code block of README and tutorial, run as a person would type it: `make test-e2e`.

In a copy of the project whose .venv is this one, so that nothing is installed again and nothing is
left here. No Prefect server is running: the commands start the embedded one.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from overlap.ensemble import registry
from overlap.io.location import Location
from support.markdown_blocks import ROOT, Block, block, blocks

README = {
    "Quick start": "run; `make test` is what runs this",
    "Data layout": "a list of files, which the demo's data set has",
    "Usage": "run",
    "Results on real speech": "run in tests/e2e/test_demo.py, if real speech is available",
}
"""What becomes of the blocks under a heading of the README."""
CONTAINERS = "docker compose"
"""A block with this needs an engine: tests/e2e/test_image.py runs its lines where podman is, and
tests/unit/test_containers.py looks at its files, services and options."""


def test_what_becomes_of_every_block_is_known() -> None:
    assert {block.heading for block in blocks("README.md")} == set(README)
    assert [CONTAINERS in b.text for b in blocks("README.md")] == [False, False, False, True, False]
    assert {block.language for block in blocks("docs/tutorial.md")} == {"bash", "text"}


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project as it is after `make setup`."""
    folder = tmp_path_factory.mktemp("clone") / "overlap"
    lines = (ROOT / ".gitignore").read_text().splitlines()
    anywhere = shutil.ignore_patterns(".git", *(n.strip("/") for n in lines if n[0] != "/"))
    at_root = {line.strip("/") for line in lines if line[0] == "/"}

    def ignored(place: str, names: list[str]) -> set[str]:
        return anywhere(place, names) | (at_root & {*names} if Path(place) == ROOT else set())

    shutil.copytree(ROOT, folder, ignore=ignored)
    (folder / ".venv").mkdir()
    for part in Path(sys.prefix).iterdir():
        if part.name != ".ready":
            (folder / ".venv" / part.name).symlink_to(part)
    (folder / ".venv" / ".ready").touch()
    return folder


def typed(clone: Path, *parts: Block | str, path: str = "") -> str:
    """What a shell says when the blocks are typed into it one after the other."""
    texts = [part if isinstance(part, str) else part.text for part in parts]
    marked = [f"echo '--- {number}'\n{text}" for number, text in enumerate(texts, 1)]
    known = {name: value for name, value in os.environ.items() if name != "PREFECT_API_URL"}
    more = {
        "PREFECT_HOME": str(clone / "prefect"), "COLUMNS": "200", "NO_COLOR": "1",
        "PYTHONPATH": str(clone), "PATH": f"{path}{os.environ['PATH']}",
    }  # fmt: skip
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", "\n".join(marked)],
        cwd=clone, env=known | more, capture_output=True, text=True, timeout=1800, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def tutorial(clone: Path) -> str:
    """What the tutorial's commands say."""
    return typed(clone, *(b for b in blocks("docs/tutorial.md") if b.language == "bash"))


def said(output: str, number: int) -> str:
    """What one block said."""
    return output.partition(f"--- {number}\n")[2].partition("\n--- ")[0]


def test_the_demo_learns(tutorial: str, clone: Path) -> None:
    """At least 30 % below the trivial prediction, on voices that are not in train."""
    record = registry.list_ensembles(Location.of(clone / "demo" / "workspace"))[0]
    assert record.kl is not None
    assert record.trivial_kl is not None
    assert len(record.member_kl) == len(record.curve) == 3
    assert record.kl < 0.7 * record.trivial_kl
    found = re.search(r"test clips\s+KL [\d.]+, ([\d.]+)% below", said(tutorial, 1))
    assert found
    assert float(found.group(1)) > 30


def test_the_tutorial_ends_where_it_says(tutorial: str, clone: Path) -> None:
    workspace = Location.of(clone / "demo" / "workspace")
    first, larger = registry.list_ensembles(workspace)
    assert (len(first.members), len(larger.members)) == (3, 4)
    assert set(first.members) < set(larger.members)
    assert first.kl is not None
    assert first.kl < min(kl for kl in first.member_kl if kl is not None)
    for version in (first.version, larger.version):
        assert (clone / "demo/workspace/ensembles" / version / "report.html").is_file()
    assert (clone / "predictions.csv").read_text().startswith("id,")


def test_the_tutorial_shows_what_is_printed(tutorial: str) -> None:
    (shown,) = (b.text for b in blocks("docs/tutorial.md") if b.language == "text")
    for number in (1, 2):  # the second time nothing is computed, and the same is said
        for line in shown.splitlines():
            assert without_numbers(line) in without_numbers(said(tutorial, number))


def without_numbers(text: str) -> str:
    return re.sub(r"\d+\.\d+", "N", text)


def test_the_first_block_of_the_readme(tutorial: str, clone: Path) -> None:
    """The demo is there after the tutorial, so that this finds nothing to do."""
    run, test = block("README.md", "Quick start").text.splitlines()
    assert "below the trivial prediction" in typed(clone, run)
    assert "pytest" in typed(clone, test.replace("make", "make --dry-run"))


def test_the_files_of_a_data_set_are_those_of_the_readme(tutorial: str, clone: Path) -> None:
    folder, *files = block("README.md", "Data layout").text.splitlines()
    assert folder == "DATA/"
    names = {file.split()[0] for file in files}
    assert len(names) == 5
    for name in names:
        assert list((clone / "demo" / "data").glob(name)), name


def test_the_commands_of_the_readme(clone: Path, data: Path) -> None:
    commands, _ = (b for b in blocks("README.md") if b.heading == "Usage")
    for name in ("folder", "DATA"):
        (clone / name).symlink_to(data)
    (clone / "CLIPS").symlink_to(data / "test")
    (clone / "FIELD").symlink_to(data / "test")
    (clone / "CLIP").symlink_to(next((data / "test").glob("*.wav")))
    typed(clone, "make run DATA=folder", commands, path=f"{clone / '.venv' / 'bin'}:")
    for workspace in ("workspace", "W"):
        assert len(list((clone / workspace).glob("ensembles/*/submission.csv"))) == 1
    assert len((clone / "preds.csv").read_text().splitlines()) == 21
    assert (clone / "m.onnx").stat().st_size > 100_000
    assert len((clone / "R" / "recordings.csv").read_text().splitlines()) == 21
