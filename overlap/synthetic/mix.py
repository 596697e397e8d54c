"""Mixes recordings of single words into a data set of overlapping words.

Every clip contains n different words by n different speakers, each with a random gain and offset
and none truncated; its label is 1/n for each word. Speakers of the test set do not occur in the
training set. The training speakers are divided into groups that never share a clip, so that clips
held out by group have unknown speakers too. Clip i depends on (seed, split, i) only: the same seed
gives the same bytes with any number of processes.
"""

import csv
import io
import os
import threading
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future
from contextlib import closing
from dataclasses import dataclass
from multiprocessing import parent_process
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
import soundfile
from numpy.typing import NDArray

from overlap.catalog.listing import GROUPS, LABELS, TEMPLATE
from overlap.catalog.rows import Split
from overlap.config import AudioFormat
from overlap.errors import UserError
from overlap.io.atomic import new_folder
from overlap.synthetic.recordings import every_unusable_named, load_recording
from overlap.synthetic.samples import add_word, store_codes
from overlap.synthetic.speakers import MixConfig, Pool, plan_pools
from overlap.system.jit import one_compiler
from overlap.system.process_pool import process_pool
from overlap.system.resources.processors import usable_processors
from overlap.system.signals import block_sigint
from overlap.system.submission_window import SubmissionWindow

ANSWERS = "test_answer.csv"
WORD_RMS = 0.05
"""Root mean square of a word before its random gain; full scale is 1.0."""
JOB_CLIPS = 500
"""Clips written by one call; this process writes sets of at most two such jobs itself."""
CODES: Final = np.dtype("<i2")
"""How the samples of a clip are stored."""
SPLIT_NUMBER: Final[dict[Split, int]] = {"train": 0, "test": 1}


@dataclass(frozen=True)
class MixJob:
    """A range of clips of one split."""

    config: MixConfig
    out: Path
    pools: tuple[Pool, ...]
    start: int
    stop: int


@dataclass(frozen=True, eq=False)
class Mixture:
    """The content of mixed clips, for the tables."""

    words: NDArray[np.int64]
    """(clips, words_per_clip) int64: indexes of the words."""
    pools: tuple[str, ...]
    """Name of each clip's pool."""

    def __add__(self, other: "Mixture") -> "Mixture":
        return Mixture(np.concatenate([self.words, other.words]), self.pools + other.pools)


