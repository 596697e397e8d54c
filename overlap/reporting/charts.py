"""Charts of a report, as SVG whose text and axes take the colour of the page."""

import io
import re
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from overlap.reporting.figures import ENSEMBLE, MEMBER, TRIVIAL, drawing, plain_style
from overlap.reporting.per_word import Confusions

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CALIBRATION_BINS = 10
MOST_WORDS = 30
"""Most words on an axis; of more words, those with the most confusions."""


@plain_style()
def svg(figure: "Figure", name: str) -> str:
    """Render a figure as SVG for inclusion in a page.

    Args:
        figure: The figure.
        name: Prefix of the identifiers in the SVG; unique on the page.
    """
    import matplotlib as mpl

    target = io.StringIO()
    # Text stays text: it is smaller, searchable, and uses the font of the page.
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": name}):
        figure.savefig(target, format="svg", transparent=True, metadata={"Date": None})
    drawn = target.getvalue()
    drawn = drawn[drawn.index("<svg") :].replace("#000000", "currentColor")
    drawn = re.sub(r"<metadata>.*?</metadata>", "", drawn, flags=re.DOTALL)
    drawn = re.sub(r'\b(id="|href="#|url\(#)', rf"\g<1>{name}-", drawn)
    return drawn.replace("<svg ", '<svg aria-hidden="true" focusable="false" ', 1)


@plain_style()
def calibration_curve(
    labels: NDArray[np.float64], predictions: NDArray[np.float64]
) -> tuple["Figure", list[dict[str, str]]]:
    """Draw predicted against true probabilities, in bins of equal size; chart and table."""
    q, p = predictions.ravel(), labels.ravel()
    order = np.argsort(q, kind="stable")
    bins = [part for part in np.array_split(order, CALIBRATION_BINS) if len(part)]
    predicted = np.array([q[part].mean() for part in bins])
    true = np.array([p[part].mean() for part in bins])
    figure, axes = drawing((4.6, 3.8))
    top = 1.05 * max(predicted.max(), true.max())
    axes.plot([0, top], [0, top], "--", color=TRIVIAL, linewidth=1.5, label="perfect calibration")
    axes.plot(predicted, true, "o-", color=ENSEMBLE, markersize=5, label="ensemble")
    axes.set_xlabel("predicted probability")
    axes.set_ylabel("label")
    axes.legend(frameon=False, fontsize=8)
    rows = [
        {"predictions": f"{len(part):,}", "mean prediction": f"{a:.4f}", "mean label": f"{b:.4f}"}
        for part, a, b in zip(bins, predicted, true, strict=True)
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
    figure, axes = drawing()
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
    figure, axes = drawing()
    axes.hist(per_clip, bins=40, color=MEMBER)
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


@plain_style()
def confusion_matrix(words: tuple[str, ...], confusions: Confusions) -> "Figure":
    """Draw how often each word was predicted where another was missed."""
    counts = confusions.substitutions
    order = np.argsort(-(counts.sum(axis=0) + counts.sum(axis=1)), kind="stable")
    shown = np.sort(order[:MOST_WORDS])
    names = [_short(words[n]) for n in shown]
    side = 2.2 + 0.24 * len(names)
    figure, axes = drawing((side, side))
    axes.grid(visible=False)
    # Cells instead of an image, which would be a file inside the SVG.
    axes.pcolormesh(counts[np.ix_(shown, shown)], cmap="Blues", edgecolor="face")
    axes.invert_yaxis()
    axes.set_aspect("equal")
    axes.set_xticks(np.arange(len(names)) + 0.5, names, rotation=90, fontsize=8)
    axes.set_yticks(np.arange(len(names)) + 0.5, names, fontsize=8)
    axes.set_xlabel("predicted")
    axes.set_ylabel("missed")
    return figure


def _short(word: str) -> str:
    # Matplotlib would parse text between dollar signs as a formula.
    return (word if len(word) <= 14 else word[:13] + "…").replace("$", r"\$")
