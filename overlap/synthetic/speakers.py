"""Divides speakers into pools of recordings that may be mixed with each other."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from overlap.audio.decode import is_audio
from overlap.catalog.listing import Split
from overlap.errors import UserError

Speakers = dict[str, list[str]]
"""Files by speaker."""


@dataclass(frozen=True)
class MixConfig:
    """Parameters of the mixtures."""

    train: int
    """Training clips."""
    test: int
    """Test clips."""
    words_per_clip: int = 4
    min_clips: int = 2
    """Smallest number of recordings of a word; words with fewer are omitted."""
    seed: int = 0
    test_speakers: float = 0.15
    """Fraction of the speakers that occur in the test set only."""
    groups: int = 10
    """Groups of training speakers; fewer if a group would have too few speakers of a word."""
    gain_db: float = 5.0
    """Largest gain or attenuation of a word, dB."""
    offset_seconds: float = 0.1
    """Largest shift of a word to either side, seconds; limited so that no word is truncated."""
    rate_hz: int = 16000
    clip_seconds: float = 1.0


@dataclass(frozen=True)
class Pool:
    """Recordings that may be mixed into one clip."""

    split: Split
    name: str
    """Name of the group of speakers."""
    recordings: tuple[tuple[tuple[str, tuple[str, ...]], ...], ...]
    """For each word: (speaker, files) of every speaker of the pool with recordings of it."""


def plan_pools(folder: Path, config: MixConfig) -> tuple[tuple[str, ...], list[Pool]]:
    """Choose the words, and divide the speakers into the test set and groups of the training set.

    Raises:
        UserError: there are too few words (`too-few-words`) or speakers (`too-few-speakers`), or
            the folder does not exist (`no-such-folder`) or has no words (`no-words`).
    """
    found = _recordings(folder)
    counts = {word: sum(map(len, speakers.values())) for word, speakers in found.items()}
    words = tuple(sorted(word for word, count in counts.items() if count >= config.min_clips))
    if len(words) < max(2, config.words_per_clip):
        raise UserError(
            f"{folder}: {len(words)} words have at least {config.min_clips} recordings, but a "
            f"clip needs {config.words_per_clip}; lower --min-clips or --words-per-clip",
            code="too-few-words",
            words=len(words),
            words_per_clip=config.words_per_clip,
        )
    speakers = sorted({speaker for word in words for speaker in found[word]})
    order = np.random.default_rng(config.seed).permutation(len(speakers))
    test_count = max(1, round(config.test_speakers * len(speakers))) if config.test else 0
    test = {speakers[index] for index in order[:test_count]}
    train = [speakers[index] for index in order[test_count:]]
    by_word = [found[word] for word in words]
    pools = [_pool("test", "test", test, by_word)] if config.test else []
    if config.train:
        pools += _training_pools(train, by_word, config)
    for pool in pools:
        _check_pool(pool, words, config, folder)
    return words, pools


def _training_pools(
    speakers: Sequence[str], by_word: Sequence[Speakers], config: MixConfig
) -> list[Pool]:
    """Return the configured number of groups, or as many as have enough speakers of each word.

    If every word has as many speakers as a clip has words, any words can be mixed.
    """
    for groups in range(config.groups, 1, -1):
        pools = [
            _pool("train", f"g{g:02d}", {*speakers[g::groups]}, by_word) for g in range(groups)
        ]
        if all(len(takes) >= config.words_per_clip for pool in pools for takes in pool.recordings):
            return pools
    return [_pool("train", "g00", {*speakers}, by_word)]


def _pool(split: Split, name: str, members: set[str], by_word: Sequence[Speakers]) -> Pool:
    recordings = tuple(
        tuple((s, tuple(files)) for s, files in sorted(speakers.items()) if s in members)
        for speakers in by_word
    )
    return Pool(split, name, recordings)


def _check_pool(pool: Pool, words: Sequence[str], config: MixConfig, folder: Path) -> None:
    missing = [word for word, takes in zip(words, pool.recordings, strict=True) if not takes]
    speakers = {speaker for takes in pool.recordings for speaker, _ in takes}
    if missing or len(speakers) < config.words_per_clip:
        fault = f"no speaker of {', '.join(missing)}" if missing else f"{len(speakers)} speaker(s)"
        raise UserError(
            f"{folder}: too few speakers: {pool.split} has {fault} if {config.test_speakers:.0%} "
            "of the speakers are reserved for test; raise --min-clips, or provide more recordings",
            code="too-few-speakers",
            split=pool.split,
            speakers=len(speakers),
            words=tuple(missing),
        )


def _recordings(folder: Path) -> dict[str, Speakers]:
    """Return files by word and speaker; folders of noise (`_background_noise_`) are not words."""
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder", code="no-such-folder", folder=str(folder))
    found: dict[str, Speakers] = {}
    folders = (item for item in folder.iterdir() if item.is_dir())
    for word in sorted(item for item in folders if not item.name.startswith(("_", "."))):
        for file in sorted(item for item in word.iterdir() if is_audio(item.name)):
            speaker = file.stem.split("_")[0]
            found.setdefault(word.name, {}).setdefault(speaker, []).append(str(file))
    if not found:
        raise UserError(
            f"{folder}: contains no words; it needs one folder of recordings per word",
            code="no-words",
            folder=str(folder),
        )
    return found
