"""Generates the page of commands from the definitions of the command line."""

import re

import typer
from typer.cli import get_docs_for_click

from flows.cli.application import app
from flows.cli.help_texts import HEADING


def commands() -> str:
    """Return Markdown with a section for each command."""
    command = typer.main.get_command(app)
    context = typer.Context(command, info_name="overlap")
    text = get_docs_for_click(obj=command, ctx=context, name="overlap")
    # The page has its own heading, and its table of contents lists every command.
    text = text.partition("\n")[2]
    text = re.sub(r"(?m)^\*\*Commands\*\*:\n\n(?:\* .+\n)+\n", "", text)
    return re.sub(rf"(?m)^{HEADING}\n((?:\n +\$ .+\n)+)", _block, text)


def _block(examples: re.Match[str]) -> str:
    """Return the examples of a command as a block of code."""
    lines = "\n".join(line.strip() for line in examples[1].split("\n") if line)
    return f"**Examples**:\n\n```console\n{lines}\n```\n"
