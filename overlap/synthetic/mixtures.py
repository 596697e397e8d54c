"""Mixes recordings of words into clips, and writes the clips of a data set in jobs.

Clip i depends on (seed, split, i) only: the same seed gives the same bytes with any number of jobs
and processes.
"""

import io
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
import soundfile
from numpy.random import PCG64, SeedSequence
from numpy.typing import NDArray

from overlap.config import AudioFormat
from overlap.errors import UserError
from overlap.synthetic.draws import EXHAUSTED, STATE, below, draw_recordings, fraction
from overlap.synthetic.samples import add_word, store_codes
from overlap.synthetic.shared_recordings import SharedRecordings, write_at
from overlap.synthetic.speakers import MixConfig, Pool
from overlap.system.jit import one_compiler

if TYPE_CHECKING:  # it imports pandas and Zarr
    from overlap.catalog.rows import Split

WORD_RMS = 0.05
"""Root mean square of a word before its random gain; full scale is 1.0."""
CODES: Final = np.dtype("<i2")
"""How the samples of a clip are stored."""
RAW_NUMBERS: Final = 128
"""Raw random numbers for a clip; if they do not suffice, as many are added."""
SPLIT_NUMBER: Final[dict["Split", int]] = {"train": 0, "test": 1}


@dataclass(frozen=True, eq=False)
class MixPlan:
    """What the clips of a data set are mixed from."""

    config: MixConfig
    pools: tuple[Pool, ...]
    recordings: SharedRecordings
    out: Path
    """The folder of the data set."""


@dataclass(frozen=True)
class MixJob:
    """A range of clips of one split."""

    split: "Split"
    start: int
    stop: int


@dataclass(frozen=True, eq=False)
class Mixture:
    """The content of mixed clips, for the tables."""

    words: NDArray[np.int64]
    """(clips, words_per_clip) int64: indexes of the words."""
    pools: tuple[str, ...]
    """Name of each clip's pool."""


def joined(mixtures: Sequence[Mixture], config: MixConfig) -> Mixture:
    """Return several mixtures, or none, as one."""
    none = np.empty((0, config.words_per_clip), np.int64)
    return Mixture(
        np.concatenate([none, *(one.words for one in mixtures)]),
        tuple(name for one in mixtures for name in one.pools),
    )


def write_clips(plan: MixPlan, job: MixJob) -> Mixture:
    """Mix and write the clips of a job.

    Raises:
        UserError: a pool has too few speakers (`too-few-speakers`), or a recording is unusable
            (`unusable-recording`).
    """
    config, wanted = plan.config, plan.config.audio_format
    pools = [pool for pool in plan.pools if pool.split == job.split]
    folder, header = str(plan.out / job.split), _wav_header(wanted)
    content = bytearray(header + bytes(wanted.samples * CODES.itemsize))
    codes, mixed = np.frombuffer(content, CODES, offset=len(header)), np.empty(wanted.samples)
    words = np.empty((job.stop - job.start, config.words_per_clip), np.int64)
    names = []
    with one_compiler("mix"):
        for row, index in enumerate(range(job.start, job.stop)):
            pool = pools[index % len(pools)]
            numbers = PCG64(SeedSequence((config.seed, SPLIT_NUMBER[job.split], index)))
            raw = numbers.random_raw(RAW_NUMBERS)
            while not _mix_clip(pool, plan, raw, words[row], mixed):
                raw = np.append(raw, numbers.random_raw(len(raw)))
            store_codes(mixed, codes)
            _write_new(f"{folder}/{clip_name(job.split, index)}.wav", content)
            names.append(pool.name)
    return Mixture(words, tuple(names))


def _mix_clip(
    pool: Pool,
    plan: MixPlan,
    raw: NDArray[np.uint64],
    words: NDArray[np.int64],
    mixed: NDArray[np.float64],
) -> bool:
    """Draw a clip and mix it.

    Args:
        pool: What is mixed.
        plan: Parameters and recordings.
        raw: Raw numbers for all draws.
        words: (words_per_clip,) receives the words, ascending.
        mixed: (samples,) receives the sum of the words.

    Returns:
        Whether `raw` was enough; if not, all must be done again with more numbers.
    """
    config, state = plan.config, np.zeros(STATE, np.uint64)
    recordings = np.empty_like(words)
    drawn = draw_recordings(*pool.arrays, raw, state, words, recordings)
    if not drawn and not state[EXHAUSTED]:
        raise UserError(
            f"the recordings of {pool.name} do not contain {config.words_per_clip} words by "
            "different speakers; lower --words-per-clip, or provide more recordings",
            code="too-few-speakers",
            pool=pool.name,
            words_per_clip=config.words_per_clip,
        )
    words.sort()
    mixed.fill(0)
    reach = round(config.offset_seconds * config.rate_hz)
    for index in recordings.tolist() if drawn else ():
        one = plan.recordings.load(pool.files[index])
        gain_db = 2 * config.gain_db * fraction(raw, state) - config.gain_db
        earliest, latest = -min(reach, one.before), min(reach, one.after)
        delay = earliest + below(latest + 1 - earliest, raw, state)
        add_word(one.samples, WORD_RMS * 10 ** (gain_db / 20) / one.rms, delay, mixed)
    return not state[EXHAUSTED]


def _write_new(path: str, content: bytearray) -> None:
    """Write a new file; `pathlib` and file objects would take longer than the clip."""
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    try:
        write_at(file, content, 0)
    finally:
        os.close(file)


def _wav_header(wanted: AudioFormat) -> bytes:
    """Return what stands before the samples of every clip."""
    content = io.BytesIO()
    silence = np.zeros(wanted.samples, CODES)
    soundfile.write(content, silence, wanted.sample_rate, format="WAV", subtype="PCM_16")
    return content.getvalue()[: -silence.nbytes]


def clip_name(split: "Split", index: int) -> str:
    """Return the id of a clip."""
    return f"{split}_{index:06d}"
