"""The record of a run in its workspace, for runs of the command line and of a server."""

from contextlib import AbstractContextManager

from flows.service.limits import is_deployed
from overlap.config import RunConfig
from overlap.workspace.runs import RunRecorder, recorded_run
from overlap.workspace.workspace import Workspace


def recorded(
    workspace: Workspace, kind: str, config: RunConfig
) -> AbstractContextManager[RunRecorder]:
    """Record a run while the block works; a stage within a run is a part of that run's record.

    Args:
        workspace: The workspace.
        kind: Name of the flow.
        config: The run.
    """
    return recorded_run(
        workspace.location,
        kind,
        data=config.data,
        preset=config.preset,
        members=config.ensemble.members,
        source="server" if is_deployed() else "command line",
    )
