"""Fixtures that several kinds of test share: spoken words, a data set, a configuration."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
import yaml
from hypothesis import HealthCheck, settings

from overlap.catalog import Catalog
from overlap.config import RunConfig
from overlap.features import FeatureStore
from overlap.io.location import Location
from overlap.synthetic import MixConfig, mix
from overlap.synthetic.speech import SynthConfig, synthesise
from support.earlier_workspace import earlier, earlier_data  # noqa: F401  fixtures
from support.process_fixtures import api, environment, finished, overlap  # noqa: F401  fixtures
from support.run_steps import TINY, computed

# Several test processes may share two busy cores: no deadline per example.
settings.register_profile(
    "overlap", deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
settings.load_profile("overlap")

ROOT = Path(__file__).resolve().parent.parent
SPEECH = ROOT.parent / "shared" / "data" / "speech_commands"


@pytest.fixture(scope="session")
def speech() -> Path:
    """Recordings of real people, where they are at hand."""
    if not SPEECH.is_dir():
        pytest.skip("real speech is not at hand: no ../shared/data/speech_commands")
    return SPEECH


@pytest.fixture(scope="session")
def words(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six words by twenty voices of espeak-ng."""
    out = tmp_path_factory.mktemp("spoken") / "words"
    names = ("down", "eight", "five", "left", "up", "zero")
    synthesise(out, SynthConfig(words=names, voices=20, takes=2))
    return out


@pytest.fixture(scope="session")
def data(words: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set of 100 training and 20 test clips, two words each; not to be changed."""
    out = tmp_path_factory.mktemp("mixed") / "data"
    config = MixConfig(train=100, test=20, words_per_clip=2, groups=4, seed=3, test_speakers=0.2)
    mix(words, out, config)
    return out


@pytest.fixture(scope="session")
def spoken(data: Path) -> np.ndarray:
    """(24, 16000) float32: mixed speech."""
    files = sorted((data / "train").iterdir())[:24]
    return np.stack([soundfile.read(file, dtype="float32")[0] for file in files])


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny network and training as a configuration file."""
    file = tmp_path_factory.mktemp("configuration") / "tiny.yaml"
    file.write_text(yaml.safe_dump(TINY))
    return file


@pytest.fixture
def workspace(tmp_path: Path) -> Location:
    """An empty workspace."""
    return Location.of(tmp_path / "workspace")


@pytest.fixture
def config(data: Path, workspace: Location) -> RunConfig:
    """A run over the data set, with a tiny network."""
    return RunConfig(data=str(data), workspace=str(workspace), **TINY)


@pytest.fixture
def ready(config: RunConfig) -> tuple[Catalog, FeatureStore]:
    """Catalogue and complete features of the run."""
    return computed(config)
