"""Single clips of a report: their spectrograms, what was said of them, and their sound."""

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
from overlap.reporting.figures import data_address
from overlap.reporting.report_data import HeldOutClips

MOST_SAID = 6
"""Words shown of a prediction."""
RANGE_DB = 80.0
"""From the loudest value of a spectrogram down to its darkest colour."""


@dataclass(frozen=True)
class Shown:
    """One clip for a person to look at and to listen to."""

    name: str
    """Its id."""
    words: tuple[str, ...]
    """What it holds."""
    said: tuple[tuple[str, float, bool], ...]
    """Word, predicted share, and whether it is there; the likeliest first."""
    kl: float
    """Nats."""
    disagreement: float
    """How far the members are apart, nats."""
    spectrograms: tuple[tuple[str, str], ...]
    """Name and PNG, as a data address, of each resolution; empty without features."""
    sound: str | None
    """WAV as a data address; None where the file cannot be read now."""


def worst(clips: HeldOutClips, count: int) -> list[int]:
    """Places of the clips with the highest KL."""
    return _highest(clips.kl, count)


def most_apart(clips: HeldOutClips, count: int) -> list[int]:
    """Places of the clips that the members disagree most on."""
    return _highest(clips.disagreement, count)


def show(clips: HeldOutClips, place: int, catalog: Catalog, store: FeatureStore | None) -> Shown:
    """Everything about one held-out clip."""
    row, shares, label = int(clips.rows[place]), clips.pooled[place], clips.labels[place]
    order = np.argsort(-shares, kind="stable")[:MOST_SAID]
    about = catalog.clips.iloc[row]
    return Shown(
        name=str(about["clip_id"]),
        words=tuple(catalog.words[n] for n in np.flatnonzero(label > 0)),
        said=tuple((catalog.words[n], float(shares[n]), bool(label[n] > 0)) for n in order),
        kl=float(clips.kl[place]),
        disagreement=float(clips.disagreement[place]),
        spectrograms=_spectrograms(store, row) if store else (),
        sound=_sound(Location.of(catalog.data) / str(about["file"]), catalog),
    )


def _highest(values: NDArray[np.float64], count: int) -> list[int]:
    found: list[int] = np.argsort(-values, kind="stable")[:count].tolist()
    return found


def _spectrograms(store: FeatureStore, row: int) -> tuple[tuple[str, str], ...]:
    decibels = store.read_rows(row, row + 1)[0].astype(np.float32)
    names = [f"{one.n_fft}/{one.win_length}" for one in store.config.resolutions]
    return tuple(
        (name, data_address("image/png", _png(decibels[..., n]))) for n, name in enumerate(names)
    )


def _png(decibels: NDArray[np.float32]) -> bytes:
    from matplotlib.image import imsave

    target, top = io.BytesIO(), float(decibels.max())
    imsave(
        target, decibels, vmin=top - RANGE_DB, vmax=top, cmap="magma", format="png",
        origin="lower", metadata={"Software": "overlap"},
    )  # fmt: skip
    return target.getvalue()


def _sound(file: Location, catalog: Catalog) -> str | None:
    """The clip as the features heard it."""
    try:
        samples = decode(file.read_bytes(), catalog.wanted).samples
    except (OSError, AudioError):
        return None
    target = io.BytesIO()
    soundfile.write(target, samples, catalog.wanted.sample_rate, format="WAV", subtype="PCM_16")
    return data_address("audio/wav", target.getvalue())
