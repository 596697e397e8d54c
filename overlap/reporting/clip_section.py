"""Single clips of a report: their spectrograms, predictions and sound."""

import io
from dataclasses import dataclass

import numpy as np
import soundfile
from numpy.typing import NDArray

from overlap.audio.decode import decode
from overlap.catalog import Catalog
from overlap.errors import AudioError
from overlap.features import FeatureStore
from overlap.io.location import Location
from overlap.reporting.plots.encoding import data_address
from overlap.reporting.plots.style import plain_style
from overlap.reporting.report_data import HeldOutClips

WORDS_SHOWN = 6
"""Most probable words shown of a prediction."""
SPECTROGRAM_COLOURS = "magma"
"""Matplotlib's name of the colours of spectrograms."""
RANGE_DB = 80.0
"""Dynamic range of a spectrogram's colours, below its loudest value."""


@dataclass(frozen=True)
class ClipCard:
    """One clip of the report, with picture and sound."""

    name: str
    """Id of the clip."""
    words: tuple[str, ...]
    """Words in the clip."""
    predicted: tuple[tuple[str, float, bool], ...]
    """Word, predicted probability, and whether the clip contains it; most probable first."""
    kl: float
    """KL of the clip, nats."""
    disagreement: float
    """Disagreement of the members, nats."""
    spectrograms: tuple[tuple[str, str], ...]
    """Name and PNG (a data URL) of each resolution; empty without features."""
    seconds: str
    """Duration of the clip, for display."""
    sound: str | None
    """WAV as a data URL; None if the file is not readable."""


def highest_kl(clips: HeldOutClips, count: int) -> list[int]:
    """Return the indices of the clips with the highest KL."""
    return _highest(clips.kl, count)


def highest_disagreement(clips: HeldOutClips, count: int) -> list[int]:
    """Return the indices of the clips with the highest disagreement of the members."""
    return _highest(clips.disagreement, count)


def clip_card(
    clips: HeldOutClips, index: int, catalog: Catalog, store: FeatureStore | None
) -> ClipCard:
    """Create the card of one held-out clip."""
    row, probabilities, label = int(clips.rows[index]), clips.pooled[index], clips.labels[index]
    order = np.argsort(-probabilities, kind="stable")[:WORDS_SHOWN]
    entry = catalog.clips.iloc[row]
    return ClipCard(
        name=str(entry["clip_id"]),
        words=tuple(catalog.words[n] for n in np.flatnonzero(label > 0)),
        predicted=tuple(
            (catalog.words[n], float(probabilities[n]), bool(label[n] > 0)) for n in order
        ),
        kl=float(clips.kl[index]),
        disagreement=float(clips.disagreement[index]),
        spectrograms=_spectrograms(store, row) if store else (),
        seconds=f"{catalog.wanted.samples / catalog.wanted.sample_rate:.3g} s",
        sound=_sound(Location.of(catalog.data) / str(entry["file"]), catalog),
    )


@plain_style()
def spectrogram_colours(count: int = 9) -> list[str]:
    """Return evenly spaced colours of the spectrograms, from the quietest to the loudest value."""
    import matplotlib as mpl
    from matplotlib.colors import to_hex

    return [to_hex(mpl.colormaps[SPECTROGRAM_COLOURS](n / (count - 1))) for n in range(count)]


def _highest(values: NDArray[np.float64], count: int) -> list[int]:
    indices: list[int] = np.argsort(-values, kind="stable")[:count].tolist()
    return indices


def _spectrograms(store: FeatureStore, row: int) -> tuple[tuple[str, str], ...]:
    decibels = store.read_rows(row, row + 1)[0].astype(np.float32)
    names = [f"{one.n_fft}/{one.win_length}" for one in store.config.resolutions]
    return tuple(
        (name, data_address("image/png", _png(decibels[..., n]))) for n, name in enumerate(names)
    )


@plain_style()
def _png(decibels: NDArray[np.float32]) -> bytes:
    from matplotlib.image import imsave

    target, top = io.BytesIO(), float(decibels.max())
    imsave(
        target, decibels, vmin=top - RANGE_DB, vmax=top, cmap=SPECTROGRAM_COLOURS, format="png",
        origin="lower", metadata={"Software": "overlap"},
    )  # fmt: skip
    return target.getvalue()


def _sound(file: Location, catalog: Catalog) -> str | None:
    """Encode the decoded clip, which is the input of the features, as WAV."""
    try:
        samples = decode(file.read_bytes(), catalog.wanted).samples
    except (OSError, AudioError):
        return None
    target = io.BytesIO()
    soundfile.write(target, samples, catalog.wanted.sample_rate, format="WAV", subtype="PCM_16")
    return data_address("audio/wav", target.getvalue())
