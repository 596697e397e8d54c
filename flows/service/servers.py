"""The Prefect server of a command: starts the embedded one, and describes unreachable ones."""

from collections.abc import Iterator

from overlap.errors import RESUME_HINT
from overlap.system.signals import block_sigint


def start_embedded_server() -> None:
    """Start the embedded server, unless another is configured, shielded from Ctrl-C.

    It ends with this process. If the terminal's signal ended the server first, the final states
    and logs of a run would be lost, and the server would print "Aborted!".
    """
    from prefect.client.orchestration import get_client

    with block_sigint(), get_client(sync_client=True):
        pass  # the first client starts the server


def unreachable(error: BaseException) -> str | None:
    """Return the message for an error caused by an unreachable Prefect server; else None."""
    for cause in _causes(error):
        # Only Prefect uses httpx.
        if type(cause).__module__.startswith("httpx") and not _refuses(cause):
            from prefect.settings import PREFECT_API_URL

            where = PREFECT_API_URL.value() or "embedded in this run"
            reason = str(cause) or type(cause).__name__
            return f"the Prefect server {where} does not answer ({reason}); {RESUME_HINT}"
    return None


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    seen = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _refuses(error: BaseException) -> bool:
    """Return whether the server answered that the request was wrong."""
    response = getattr(error, "response", None) if hasattr(error, "response") else None
    return response is not None and response.status_code < 500
