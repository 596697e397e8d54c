"""The data sets of the benchmark: clips of some voices for training, of others for the score.

The speakers are divided into three parts: voices that train, voices that score, and voices that
only the sealed set scores. The division depends on the speakers' names alone, so that all sets of
real speech have the same.
"""

import hashlib
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, Literal

from overlap.audio.decode import is_audio
from overlap.catalog import Catalog, build_catalog, list_data
from overlap.config import ChecksConfig, FeatureConfig, StoreConfig, fingerprint
from overlap.errors import UserError
from overlap.features import FeatureStore, block_job, extract_block
from overlap.io.atomic import new_folder
from overlap.io.location import Location
from overlap.io.workspace_paths import WorkspacePaths
from overlap.synthetic import MixConfig, mix
from overlap.synthetic.demo import WORDS as DEMO_WORDS
from overlap.synthetic.speakers import speaker_of
from overlap.synthetic.speech import SynthConfig, synthesise

Part = Literal["train", "score", "sealed"]
PARTS: Final[tuple[Part, ...]] = ("train", "score", "sealed")
SHARES: Final = (0.6, 0.8)
"""Where the second and the third part begin, as fractions of the speakers."""
NINE_WORDS: Final[tuple[str, ...]] = (
    "down",
    "eight",
    "five",
    "go",
    "left",
    "one",
    "right",
    "up",
    "zero",
)
"""Words of Speech Commands that the sets of real speech have."""
VOICES: Final = 80
"""Synthetic voices: all that espeak-ng has."""
GROUPS: Final = 20
"""Groups of speakers that share clips, at most: the intervals resample whole groups."""
MIX_SEED: Final = 22
"""Seed of all mixtures."""


@dataclass(frozen=True)
class SetKind:
    """What the clips of a data set are."""

    name: str
    words_per_clip: int
    scored: Part = "score"
    """The voices of the clips that are scored."""
    spoken: bool = True
    """Whether people speak, not espeak-ng."""


KINDS: Final = {
    kind.name: kind
    for kind in (
        SetKind("words9", 4),
        SetKind("words2", 2),
        SetKind("words6", 6),
        SetKind("synthetic", 3, spoken=False),
        SetKind("sealed", 3, scored="sealed"),
    )
}
SEALED: Final = "sealed"


@dataclass(frozen=True)
class SetSize:
    """How many clips a data set has."""

    train: int
    scored: int


@dataclass(frozen=True)
class DataSet:
    """A data set whose clips and features exist."""

    kind: SetKind
    folder: Path

    @property
    def training(self) -> Location:
        """Workspace with the features of the training clips."""
        return Location.of(self.folder / "train" / "workspace")

    @property
    def scoring(self) -> Location:
        """Workspace with the features of the scored clips."""
        return Location.of(self.folder / "scored" / "workspace")


def chosen_kinds(names: str, *, sealed: bool) -> tuple[SetKind, ...]:
    """Return the data sets of a list of names.

    Args:
        names: Names separated by commas.
        sealed: Whether the sealed set may be evaluated.

    Raises:
        UserError: A name is unknown (code `unknown-set`), or the sealed set is not allowed
            (`sealed-set`).
    """
    wanted = [*dict.fromkeys(name.strip() for name in names.split(","))]
    for name in wanted:
        if name not in KINDS:
            raise UserError(
                f"--sets {name}: no such data set; choose from {', '.join(KINDS)}",
                code="unknown-set", name=name,
            )  # fmt: skip
    if SEALED in wanted and not sealed:
        raise UserError(
            "--sets sealed: this set judges a recipe that is committed and does not change any "
            "more; a recipe that was chosen on it proves nothing. Add --sealed to evaluate it",
            code="sealed-set",
        )
    return tuple(KINDS[name] for name in wanted)


def make_set(
    root: Path,
    kind: SetKind,
    size: SetSize,
    speech: Path | None,
    on_progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> DataSet:
    """Make a data set with its features, or what is missing of it.

    Args:
        root: Folder of the benchmark.
        kind: What the clips are.
        size: How many there are.
        speech: Folder with one subfolder of recordings per word; needed by sets of real speech.
        on_progress: Called with the number of mixed clips and of all clips of a part.

    Raises:
        UserError: Real speech is needed and not given (code `speech-needed`), a word is missing
            (`no-such-word`), or as `overlap.synthetic.mix`.
    """
    voices, words = _voices(root, kind, speech)
    key = fingerprint(asdict(kind), asdict(size), str(voices), words, MIX_SEED)
    found = DataSet(kind, root / "sets" / f"{kind.name}-{key[:8]}")
    parts: tuple[tuple[str, Part, int], ...] = (
        ("train", "train", size.train), ("scored", kind.scored, size.scored),
    )  # fmt: skip
    for name, part, clips in parts:
        folder = found.folder / name
        config = MixConfig(
            train=clips, test=0, words_per_clip=kind.words_per_clip, groups=GROUPS, seed=MIX_SEED
        )
        if not (folder / "data").exists():
            mix(voices / part, folder / "data", config, on_progress)
        compute(folder / "data", Location.of(folder / "workspace"))
    return found


def compute(data: Path, workspace: Location) -> None:
    """Write the catalogue and the features of a data folder, or what is missing of them."""
    features = FeatureConfig()
    if WorkspacePaths(workspace).catalog.exists():
        catalog = Catalog.load(workspace)
    else:
        found = build_catalog(list_data(str(data)), features.clip_format, ChecksConfig())
        catalog = found.catalog
        catalog.save(workspace)
    store = FeatureStore.create(workspace, features, StoreConfig())
    store.sync(catalog)
    for block in store.missing(catalog):
        extract_block(block_job(workspace, catalog, block))


def _voices(root: Path, kind: SetKind, speech: Path | None) -> tuple[Path, tuple[str, ...]]:
    """Return the folder with the recordings of each part of the speakers, and the words."""
    if kind.spoken:
        if speech is None:
            raise UserError(
                f"--sets {kind.name}: needs recordings of people; name their folder with --speech",
                code="speech-needed", name=kind.name,
            )  # fmt: skip
        source, words = speech.resolve(), NINE_WORDS
    else:
        source, words = root / "spoken", DEMO_WORDS.words
        if not source.exists():
            synthesise(source, SynthConfig(words=words, voices=VOICES, takes=DEMO_WORDS.takes))
    out = root / "voices" / fingerprint(str(source), words)[:8]
    if not out.exists():
        with new_folder(out) as folder:
            _divide(source, words, folder)
    return out, words


def _divide(source: Path, words: tuple[str, ...], out: Path) -> None:
    """Link every recording into the folder of its speaker's part."""
    files = []
    for word in words:
        if not (source / word).is_dir():
            raise UserError(
                f"{source}: contains no folder {word}; the sets of the benchmark need it",
                code="no-such-word", folder=str(source), word=word,
            )  # fmt: skip
        files += [item for item in (source / word).iterdir() if is_audio(item.name)]
    part_of = parts_of_speakers({speaker_of(file) for file in files})
    for file in files:
        place = out / part_of[speaker_of(file)] / file.parent.name
        place.mkdir(parents=True, exist_ok=True)
        (place / file.name).symlink_to(file)


def parts_of_speakers(speakers: set[str]) -> dict[str, Part]:
    """Return the part of each speaker; it depends on the set of names alone."""
    order = sorted(speakers, key=lambda name: hashlib.blake2b(name.encode()).digest())
    bounds = [round(share * len(order)) for share in SHARES]
    return {
        speaker: PARTS[sum(place >= bound for bound in bounds)]
        for place, speaker in enumerate(order)
    }
