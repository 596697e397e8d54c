"""Mixes recordings of words into clips, and writes the clips of a data set in jobs.

Clip i depends on (seed, split, i) only: the same seed gives the same bytes with any number of jobs
and processes.
"""

import io
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
import soundfile
from numpy.random import PCG64, Generator, SeedSequence
from numpy.typing import NDArray

from overlap.config import AudioFormat
from overlap.errors import UserError
from overlap.synthetic.recordings import Recording
from overlap.synthetic.samples import add_word, store_codes
from overlap.synthetic.shared_recordings import SharedRecordings
from overlap.synthetic.speakers import MixConfig, Pool
from overlap.system.jit import one_compiler

if TYPE_CHECKING:  # it imports pandas and Zarr
    from overlap.catalog.rows import Split

WORD_RMS = 0.05
"""Root mean square of a word before its random gain; full scale is 1.0."""
CODES: Final = np.dtype("<i2")
"""How the samples of a clip are stored."""
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
    """Mix and write the clips of a job."""
    config, wanted = plan.config, plan.config.audio_format
    pools = [pool for pool in plan.pools if pool.split == job.split]
    folder, header = str(plan.out / job.split), _wav_header(wanted)
    content = bytearray(header + bytes(wanted.samples * CODES.itemsize))
    codes, mixed = np.frombuffer(content, CODES, offset=len(header)), np.empty(wanted.samples)
    words = np.empty((job.stop - job.start, config.words_per_clip), np.int64)
    # Numpy converts a sequence of integers in 10 us more than an array of 32 bits.
    small = np.uint32 if config.seed < 2**32 else object
    seed = np.array([config.seed, SPLIT_NUMBER[job.split], 0], small)
    names = []
    with one_compiler("mix"):
        for row, index in enumerate(range(job.start, job.stop)):
            seed[-1] = index
            random = Generator(PCG64(SeedSequence(seed)))
            pool = pools[index % len(pools)]
            words[row], files = draw_recordings(pool, config, random)
            _mix_clip(map(plan.recordings.load, files), config, random, mixed)
            store_codes(mixed, codes)
            _write_new(f"{folder}/{clip_name(job.split, index)}.wav", content)
            names.append(pool.name)
    return Mixture(words, tuple(names))


def _write_new(path: str, content: bytearray) -> None:
    """Write a new file; `pathlib` and file objects would take longer than the clip."""
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    try:
        rest = memoryview(content)
        while rest:  # a disk that fills up takes a part, and refuses the rest
            rest = rest[os.write(file, rest) :]
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


def _mix_clip(
    recordings: Iterable[Recording],
    config: MixConfig,
    random: Generator,
    mixed: NDArray[np.float64],
) -> None:
    """Draw gain and offset of each recording, and replace `mixed` (samples,) by their sum."""
    mixed.fill(0)
    reach = round(config.offset_seconds * config.rate_hz)
    for recording in recordings:
        # The same number as that of `random.uniform`, in a third of its time.
        gain = 10 ** ((2 * config.gain_db * random.random() - config.gain_db) / 20)
        level = WORD_RMS * gain / recording.rms
        earliest, latest = -min(reach, recording.before), min(reach, recording.after)
        delay = int(random.integers(earliest, latest + 1))
        add_word(recording.samples, level, delay, mixed)


def draw_recordings(
    pool: Pool, config: MixConfig, random: Generator
) -> tuple[NDArray[np.int64], list[str]]:
    """Draw different words, each by another speaker; redraw if a word has no speaker left."""
    places = pool.places
    for _ in range(1000):
        words = random.permutation(len(pool.recordings))[: config.words_per_clip]
        speakers: list[str] = []
        files: list[str] = []
        for word in words.tolist():
            # The speakers of the other words are skipped.
            taken = sorted(places[word][one] for one in speakers if one in places[word])
            available = len(places[word]) - len(taken)
            if not available:
                break
            chosen = int(random.integers(available))
            for place in taken:
                chosen += place <= chosen
            speaker, takes = pool.recordings[word][chosen]
            speakers.append(speaker)
            # Numpy draws nothing for a choice from one, but takes 4 us for it.
            files.append(takes[random.integers(len(takes)) if len(takes) > 1 else 0])
        if len(files) == len(words):
            return np.sort(words), files
    raise UserError(
        f"the recordings of {pool.name} do not contain {config.words_per_clip} words by different "
        "speakers; lower --words-per-clip, or provide more recordings",
        code="too-few-speakers",
        pool=pool.name,
        words_per_clip=config.words_per_clip,
    )
