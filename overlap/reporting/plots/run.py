"""Plots of a run: the members' training curves, the KL as members are added, and its history."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from overlap.ensemble.registry import EnsembleRecord
from overlap.reporting.plots.style import (
    ENSEMBLE,
    INCHES,
    MEMBER,
    TRIVIAL,
    drawing,
    panelled,
    plain_style,
)
from overlap.training.spec import MemberRecord
from overlap.workspace.history import PublishedVersion

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CURVES: Final = {"held_out_kl": "held-out KL, nats", "loss": "training loss"}
"""Plotted metrics of an epoch's history, with the label of the axis."""
DATES_SHOWN: Final = 8
"""Most dates on the axis of the history."""


@plain_style()
def draw_training(
    members: Sequence[MemberRecord], inches: tuple[float, float] = INCHES
) -> "Figure":
    """Draw the held-out KL and the training loss per epoch of each member, side by side.

    Without held-out clips only the loss is drawn. The axes show the later epochs: the values of the
    first ones may be many times higher, and the highest is written above the axis instead.

    Args:
        members: The members.
        inches: Width and height.
    """
    curves = learning_curves(members)
    figure, panels = panelled(len(curves), inches, counted=True)
    for axes, (key, lines) in zip(panels, curves.items(), strict=True):
        for member, values in zip(members, lines, strict=True):
            axes.plot(np.arange(1, len(values) + 1), values, color=MEMBER, linewidth=1, alpha=0.8)
            kept = member.kept_epoch or len(values)
            axes.plot(kept, values[kept - 1], "o", color=ENSEMBLE, markersize=4)
        axes.set_xlim(0.5, max(map(len, lines)) + 0.5)
        axes.set_xlabel("epoch (dot: selected epoch)")
        axes.set_ylabel(CURVES[key])
        _limit_to_late_epochs(axes, lines)
    return figure


def _limit_to_late_epochs(axes: "Axes", curves: Sequence[Sequence[float]]) -> None:
    """End the axis above the values after the first epochs, if the earlier ones are much higher."""
    late = np.concatenate([values[len(values) // 4 :] for values in curves])
    highest, top = np.nanmax(np.concatenate(curves)), np.nanmax(late)
    low = np.nanmin(np.concatenate(curves))
    if not np.isfinite([highest, top, low]).all() or highest - low <= 2 * (top - low):
        return
    margin = 0.05 * (top - low) or 0.05 * abs(top) or 1.0
    axes.set_ylim(low - margin, top + margin)
    axes.set_title(f"first epochs up to {highest:.3g}", loc="left", fontsize=8, color=MEMBER)


@plain_style()
def draw_growth(record: EnsembleRecord, inches: tuple[float, float] = INCHES) -> "Figure | None":
    """Draw the KL of the growing ensemble, of each member, and of the trivial prediction.

    Args:
        record: The ensemble.
        inches: Width and height.

    Returns:
        The figure; None without held-out clips.
    """
    if not record.curve or record.trivial_kl is None:
        return None
    figure, axes = drawing(inches, counted=True)
    sizes = np.array([point.members * record.per_round for point in record.curve])
    score = np.array([point.kl for point in record.curve])
    bounds = np.array([[point.low, point.high] for point in record.curve]).T
    single = [kl for kl in record.member_kl if kl is not None]
    axes.plot([1] * len(single), single, "o", color=MEMBER, markersize=4, label="one member")
    axes.errorbar(
        sizes, score, np.abs(bounds - score), color=ENSEMBLE, marker="o", markersize=5, capsize=3,
        label="ensemble, 95 % interval over clips",
    )  # fmt: skip
    if record.law and record.more:
        rounds = np.linspace(1, record.curve[-1].members + record.more.members, 100)
        expected = [record.law(n) for n in rounds]
        axes.plot(rounds * record.per_round, expected, ":", color=ENSEMBLE, label="fitted law")
    label = "trivial prediction"
    axes.axhline(record.trivial_kl, color=TRIVIAL, linestyle="--", linewidth=1.5, label=label)
    axes.set_xlabel("members")
    axes.set_ylabel("held-out KL, nats")
    axes.legend(frameon=False, fontsize=8)
    return figure


@plain_style()
def draw_history(
    versions: Sequence[PublishedVersion], inches: tuple[float, float] = INCHES
) -> "Figure | None":
    """Draw KL with interval of each version, the trivial prediction, and which were promoted.

    Args:
        versions: The published versions, oldest first.
        inches: Width and height.

    Returns:
        The figure; None with fewer than two versions with a KL.
    """
    scored = [one for one in versions if one.kl is not None]
    if len(scored) < 2:
        return None
    figure, axes = drawing(inches, counted=True)
    places = np.arange(len(scored))
    score, low, high, trivial = _columns(scored)
    axes.plot(places, trivial, "--", color=TRIVIAL, linewidth=1.5, label="trivial prediction")
    axes.plot(places, score, color=MEMBER, linewidth=1, alpha=0.6)
    promoted = np.array([one.promoted is True or one.is_champion for one in scored])
    for inside, colour, face, label in (
        (promoted, ENSEMBLE, ENSEMBLE, "promoted"),
        (~promoted, MEMBER, "none", "not promoted, or not recorded"),
    ):
        if inside.any():
            ends = np.nan_to_num(np.stack([score - low, high - score]))[:, inside]
            axes.errorbar(
                places[inside], score[inside], np.maximum(ends, 0), color=colour, fmt="o",
                markerfacecolor=face, markersize=5, capsize=3, label=f"{label}, 95 % interval",
            )  # fmt: skip
    now = [place for place, one in enumerate(scored) if one.is_champion]
    axes.plot(
        now, score[now], "o", color=ENSEMBLE, markersize=13, markerfacecolor="none",
        label="champion now",
    )  # fmt: skip
    shown = np.unique(np.linspace(0, len(scored) - 1, DATES_SHOWN).round().astype(np.int64))
    axes.set_xticks(shown, [f"{scored[n].created:%Y-%m-%d\n%H:%M}" for n in shown])
    axes.set_xlabel("publication, UTC")
    axes.set_ylabel("held-out KL, nats")
    axes.legend(frameon=False, fontsize=8)
    return figure


def _columns(versions: Sequence[PublishedVersion]) -> NDArray[np.float64]:
    """Return (4, versions): KL, both ends of its interval, trivial KL; NaN where unknown."""
    rows = [(one.kl, one.kl_low, one.kl_high, one.trivial_kl) for one in versions]
    return np.array(rows, np.float64).T


def learning_curves(members: Sequence[MemberRecord]) -> dict[str, list[list[float]]]:
    """Return the plotted metrics, keys of `CURVES`: their values per member and epoch.

    The loss is always plotted, and the held-out KL if every member has it.
    """
    return {
        key: [[epoch.get(key, np.nan) for epoch in member.history] for member in members]
        for key in CURVES
        if key == "loss" or all(key in member.history[-1] for member in members)
    }
