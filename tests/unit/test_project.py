"""What surrounds the code: change notes, versions, and where the checks run."""

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from distributed import Adaptive, Client, Scheduler, SchedulerPlugin, SpecCluster, Worker

from overlap.system.distribution import DISTRIBUTION, extra_hint
from support.markdown_blocks import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def notes() -> list[Path]:
    return sorted((ROOT / "changes").glob("[!.]*"))


def test_a_release_moves_the_notes_into_the_changelog(tmp_path: Path) -> None:
    for name in ("pyproject.toml", "CHANGELOG.md"):
        shutil.copy(ROOT / name, tmp_path)
    shutil.copytree(ROOT / "changes", tmp_path / "changes")
    (tmp_path / "changes" / "7.fixed.md").write_text("A mistake of which only a test knows.\n")
    options = ("--version", "9.9", "--date", "2030-01-02", "--dir", str(tmp_path), "--keep")
    done = subprocess.run(
        [sys.executable, "-m", "towncrier", "build", *options],
        cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    before, after = (ROOT / "CHANGELOG.md").read_text(), (tmp_path / "CHANGELOG.md").read_text()
    assert after.index("## 9.9 (2030-01-02)") < after.index("A mistake of which only a test knows.")
    assert "(#7)" in after
    for note in notes():
        assert note.read_text().strip() in after, note
    head, tail = before.split("## ", 1)
    assert after.startswith(head)
    assert after.endswith(tail)


def test_every_note_is_of_a_kind_that_is_known() -> None:
    kinds = {kind["directory"] for kind in PROJECT["tool"]["towncrier"]["type"]}
    for note in notes():
        name = re.fullmatch(r"(?:\d+|\+[\w-]+)\.(\w+)\.md", note.name)
        assert name, note
        assert name[1] in kinds, note


def test_the_distribution_has_a_name_of_its_own_and_the_version_of_the_code() -> None:
    """On PyPI the name overlap belongs to another project."""
    assert PROJECT["project"]["name"] == DISTRIBUTION != "overlap"
    assert PROJECT["project"]["dynamic"] == ["version"]
    assert PROJECT["tool"]["hatch"]["version"]["path"] == "overlap/__init__.py"


def test_the_guide_to_installation_names_extras_that_exist() -> None:
    extras = PROJECT["project"]["optional-dependencies"].keys()
    table = re.findall(r"(?m)^\| (`[^|]+`) \|", (ROOT / "docs/howto/install.md").read_text())
    named = {name for row in table for name in re.findall("`([^`]+)`", row)}
    assert named == extras - {"bench", "dev", "docs", "formats", "load"}


@pytest.mark.parametrize("clone", [True, False])
def test_an_extra_is_installed_where_overlap_is(clone: bool, tmp_path: Path) -> None:
    if clone:
        (tmp_path / "pyproject.toml").touch()
    said = extra_hint("s3", tmp_path)
    assert (str(tmp_path) in said, f"{DISTRIBUTION}[s3]" in said) == (clone, not clone)


def test_the_workflow_runs_what_ci_runs() -> None:
    jobs = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())["jobs"]
    run = {name: [s["run"] for s in job["steps"] if "run" in s] for name, job in jobs.items()}
    assert run == {"all": [".ci/run"], "minimum-versions": ["make test-minimum"]}
    assert (ROOT / ".ci" / "run").stat().st_mode & 0o100
    supported = [
        classifier.rpartition(" ")[2]
        for classifier in PROJECT["project"]["classifiers"]
        if re.search(r":: 3\.\d+$", classifier)
    ]
    assert jobs["all"]["strategy"]["matrix"]["python"] == supported
    oldest = supported[0]
    assert jobs["minimum-versions"]["container"].startswith(f"python:{oldest}-")
    assert PROJECT["project"]["requires-python"].startswith(f">={oldest},")


