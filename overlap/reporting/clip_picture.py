"""The picture of one clip: waveform, spectrograms and words."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from overlap.config import Resolution
from overlap.features.store.coordinates import frame_times_s, mel_centres_hz
from overlap.reporting.clip_inspection import InspectedClip
from overlap.reporting.clip_section import RANGE_DB, SPECTROGRAM_COLOURS
from overlap.reporting.plots.fonts import drawable, style_for
from overlap.reporting.plots.style import DOTS_PER_INCH, ENSEMBLE, MEMBER, TRIVIAL

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage

WORDS_SHOWN = 10
"""Most probable words shown; the words of the label are always shown."""
LONGEST_WORD, LONGEST_TITLE = 16, 60
"""Characters."""
TICKS_HZ: Final = (125, 250, 500, 1000, 2000, 4000, 8000, 16000, 32000, 64000, 128000)
TICK_DISTANCE = 1 / 15
"""Smallest distance between two ticks, as a fraction of the axis."""
COLUMNS = 2
WAVEFORM, ROW, WORDS, WIDTH = 1.4, 2.4, 3.4, 8.4
"""Inches: heights of the waveform and of a row of spectrograms; widths of words and rest."""


def draw_clip(shown: InspectedClip) -> "Figure":
    """Draw waveform, spectrograms, label and prediction of a clip.

    Text is drawn with installed fonts that cover it, or with a substitute: see
    `overlap.reporting.plots.fonts`.
    """
    with style_for(texts(shown)):
        return _drawn(shown)


def texts(shown: InspectedClip) -> list[str]:
    """Return the texts of the data set that the picture contains."""
    return [title(shown), *words_shown(shown)]


def _drawn(shown: InspectedClip) -> "Figure":
    from matplotlib.figure import Figure

    rows = -(-len(shown.config.resolutions) // COLUMNS)
    has_words = shown.prediction is not None or shown.labels is not None
    size = (WIDTH + WORDS * has_words, 0.6 + WAVEFORM + ROW * rows)
    figure = Figure(figsize=size, dpi=DOTS_PER_INCH, layout="constrained")
    by = f", predicted by {shown.prediction.version}" if shown.prediction else ""
    name = _short(drawable(title(shown)), LONGEST_TITLE)
    figure.suptitle(name + by, parse_math=False, fontsize=12)
    heights, widths = [WAVEFORM, *[ROW] * rows], [WIDTH / 2] * COLUMNS + [WORDS] * has_words
    grid = figure.add_gridspec(
        rows + 1, COLUMNS + has_words, height_ratios=heights, width_ratios=widths
    )
    _waveform(figure.add_subplot(grid[0, :COLUMNS]), shown)
    panels, image = [], None
    for number, resolution in enumerate(shown.config.resolutions):
        axes = figure.add_subplot(grid[1 + number // COLUMNS, number % COLUMNS])
        image = _spectrogram(axes, shown, number, resolution)
        if number % COLUMNS == 0:
            axes.set_ylabel("centre of the mel band, Hz")
        if number + COLUMNS >= len(shown.config.resolutions):
            axes.set_xlabel("time, s")
        panels.append(axes)
    if image is not None:
        bar = figure.colorbar(image, ax=panels, pad=0.01, fraction=0.04)
        bar.set_label("dB relative to the maximum")
    if has_words:
        _words(figure.add_subplot(grid[:, COLUMNS]), shown)
    return figure


def title(shown: InspectedClip) -> str:
    """Return a one-line description of the clip."""
    kind = {"train": "training clip", "test": "test clip"}.get(shown.split or "")
    return ", ".join(part for part in (shown.name, kind, *shown.repairs) if part)


def frequency_ticks(centres_hz: NDArray[np.float64]) -> tuple[NDArray[np.float64], list[str]]:
    """Return the positions of round frequencies, in mel bands, and their labels.

    Args:
        centres_hz: (mel,) centres of the bands, Hz, ascending.

    Examples:
        >>> places, names = frequency_ticks(np.array([250.0, 500, 1000, 3000]))
        >>> places.tolist(), names
        ([0.0, 1.0, 2.0, 2.5], ['250', '500', '1,000', '2,000'])
    """
    inside = [hz for hz in TICKS_HZ if centres_hz[0] <= hz <= centres_hz[-1]]
    if len(inside) < 2:  # narrow band: label its ends
        ends = sorted({0, len(centres_hz) - 1})
        return np.array(ends, np.float64), [f"{centres_hz[end]:,.0f}" for end in ends]
    places = np.interp(inside, centres_hz, np.arange(len(centres_hz)))
    kept: list[int] = []
    for tick in reversed(range(len(inside))):  # from the top, where the distances are largest
        if not kept or places[kept[0]] - places[tick] >= TICK_DISTANCE * len(centres_hz):
            kept.insert(0, tick)
    return places[kept], [f"{inside[tick]:,}" for tick in kept]


def words_shown(shown: InspectedClip) -> list[str]:
    """Return the most probable words and those of the label, in descending probability."""
    labels = shown.labels or {}
    probabilities = shown.prediction.probabilities if shown.prediction else {}
    order = sorted(
        {**labels, **probabilities},
        key=lambda word: (-probabilities.get(word, 0), -labels.get(word, 0)),
    )
    present = [word for word in order if labels.get(word, 0) > 0]
    if not probabilities:
        return present
    kept = {*order[: max(0, WORDS_SHOWN - len(present))], *present}
    more = [word for word in order if word not in kept][: max(0, WORDS_SHOWN - len(kept))]
    return [word for word in order if word in kept or word in more]


def _waveform(axes: "Axes", shown: InspectedClip) -> None:
    seconds = np.arange(len(shown.samples)) / shown.config.sample_rate
    axes.plot(seconds, shown.samples, color=ENSEMBLE, linewidth=0.5)
    if not len(shown.samples):
        axes.text(
            0.5,
            0.5,
            "the sound is not readable",
            transform=axes.transAxes,
            ha="center",
            va="center",
        )
        axes.set_yticks([])
    axes.set_xlim(0, shown.config.clip_seconds)
    axes.set_ylabel("amplitude")
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="x", alpha=0.3)


def _spectrogram(
    axes: "Axes", shown: InspectedClip, number: int, resolution: Resolution
) -> "AxesImage":
    config, decibels = shown.config, shown.decibels[..., number]
    times, half = frame_times_s(config), config.hop_length / config.sample_rate / 2
    image = axes.imshow(
        decibels - decibels.max(), vmin=-RANGE_DB, vmax=0, cmap=SPECTROGRAM_COLOURS,
        origin="lower",
        aspect="auto", interpolation="nearest",
        extent=(times[0] - half, times[-1] + half, -0.5, config.n_mels - 0.5),
    )  # fmt: skip
    axes.set_xlim(0, config.clip_seconds)
    places, names = frequency_ticks(mel_centres_hz(config))
    axes.set_yticks(places, names)
    milliseconds = 1000 * resolution.win_length / config.sample_rate
    axes.set_title(
        f"{resolution.n_fft}/{resolution.win_length}: windows of {milliseconds:g} ms", fontsize=10
    )
    return image


def _words(axes: "Axes", shown: InspectedClip) -> None:
    """Draw predicted probabilities as bars and the label as markers."""
    words, labels = words_shown(shown), shown.labels
    if shown.prediction is not None:
        probabilities = [shown.prediction.probabilities.get(word, 0.0) for word in words]
        _bars(axes, probabilities, [labels is None or labels.get(word, 0) > 0 for word in words])
    if labels is not None:
        true = {place: labels[word] for place, word in enumerate(words) if labels.get(word, 0) > 0}
        axes.plot([*true.values()], [*true], "d", color=TRIVIAL, markersize=7, label="label")
        axes.legend(
            frameon=False, fontsize=9, loc="upper center", bbox_to_anchor=(0.4, -0.08), ncols=3,
            handletextpad=0.4, columnspacing=1.0, handlelength=1.0,
        )  # fmt: skip
    names = [_short(drawable(word), LONGEST_WORD) for word in words]
    axes.set_yticks(range(len(words)), names, parse_math=False)
    axes.set_ylim(max(len(words), 8) - 0.4, -0.6)
    axes.set_xlim(0, 1.18 * max(axes.dataLim.x1, 1e-6))
    axes.set_xlabel("probability")
    axes.set_title(_about_words(shown), fontsize=10, loc="left")
    axes.spines[["top", "right"]].set_visible(False)


def _bars(axes: "Axes", probabilities: Sequence[float], present: Sequence[bool]) -> None:
    for kind, colour, label in ((True, ENSEMBLE, "in the clip"), (False, MEMBER, "not in it")):
        rows = [row for row, one in enumerate(present) if one is kind]
        if rows:
            widths = [probabilities[row] for row in rows]
            axes.barh(rows, widths, height=0.62, color=colour, label=label)
    for row, probability in enumerate(probabilities):
        axes.text(probability, row, f" {probability:.2f}", va="center", fontsize=9)


def _about_words(shown: InspectedClip) -> str:
    if shown.prediction is None:
        return "label"
    spread = f"disagreement {shown.prediction.spread:.3f} nats"
    return spread if shown.kl is None else f"KL {shown.kl:.3f} nats\n{spread}"


def _short(text: str, longest: int) -> str:
    return text if len(text) <= longest else text[: longest - 1] + "…"
