"""The entry point of the `overlap` command: exit codes and final messages.

Exit codes: 0 success, 1 the work failed, 2 a mistake of the user, 130 after SIGINT, 141 after
writing to a closed pipe, 143 after SIGTERM.
"""

import gc
import os
import signal
import sys
import traceback
import warnings
from collections.abc import Callable

from flows.cli import interruptions
from flows.cli.standard_streams import (
    PIPE_CLOSED_CODE,
    OutputError,
    flush_output,
    prepare_streams,
)
from flows.service.early_start import launch, runs_flow
from overlap.system.foreign_settings import ignore_foreign_settings

RARELY = (50_000, 20, 100)
"""How many objects Python creates between two searches for unused ones. Its own 700 make a fifth of
the time of every import: a command creates a million objects that stay."""


def main() -> None:
    """Run the command line; a mistake of the user ends in one message and exit code 2."""
    gc.set_threshold(*RARELY)
    prepare_streams()
    try:
        interruptions.listen()
        ignore_foreign_settings()
        if runs_flow(sys.argv[1:]):
            launch()
        # Importing the commands takes a second, during which Ctrl-C may arrive.
        from flows.cli.application import COLOR_OPTIONS, app

        warnings.formatwarning = _one_line
        if chosen := [word for word in sys.argv[1:] if word in COLOR_OPTIONS]:
            _choose_colors(on=chosen[-1] == COLOR_OPTIONS[0])
            sys.argv[1:] = [word for word in sys.argv[1:] if word not in COLOR_OPTIONS]
        _run(app)
    except OutputError as error:
        if error.code != PIPE_CLOSED_CODE:
            sys.stderr.write(f"failed: {error} [output-not-written]\n")
        sys.exit(error.code)
    except KeyboardInterrupt:
        interruptions.leave(signal.SIGINT)
    except SystemExit as end:
        if end.code and (sent := interruptions.received()):
            interruptions.leave(sent)
        raise
    except Exception as error:  # noqa: BLE001  the last resort
        if sent := interruptions.received():  # a consequence of the interruption
            interruptions.leave(sent)
        _fail(error)


def _choose_colors(*, on: bool) -> None:
    """Set what Rich reads when a console is created; child processes inherit it."""
    chosen, other = ("FORCE_COLOR", "NO_COLOR") if on else ("NO_COLOR", "FORCE_COLOR")
    os.environ[chosen] = "1"
    os.environ.pop(other, None)


def _run(app: Callable[[], object]) -> None:
    """Run the command and write the rest of its output, also before it exits."""
    try:
        app()
    except SystemExit:
        flush_output()
        raise
    flush_output()


def _one_line(
    message: Warning | str, category: type[Warning], filename: str, lineno: int,
    line: str | None = None,
) -> str:  # fmt: skip
    """Format a warning of data or deprecated settings for the user, others for the programmer."""
    from overlap.catalog.problems import DataWarning
    from overlap.config.old_spellings import OldSpellingWarning

    if issubclass(category, DataWarning):
        return f"note: {message}\n"
    if issubclass(category, OldSpellingWarning):
        return f"warning: {message}\n"
    return f"{filename}:{lineno}: {category.__name__}: {message}\n{line or ''}"


def _fail(error: Exception) -> None:
    from flows.service.server_errors import unreachable
    from flows.service.settings_faults import settings_fault
    from overlap.errors import OverlapError, UserError
    from overlap.redaction import masked

    error = settings_fault(error) or error
    if isinstance(error, UserError):
        _leave(f"error: {error} [{error.code}]", 2)
    if isinstance(error, OverlapError):
        _leave(f"failed: {error} [{error.code}]", 1)
    if isinstance(error, ValueError) and str(error).startswith("A dask config file"):
        _leave(f"error: Dask's settings cannot be read: {error} [dask-settings]", 2)
    if named := unreachable(error):
        _leave(f"failed: {named} [server-unreachable]", 1)
    sys.stderr.write(masked("".join(traceback.format_exception(error))))
    _leave("failed: this is a bug in overlap; see the traceback above", 1)


def _leave(message: str, code: int) -> None:
    sys.stderr.write(message + "\n")
    sys.exit(code)
