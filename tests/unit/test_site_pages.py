"""The generated parts of the documentation: settings, commands, library pages, links, numbers."""

import re
from typing import Any

import pytest
import typer

from docs.site.commands import commands
from docs.site.generated_blocks import filled
from docs.site.library import ROOT, library_pages
from docs.site.links import place_of, relinked, shown_files, source_of
from docs.site.numbers import numbered
from docs.site.settings import settings
from docs.site.write_reference import GENERATED, current, page_file
from flows.cli.application import app
from overlap.config import RunConfig


def rows() -> dict[str, list[str]]:
    """Cells of the tables of settings, by the setting's name."""
    found = re.findall(r"(?m)^\| `([\w.]+)` \|(.+)\|$", settings())
    cells = {name: [c.strip() for c in rest.split(" | ")] for name, rest in found}
    assert len(cells) == len(found)
    return cells


def leaves(values: dict[str, Any], above: str = "") -> set[str]:
    names = set()
    for name, value in values.items():
        free = isinstance(value, dict) and f"{above}{name}" != "cluster.arguments"
        names |= leaves(value, f"{above}{name}.") if free else {above + name}
    return names


def test_every_setting_has_a_row() -> None:
    wanted = leaves(RunConfig(data="D").model_dump())
    assert len(wanted) > 60
    assert set(rows()) == wanted | {"n_fft", "win_length", "kind", "filters"}


@pytest.mark.parametrize(
    ("name", "type_", "default", "bounds", "unit"),
    [
        ("data", "text", "required", "not empty", ""),
        ("training.epochs", "whole number", "demo 8, baseline 187, fast 40, wide 70", "≥ 1", ""),
        (
            "training.keep", "`last` or `best`", "demo last, baseline last, fast best, wide best",
            "", "",
        ),
        ("training.memory_gb", "number or none", "none", "> 0", "GB"),
        ("features.hop_length", "whole number", "160", "≥ 1", "samples"),
        ("features.clip_seconds", "number", "1", "> 0, ≤ 60", "seconds"),
        ("n_fft", "whole number", "required", "≥ 16, ≤ 65536, multiple of 2", "samples"),
        (
            "network.input_pool", "2 of whole number",
            "demo 4x4, baseline 1x1, fast 1x1, wide 2x2", "", "",
        ),
        ("cluster.arguments", "table", "empty", "", ""),
    ],
)  # fmt: skip
def test_a_row_matches_its_field(
    name: str, type_: str, default: str, bounds: str, unit: str
) -> None:
    *cells, meaning = rows()[name]
    assert cells == [type_, default, bounds, unit]
    assert meaning.endswith((".", "…"))


def test_a_list_links_to_the_section_of_its_items() -> None:
    type_, default, bounds, _, _ = rows()["network.stages"]
    assert type_ == "list of [Stage](#each-of-networkstages)"
    assert default.startswith("demo plain 32; plain 64; plain 128; bottleneck 256, baseline plain")
    assert bounds == "not empty"


def test_every_command_has_a_section_with_its_options() -> None:
    text = commands()

    def look(command: Any, name: str) -> None:
        for word, below in getattr(command, "commands", {}).items():
            section = text.partition(f" `{name} {word}`\n")[2].partition("\n#")[0]
            for option in below.params:
                assert option.opts[0] in section.lower(), (name, word, option.opts)
            look(below, f"{name} {word}")

    look(typer.main.get_command(app), "overlap")
    assert "### `overlap models promote`" in text


def test_the_page_of_settings_is_current() -> None:
    """`make reference` brings it up to date."""
    assert page_file("settings").read_text("utf-8") == current("settings")


def test_the_page_of_commands_lists_every_command() -> None:
    """tests/integration/test_site.py compares the whole page, whose form depends on Typer."""
    written = re.findall(r"(?m)^#+ `(.+)`$", page_file("commands").read_text("utf-8"))
    assert written == re.findall(r"(?m)^#+ `(.+)`$", commands())
    assert len(written) > 25


def test_only_the_generated_block_of_a_page_changes() -> None:
    page = "# A\n\n<!-- generated: a -->\n\nold\n\n<!-- end of a -->\n\ntail\n"
    assert filled(page, "a", "new\n") == page.replace("old", "new")
    assert filled(page, "a", r"\1 \g<0>") == page.replace("old", r"\1 \g<0>")
    with pytest.raises(ValueError, match="0 blocks"):
        filled(page, "b", "new")
    assert set(GENERATED) == {"commands", "settings"}


def test_every_package_has_a_page_with_its_modules() -> None:
    pages = {page.title: page.text for page in library_pages()}
    assert {"overlap", "overlap.features", "tasks", "flows"} <= set(pages)
    for file in (ROOT / "overlap" / "features").glob("[!_]*.py"):
        assert f"::: overlap.features.{file.stem}\n" in pages["overlap.features"]


@pytest.mark.parametrize(
    ("place", "link", "wanted"),
    [
        ("index.md", "docs/operations/run.md#containers", "operations/run.md#containers"),
        ("index.md", "CHANGELOG.md", "changes.md"),
        ("changes.md", "docs/reliability.md", "reliability.md"),
        ("operations/scale.md", "../../deployments/clusters/slurm.toml",
         "../files/deployments/clusters/slurm.toml.md"),
        ("howto/slurm.md", "../../docker/compose.yaml", "../files/docker/compose.yaml.md"),
        ("howto/s3.md", "../benchmarks.md#scale", "../benchmarks.md#scale"),
        ("architecture.md", "../README.md", "index.md"),
        # MkDocs reports links to missing files.
        ("index.md", "docs/nowhere.md", "docs/nowhere.md"),
        ("index.md", "https://www.dask.org", "https://www.dask.org"),
    ],
)  # fmt: skip
def test_links_of_the_repository_fit_the_site(place: str, link: str, wanted: str) -> None:
    assert relinked(f"a [b\nc]({link}) d", place) == f"a [b\nc]({wanted}) d"


def test_source_of_inverts_place_of() -> None:
    for file in ("README.md", "docs/howto/s3.md", "CONTRIBUTING.md"):
        assert source_of(place_of(file)) == file


def test_a_linked_file_gets_a_page() -> None:
    (page,) = (p for p in shown_files([ROOT / "docs" / "howto" / "slurm.md"]) if "toml" in p.path)
    assert page.path == "files/deployments/clusters/slurm.toml.md"
    assert (ROOT / "deployments" / "clusters" / "slurm.toml").read_text() in page.text


def test_numbers_of_a_list_are_kept() -> None:
    assert numbered("1. a\n2. b\n5. c\n") == "1. a\n2. b\n\n<!-- -->\n\n5. c\n"
    assert numbered("1. a\n2. b\n\n1. c\n") == "1. a\n2. b\n\n1. c\n"
    assert numbered("no list") == "no list"
