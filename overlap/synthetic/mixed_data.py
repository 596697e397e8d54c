"""Mixes recordings of single words into a data set of overlapping words.

Every clip contains n different words by n different speakers, each with a random gain and offset
and none truncated; its label is 1/n for each word. Speakers of the test set do not occur in the
training set. The training speakers are divided into groups that never share a clip, so that clips
held out by group have unknown speakers too.
"""

import csv
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from overlap.catalog.listing import GROUPS, LABELS, TEMPLATE
from overlap.catalog.rows import Split
from overlap.io.atomic import new_folder
from overlap.synthetic.mix_jobs import JOB_CLIPS, do_jobs
from overlap.synthetic.mixtures import MixJob, MixPlan, Mixture, clip_name, joined
from overlap.synthetic.recordings import every_unusable_named
from overlap.synthetic.shared_recordings import shared_recordings
from overlap.synthetic.speakers import MixConfig, plan_pools

ANSWERS = "test_answer.csv"


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
    counts: dict[Split, int] = {"train": config.train, "test": config.test}
    jobs = [job for split, count in counts.items() for job in _jobs(split, count)]
    mixed: dict[Split, list[Mixture]] = {split: [] for split in counts}
    done = 0
    with new_folder(out) as folder:
        words, pools = plan_pools(words_folder, config)
        files = [file for pool in pools for file in pool.files]
        for split in counts:
            (folder / split).mkdir()
        with (
            every_unusable_named(files, config.audio_format),
            shared_recordings(files, config.audio_format) as recordings,
            # Closing stops all writers before the folder may be removed.
            closing(do_jobs(MixPlan(config, tuple(pools), recordings, folder), jobs)) as written,
        ):
            for job, mixture in zip(jobs, written, strict=True):
                mixed[job.split].append(mixture)
                done += job.stop - job.start
                on_progress(done, config.train + config.test)
        _write_tables(folder, words, {split: joined(mixed[split], config) for split in counts})
    return words


def _jobs(split: Split, count: int) -> list[MixJob]:
    starts = range(0, count, JOB_CLIPS)
    return [MixJob(split, start, min(start + JOB_CLIPS, count)) for start in starts]


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
