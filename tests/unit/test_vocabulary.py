"""The code uses the field's terms: names that were replaced do not come back."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
REPLACED = {
    "turn_on": "run_lock",
    "TakenError": "WorkspaceLockedError",
    "storage_named": "storage_errors",
    "damage_named": "corruption_errors",
    "interrupts_held": "block_sigint",
    "interrupts_deferred": "defer_signals",
    "LEASH": "CHILD_ENV",
    "as_child": "child_reporter",
    "work_as_child": "child_main",
    "read_intact": "read_verified",
    "forgetting": "invalidated",
    "Places": "WorkerPool",
    "TO_COME": "PENDING_WORKER",
    "Duel": "Comparison",
    "Knowledge": "TrainingExposure",
    "Contender": "Candidate",
    "unheard": "eligible_folds",
    "crowned": "with_champion",
    "silent_because": "no_prediction_reason",
    "written_down": "record_placement",
    "mark_open": "invalidate_if_stale",
    "rows_as_in": "matches_catalog",
    "words_told": "per_word_metrics",
    "look_at": "inspect_clip",
    "LOOK_SECONDS": "a name that says what is polled",
    "Section": "ConfigModel, Record or a dataclass",
}
"""Name that was replaced -> name in use."""
OLD_SPELLINGS = ROOT / "overlap" / "config" / "old_spellings.py"


def sources() -> list[Path]:
    return [
        file
        for package in ("overlap", "tasks", "flows")
        for file in (ROOT / package).rglob("*.py")
        if file != OLD_SPELLINGS
    ]


@pytest.mark.parametrize("name", REPLACED)
def test_a_replaced_name_stays_replaced(name: str) -> None:
    word = re.compile(rf"(?<![\w\"'-]){name}(?![\w\"'-])")
    found = [str(file) for file in sources() if word.search(file.read_text(encoding="utf-8"))]
    assert found == [], f"use {REPLACED[name]}"