def test_ci_runs_targets_that_exist() -> None:
    makefile = (ROOT / "Makefile").read_text()
    called = re.findall(r"(?m)^make ([\w-]+)$", (ROOT / ".ci" / "run").read_text())
    assert called == ["lint", "docs", "test", "test-extended"]
    for target in [
        *called,
        "test-minimum",
        "test-backend",
        "gpu-budget",
        "test-e2e",
        "test-nightly",
    ]:
        assert re.search(rf"(?m)^{target}:", makefile), target


def test_every_test_is_run_by_one_of_the_targets() -> None:
    """No combination of markers and folders is left out by all of the targets."""
    makefile = (ROOT / "Makefile").read_text()
    recipes = dict(re.findall(r"(?m)^(test[\w-]*): setup\n((?:\t.*\n)+)", makefile))
    options = PROJECT["tool"]["pytest"]["ini_options"]
    markers = {marker.partition(":")[0] for marker in options["markers"]}
    assert markers == {"extended", "nightly", "faults", "trial"}
    assert '-m "not extended and not nightly and not faults"\n' in recipes["test"]
    extended = '-m "extended and not nightly and not faults" \\\n\t\t'
    folders_of_extended = f"{' '.join(options['testpaths'])} tests/field\n"
    assert extended + folders_of_extended in recipes["test-extended"]
    assert '-m "not nightly" tests/e2e\n' in recipes["test-e2e"]
    assert "-m nightly tests/e2e\n" in recipes["test-nightly"]
    assert '-m "nightly and not faults"\n' in recipes["test-nightly"]
    assert "$(MAKE) test-e2e\n" in recipes["test-nightly"]
    assert "$(MAKE) test-faults\n" in recipes["test-nightly"]
    assert "$(MAKE) gpu-budget\n" in recipes["test-nightly"]
    assert "-m faults tests/faults\n" in recipes["test-faults"]
    folders = {f"tests/{p.parent.name}" for p in (ROOT / "tests").glob("*/test_*.py")}
    assert '-m "not nightly" tests/field\n' in recipes["test-field"]
    assert folders == {*options["testpaths"], "tests/e2e", "tests/field"}
    marked = [p for p in (ROOT / "tests").rglob("test_*.py") if "mark" + ".faults" in p.read_text()]
    assert {p.parent.name for p in marked} == {"faults"}


def test_what_make_locks_is_what_the_oldest_versions_are_made_for() -> None:
    """One list of extras; each is in pyproject.toml, and each package of it is locked."""
    (line,) = re.findall(r"(?m)^EXTRAS := (.+)$", (ROOT / "Makefile").read_text())
    extras = re.findall(r"--extra (\S+)", line)
    known = PROJECT["project"]["optional-dependencies"]
    lock = (ROOT / "requirements.lock").read_text()
    wanted = [*PROJECT["project"]["dependencies"], *(p for extra in extras for p in known[extra])]
    for requirement in wanted:
        name = re.match(r"[\w-]+", requirement)
        assert name
        assert re.search(rf"(?m)^{re.escape(name[0].lower())}==", lock), requirement


UNDOCUMENTED: dict[type, tuple[str, ...]] = {
    SpecCluster: ("new_worker_spec", "plan", "requested", "observed", "scale_down", "scale"),
    Adaptive: ("target", "workers_to_close"),
    Scheduler: ("run_function",),
    SchedulerPlugin: ("valid_workers_downscaling",),
    Client: ("subscribe_topic", "unsubscribe_topic"),
    Worker: ("get_current_task", "log_event"),
}
"""What flows/clusters/ and tasks/ use of distributed without a promise that it stays."""


def test_distributed_is_bounded_and_has_what_is_used_of_it() -> None:
    (bound,) = [d for d in PROJECT["project"]["dependencies"] if d.startswith("distributed")]
    assert "<" in bound
    missing = {
        f"{owner.__name__}.{name}"
        for owner, names in UNDOCUMENTED.items()
        for name in names
        if not hasattr(owner, name)
    }
    assert missing == set()
