"""The property tests of random bytes with OVERLAP_FUZZ_EXAMPLES examples each."""

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from support.fuzzing import (
    SOUND_FILES,
    TABLE_FILES,
    assert_clip_or_reason,
    assert_table_or_problems,
)

EXAMPLES = int(os.environ.get("OVERLAP_FUZZ_EXAMPLES", "20000"))
LONG = settings(
    max_examples=EXAMPLES,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

pytestmark = pytest.mark.faults


@LONG
@given(SOUND_FILES)
def test_any_bytes_give_a_clip_or_a_reason(content: bytes) -> None:
    assert_clip_or_reason(content)


@LONG
@given(content=TABLE_FILES)
def test_any_bytes_give_a_table_or_problems(tmp_path: Path, content: bytes) -> None:
    assert_table_or_problems(tmp_path / "table.csv", content)
