"""Whether a command line is one that its program accepts: read, never run."""

import importlib
import re
import shlex
from collections.abc import Sequence
from typing import Any

import typer

# Prefect and Dask have no public object for their command lines.
PREFECT = "prefect.cli._app", "_app"
DASK = {"scheduler": "distributed.cli.dask_scheduler", "worker": "distributed.cli.dask_worker"}


def refusal(command: Sequence[str]) -> str | None:
    """Why a program does not accept this command line; None where it does."""
    program, *words = command
    try:
        if program == "prefect":
            module, name = PREFECT
            app = getattr(importlib.import_module(module), name)
            if words[0] == "--no-prompt":  # read by what surrounds the commands
                words = words[1:]
            app.parse_args(words, exit_on_error=False, print_error=False)
        elif program == "dask" and words and words[0] in DASK:
            _read(importlib.import_module(DASK[words[0]]).main, words[1:])
        elif program == "overlap":
            from flows.cli.application import app as overlap

            _read(typer.main.get_command(overlap), words)
        else:
            return f"no such program: {shlex.join(command)}"
    except Exception as error:  # noqa: BLE001  Typer, Click and Cyclopts have each their own
        if type(error).__name__ == "Exit":  # it would print its help
            return None
        return f"{shlex.join(command)}: {error}"
    return None


def _read(command: Any, words: Sequence[str]) -> None:
    """Parse the words as a command of Click would, whichever copy of Click it is made of."""
    if hasattr(command, "resolve_command") and words and not words[0].startswith("-"):
        context = command.context_class(command)
        _, chosen, rest = command.resolve_command(context, list(words))
        _read(chosen, rest)
    else:
        command.make_context(command.name, list(words))


def commands_of(script: str) -> list[list[str]]:
    """The commands of dask, prefect and overlap in a shell script, with variables as they are."""
    lines = re.sub(r"\\\n\s*", " ", script).splitlines()
    found = [re.fullmatch(r"\s*(?:exec )?((?:dask|prefect|overlap) .+)", line) for line in lines]
    return [[w for w in shlex.split(line[1]) if w != "$@"] for line in found if line]
