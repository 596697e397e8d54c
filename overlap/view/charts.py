"""Charts as SVG without scripts and styles; the page's style sheet gives them colours.

Only attributes of geometry are written into the SVG, because the content security policy forbids
inline styles. Values are numbers, and all text is escaped.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from itertools import groupby
from typing import Final

from markupsafe import Markup

WIDTH, HEIGHT = 720, 260
LEFT, RIGHT, TOP, BOTTOM = 56, 16, 22, 36
TICKS: Final = 5
DASH: Final = 10
"""Half the width of a point that has no neighbours, in units of the drawing."""
LABELS: Final = 8
"""Most labels below the horizontal axis."""


@dataclass(frozen=True)
class Line:
    """A line of a chart."""

    name: str
    """Name of the series; also a class of the style sheet."""
    points: Sequence[tuple[float, float | None]]
    """Position and value; None leaves a gap."""
    intervals: Sequence[tuple[float, float] | None] = ()
    """Ends of an interval per point."""
    dots: bool = False
    marked: frozenset[int] = frozenset()
    """Indices of points with a larger mark."""


@dataclass(frozen=True)
class Frame:
    """Size and axes of a chart."""

    label: str
    """Text for screen readers."""
    x_label: str = ""
    y_label: str = ""
    x_names: Sequence[str] = ()
    """Names of the positions 0, 1, …; empty: the axis shows numbers."""
    x_end: float | None = None
    """Right end of the axis; None: the last point."""
    width: int = WIDTH
    height: int = HEIGHT


def line_chart(frame: Frame, lines: Sequence[Line]) -> Markup:
    """Draw lines over a common axis; empty if there is no value.

    Args:
        frame: Size and axes.
        lines: The lines, in the order in which they are drawn.
    """
    values = [v for line in lines for _, v in line.points if v is not None and math.isfinite(v)]
    values += [end for line in lines for ends in line.intervals if ends for end in ends]
    places = [x for line in lines for x, _ in line.points]
    if not values:
        return Markup()
    ticks = axis_ticks(min(values), max(values))
    plot = _Plot(frame, _span(places, frame), (ticks[0], ticks[-1]))
    parts = [*_grid(plot, ticks), *_x_axis(plot)]
    for line in lines:
        parts += _series(plot, line)
    if frame.y_label:
        parts.append(_text(4, 11, "start", frame.y_label))
    # All text is escaped above, and everything else is a number.
    return Markup(  # noqa: S704
        f'<svg class="chart" viewBox="0 0 {frame.width} {frame.height}" role="img" '
        f'preserveAspectRatio="xMinYMid meet" aria-label="{escape(frame.label)}">'
        f"{''.join(parts)}</svg>"
    )


def axis_ticks(low: float, high: float, count: int = TICKS) -> list[float]:
    """Return round values whose first and last enclose a range.

    Examples:
        >>> axis_ticks(0.12, 0.47)
        [0.1, 0.2, 0.3, 0.4, 0.5]
        >>> axis_ticks(1.0, 1.0)
        [0.9, 1.0, 1.1]
    """
    if high - low < 1e-9:
        margin = abs(low) * 0.1 or 1.0
        return [round(low - margin, 9), low, round(high + margin, 9)]
    raw = (high - low) / count
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(m * power for m in (1, 2, 2.5, 5, 10) if m * power >= raw * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(n * step, 9) for n in range(first, last + 1)]


@dataclass(frozen=True)
class _Plot:
    frame: Frame
    x_range: tuple[float, float]
    y_range: tuple[float, float]

    def x(self, value: float) -> float:
        low, high = self.x_range
        share = (value - low) / ((high - low) or 1)
        return round(LEFT + share * (self.frame.width - LEFT - RIGHT), 1)

    def y(self, value: float) -> float:
        low, high = self.y_range
        share = (value - low) / ((high - low) or 1)
        return round(self.frame.height - BOTTOM - share * (self.frame.height - TOP - BOTTOM), 1)


def _span(places: Sequence[float], frame: Frame) -> tuple[float, float]:
    low, high = min(places), max(places) if frame.x_end is None else frame.x_end
    if frame.x_names:  # a margin beside the first and the last name
        return low - 0.5, high + 0.5
    return (low, high) if high > low else (low - 1, high + 1)


def _grid(plot: _Plot, ticks: Sequence[float]) -> list[str]:
    end, parts = plot.frame.width - RIGHT, []
    for tick in ticks:
        y = plot.y(tick)
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{end}" y1="{y}" y2="{y}"/>')
        parts.append(_text(LEFT - 8, y + 4, "end", f"{tick:g}"))
    return parts


def _x_axis(plot: _Plot) -> list[str]:
    frame, y = plot.frame, plot.frame.height - BOTTOM + 18
    parts, named = [], list[tuple[float, str]]()
    if frame.x_names:
        step = max(1, math.ceil(len(frame.x_names) / LABELS))
        named += [(n, name) for n, name in enumerate(frame.x_names) if n % step == 0]
    else:
        low, high = plot.x_range
        whole = [tick for tick in axis_ticks(low, high) if low <= tick <= high]
        named += [(tick, f"{tick:g}") for tick in whole if float(tick).is_integer()]
    for place, name in named:
        x = plot.x(place)
        parts.append(_text(x, y, "middle", name))
    if frame.x_label:
        x = frame.width - RIGHT
        parts.append(_text(x, y + 13, "end", frame.x_label))
    return parts


def _text(x: float, y: float, anchor: str, text: str) -> str:
    return f'<text class="axis" text-anchor="{anchor}" x="{x}" y="{y}">{escape(text)}</text>'


def _series(plot: _Plot, line: Line) -> list[str]:
    name, parts = escape(line.name), []
    for (x, _), ends in zip(line.points, line.intervals, strict=False):
        if ends:
            at, low, high = plot.x(x), plot.y(ends[0]), plot.y(ends[1])
            drawn = f"M{at} {low}V{high}M{at - 4} {low}h8M{at - 4} {high}h8"
            parts.append(f'<path class="bar {name}" d="{drawn}"/>')
    parts.append(f'<path class="line {name}" d="{_path(plot, line)}"/>')
    for index, (x, value) in enumerate(line.points):
        if value is not None and _is_drawn(value) and (line.dots or index in line.marked):
            radius, kind = (5, "mark") if index in line.marked else (3, "dot")
            place = f'cx="{plot.x(x)}" cy="{plot.y(value)}" r="{radius}"'
            parts.append(f'<circle class="{kind} {name}" {place}/>')
    return parts


def _path(plot: _Plot, line: Line) -> str:
    """Return the path through the points; one between gaps is a dash, unless it has a dot."""
    path = ""
    for present, run in groupby(line.points, lambda point: _is_drawn(point[1])):
        if not present:
            continue
        places = [(plot.x(x), plot.y(value)) for x, value in run if value is not None]
        if len(places) == 1 and not line.dots:
            ((x, y),) = places
            path += f"M{x - DASH:g} {y}h{2 * DASH}"
        else:
            path += "M" + "L".join(f"{x} {y}" for x, y in places)
    return path


def _is_drawn(value: float | None) -> bool:
    return value is not None and math.isfinite(value)
