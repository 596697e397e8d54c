"""Charts of a report as SVG whose letters and axes take the colour of the page."""

import io
import re
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from overlap.reporting.figures import ENSEMBLE, MEMBER, TRIVIAL, drawing
from overlap.reporting.per_word import Mistakes

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CALIBRATION_BINS = 10
MOST_WORDS = 30
"""Words on an axis of a chart; of more, those with the most mistakes."""


def svg(figure: "Figure", name: str) -> str:
    """A drawing as SVG for a place inside a page.

    Args:
        figure: The drawing.
        name: Unique on the page: identifiers inside the drawing are made of it.
    """
    import matplotlib as mpl

    target = io.StringIO()
    # Letters stay letters: smaller, found by a search, and of the page's own typeface.
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": name}):
        figure.savefig(target, format="svg", transparent=True, metadata={"Date": None})
    drawn = target.getvalue()
    drawn = drawn[drawn.index("<svg") :].replace("#000000", "currentColor")
    drawn = re.sub(r"<metadata>.*?</metadata>", "", drawn, flags=re.DOTALL)
    drawn = re.sub(r'\b(id="|href="#|url\(#)', rf"\g<1>{name}-", drawn)
    return drawn.replace("<svg ", '<svg aria-hidden="true" focusable="false" ', 1)


def calibration(
    labels: NDArray[np.float64], predictions: NDArray[np.float64]
) -> tuple["Figure", list[dict[str, str]]]:
    """Predicted against true shares, in bins of as many cells each; chart and table."""
    q, p = predictions.ravel(), labels.ravel()
    order = np.argsort(q, kind="stable")
    bins = [part for part in np.array_split(order, CALIBRATION_BINS) if len(part)]
    said = np.array([q[part].mean() for part in bins])
    true = np.array([p[part].mean() for part in bins])
    figure, axes = drawing((4.6, 3.8))
    top = 1.05 * max(said.max(), true.max())
    axes.plot([0, top], [0, top], "--", color=TRIVIAL, linewidth=1.5, label="as predicted")
    axes.plot(said, true, "o-", color=ENSEMBLE, markersize=5, label="ensemble")
    axes.set_xlabel("predicted share")
    axes.set_ylabel("true share")
    axes.legend(frameon=False, fontsize=8)
    rows = [
        {"cells": f"{len(part):,}", "predicted": f"{a:.4f}", "true": f"{b:.4f}"}
        for part, a, b in zip(bins, said, true, strict=True)
    ]
    return figure, rows


def predictions(
    labels: NDArray[np.float64], shares: NDArray[np.float64]
) -> tuple["Figure", list[dict[str, str]]]:
    """Distribution of the predicted shares of words that are there and of others."""
    there = labels > 0
    edges = np.linspace(0, max(float(shares.max()), 1e-6), 21)
    counts = {
        "words that are there": np.histogram(shares[there], edges)[0] / max(1, there.sum()),
        "words that are not": np.histogram(shares[~there], edges)[0] / max(1, (~there).sum()),
    }
    figure, axes = drawing()
    for (name, part), colour in zip(counts.items(), (ENSEMBLE, TRIVIAL), strict=True):
        axes.stairs(part, edges, color=colour, linewidth=2, label=name)
    axes.set_xlabel("predicted share")
    axes.set_ylabel("part of the words")
    axes.legend(frameon=False, fontsize=8)
    rows = [
        {"predicted share": f"{low:.3f} to {high:.3f}"}
        | {name: f"{part[n]:.2%}" for name, part in counts.items()}
        for n, (low, high) in enumerate(pairwise(edges))
    ]
    return figure, rows


def scores(per_clip: NDArray[np.float64]) -> tuple["Figure", list[dict[str, str]]]:
    """Distribution of the KL of single clips."""
    figure, axes = drawing()
    axes.hist(per_clip, bins=40, color=MEMBER)
    axes.axvline(float(per_clip.mean()), color=ENSEMBLE, linewidth=2, label="mean: the KL")
    axes.set_xlabel("KL of a clip, nats")
    axes.set_ylabel("clips")
    axes.legend(frameon=False, fontsize=8)
    parts = (5, 25, 50, 75, 95, 100)
    rows = [
        {"part of the clips": f"{part} %", "KL at most": f"{value:.4f}"}
        for part, value in zip(parts, np.percentile(per_clip, parts), strict=True)
    ]
    return figure, rows


def mistakes(words: tuple[str, ...], found: Mistakes) -> "Figure":
    """How often each word was said where another was missed."""
    busiest = np.argsort(-(found.instead.sum(axis=0) + found.instead.sum(axis=1)), kind="stable")
    shown = np.sort(busiest[:MOST_WORDS])
    names = [_short(words[n]) for n in shown]
    side = 2.2 + 0.24 * len(names)
    figure, axes = drawing((side, side))
    axes.grid(visible=False)
    # Cells, not an image: an image would be a file inside the drawing.
    axes.pcolormesh(found.instead[np.ix_(shown, shown)], cmap="Blues", edgecolor="face")
    axes.invert_yaxis()
    axes.set_aspect("equal")
    axes.set_xticks(np.arange(len(names)) + 0.5, names, rotation=90, fontsize=8)
    axes.set_yticks(np.arange(len(names)) + 0.5, names, fontsize=8)
    axes.set_xlabel("said instead")
    axes.set_ylabel("missed")
    return figure


def _short(word: str) -> str:
    # A dollar sign would begin a formula.
    return (word if len(word) <= 14 else word[:13] + "…").replace("$", r"\$")