def mix(
    words_folder: Path,
    out: Path,
    config: MixConfig,
    on_progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> tuple[str, ...]:
    """Mix and write a data set.

    Args:
        words_folder: One folder per word; the name of a file up to the first `_` is the speaker.
        out: Folder of the data set; it must be empty or not exist.
        config: Parameters of the mixtures.
        on_progress: Called with the number of written clips and of all clips.

    Returns:
        The words that occur in the data set.

    Raises:
        UserError: there are too few words (`too-few-words`) or speakers (`too-few-speakers`), a
            recording is unusable (`unusable-recording`), or `out` is not empty.
    """
    counts: tuple[tuple[Split, int], ...] = (("train", config.train), ("test", config.test))
    done, tables = 0, {}
    with new_folder(out) as folder:
        words, pools = plan_pools(words_folder, config)
        for split, count in counts:
            (folder / split).mkdir()
            chosen = tuple(pool for pool in pools if pool.split == split)
            table = Mixture(np.empty((0, config.words_per_clip), np.int64), ())
            # Closing stops all writers before the folder may be removed.
            jobs = _jobs(config, folder, chosen, count)
            with every_unusable_named(pools, _format_of(config)), closing(_run(jobs)) as written:
                for mixture in written:
                    table += mixture
                    done += len(mixture.pools)
                    on_progress(done, config.train + config.test)
            tables[split] = table
        _write_tables(folder, words, tables)
    return words


def _format_of(config: MixConfig) -> AudioFormat:
    return AudioFormat(config.rate_hz, round(config.rate_hz * config.clip_seconds))


def _jobs(config: MixConfig, out: Path, pools: tuple[Pool, ...], count: int) -> list[MixJob]:
    starts = range(0, count, JOB_CLIPS)
    return [MixJob(config, out, pools, s, min(s + JOB_CLIPS, count)) for s in starts]


def _run(jobs: Sequence[MixJob]) -> Generator[Mixture]:
    workers = min(len(jobs), usable_processors())
    if workers < 2 or len(jobs) <= 2:
        yield from map(write_clips, jobs)
        return
    with process_pool(workers, _exit_with_parent) as pool:
        # The pool has few jobs at a time, so that none has to be cancelled if this ends early.
        window = SubmissionWindow[tuple[int, MixJob], Future[Mixture]](
            lambda numbered: pool.submit(write_clips, numbered[1])
        )
        waiting, written = enumerate(jobs), dict[int, Mixture]()
        with block_sigint():
            window.fill(waiting, 2 * workers)
        for number in range(len(jobs)):
            while number not in written:
                if (ended := window.next()) is not None:
                    future, (index, _) = ended
                    written[index] = future.result()
                    window.fill(waiting, 2 * workers)
            yield written.pop(number)


def _exit_with_parent() -> None:
    """Make a process of the pool exit when its parent ends for any reason."""
    threading.Thread(target=_wait_for_parent, daemon=True).start()


def _wait_for_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def write_clips(job: MixJob) -> Mixture:
    """Mix and write the clips of a job."""
    config, wanted = job.config, _format_of(job.config)
    split = job.pools[0].split
    folder, header = str(job.out / split), _wav_header(wanted)
    content = bytearray(header + bytes(wanted.samples * CODES.itemsize))
    codes, mixed = np.frombuffer(content, CODES, offset=len(header)), np.empty(wanted.samples)
    words = np.empty((job.stop - job.start, config.words_per_clip), np.int64)
    names = []
    with one_compiler("mix"):
        for row, index in enumerate(range(job.start, job.stop)):
            random = np.random.default_rng((config.seed, SPLIT_NUMBER[split], index))
            pool = job.pools[index % len(job.pools)]
            words[row], files = _draw_recordings(pool, config, random)
            _mix_clip(files, config, wanted, random, mixed)
            store_codes(mixed, codes)
            _write_new(f"{folder}/{clip_name(split, index)}.wav", content)
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


def clip_name(split: Split, index: int) -> str:
    """Return the id of a clip."""
    return f"{split}_{index:06d}"


def _mix_clip(
    files: Sequence[str],
    config: MixConfig,
    wanted: AudioFormat,
    random: np.random.Generator,
    mixed: NDArray[np.float64],
) -> None:
    """Draw gain and offset of each recording, and replace `mixed` (samples,) by their sum."""
    mixed.fill(0)
    reach = round(config.offset_seconds * wanted.sample_rate)
    for file in files:
        recording = load_recording(file, wanted)
        gain = 10 ** (random.uniform(-config.gain_db, config.gain_db) / 20)
        level = WORD_RMS * gain / recording.rms
        earliest, latest = -min(reach, recording.before), min(reach, recording.after)
        delay = int(random.integers(earliest, latest + 1))
        add_word(recording.samples, level, delay, mixed)


def _draw_recordings(
    pool: Pool, config: MixConfig, random: np.random.Generator
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
            files.append(takes[random.integers(len(takes))])
        if len(files) == len(words):
            return np.sort(words), files
    raise UserError(
        f"the recordings of {pool.name} do not contain {config.words_per_clip} words by different "
        "speakers; lower --words-per-clip, or provide more recordings",
        code="too-few-speakers",
        pool=pool.name,
        words_per_clip=config.words_per_clip,
    )


def _write_tables(out: Path, words: tuple[str, ...], tables: dict[Split, Mixture]) -> None:
    names: tuple[tuple[Split, str], ...] = (("train", LABELS), ("test", ANSWERS))
    for split, name in names:
        _write_table(out / name, split, words, tables[split].words)
    every = np.broadcast_to(np.arange(len(words)), (len(tables["test"].words), len(words)))
    _write_table(out / TEMPLATE, "test", words, every)
    pools = tables["train"].pools
    if len(set(pools)) > 1:
        ids = [clip_name("train", index) for index in range(len(pools))]
        groups = pd.DataFrame({"id": ids, "group": pools})
        groups.to_csv(out / GROUPS, index=False, lineterminator="\n")


def _write_table(
    path: Path, split: Split, words: tuple[str, ...], present: NDArray[np.int64]
) -> None:
    """Write a row per clip, in which the words of `present` (clips, n) have equal shares.

    All cells are one of two texts, which pandas would format one by one.
    """
    share, absent = f"{1 / max(1, present.shape[1]):.9g}", ["0"] * len(words)
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["id", *words])
        for index, found in enumerate(present.tolist()):
            cells = absent.copy()
            for word in found:
                cells[word] = share
            table.writerow([clip_name(split, index), *cells])
