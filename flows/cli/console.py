"""Terminal output of the commands: tables, named values, progress."""

import gc
import json
import logging
import shlex
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from flows.cli import interruptions
from flows.cli.narrow import needs_stacking, stacked
from overlap.errors import UserError

if TYPE_CHECKING:
    from overlap.io.location import Location


class LineConsole(Console):
    """A console that never wraps text; only tables adapt to the terminal's width.

    A line in a log is found, copied and read by programs as a whole.
    """

    def print(self, *objects: Any, **options: Any) -> None:  # noqa: ANN401  rich's
        """Print objects as rich does; strings are never wrapped."""
        if all(isinstance(one, str) for one in objects):
            options.setdefault("soft_wrap", True)
        super().print(*objects, **options)


OUT = LineConsole(markup=False, emoji=False)
ERR = LineConsole(stderr=True, markup=False, emoji=False)
"""Without markup and emoji: file names and words may contain `[/b]` or `:x:`."""
LINE_SECONDS: Final = 30.0
"""Time between two lines of progress where the output is not a terminal."""


def print_json(content: object) -> None:
    """Print one JSON object on standard output."""
    sys.stdout.write(json.dumps(content, indent=2, default=str) + "\n")


def keep_stdout_for(target: "Location", *, as_json: bool) -> None:
    """Print messages on standard error from now on if the output of a command is standard output.

    Raises:
        UserError: JSON would be printed there too (`two-outputs`).
    """
    from overlap.io.user_output import is_stdout

    if not is_stdout(target):
        return
    if as_json:
        raise UserError(
            "--json and --out both write to standard output; leave out --json, or name a file",
            code="two-outputs",
        )
    OUT.stderr = True


def print_line(name: str, value: object) -> None:
    """Print a named value on one line of any length, so that it can be copied."""
    OUT.print(f"{name:<16}{value}", highlight=False, soft_wrap=True)


def print_next(what: str) -> None:
    """Print the suggested next step, as the last line of a command."""
    print_line("next", what)


def predict_next(workspace: str) -> None:
    """Suggest predicting with the champion, or to promote an ensemble if there is none."""
    from overlap.ensemble.registry import list_ensembles
    from overlap.io.location import Location
    from overlap.promotion.champion import champion, read_aliases

    place = Location.of(workspace)
    if champion(place):
        print_next(in_workspace("predict CLIPS --out preds.csv", workspace))
    elif records := list_ensembles(place):
        newest = records[-1].version
        chosen = in_workspace(f"models promote {newest}", workspace)
        decision = read_aliases(place).decision(newest)
        if decision and decision.caution:
            print_next("no champion yet; raise training.epochs, or add clips, and run again")
        else:
            print_next(f"no champion yet; {chosen} makes it one")


def look_next(workspace: str, model: str) -> None:
    """Suggest drawing one of the predicted clips with the same ensemble."""
    named = "" if model == "champion" else f" --model {shlex.quote(model)}"
    print_next(f"{in_workspace('show CLIP' + named, workspace)} draws one of them")


def in_workspace(command: str, workspace: object) -> str:
    """Return a command line with the workspace as an option.

    Examples:
        >>> in_workspace("predict CLIPS", "my work")
        "overlap predict CLIPS --workspace 'my work'"
    """
    return f"overlap {command} --workspace {shlex.quote(str(workspace))}"


def print_table(
    title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]], *, whole: int = 0
) -> None:
    """Print a table; columns after the first are right-aligned, except unnamed columns of bars.

    The first `whole` columns are never wrapped, so that they can be copied. Where the columns do
    not fit, the cells of a row are printed below each other.
    """
    cells = [[str(cell) for cell in row] for row in rows]
    if needs_stacking(columns, cells, OUT.width, whole):
        OUT.print(title, style="bold", soft_wrap=True)
        for line in stacked(columns, cells):
            OUT.print(line, highlight=False, soft_wrap=True)
        return
    table = Table(title=title, title_justify="left", title_style="bold", show_header=any(columns))
    for index, column in enumerate(columns):
        left, fixed = not index or not column, index < whole
        table.add_column(
            column, justify="left" if left else "right", no_wrap=fixed, overflow="fold"
        )
    for row in cells:
        table.add_row(*row)
    OUT.print(table)


def bars(values: Sequence[float], width: int = 16) -> list[str]:
    """Return a bar for each value, the largest `width` characters long.

    Examples:
        >>> bars([1, 2, 0.1], 4)
        ['██', '████', '▎']
    """
    largest = max(values, default=0)
    eighths = [max(1, round(8 * width * value / largest)) if largest else 0 for value in values]
    return ["█" * (n // 8) + ("▏▎▍▌▋▊▉"[n % 8 - 1] if n % 8 else "") for n in eighths]


def print_note(text: str) -> None:
    """Print a note for the user on standard error."""
    ERR.print(f"note: {text}", highlight=False, soft_wrap=True)


@contextmanager
def flow_shown() -> Iterator[None]:
    """Check or start the Prefect server, and show the progress of the flow within the block."""
    from flows.service.servers import connected
    from tasks.progress import TERMINAL

    def note(text: str) -> None:
        if not interruptions.received():  # which ends the server, too
            print_note(text)

    # Prefect would write a line without an end for each batch of logs that a server did not accept,
    # also after the last message of the command, which reports the server.
    logging.raiseExceptions = False
    with connected(note, interruptions.fail), TERMINAL.shown(ERR):
        gc.freeze()  # no later search for unused objects looks through the imported modules
        yield


@contextmanager
def bar(name: str) -> Iterator[Callable[[int, int], None]]:
    """Show a progress bar; yields a function that takes the done and total amounts.

    Where the output is not a terminal, a line is printed at most every `LINE_SECONDS`.
    """
    last_line = time.monotonic()
    with Progress(console=ERR, disable=not ERR.is_terminal) as progress:
        row = progress.add_task(name, total=None)

        def move(done: int, total: int) -> None:
            nonlocal last_line
            progress.update(row, completed=done, total=total)
            if not ERR.is_terminal and time.monotonic() - last_line >= LINE_SECONDS:
                last_line = time.monotonic()
                ERR.print(f"{name}: {done:,} of {total:,}", highlight=False)

        yield move
