"""Renders templates: all text is escaped, and links respect the path of a proxy."""

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
from starlette.responses import HTMLResponse

import overlap
from overlap.io.formatting import format_bytes, format_duration
from overlap.io.location import Location
from overlap.reporting.result_tables import DRIFT_LEGEND, relative_to_trivial
from overlap.view.clips.query import clip_path
from overlap.view.overview import time_left

PAGES: Final = (("/", "Overview"), ("/members", "Members"), ("/clips", "Clips"), ("/try", "Try"))
"""Paths and names of the navigation."""


class Renderer:
    """The templates of one server.

    Args:
        workspace: The workspace that the pages show.
        prefix: Path in front of all links.
    """

    def __init__(self, workspace: Location, prefix: str) -> None:
        # The tables are those of the report.
        packages = (("overlap.view", "templates"), ("overlap.reporting", "."))
        self._environment = Environment(
            loader=ChoiceLoader([PackageLoader(*package) for package in packages]),
            autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True,
        )  # fmt: skip
        self._environment.filters |= {
            "ago": ago,
            "bytes": format_bytes,
            "clock": lambda time: f"{time.astimezone(UTC):%Y-%m-%d %H:%M}",
            "duration": format_duration,
            "percent": percent,
            "relative": relative_to_trivial,
            "time_left": time_left,
            "tone": tone,
        }
        self._environment.globals |= {
            "workspace": str(workspace),
            "workspace_name": workspace.name or str(workspace),
            "release": overlap.__version__,
            "pages": PAGES,
            "drift_legend": DRIFT_LEGEND,
            "url": lambda path: prefix + path,
            "clip_path": clip_path,
        }

    def text(self, template: str, content: Mapping[str, Any]) -> str:
        """Render a template."""
        return self._environment.get_template(template).render(content)

    def page(
        self, template: str, here: str, content: Mapping[str, Any] | None = None, status: int = 200
    ) -> HTMLResponse:
        """Render a page.

        Args:
            template: Its template.
            here: Path of its entry in the navigation; empty: it has none.
            content: What the template needs.
            status: HTTP status.
        """
        common = {"here": here, "shown_at": datetime.now(UTC)}
        return HTMLResponse(self.text(template, common | dict(content or {})), status)


def ago(time: datetime, now: datetime | None = None) -> str:
    """Format a time by its distance, or as a date if it is long ago.

    Args:
        time: The time.
        now: The time to compare with; None: that of the clock.

    Examples:
        >>> then = datetime(2026, 1, 1, 10, tzinfo=UTC)
        >>> ago(then, datetime(2026, 1, 1, 12, 5, tzinfo=UTC))
        '2 h ago'
        >>> ago(then, datetime(2026, 3, 1, tzinfo=UTC))
        '2026-01-01'
    """
    seconds = ((now or datetime.now(UTC)) - time).total_seconds()
    if seconds < 60:
        return "just now"
    for unit, length, limit in (("min", 60, 60), ("h", 3600, 48), ("days", 86400, 15)):
        if seconds < limit * length:
            return f"{int(seconds // length)} {unit} ago"
    return f"{time.astimezone(UTC):%Y-%m-%d}"


def percent(value: float) -> str:
    """Format a fraction; empty if it is not a number.

    Examples:
        >>> percent(0.256), percent(float("nan"))
        ('25.6 %', '')
    """
    return "" if math.isnan(value) else f"{100 * value:.1f} %"


def tone(gain: float) -> str:
    """Return the class of the style sheet for a gain as it is shown, with four decimals.

    Examples:
        >>> tone(0.01), tone(-0.01), tone(0.00001)
        ('good', 'bad', 'soft')
    """
    shown = round(gain, 4)
    return "soft" if not shown else "good" if shown > 0 else "bad"
