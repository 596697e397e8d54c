"""Members while they train, and the complete ones."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from markupsafe import Markup

from overlap.io.formatting import format_duration
from overlap.reporting.result_tables import members_table
from overlap.view.charts import Frame, Line, line_chart
from overlap.view.reader import MemberState, WorkspaceReader

SILENT: Final = timedelta(minutes=10)
"""An unfinished member without a new epoch for this long counts as paused while no run works."""


@dataclass(frozen=True)
class LiveMember:
    """An unfinished member as the page shows it."""

    member: MemberState
    chart: Markup
    state: str
    """training, waiting or paused."""
    left: str
    """Expected time that remains; empty if unknown."""


def members_page(reader: WorkspaceReader) -> dict[str, Any]:
    """Return what the template of the members needs."""
    part = reader.members()
    found = [member for member in part.value or () if not _is_past_trial(member)]
    running = any(run.state() == "running" for run in reader.runs().value or ())
    unfinished = [member for member in found if member.record is None and not member.problem]
    records = [member.record for member in found if member.record is not None]
    return {
        "part": part,
        "live": [_live(member, running=running) for member in unfinished],
        "running": running,
        "complete": [*zip(records, members_table(records), strict=True)],
        "damaged": [member for member in found if member.problem],
    }


def _is_past_trial(member: MemberState) -> bool:
    """Return whether a member belongs to a study and is not being trained.

    Studies have their own reports, and most of their members are stopped early.
    """
    if member.spec is None or member.spec.reserved is None:
        return False
    return member.record is not None or not _is_recent(member)


def _is_recent(member: MemberState) -> bool:
    return member.touched is not None and datetime.now(UTC) - member.touched < SILENT


def _live(member: MemberState, *, running: bool) -> LiveMember:
    state = "training" if running and member.epochs else "waiting" if running else "paused"
    if _is_recent(member):
        state = "training"
    seconds = member.seconds_left
    left = format_duration(seconds) if seconds is not None and state == "training" else ""
    return LiveMember(member, training_chart(member), state, left)


def training_chart(member: MemberState) -> Markup:
    """Draw loss and held-out KL of a member over its epochs; empty before the first."""
    if not member.epochs:
        return Markup()
    last = member.epochs[-1]
    label = f"Loss and held-out KL of {last.epoch} epochs"
    frame = Frame(label, "epoch", "nats", x_end=float(max(last.epochs, 2)), width=420, height=170)
    lines = [
        Line("loss", [(one.epoch, one.loss) for one in member.epochs]),
        Line("held-out", [(one.epoch, one.held_out_kl) for one in member.epochs]),
    ]
    return line_chart(frame, lines)
