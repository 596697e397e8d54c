"""Any bytes give a clip or a reason, a table or problems; tests/faults runs more examples."""

from pathlib import Path

from hypothesis import given, settings

from support.fuzzing import (
    SOUND_FILES,
    TABLE_FILES,
    assert_clip_or_reason,
    assert_table_or_problems,
)


@settings(max_examples=300)
@given(SOUND_FILES)
def test_any_bytes_give_a_clip_or_a_reason(content: bytes) -> None:
    assert_clip_or_reason(content)


@settings(max_examples=300)
@given(content=TABLE_FILES)
def test_any_bytes_give_a_table_or_problems(tmp_path: Path, content: bytes) -> None:
    assert_table_or_problems(tmp_path / "table.csv", content)
