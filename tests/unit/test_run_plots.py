"""Plots of a run have the expected size, curves and markers."""

import io

import matplotlib.image
import numpy as np
import pytest

from overlap.ensemble.record_parts import CurvePoint, Forecast, PowerLaw
from overlap.reporting.plots import run, style
from overlap.reporting.plots.encoding import png
from overlap.training.spec import MemberRecord
from support.run_steps import published


def pixels(content: bytes) -> np.ndarray:
    return matplotlib.image.imread(io.BytesIO(content), format="png")[..., :3]


def coloured(image: np.ndarray, colour: str) -> int:
    wanted = np.array([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    return int((np.abs(image - wanted).max(axis=-1) < 0.02).sum())


def record(points: int):
    curve = tuple(CurvePoint(n, 0.5 + 0.1 / n, 0.4, 0.7) for n in range(1, points + 1))
    return published("v").model_copy(
        update={"curve": curve, "trivial_kl": 0.8, "member_kl": (0.75,) * points}
    )


def test_the_growth_figure_has_curve_members_and_trivial_prediction() -> None:
    image = pixels(png(run.draw_growth(record(3))))
    assert image.shape == (396, 792, 3)
    for colour in (style.MEMBER, style.ENSEMBLE, style.TRIVIAL):
        assert coloured(image, colour) > 20, colour


def test_the_fitted_law_extends_beyond_the_last_member() -> None:
    law = {"law": PowerLaw(0.5, 0.1, 1.0), "more": Forecast(5, 0.51, 0.02, 0.0, 0.04)}
    with_law = record(3).model_copy(update=law)
    plain, longer = (pixels(png(run.draw_growth(r))) for r in (record(3), with_law))
    assert coloured(longer[:, 500:], style.ENSEMBLE) > 50
    assert not np.array_equal(plain, longer)


def test_without_held_out_clips_there_is_no_growth_figure() -> None:
    assert run.draw_growth(published("v")) is None


@pytest.mark.parametrize("key", ["held_out_kl", "loss"])
def test_each_member_has_a_line(key: str) -> None:
    history = [{"loss": 1 / n, "held_out_kl": 1 + 1 / n} for n in range(1, 6)]
    if key == "loss":
        history = [{"loss": epoch["loss"]} for epoch in history]
    one = MemberRecord.model_construct(history=history, kept_epoch=3)
    image = pixels(png(run.draw_training([one, one])))
    assert coloured(image, style.ENSEMBLE) > 20  # the selected epoch


def test_the_first_epochs_do_not_set_the_axis() -> None:
    """A network that has not learned may score many times worse than the trivial prediction."""
    history = [{"loss": 3 / n, "held_out_kl": 11.0 if n == 1 else 0.5 + 1 / n}
               for n in range(1, 21)]  # fmt: skip
    one = MemberRecord.model_construct(history=history, kept_epoch=20)
    kl, loss = run.draw_training([one, one]).axes
    assert kl.get_ylim()[1] < 1
    assert kl.get_ylim()[0] < 0.55
    assert "11" in kl.get_title(loc="left")
    assert [axes.get_ylabel() for axes in (kl, loss)] == [*run.CURVES.values()]


def test_an_even_curve_is_shown_as_a_whole() -> None:
    history = [{"loss": 1 - 0.01 * n} for n in range(20)]
    (axes,) = run.draw_training([MemberRecord.model_construct(history=history, kept_epoch=20)]).axes
    assert axes.get_ylim()[1] > 1
    assert axes.get_title(loc="left") == ""
