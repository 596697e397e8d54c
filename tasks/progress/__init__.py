"""Progress of a run: bars and lines in the terminal, artifacts and log lines in Prefect.

`stage` counts work of a known amount, `doing` names work without one, and `followed` makes the
run that the user started report both, those of its sub-flows included.
"""

from tasks.progress.followed_run import copied_to_parent, doing, followed, note, on_wait, parent_run
from tasks.progress.stage import Stage, stage
from tasks.progress.terminal import QUIET_SECONDS, TERMINAL

__all__ = [
    "QUIET_SECONDS",
    "TERMINAL",
    "Stage",
    "copied_to_parent",
    "doing",
    "followed",
    "note",
    "on_wait",
    "parent_run",
    "stage",
]
