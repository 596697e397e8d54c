"""A run lists its data, loads the catalogue and takes the lock once: flows in this process."""

import threading
from collections.abc import Iterator

import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings

from flows import retrain
from overlap.config import RunConfig
from overlap.features import FeatureStore
from overlap.io.location import Location
from overlap.io.locks import run_lock
from overlap.workspace.workspace import Workspace
from support.counted_calls import counted_calls
from support.process_fixtures import Api
from support.trials import trial
from support.untrained_members import Ready, champion_of

pytestmark = pytest.mark.extended


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
        workspace.list_data(config)
        getattr(retrain, stage)(config)
    assert calls == {"list": 1, "load": 1, "lock": 1}


class OpenedError(Exception):
    """Ends a stage where it would open a cluster; its argument is the one that it was given."""


@trial(
    "R",
    "`overlap features` waits for another run, which marks a block of features as missing",
    "own",
    "The work was determined before the wait: no cluster is opened, and the stage fails.",
    "The work is determined when the lock is held.",
)
@pytest.mark.usefixtures("server")
def test_the_work_is_determined_under_the_lock(
    config: RunConfig, ready: Ready, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace, waiting = Location.of(config.workspace), threading.Event()

    def other_run(inside: threading.Event) -> None:
        with run_lock(workspace):
            inside.set()
            assert waiting.wait(60)
            FeatureStore.open(workspace, read_only=False).mark_missing(0)

    def no_cluster(*arguments: object) -> None:
        raise OpenedError(arguments[-1])

    monkeypatch.setattr(retrain, "is_deployed", lambda: True)  # it waits
    monkeypatch.setattr(retrain, "on_wait", lambda _message: waiting.set())
    monkeypatch.setattr(retrain, "open_cluster", no_cluster)
    inside = threading.Event()
    thread = threading.Thread(target=other_run, args=(inside,))
    thread.start()
    assert inside.wait(60)
    with pytest.raises(OpenedError) as caught:
        retrain.features(config)
    thread.join()
    assert caught.value.args == (None,)  # not NO_CLUSTER
