"""The commands' help: groups, examples, defaults; version and completion."""

import os
import re
import shlex
import subprocess
from typing import Any

import pytest
import typer

import overlap
from flows.cli.application import app
from flows.cli.help_texts import EXAMPLES, PANELS, commands_of
from support.command_lines import refusal
from support.processes import OVERLAP

COMMANDS = dict(commands_of(app))
LONGEST_EXAMPLE = 96
"""Characters; longer ones wrap badly."""


def click_commands(command: Any = None, above: str = "") -> dict[str, Any]:
    """Every command as Click has it, by its names."""
    command = command or typer.main.get_command(app)
    found = {}
    for name, below in command.commands.items():
        if hasattr(below, "commands"):
            found |= click_commands(below, f"{above}{name} ")
        else:
            found[above + name] = below
    return found


def test_every_command_has_a_place_in_the_help() -> None:
    """Add a new command to PANELS of flows/cli/help_texts.py."""
    placed = [name for names in PANELS.values() for name in names]
    assert sorted(placed) == sorted({name.partition(" ")[0] for name in COMMANDS})


def test_every_command_has_two_examples_that_it_accepts() -> None:
    """Add those of a new command to EXAMPLES of flows/cli/help_texts.py."""
    assert EXAMPLES.keys() == COMMANDS.keys()
    for name, lines in EXAMPLES.items():
        assert len(lines) >= 2, name
        for line in lines:
            assert line.startswith(f"overlap {name}")
            assert len(line) <= LONGEST_EXAMPLE
            assert refusal(shlex.split(line.partition(" >")[0])) is None


def test_every_switch_can_be_set_both_ways() -> None:
    one_way = [
        f"{name} {option.opts[0]}"
        for name, command in click_commands().items()
        for option in command.params
        if getattr(option, "is_bool_flag", False) and not option.secondary_opts
    ]
    assert one_way == []


def test_every_default_is_visible() -> None:
    hidden = [
        f"{name} {option.opts[0]}"
        for name, command in click_commands().items()
        for option in command.params
        if not option.required and option.default is None
        if not isinstance(option.show_default, str)
    ]
    assert hidden == []


@pytest.mark.parametrize("name", ["train", "pool"])
def test_a_stage_without_new_features_has_no_option_about_drift(name: str) -> None:
    command = ["overlap", name, "--data", "D", "--compare", "W"]
    assert "--compare" in (refusal(command) or "")
    assert refusal(["overlap", "features", *command[2:]]) is None


def printed(*arguments: str, **variables: str) -> str:
    return subprocess.run(
        [OVERLAP, *arguments], env=os.environ | {"COLUMNS": "80"} | variables,
        check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip


def test_the_version() -> None:
    assert printed("--version") == f"overlap {overlap.__version__}\n"


def test_a_shell_completes_commands_and_presets() -> None:
    asked = {"_OVERLAP_COMPLETE": "complete_bash"}
    assert printed(**asked, COMP_WORDS="overlap mod", COMP_CWORD="1").split() == ["models"]
    words = "overlap run --preset ba"
    assert printed(**asked, COMP_WORDS=words, COMP_CWORD="3").split() == ["baseline"]


def test_help_shows_groups_and_examples() -> None:
    groups = re.findall(r"─ ([A-Z][a-z ]+) ─", printed("--help", NO_COLOR="1"))
    assert groups == ["Options", *PANELS]
    assert EXAMPLES["status"][0] in printed("status", "--help", NO_COLOR="1")
    assert "\x1b[" in printed("status", "--help", "--color", NO_COLOR="1")


def test_help_of_a_narrow_terminal_has_every_word() -> None:
    lines = printed("verify", "--help", COLUMNS="40").splitlines()
    assert max(map(len, lines)) <= 40
    assert "  --repair / --no-repair" in lines
    text = " ".join(" ".join(lines).split())
    assert "Mark damaged parts as missing; the next run makes them again." in text
    assert EXAMPLES["verify"][1] in text
    listed = printed("--help", COLUMNS="40")
    assert [panel for panel in PANELS if f"\n{panel}:\n" not in listed] == []
    assert "Compare the files of a workspace" in listed
