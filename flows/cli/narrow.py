"""Help and tables in a narrow terminal: one line per value instead of narrow columns."""

import shutil
import textwrap
from collections.abc import Sequence
from functools import partial
from typing import Any, Final

from rich.cells import cell_len
from typer.core import TyperCommand, TyperGroup

NARROW: Final = 60
"""Terminals with fewer columns get stacked help."""
INDENT: Final = "  "


class NarrowHelp:
    """Help of a command whose options are stacked in a narrow terminal."""

    def format_help(self, ctx: Any, formatter: Any) -> None:  # noqa: ANN401  Click's own classes
        """Print the help; the base class divides any terminal into columns."""
        width = shutil.get_terminal_size().columns
        if width >= NARROW:
            super().format_help(ctx, formatter)  # type: ignore[misc]
            return
        command: Any = self
        formatter.width = width - 1
        formatter.write_dl = partial(_write_stacked, formatter)
        command.format_usage(ctx, formatter)
        command.format_help_text(ctx, formatter)
        command.format_options(ctx, formatter)
        command.format_epilog(ctx, formatter)


class Command(NarrowHelp, TyperCommand):
    """A command."""


class Group(NarrowHelp, TyperGroup):
    """A group of commands."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:  # noqa: ANN401  Click's own classes
        """Write the commands of each heading with their whole first paragraph."""
        panels: dict[str, list[tuple[str, str]]] = {}
        for name in self.list_commands(ctx):
            command: Any = self.get_command(ctx, name)
            panel = getattr(command, "rich_help_panel", None) or "Commands"
            panels.setdefault(panel, []).append((name, (command.help or "").partition("\n")[0]))
        for panel, rows in panels.items():
            with formatter.section(panel):
                formatter.write_dl(rows)


def _write_stacked(formatter: Any, rows: Sequence[tuple[str, str]], *_: object) -> None:  # noqa: ANN401
    """Write terms with their definitions below them; in place of `HelpFormatter.write_dl`."""
    above = " " * formatter.current_indent
    for term, definition in rows:
        formatter.write(f"{above}{term}\n")
        for line in textwrap.wrap(definition, formatter.width - len(above) - len(INDENT)):
            formatter.write(f"{above}{INDENT}{line}\n")


def needs_stacking(
    columns: Sequence[str], rows: Sequence[Sequence[str]], width: int, whole: int
) -> bool:
    """Return whether a table does not fit into a terminal even if its cells are wrapped.

    Args:
        columns: Headings.
        rows: Cells.
        width: Columns of the terminal.
        whole: Number of first columns that are not wrapped.
    """
    needed = 1
    for index, column in enumerate(columns):
        texts = [column, *(row[index] for row in rows)]
        parts = texts if index < whole else [word for text in texts for word in text.split()]
        needed += 3 + max(map(cell_len, parts), default=0)  # a border and two blanks
    return needed > width


def stacked(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    r"""Return the lines of a table with a line per cell; empty cells are left out.

    A row of a table without headings is one line.

    Examples:
        >>> print("\n".join(stacked(("version", "KL"), [("v1", "0.5"), ("v2", "")])))
        version  v1
          KL       0.5
        version  v2
    """
    if not any(columns):
        return [INDENT.join(filter(None, row)) for row in rows]
    longest = max(map(cell_len, columns))
    lines = []
    for row in rows:
        for index, (column, cell) in enumerate(zip(columns, row, strict=True)):
            if cell:
                name = column + " " * (longest - cell_len(column))
                lines.append(f"{INDENT if index else ''}{name}{INDENT}{cell}")
    return lines
