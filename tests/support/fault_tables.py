"""What the tests of faults share: where their tables go."""

from collections.abc import Iterable, Sequence
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[2] / "build" / "faults"


def markdown(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table of markdown; `|` in a cell is escaped.

    Examples:
        >>> print(markdown(("fault", "runs"), [("kill -9", 3)]))
        | fault | runs |
        | --- | --- |
        | kill -9 | 3 |
    """
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(
        "| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |" for line in lines
    )


def write_table(name: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Keep a table as build/faults/NAME.md."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    (FOLDER / f"{name}.md").write_text(markdown(columns, rows) + "\n")
