"""The commands that run stages: run, features, train, pool."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import typer

from flows.cli.options import run_command
from overlap.errors import NotReadyError
from overlap.io.formatting import counted, format_duration

if TYPE_CHECKING:
    from flows.retrain import RunReport
    from overlap.config import RunConfig
    from overlap.workspace.unchanged import UnchangedResult
    from overlap.workspace.workspace import Workspace


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    for command in (run, features):
        run_command(app)(command)
    for command in (train, pool):
        run_command(app, without=["compare"])(command)


def run(config: "RunConfig", as_json: bool) -> None:
    """Run all stages: check the data, compute features, train, average, publish."""
    retrain_and_print(config, as_json=as_json)
    if not as_json:
        from flows.cli.console import predict_next

        predict_next(config.workspace)


def retrain_and_print(config: "RunConfig", *, as_json: bool) -> str:
    """Run the main flow, print its result, and return the address of the submission.

    A run that has nothing to do starts no embedded server.
    """
    from flows.cli.console import print_note
    from flows.service.early_start import launch
    from overlap.io.location import Location
    from overlap.io.workspace_paths import WorkspacePaths
    from overlap.notification.failures import failures_told

    report: RunReport | UnchangedResult | None = None
    with failures_told(config, print_note):
        published = WorkspacePaths(Location.of(config.workspace)).champion.exists()
        if not published:
            launch()
        with usable_workspace(config) as workspace:
            if published:
                report = _unchanged(config, workspace)
            if report is None:
                report = _retrained(config)
    from flows.cli.results import print_ensemble

    print_ensemble(
        config.workspace, report.ensemble, report.promotion, report.drift, as_json=as_json
    )
    return workspace.paths.ensemble(report.ensemble.version).submission.url


def _unchanged(config: "RunConfig", workspace: "Workspace") -> "UnchangedResult | None":
    """Return the result of a run that has nothing to do and reports to no other server.

    Otherwise an embedded server is launched, and the result is None.
    """
    from flows.service.configured_server import server_needed
    from flows.service.early_start import launch
    from overlap.workspace.unchanged import unchanged_result

    if server_needed():
        return None
    if (result := unchanged_result(config, workspace.list_data(config))) is None:
        launch()
    return result


def _retrained(config: "RunConfig") -> "RunReport":
    """Run the main flow on the configured server or an embedded one."""
    from flows.cli.console import flow_shown
    from flows.retrain import retrain
    from overlap.reporting.plots.style import drawing

    drawing()  # imports Matplotlib while the embedded server starts
    with flow_shown():
        return retrain(config)


def _check_backend(config: "RunConfig") -> None:
    """Refuse a backend that cannot train where this run trains.

    Raises:
        ConfigError: the backend is unknown, or not installed where it must be.
    """
    from overlap.training.backends.choice import check_backend

    check_backend(config.training.backend, installed=config.cluster.is_local)


@contextmanager
def usable_workspace(config: "RunConfig") -> Iterator["Workspace"]:
    """The workspace of a run, shared with the flow that the block runs.

    Lists the data at once, so that a wrong folder is reported while the embedded server starts; the
    flow uses that listing.

    Raises:
        UserError: the data, the workspace to compare with or Keras's backend cannot be used.
    """
    from flows.cli.console import print_note
    from flows.service.early_start import check_ports
    from overlap.features.compare import comparison_store
    from overlap.workspace.workspace import Workspace

    _check_backend(config)
    with Workspace.of(config.workspace).shared() as workspace:
        workspace.list_data(config)
        comparison_store(config)
        _check_workspace(workspace)
        check_ports(config.cluster.address, print_note)
        yield workspace


def _check_workspace(workspace: "Workspace") -> None:
    """Report at once a workspace that cannot be written, or in which another run works.

    The flow holds the run lock, but only after a server has started. A workspace that does not
    exist is not created here.

    Raises:
        UserError: it is a file, or in an archive.
        StorageError: it cannot be written.
        WorkspaceLockedError: another run holds the lock.
    """
    from overlap.errors import StorageError
    from overlap.io.storage_errors import describe

    workspace.check_usable()
    place = workspace.location.local
    if place is None:
        return
    existing = next(folder for folder in (place, *place.parents) if os.path.exists(folder))  # noqa: PTH110
    if existing == place:
        with workspace.lock():
            return
    try:
        with TemporaryDirectory(prefix=".overlap-", dir=existing):
            return  # the run can create it
    except OSError as error:
        raise StorageError(f"{workspace}: {describe(error)}", path=str(workspace)) from error


def features(config: "RunConfig", as_json: bool) -> None:
    """Run one stage: check the data and compute the missing features."""
    with usable_workspace(config):
        from flows.cli.console import OUT, flow_shown, print_json, print_next
        from flows.cli.results import print_drift
        from flows.retrain import features as features_flow

        with flow_shown():
            report = features_flow(config)
    if as_json:
        print_json(asdict(report))
        return
    OUT.print(
        f"{report.written} of {counted(report.blocks, 'block')} computed, "
        f"{counted(report.clips, 'clip')} in {format_duration(report.seconds)}, in "
        f"{config.workspace}",
        highlight=False,
    )
    print_drift(report.drift)
    print_next("`overlap run` with the same options trains and publishes")


def train(config: "RunConfig", as_json: bool) -> None:
    """Run one stage: train the missing members on complete features."""
    with with_features(config):
        from flows.cli.console import OUT, flow_shown, print_json, print_next
        from flows.retrain import train as train_flow

        with flow_shown():
            report = train_flow(config)
    if as_json:
        trained = [record.model_dump(mode="json") for record in report.trained]
        print_json({"trained": trained, "complete": report.complete, "fewer": report.fewer})
        return
    OUT.print(
        f"{len(report.trained)} of {counted(config.ensemble.members, 'member')} trained, "
        f"{report.complete - len(report.trained)} complete already, in {config.workspace}",
        highlight=False,
    )
    if report.fewer:
        OUT.print(report.fewer, highlight=False)
    print_next("`overlap pool` with the same options averages, scores and publishes")


def pool(config: "RunConfig", as_json: bool) -> None:
    """Run one stage: average, score and publish the complete members."""
    with with_features(config):
        from flows.cli.console import flow_shown, predict_next
        from flows.cli.results import print_ensemble
        from flows.retrain import pool as pool_flow

        with flow_shown():
            record, promotion = pool_flow(config)
    print_ensemble(config.workspace, record, promotion, as_json=as_json)
    if not as_json:
        predict_next(config.workspace)


@contextmanager
def with_features(config: "RunConfig") -> Iterator[None]:
    """Share the workspace of a run whose features are complete for the data as it is now.

    Raises:
        NotReadyError: clips are new or changed, or blocks of features are missing.
    """
    from flows.cli.console import print_note
    from flows.service.early_start import check_ports
    from overlap.workspace.pending import pending_work
    from overlap.workspace.workspace import Workspace

    _check_backend(config)
    with Workspace.of(config.workspace).shared() as workspace:
        listing = workspace.list_data(config)
        _check_workspace(workspace)
        check_ports(config.cluster.address, print_note)
        pending = pending_work(config, listing)
        if pending.features:
            raise NotReadyError(
                f"{workspace}: features are missing: {counted(pending.clips, 'clip')} new or "
                f"changed, {counted(pending.blocks, 'block')} missing; compute them with "
                "`overlap features`",
                code="features-missing",
                workspace=str(workspace),
                clips=pending.clips,
                blocks=pending.blocks,
            )
        yield
