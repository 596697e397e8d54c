"""Fixtures that several kinds of test share: spoken words, a data set, a configuration."""

import os
import shutil
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
from support.process_fixtures import (  # noqa: F401  fixtures
    api,
    end_servers,
    environment,
    finished,
    overlap,
    warm_commands,
)
from support.run_steps import TINY, computed
from support.session_files import once_per_session, session_folder

# Several test processes may share two busy cores: no deadline per example.
settings.register_profile(
    "overlap", deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
settings.load_profile("overlap")

ROOT = Path(__file__).resolve().parent.parent
SPEECH = ROOT.parent / "shared" / "data" / "speech_commands"


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """End what all workers share, once all of them have ended."""
    if "PYTEST_XDIST_WORKER" not in os.environ:
        end_servers(session_folder(session.config._tmp_path_factory))


@pytest.fixture(scope="session")
def speech() -> Path:
    """Recordings of real people, where they are available."""
    if not SPEECH.is_dir():
        pytest.skip("real speech is not available: no ../shared/data/speech_commands")
    return SPEECH


@pytest.fixture(scope="session")
def words(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six words by twenty voices of espeak-ng."""
    names = ("down", "eight", "five", "left", "up", "zero")
    config = SynthConfig(words=names, voices=20, takes=2)
    folder = once_per_session(
        tmp_path_factory, "words", lambda out: synthesise(out / "words", config)
    )
    return folder / "words"


@pytest.fixture(scope="session")
def data(words: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set of 100 training and 20 test clips, two words each; not to be changed."""
    config = MixConfig(train=100, test=20, words_per_clip=2, groups=4, seed=3, test_speakers=0.2)
    folder = once_per_session(
        tmp_path_factory, "data", lambda out: mix(words, out / "data", config)
    )
    return folder / "data"


@pytest.fixture(scope="session")
def spoken(data: Path) -> np.ndarray:
    """(24, 16000) float32: mixed speech."""
    files = sorted((data / "train").iterdir())[:24]
    return np.stack([soundfile.read(file, dtype="float32")[0] for file in files])


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny network and training as a configuration file."""

    def write(folder: Path) -> None:
        (folder / "tiny.yaml").write_text(yaml.safe_dump(TINY))

    return once_per_session(tmp_path_factory, "tiny", write) / "tiny.yaml"


@pytest.fixture
def workspace(tmp_path: Path) -> Location:
    """An empty workspace."""
    return Location.of(tmp_path / "workspace")


@pytest.fixture
def config(data: Path, workspace: Location) -> RunConfig:
    """A run over the data set, with a tiny network."""
    return RunConfig(data=str(data), workspace=str(workspace), **TINY)


@pytest.fixture(scope="session")
def computed_workspace(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with the catalogue and the features of the data set; not to be changed."""

    def compute(folder: Path) -> None:
        computed(RunConfig(data=str(data), workspace=str(folder / "workspace"), **TINY))

    return once_per_session(tmp_path_factory, "computed", compute) / "workspace"


@pytest.fixture
def ready(config: RunConfig, computed_workspace: Path) -> tuple[Catalog, FeatureStore]:
    """Catalogue and complete features of the run, copied into its workspace."""
    shutil.copytree(computed_workspace, config.workspace, dirs_exist_ok=True)
    workspace = Location.of(config.workspace)
    return Catalog.load(workspace), FeatureStore.open(workspace)
