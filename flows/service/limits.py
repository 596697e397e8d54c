"""One run at a time on a workspace: a concurrency limit of the Prefect server per workspace.

A deployment has a limit of its own; this one is for several deployments on one workspace. It
binds the runs that a server starts; `overlap.io.locks` binds all that share a disk.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from prefect import get_run_logger
from prefect.client.orchestration import get_client
from prefect.concurrency.sync import concurrency
from prefect.context import FlowRunContext

from overlap.config import fingerprint
from overlap.errors import WorkspaceLockedError
from overlap.io.location import Location

LEASE_SECONDS: Final = 60.0
"""How long the place of a run whose process died stays taken."""


def is_deployed() -> bool:
    """Whether this flow run was started by a server, not by a person at the command line."""
    context = FlowRunContext.get()
    run = context.flow_run if context else None
    return run is not None and run.deployment_id is not None


@contextmanager
def only_run_on(workspace: Location, *, wait: bool) -> Iterator[None]:
    """Be the only deployed run on a workspace meanwhile.

    Args:
        workspace: The workspace.
        wait: Whether to wait for the run that is there.

    Raises:
        WorkspaceLockedError: there is one, and `wait` is false.
    """
    if not is_deployed():
        yield
        return
    name = f"overlap-workspace-{fingerprint(str(workspace))}"
    with get_client(sync_client=True) as client:
        client.upsert_global_concurrency_limit_by_name(name, 1)
    get_run_logger().info("one run at a time works on %s: takes its turn (%s)", workspace, name)
    entered = False
    try:
        with concurrency(
            name,
            lease_duration=LEASE_SECONDS,
            timeout_seconds=None if wait else 1.0,
            strict=True,
            raise_on_lease_renewal_failure=False,
        ):
            entered = True
            yield
    except TimeoutError as error:
        if entered:
            raise
        raise WorkspaceLockedError(f"another run works on {workspace}") from error
