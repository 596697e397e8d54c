"""Mutual exclusion of deployed runs: a concurrency limit of the Prefect server per workspace.

A deployment has a limit of its own; this limit covers several deployments on one workspace. It
applies to runs that a server starts; `overlap.io.locks` applies to all runs that share a disk.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from prefect.client.orchestration import get_client
from prefect.concurrency.sync import concurrency
from prefect.context import FlowRunContext

from overlap.config import fingerprint
from overlap.errors import WorkspaceLockedError
from overlap.io.location import Location
from tasks.progress import on_wait

TRY_SECONDS: Final = 1.0
"""How long a run that does not wait tries to get the limit from another one."""
GRANT_SECONDS: Final = 15.0
"""How long a loaded server may take to grant a free limit."""
LEASE_SECONDS: Final = 60.0
"""How long the limit remains occupied after the process of a run died."""


def is_deployed() -> bool:
    """Return whether a server, not the command line, started this flow run."""
    context = FlowRunContext.get()
    run = context.flow_run if context else None
    return run is not None and run.deployment_id is not None


@contextmanager
def only_run_on(workspace: Location, *, wait: bool) -> Iterator[None]:
    """Exclude other deployed runs on a workspace within the block.

    Args:
        workspace: The workspace.
        wait: Whether to wait for another run.

    Raises:
        WorkspaceLockedError: another run is active, and `wait` is false.
    """
    if not is_deployed():
        yield
        return
    name = f"overlap-workspace-{fingerprint(str(workspace))}"
    with get_client(sync_client=True) as client:
        client.upsert_global_concurrency_limit_by_name(name, 1)
        busy = client.read_global_concurrency_limit_by_name(name).active_slots > 0
    if busy and wait:
        on_wait(f"waits for another deployed run on {workspace} (concurrency limit {name})")
    entered = False
    try:
        with concurrency(
            name,
            lease_duration=LEASE_SECONDS,
            timeout_seconds=None if wait else TRY_SECONDS if busy else GRANT_SECONDS,
            strict=True,
            raise_on_lease_renewal_failure=False,
        ):
            entered = True
            yield
    except TimeoutError as error:
        if entered:
            raise
        raise WorkspaceLockedError(
            f"{workspace}: another deployed run works on it", workspace=str(workspace), limit=name
        ) from error
