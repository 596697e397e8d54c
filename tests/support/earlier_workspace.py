"""A workspace that release 0.1.0 wrote, and the data set that it was made from.

Fixtures, all named `workspace-0.1.0`:

    .tar.xz           two ensembles of two members each, a champion after a rollback, one
                      quarantined clip, and a prediction; the first run had 32 training clips,
                      the second 40
    .toml             configuration of both runs; the data folder was /srv/overlap/data
    .predictions.csv  what `overlap predict DATA/test` wrote
    .status.json      what `overlap status --json` printed

The data set is made of square waves and noise by integer arithmetic, so that every machine makes
the same bytes.
"""

import io
import itertools
import struct
import tarfile
import warnings
import wave
from collections.abc import Mapping
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path

import pytest

from overlap.catalog import Catalog
from overlap.config import RunConfig
from overlap.config.loading import gathered
from overlap.config.old_spellings import OldSpellingWarning
from overlap.config.presets import merged
from overlap.ensemble.registry import list_ensembles, read_predictions
from overlap.io.location import Location
from overlap.io.workspace_paths import WorkspacePaths
from overlap.training.spec import load_record

FIXTURES = Path(__file__).resolve().parents[1] / "fixtures"
ARCHIVE = FIXTURES / "workspace-0.1.0.tar.xz"
CONFIG_FILE = FIXTURES / "workspace-0.1.0.toml"
PREDICTIONS_FILE = FIXTURES / "workspace-0.1.0.predictions.csv"
STATUS_FILE = FIXTURES / "workspace-0.1.0.status.json"

TRAIN_CLIPS, TEST_CLIPS = 40, 6
FIRST_TEST_CLIP = 1000
"""Index of the first test clip; training clips are counted from 0."""
UNUSABLE_CLIP = 5
"""Index of the training clip whose file is no audio."""
WORDS = ("down", "left", "up", "zero")
PERIODS = (11, 19, 31, 47)
"""Period of the square wave that stands for each word, samples."""
PAIRS = tuple(itertools.combinations(range(len(WORDS)), 2))
"""The words of a clip, by its index modulo their number."""
SAMPLE_RATE, SAMPLES = 8000, 2000
AMPLITUDE, NOISE = 3000, 200
"""Of a word's square wave, and of the noise; full scale is 32768."""
SHIFT = 13
"""Samples by which the square waves of a clip are ahead of those of the clip before."""


def wav_bytes(index: int) -> bytes:
    """Return a clip as 16-bit mono WAV: two square waves and noise of a linear congruence."""
    state, samples = 12345 + 7919 * index, []
    for place in range(SAMPLES):
        state = (state * 1103515245 + 12345) % 2**31
        value = (state >> 16) % (2 * NOISE + 1) - NOISE
        for word in PAIRS[index % len(PAIRS)]:
            first_half = (place + SHIFT * index) % PERIODS[word] * 2 < PERIODS[word]
            value += AMPLITUDE if first_half else -AMPLITUDE
        samples.append(value)
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE)
        file.writeframes(struct.pack(f"<{SAMPLES}h", *samples))
    return out.getvalue()


def make_data(folder: Path) -> Path:
    """Write the data set of the second run.

    Returns:
        The folder.
    """
    header = ",".join(("id", *WORDS))
    labels, template = [header], [header]
    (folder / "train").mkdir(parents=True)
    (folder / "test").mkdir()
    for index in range(TRAIN_CLIPS):
        content = b"not a sound" if index == UNUSABLE_CLIP else wav_bytes(index)
        (folder / "train" / f"train_{index:03d}.wav").write_bytes(content)
        pair = PAIRS[index % len(PAIRS)]
        shares = ["0.5" if word in pair else "0" for word in range(len(WORDS))]
        labels.append(",".join([f"train_{index:03d}", *shares]))
    for index in range(TEST_CLIPS):
        content = wav_bytes(FIRST_TEST_CLIP + index)
        (folder / "test" / f"test_{index:03d}.wav").write_bytes(content)
        template.append(",".join([f"test_{index:03d}", *"0" * len(WORDS)]))
    (folder / "train_answer.csv").write_text("\n".join(labels) + "\n")
    (folder / "submission.csv").write_text("\n".join(template) + "\n")
    return folder


@dataclass(frozen=True)
class Earlier:
    """The workspace of release 0.1.0, and its data."""

    workspace: Path
    data: Path

    @property
    def location(self) -> Location:
        """The workspace."""
        return Location.of(self.workspace)

    @property
    def config(self) -> RunConfig:
        """The configuration that made it, with the folders of this test."""
        places = {"data": str(self.data), "workspace": str(self.workspace)}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", OldSpellingWarning)
            return RunConfig.model_validate(merged(gathered(file=CONFIG_FILE), places))

    def contents(self, *parts: str) -> Mapping[str, str]:
        """Return the SHA-256 of every file below some folders of the workspace.

        Args:
            *parts: The folders; none: the whole workspace.
        """
        folders = [self.workspace / part for part in parts] or [self.workspace]
        files = [file for folder in folders for file in folder.rglob("*") if file.is_file()]
        return {
            str(file.relative_to(self.workspace)): sha256(file.read_bytes()).hexdigest()
            for file in files
        }


def use_data(earlier: Earlier) -> None:
    """Let the catalogue name the data of this test, instead of a folder that is not there."""
    replace(Catalog.load(earlier.location), data=str(earlier.data)).save(earlier.location)


def rename_words(earlier: Earlier, words: tuple[str, ...]) -> None:
    """Rename the words of the catalogue, of all versions and of their members."""
    paths = WorkspacePaths(earlier.location)
    catalog = replace(Catalog.load(earlier.location), words=words)
    catalog.save(earlier.location)
    for record in list_ensembles(earlier.location):
        rows = read_predictions(earlier.location, record)["held_out_rows"]
        changed = {"words": words, "held_out_key": catalog.key(rows, labels=True)}
        paths.ensemble(record.version).record.write_record(record.model_copy(update=changed))
    for name in paths.members.folders():
        member = load_record(paths.member(name).folder)
        if member is not None:
            spec = member.spec.model_copy(update={"words": words})
            paths.member(name).record.write_record(member.model_copy(update={"spec": spec}))


@pytest.fixture(scope="session")
def earlier_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data set of the workspace of release 0.1.0; not to be changed."""
    return make_data(tmp_path_factory.mktemp("earlier") / "data")


@pytest.fixture
def earlier(earlier_data: Path, tmp_path: Path) -> Earlier:
    """The workspace of release 0.1.0, unpacked for one test."""
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(tmp_path, filter="data")
    return Earlier(tmp_path / "workspace", earlier_data)
