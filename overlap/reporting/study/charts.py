"""Charts of a study: importance of the settings, parallel coordinates, epochs of the trials."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from overlap.reporting.plots.style import ENSEMBLE, MEMBER, TRIVIAL, WIDE, drawing, plain_style
from overlap.tuning.outcomes import Trial
from overlap.tuning.space import Dimension, Value

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@plain_style()
def draw_importance(importance: Mapping[str, float]) -> "Figure":
    """Draw the importance of each setting as bars, the largest at the top.

    Args:
        importance: The importance by setting, largest first; not empty.
    """
    figure, axes = drawing((WIDE[0], 1.2 + 0.4 * len(importance)))
    names = list(importance)[::-1]
    axes.barh(names, [importance[name] for name in names], color=ENSEMBLE, height=0.6)
    axes.grid(axis="y", visible=False)
    axes.grid(axis="x", alpha=0.3)
    axes.set_xlabel("importance; all settings sum to 1")
    return figure


@plain_style()
def draw_parallel_coordinates(
    trials: Sequence[Trial], space: Sequence[Dimension], best: int
) -> "Figure":
    """Draw each trial as a line through the values of its settings, to its held-out KL.

    Args:
        trials: The trials; those without a finite KL are left out.
        space: The dimensions.
        best: Number of the best trial.
    """
    shown = [(trial, kl) for trial in trials if (kl := last_kl(trial)) is not None]
    figure, axes = drawing(WIDE)
    axes.grid(visible=False)
    axes.spines[["left", "bottom"]].set_visible(False)
    axes.set_yticks([])
    columns = np.arange(len(space) + 1)
    kls = [kl for _, kl in shown]
    low, high = (min(kls), max(kls)) if kls else (0.0, 1.0)
    for trial, kl in sorted(shown, key=lambda one: (one[0].number == best, one[0].kl is not None)):
        heights = [position(one, trial.values[one.key]) for one in space]
        heights.append((kl - low) / ((high - low) or 1))
        colour, width = _line(trial, best)
        axes.plot(columns, heights, color=colour, linewidth=width, alpha=0.9)
    for column, dimension in enumerate(space):
        axes.axvline(column, color="#000000", linewidth=0.8)
        for height, label in _marks(dimension):
            _label(axes, column, height, label)
    axes.axvline(len(space), color="#000000", linewidth=0.8)
    for height, value in ((0, low), (1, high)):
        _label(axes, len(space), height, f"{value:.4g}")
    names = [one.key.removeprefix("training.").removeprefix("network.") for one in space]
    axes.set_xticks(columns, [*names, "held-out KL"])
    axes.tick_params(axis="x", length=0)
    axes.set_xlim(-0.2, len(space) + 0.35)
    axes.set_ylim(-0.06, 1.06)
    for colour, name in ((TRIVIAL, "best"), (ENSEMBLE, "complete"), (MEMBER, "stopped early")):
        axes.plot([], [], color=colour, linewidth=2, label=name)
    axes.legend(frameon=False, fontsize=8, ncols=3, loc="upper center", bbox_to_anchor=(0.5, 1.12))
    return figure


@plain_style()
def draw_epochs(trials: Sequence[Trial], best: int) -> "Figure":
    """Draw the held-out KL of each trial by epoch."""
    figure, axes = drawing(WIDE, counted=True)
    for trial in sorted(trials, key=lambda one: (one.number == best, one.kl is not None)):
        colour, width = _line(trial, best)
        epochs = sorted(epoch for epoch, kl in trial.kls.items() if math.isfinite(kl))
        axes.plot(
            epochs, [trial.kls[epoch] for epoch in epochs], "o-", color=colour, linewidth=width,
            markersize=3,
        )  # fmt: skip
    axes.set_xlabel("epoch")
    axes.set_ylabel("held-out KL, nats")
    return figure


def position(dimension: Dimension, value: Value) -> float:
    """Return where a value lies on the axis of its dimension, from 0 to 1."""
    if dimension.choices:
        return dimension.choices.index(value) / max(1, len(dimension.choices) - 1)
    low, high, at = dimension.low, dimension.high, float(value)
    if dimension.log:
        low, high, at = math.log(low), math.log(high), math.log(at)
    return (at - low) / (high - low)


def last_kl(trial: Trial) -> float | None:
    """Return the KL of a complete trial, or that after its last epoch; None if not finite."""
    kl = trial.kl if trial.kl is not None else trial.kls.get(max(trial.kls, default=0), math.nan)
    return kl if math.isfinite(kl) else None


def _line(trial: Trial, best: int) -> tuple[str, float]:
    if trial.number == best:
        return TRIVIAL, 2.5
    return (ENSEMBLE, 1.5) if trial.kl is not None else (MEMBER, 1.0)


def _marks(dimension: Dimension) -> list[tuple[float, str]]:
    if dimension.choices:
        return [(position(dimension, choice), str(choice)) for choice in dimension.choices]
    return [(0.0, f"{dimension.low:.4g}"), (1.0, f"{dimension.high:.4g}")]


def _label(axes: object, column: float, height: float, text: str) -> None:
    axes.annotate(  # type: ignore[attr-defined]
        text.replace("$", r"\$"), (column, height), xytext=(4, 0), textcoords="offset points",
        fontsize=8, va="center",
    )  # fmt: skip
