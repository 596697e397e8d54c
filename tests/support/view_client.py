"""A client of the web page without a port; runs and members in training for its workspace."""

import time
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from pathlib import Path

from overlap.io.location import Location
from overlap.io.workspace_paths import MODEL_FILE, MemberPaths, WorkspacePaths
from overlap.training.inference.graph import build_graph
from overlap.training.inference.store import GraphRecord
from overlap.training.progress import recording
from overlap.training.spec import load_record
from overlap.view.application import create_application
from overlap.view.settings import ViewSettings
from overlap.workspace.runs import recorded_run

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # Starlette prefers a successor of httpx, which Prefect uses
    from starlette.testclient import TestClient

HTML = {"accept": "text/html"}


@contextmanager
def client_of(
    workspace: Path | Location, settings: ViewSettings | None = None, **headers: str
) -> Iterator[TestClient]:
    """A client of the page of a workspace, which reads its files at each request."""
    app = create_application(Location.of(workspace), settings or ViewSettings(), 0)
    with TestClient(
        app, base_url="http://localhost", headers=headers, follow_redirects=False
    ) as client:
        yield client


def page_client(
    workspace: Path | Location, settings: ViewSettings | None = None
) -> AbstractContextManager[TestClient]:
    """A client like that of `client_of`, of a server that does not load the champion."""
    app = create_application(Location.of(workspace), settings or ViewSettings(), 0)
    return nullcontext(TestClient(app, base_url="http://localhost", follow_redirects=False))


def add_graphs(workspace: Location) -> None:
    """Give every complete member its inference graph, without Keras."""
    paths = WorkspacePaths(workspace)
    for name in paths.members.folders():
        member = paths.member(name)
        record = load_record(member.folder)
        if record is None:
            continue
        graph = build_graph(member.model.read_bytes())
        member.graph.write_bytes(graph.content)
        made = GraphRecord(
            network=record.files[MODEL_FILE], graph=str(member.graph.digest()),
            subset=graph.subset, difference=0.0, clips=1, clips_at_once=graph.clips_at_once,
        )  # fmt: skip
        member.graph_record.write_record(made)


def add_runs(workspace: Location) -> None:
    """Record a run that succeeded and one that failed."""
    with recorded_run(workspace, "retrain", data="/data", preset="demo", members=2) as run:
        stage = run.stage("features (clips)", 40)
        stage.move(40)
        stage.close()
        run.result("20260101-000000-abc", promoted=True, reason="first champion")
    fail_with(workspace, "the disk <b>is</b> full")


def fail_with(workspace: Location, message: str) -> None:
    """Record a run that failed."""

    def fail() -> None:
        with recorded_run(workspace, "train", source="server"):
            raise ValueError(message)

    with suppress(ValueError):
        fail()


def begin_member(workspace: Location, epochs: int = 3, of: int = 10) -> MemberPaths:
    """Add an unfinished member with the specification of a complete one, and its progress."""
    paths = WorkspacePaths(workspace)
    complete = paths.member(paths.members.folders()[0])
    begun = paths.member("f" * 32)
    begun.spec.write_bytes(complete.spec.read_bytes())
    report = recording(begun.folder, lambda _event: None)
    report({"event": "plan", "device": "Tesla <T4>"})
    for epoch in range(1, epochs + 1):
        report(
            {"event": "epoch", "epoch": epoch, "epochs": of, "loss": 1.5 - 0.1 * epoch,
             "held_out_kl": 1.6 - 0.12 * epoch, "seconds": 2.0 * epoch, "clips_per_second": 1234.5}
        )  # fmt: skip
    report({"event": "predict"})
    return begun


def eventually(check, seconds: float = 30.0):
    """Return the first true result of a check."""
    end = time.monotonic() + seconds
    while not (found := check()):
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)
    return found
