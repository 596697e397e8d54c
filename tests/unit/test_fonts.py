"""Text in any script is drawn with a font that contains it, or by its sound; never as boxes."""

import numpy as np
import pytest
from matplotlib.font_manager import fontManager

from overlap.reporting.per_word import Confusions
from overlap.reporting.plots import fonts
from overlap.reporting.plots.encoding import png, svg
from overlap.reporting.plots.fonts import (
    drawable,
    families,
    style_for,
    substitution_note,
    undrawable,
)
from overlap.reporting.plots.predictions import confusion_matrix
from overlap.reporting.plots.style import drawing, plain_style

KOREAN = ("사과", "바나나")


def only_in_another_font() -> str:
    """A character that an installed font contains and the preferred one does not."""
    for name in sorted({font.name for font in fontManager.ttflist}):
        if name != fonts.PREFERRED and "Last Resort" not in name and name in fonts._installed():
            more = sorted(c for c in fonts._covered(name) - fonts._covered(fonts.PREFERRED)
                          if c.isprintable() and not c.isspace())  # fmt: skip
            if more:
                return more[0]
    pytest.skip("no installed font has characters that the preferred one lacks")


@pytest.fixture
def without_korean(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a machine without a font for Korean."""
    monkeypatch.setattr(fonts, "_installed", lambda: (fonts.PREFERRED,))


def rendered(text: str) -> bytes:
    """A picture with the text; a missing character is a warning, and a warning an error."""
    with style_for([text]):
        figure, axes = drawing()
        axes.set_title(drawable(text), parse_math=False)
        axes.set_yticks([0], [drawable(text)], parse_math=False)
    return png(figure)


def test_latin_greek_and_cyrillic_need_no_other_font() -> None:
    assert families(["zero", "naïve", "αβγ", "Москва"]) == (fonts.PREFERRED,)
    assert undrawable(["zero", "Москва"]) == []
    assert substitution_note(["zero"]) == ""


def test_an_installed_font_is_found_for_other_characters() -> None:
    character = only_in_another_font()
    first, *others = families([character, "zero"])
    assert first == fonts.PREFERRED
    assert any(character in fonts._covered(name) for name in others)
    assert drawable(character) == character
    assert rendered(character) != rendered("a")


@pytest.mark.usefixtures("without_korean")
@pytest.mark.parametrize(
    ("text", "expected"),
    [("사과", "sa-gwa"), ("두 개", "du gae"), ("ab사c", "ab-sa-c"), ("あか", "a-ka"),
     ("水", "U+6C34"), ("zero", "zero")],
)  # fmt: skip
def test_without_a_font_a_word_is_drawn_by_its_sound(text: str, expected: str) -> None:
    assert drawable(text) == expected
    assert rendered(text)


@pytest.mark.usefixtures("without_korean")
def test_the_user_is_told_of_substitutes() -> None:
    note = substitution_note([*KOREAN, "zero"])
    assert "사과 as sa-gwa" in note
    assert "2 texts" in note


@pytest.mark.usefixtures("without_korean")
def test_a_chart_of_the_report_keeps_the_words() -> None:
    """The browser that opens the report finds a font."""
    confusions = Confusions(np.eye(2), np.zeros((2, 2), np.int64))
    drawn = svg(confusion_matrix(KOREAN, confusions), "confusions")
    assert all(word in drawn for word in KOREAN)


def test_a_style_does_not_outlive_its_block() -> None:
    import matplotlib as mpl

    with plain_style():
        before = mpl.rcParams["font.family"]
        with style_for(KOREAN):
            assert mpl.rcParams["font.family"][0] == fonts.PREFERRED
        assert mpl.rcParams["font.family"] == before
