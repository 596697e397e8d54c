"""Compares what a compiled program does with its budget, and prints both."""

import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from overlap.bench.gpu_budget.hlo import parse
from overlap.bench.gpu_budget.kernels import Kernel, kernels
from overlap.bench.gpu_budget.program import Case, Compiled


@dataclass(frozen=True)
class Card:
    """The card that programs are compiled for."""

    name: str
    target: str
    """Name of the file that describes it to the compiler, beside the budgets."""
    bytes_per_second: float
    """What its memory moves at best."""
    seconds_per_kernel: float
    """Shortest time of a kernel: launching and ending."""


@dataclass(frozen=True)
class Figure:
    """Something that is counted in a program."""

    key: str
    label: str
    form: str = ",.0f"
    least: bool = False
    """Whether the budget is a lower limit."""


FIGURES: Final = (
    Figure("kernels", "kernels per step"),
    Figure("megabytes", "MB moved per clip", ",.1f"),
    Figure("clips_per_second", "clips/s at most", least=True),
    Figure("wide_arrays", "full-size float32 arrays per step"),
    Figure("resident_copies", "copies of the resident set"),
    Figure("device_gigabytes", "GB of device memory", ",.2f"),
    Figure("workspace_megabytes", "MB of working space per clip", ",.1f"),
)
"""Every figure, in the order of the table. An array has full size if it has at least as many
elements as the batch's features. The clips/s are an upper bound: each kernel takes the time of its
bytes at the card's best, and at least the shortest time of a kernel."""


@dataclass(frozen=True)
class Budgeted:
    """A training and the limits of its program."""

    name: str
    case: Case
    limits: dict[str, float]
    """By the key of the figure."""


@dataclass(frozen=True)
class Row:
    """One figure of one program."""

    program: str
    figure: Figure
    value: float
    limit: float

    @property
    def exceeded(self) -> bool:
        """Whether the figure breaks its limit."""
        return self.value < self.limit if self.figure.least else self.value > self.limit


def read_budgets(file: Path) -> tuple[Card, list[Budgeted]]:
    """Read the card and the programs with their limits.

    Raises:
        ValueError: A limit is of an unknown figure.
        TypeError: A key of the card or of a program is unknown or missing.
    """
    content = tomllib.loads(file.read_text("utf-8"))
    programs = [
        Budgeted(one.pop("name"), Case(**one.pop("case")), one.pop("limits"))
        for one in content["programs"]
    ]
    unknown = {key for one in programs for key in one.limits} - {f.key for f in FIGURES}
    if unknown:
        raise ValueError(f"{file.name}: limits of unknown figures: {', '.join(sorted(unknown))}")
    return Card(**content["card"]), programs


def count(
    compiled: Compiled, case: Case, steps: int, clip_numbers: int, card: Card
) -> tuple[dict[str, float], list[Kernel]]:
    """Return the figures of a program by their keys, and its kernels.

    Args:
        compiled: The program.
        case: What it trains.
        steps: Training steps per call of the program.
        clip_numbers: How many numbers the features of a clip are.
        card: The card.
    """
    found = kernels(parse(compiled.text), trips=steps)
    clips, full = steps * case.batch_size, case.batch_size * clip_numbers
    resident = case.clips * clip_numbers
    seconds = sum(
        one.times * max(one.bytes / card.bytes_per_second, card.seconds_per_kernel) for one in found
    )
    wide = sum(
        one.times
        for one in found
        for array in one.written
        if array.dtype == "f32" and array.count >= full
    )
    return {
        "kernels": sum(one.times for one in found) / steps,
        "megabytes": sum(one.times * one.bytes for one in found) / clips / 1e6,
        "clips_per_second": clips / seconds,
        "wide_arrays": wide / steps,
        "resident_copies": sum(
            one.times for one in found for array in one.written if array.count >= resident
        ),
        "device_gigabytes": compiled.device_bytes / 1e9,
        "workspace_megabytes": sum(one.times * one.workspace for one in found) / clips / 1e6,
    }, found


def rows(budgeted: Budgeted, figures: dict[str, float]) -> list[Row]:
    """Return a row for each figure that has a limit."""
    return [
        Row(budgeted.name, figure, figures[figure.key], budgeted.limits[figure.key])
        for figure in FIGURES
        if figure.key in budgeted.limits
    ]


def table(found: Iterable[Row]) -> str:
    """Return the rows as lines of text."""
    cells = [("program", "figure", "counted", "budget", "")]
    for row in found:
        bound = (">= " if row.figure.least else "<= ") + format(row.limit, row.figure.form)
        cells.append((
            row.program, row.figure.label, format(row.value, row.figure.form), bound,
            "EXCEEDED" if row.exceeded else "",
        ))  # fmt: skip
    widths = [max(len(line[column]) for line in cells) for column in range(4)]
    return "\n".join(
        f"{a:{widths[0]}}  {b:{widths[1]}}  {c:>{widths[2]}}  {d:>{widths[3]}}  {e}".rstrip()
        for a, b, c, d, e in cells
    )


def busiest(found: Sequence[Kernel], clips: int, number: int) -> str:
    """Return the kernels that move most bytes, one a line.

    Args:
        found: The kernels of a program.
        clips: Clips per call of the program.
        number: How many kernels.
    """
    order = sorted(found, key=lambda one: one.times * one.bytes, reverse=True)
    lines = [
        f"  {one.times * one.bytes / clips / 1e6:8.3f} MB per clip  {one.kind:32}  {one.name}  "
        + " ".join(f"{a.dtype}[{','.join(map(str, a.shape))}]" for a in one.written)
        for one in order[:number]
    ]
    return "\n".join(lines)
