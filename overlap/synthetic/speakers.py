"""Divides speakers into pools of recordings that may be mixed with each other."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from overlap.audio.decode import is_audio
from overlap.audio.unused_files import UnusedFiles, is_ignored, unused_files
from overlap.catalog.cell_text import normal_text, repeated_texts
from overlap.config import AudioFormat
from overlap.errors import UserError
from overlap.io.formatting import counted
from overlap.io.location import Location

if TYPE_CHECKING:  # it imports pandas and Zarr
    from overlap.catalog.rows import Split

FRACTIONS = tuple(percent / 100 for percent in range(5, 95, 5))
"""Fractions of test speakers that are tried for a remedy."""
MIN_CLIPS_TRIED = 20
"""Smallest numbers of recordings that are tried for a remedy."""
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

    @property
    def audio_format(self) -> AudioFormat:
        """Sample rate and length of the clips."""
        return AudioFormat(self.rate_hz, round(self.rate_hz * self.clip_seconds))


@dataclass(frozen=True)
class Pool:
    """Recordings that may be mixed into one clip."""

    split: "Split"
    name: str
    """Name of the group of speakers."""
    recordings: tuple[tuple[tuple[str, tuple[str, ...]], ...], ...]
    """For each word: (speaker, files) of every speaker of the pool with recordings of it."""

    @cached_property
    def files(self) -> tuple[str, ...]:
        """The files of all recordings."""
        return tuple(file for takes in self.recordings for _, some in takes for file in some)

    @cached_property
    def arrays(self) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """`first_speaker`, `speaker` and `first_take`, as `draw_recordings` takes them.

        Recordings are indices of `files`.
        """
        every = [speaker for takes in self.recordings for speaker, _ in takes]
        number = {speaker: index for index, speaker in enumerate(sorted(set(every)))}
        takes_of_each = [len(some) for takes in self.recordings for _, some in takes]
        return (
            np.cumsum([0, *map(len, self.recordings)], dtype=np.int64),
            np.array([number[speaker] for speaker in every], np.int64),
            np.cumsum([0, *takes_of_each], dtype=np.int64),
        )


def plan_pools(folder: Path, config: MixConfig) -> tuple[tuple[str, ...], list[Pool]]:
    """Choose the words, and divide the speakers into the test set and groups of the training set.

    Raises:
        UserError: there are too few words (`too-few-words`) or speakers (`too-few-speakers`), two
            folders have the same word (`repeated-word`), or the folder does not exist
            (`no-such-folder`) or has no words (`no-words`).
    """
    found = _recordings(folder)
    words, pools = _divided(found, config)
    if len(words) < max(2, config.words_per_clip):
        raise UserError(
            f"{folder}: {counted(len(words), 'word')} with at least "
            f"{counted(config.min_clips, 'recording')}, but a "
            f"clip needs {config.words_per_clip}; lower --min-clips or --words-per-clip",
            code="too-few-words",
            words=len(words),
            words_per_clip=config.words_per_clip,
        )
    for pool in pools:
        if fault := _fault(pool, words, config):
            missing, speakers = fault
            lacking = (
                f"no speaker of {', '.join(missing)}" if missing else counted(speakers, "speaker")
            )
            raise UserError(
                f"{folder}: too few speakers: {pool.split} has {lacking} if "
                f"{config.test_speakers:.0%} of the speakers are reserved for test; "
                f"{_remedy(found, config)}",
                code="too-few-speakers",
                split=pool.split,
                speakers=speakers,
                words=tuple(missing),
            )
    return words, pools


def _divided(
    found: Mapping[str, Speakers], config: MixConfig
) -> tuple[tuple[str, ...], list[Pool]]:
    """Return the words with enough recordings, and the pools, which may be too small."""
    counts = {word: sum(map(len, speakers.values())) for word, speakers in found.items()}
    words = tuple(sorted(word for word, count in counts.items() if count >= config.min_clips))
    speakers = sorted({speaker for word in words for speaker in found[word]})
    order = np.random.default_rng(config.seed).permutation(len(speakers))
    test_count = max(1, round(config.test_speakers * len(speakers))) if config.test else 0
    test = {speakers[index] for index in order[:test_count]}
    train = [speakers[index] for index in order[test_count:]]
    by_word = [found[word] for word in words]
    pools = [_pool("test", "test", test, by_word)] if config.test else []
    if config.train:
        pools += _training_pools(train, by_word, config)
    return words, pools


def _remedy(found: Mapping[str, Speakers], config: MixConfig) -> str:
    """Return the options under which every pool has enough speakers, or ask for recordings."""

    def works(**changed: float) -> bool:
        other = replace(config, **changed)  # type: ignore[arg-type]
        words, pools = _divided(found, other)
        enough = len(words) >= max(2, other.words_per_clip)
        return enough and not any(_fault(pool, words, other) for pool in pools)

    options = []
    fractions = sorted(FRACTIONS, key=lambda fraction: abs(fraction - config.test_speakers))
    if fraction := next((f for f in fractions if works(test_speakers=f)), None):
        verb = "raise" if fraction > config.test_speakers else "lower"
        options.append(f"{verb} --test-speakers to {fraction:g}")
    counts = {sum(map(len, speakers.values())) for speakers in found.values()}
    larger = sorted(count for count in counts if count > config.min_clips)[:MIN_CLIPS_TRIED]
    if least := next((count for count in larger if works(min_clips=count)), None):
        options.append(
            f"raise --min-clips to {least}, which leaves out words with fewer recordings"
        )
    return ", or ".join([*options, "provide more recordings"])


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


def _pool(split: "Split", name: str, members: set[str], by_word: Sequence[Speakers]) -> Pool:
    recordings = tuple(
        tuple((s, tuple(files)) for s, files in sorted(speakers.items()) if s in members)
        for speakers in by_word
    )
    return Pool(split, name, recordings)


def _fault(pool: Pool, words: Sequence[str], config: MixConfig) -> tuple[list[str], int] | None:
    """Return the words without a speaker and the number of speakers if these are too few."""
    missing = [word for word, takes in zip(words, pool.recordings, strict=True) if not takes]
    speakers = {speaker for takes in pool.recordings for speaker, _ in takes}
    too_few = missing or len(speakers) < config.words_per_clip
    return (missing, len(speakers)) if too_few else None


def unused_recordings(folder: Path) -> str:
    """Return a clause about the files of a folder of words that are not used, or an empty text."""
    whole, place = UnusedFiles(), Location.of(folder)
    names = [item.name for item in folder.iterdir() if item.is_file()]
    top = unused_files(place, names, (), sounds_only=True)
    whole.foreign += top.foreign
    whole.outside += top.outside
    for word in _words_of(folder):
        others: list[str] = []
        files = [entry.name for entry in (place / word.name).files(others)]
        rest = [name for name in files if not is_audio(name)]
        found = unused_files(place / word.name, rest, others)
        whole.foreign += [f"{word.name}/{name}" for name in found.foreign]
        whole.other += [f"{word.name}/{name}" for name in found.other]
        whole.nested.update({f"{word.name}/{name}": n for name, n in found.nested.items()})
    return str(whole)


def _words_of(folder: Path) -> list[Path]:
    folders = (item for item in folder.iterdir() if item.is_dir())
    return sorted(
        item for item in folders
        if not item.name.startswith("_") and not is_ignored(item.name)
    )  # fmt: skip


def speaker_of(file: Path) -> str:
    """Return the speaker of a recording: its name up to the first underscore.

    Examples:
        >>> speaker_of(Path("one/0a7c2a8d_nohash_0.wav"))
        '0a7c2a8d'
    """
    return normal_text(file.stem.split("_")[0])


def _recordings(folder: Path) -> dict[str, Speakers]:
    """Return files by word and speaker; folders of noise (`_background_noise_`) are not words."""
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder", code="no-such-folder", folder=str(folder))
    found: dict[str, Speakers] = {}
    folders = _words_of(folder)
    if repeated := repeated_texts(
        [normal_text(f.name) for f in folders], [f.name for f in folders]
    ):
        raise UserError(
            f"{folder}: folders are the same word: {'; '.join(repeated)}; merge them",
            code="repeated-word",
            words=tuple(repeated),
        )
    for word in folders:
        for file in sorted(item for item in word.iterdir() if is_audio(item.name)):
            speaker = speaker_of(file)
            takes = found.setdefault(normal_text(word.name), {}).setdefault(speaker, [])
            takes.append(str(file))
    if not found:
        unused = unused_recordings(folder)
        raise UserError(
            f"{folder}: contains no words; it needs one folder of recordings per word"
            + (f"; {unused}" if unused else ""),
            code="no-words",
            folder=str(folder),
        )
    return found
