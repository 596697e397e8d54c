"""The list of field trials in docs/reliability.md is current."""

from pathlib import Path

import pytest

from support.trials import DOCUMENT, current, listed


def test_the_list_is_current() -> None:
    """`make reference` writes it."""
    assert DOCUMENT.read_text("utf-8") == current()


def test_a_trial_is_read_from_its_mark(tmp_path: Path) -> None:
    file = tmp_path / "tests" / "test_x.py"
    file.parent.mkdir()
    mark = 'trial("A", "s", source="own", before="b", now="n")'
    file.write_text(f"@{mark}\ndef test_a(): ...\n\nCASES = [pytest.param(1, marks={mark})]\n")
    first, second = listed(file.parent)
    assert (first.test, second.test) == ("tests/test_x.py::test_a", "tests/test_x.py")
    file.write_text('@trial("A", "s", "own", "b", now=str(1))\ndef test_a(): ...\n')
    with pytest.raises(ValueError, match="literals"):
        listed(file.parent)
