"""A run lists its data, loads the catalogue and takes the lock once: flows in this process."""

from collections.abc import Iterator

import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings

from flows import retrain
from overlap.config import RunConfig
from overlap.io.location import Location
from overlap.workspace.workspace import Workspace
from support.counted_calls import counted_calls
from support.process_fixtures import Api
from support.untrained_members import Ready, champion_of

pytestmark = pytest.mark.slow


@pytest.fixture
def server(api: Api) -> Iterator[None]:
    """Lets the flows of this process use the session's Prefect server."""
    with temporary_settings({PREFECT_API_URL: api.url}):
        yield


@pytest.mark.usefixtures("server")
def test_a_run_reads_once(config: RunConfig, ready: Ready, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything is complete except the report, so that no cluster is needed."""
    workspace, record = champion_of(config, ready, config.ensemble.members)
    calls = counted_calls(monkeypatch)
    report = retrain.retrain(config)
    assert report.ensemble.version == record.version
    assert Workspace.of(workspace).paths.ensemble(record.version).report.exists()
    assert calls == {"list": 1, "load": 1, "lock": 1}


@pytest.mark.usefixtures("server")
@pytest.mark.parametrize("stage", ["features", "train", "pool"])
def test_a_stage_reads_once(
    config: RunConfig, ready: Ready, monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    """As the command line calls it, which has listed the data already."""
    champion_of(config, ready, config.ensemble.members)
    calls = counted_calls(monkeypatch)
    with Workspace.of(Location.of(config.workspace)).shared() as workspace:
        workspace.list_data(config.data)
        getattr(retrain, stage)(config)
    locks = {} if stage == "train" else {"lock": 1}  # nothing to train
    assert calls == {"list": 1, "load": 1, **locks}
