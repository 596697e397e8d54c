"""The commands with their options, made from the command line itself."""

import re

import typer
from typer.cli import get_docs_for_click

from flows.cli.commands import app


def commands() -> str:
    """A section for each command, as Markdown."""
    command = typer.main.get_command(app)
    context = typer.Context(command, info_name="overlap")
    text = get_docs_for_click(obj=command, ctx=context, name="overlap")
    # The page has a heading, and its table of contents lists the commands in full.
    text = text.partition("\n")[2]
    return re.sub(r"(?m)^\*\*Commands\*\*:\n\n(?:\* .+\n)+\n", "", text)
