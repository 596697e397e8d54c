"""Plots of predictions: calibration, probabilities, KL of single clips, confused words."""

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from overlap.metrics.calibration import Calibration
from overlap.reporting.per_word import Confusions
from overlap.reporting.plots.fonts import style_for
from overlap.reporting.plots.style import (
    ENSEMBLE,
    MEMBER,
    TRIVIAL,
    WIDE,
    drawing,
    plain_style,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_WORDS = 30
"""Most words on an axis; of more words, those with the most confusions."""


@plain_style()
def calibration_curve(found: Calibration) -> tuple["Figure", list[dict[str, str]]]:
    """Draw predicted against true probabilities, in bins of equal width; chart and table."""
    used = np.flatnonzero(found.counts)
    predicted, true = found.predicted[used], found.true[used]
    figure, axes = drawing(WIDE)
    top = 1.05 * max(predicted.max(), true.max())
    axes.plot([0, top], [0, top], "--", color=TRIVIAL, linewidth=1.5, label="perfect calibration")
    axes.plot(predicted, true, "o-", color=ENSEMBLE, markersize=5, label="ensemble")
    axes.set_xlabel("predicted probability")
    axes.set_ylabel("label")
    axes.legend(frameon=False, fontsize=8)
    edges = np.linspace(0, found.top, len(found.counts) + 1)
    rows = [
        {
            "predicted probability": f"{edges[n]:.3f} to {edges[n + 1]:.3f}",
            "predictions": f"{found.counts[n]:,}",
            "mean prediction": f"{found.predicted[n]:.4f}",
            "mean label": f"{found.true[n]:.4f}",
        }
        for n in used
    ]
    return figure, rows


@plain_style()
def probability_histogram(
    labels: NDArray[np.float64], predictions: NDArray[np.float64]
) -> tuple["Figure", list[dict[str, str]]]:
    """Draw the distributions of predicted probabilities of present and of absent words."""
    present = labels > 0
    edges = np.linspace(0, max(float(predictions.max()), 1e-6), 21)
    present_counts = np.histogram(predictions[present], edges)[0]
    absent_counts = np.histogram(predictions[~present], edges)[0]
    counts = {
        "words in the clip": present_counts / max(1, present.sum()),
        "other words": absent_counts / max(1, (~present).sum()),
    }
    figure, axes = drawing(WIDE)
    for (name, part), colour in zip(counts.items(), (ENSEMBLE, TRIVIAL), strict=True):
        axes.stairs(part, edges, color=colour, linewidth=2, label=name)
    axes.set_xlabel("predicted probability")
    axes.set_ylabel("fraction of the words")
    axes.legend(frameon=False, fontsize=8)
    rows = [
        {"predicted probability": f"{low:.3f} to {high:.3f}"}
        | {name: f"{part[n]:.2%}" for name, part in counts.items()}
        for n, (low, high) in enumerate(pairwise(edges))
    ]
    return figure, rows


@plain_style()
def kl_histogram(per_clip: NDArray[np.float64]) -> tuple["Figure", list[dict[str, str]]]:
    """Draw the distribution of the KL of single clips."""
    from matplotlib.ticker import MaxNLocator

    figure, axes = drawing(WIDE)
    axes.hist(per_clip, bins=int(np.clip(len(per_clip) // 5, 5, 40)), color=MEMBER)
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.axvline(float(per_clip.mean()), color=ENSEMBLE, linewidth=2, label="mean")
    axes.set_xlabel("KL of a clip, nats")
    axes.set_ylabel("clips")
    axes.legend(frameon=False, fontsize=8)
    parts = (5, 25, 50, 75, 95, 100)
    rows = [
        {"percentile": f"{part} %", "KL": f"{value:.4f}"}
        for part, value in zip(parts, np.percentile(per_clip, parts), strict=True)
    ]
    return figure, rows


def confusion_matrix(words: tuple[str, ...], confusions: Confusions) -> "Figure":
    """Draw how often each word was predicted where another was missed."""
    counts = confusions.substitutions
    order = np.argsort(-(counts.sum(axis=0) + counts.sum(axis=1)), kind="stable")
    shown = np.sort(order[:MOST_WORDS])
    names = [_short(words[n]) for n in shown]
    # A browser draws the words with its own fonts; installed ones only improve the layout.
    with style_for(names):
        figure, axes = drawing((WIDE[0], max(WIDE[1], 2.2 + 0.24 * len(names))))
        axes.grid(visible=False)
        # Cells instead of an image, which would be a file inside the SVG.
        cells = axes.pcolormesh(
            counts[np.ix_(shown, shown)], cmap="Blues", edgecolor="face",
            vmin=0, vmax=max(1.0, float(counts.max())),
        )  # fmt: skip
        axes.invert_yaxis()
        axes.set_xticks(np.arange(len(names)) + 0.5, names, rotation=90, fontsize=8)
        axes.set_yticks(np.arange(len(names)) + 0.5, names, fontsize=8)
        axes.set_xlabel("predicted")
        axes.set_ylabel("missed")
        figure.colorbar(cells, ax=axes, label="misses", fraction=0.03, pad=0.02)
    return figure


def _short(word: str) -> str:
    # Matplotlib would parse text between dollar signs as a formula.
    return (word if len(word) <= 14 else word[:13] + "…").replace("$", r"\$")
