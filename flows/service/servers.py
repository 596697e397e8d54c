"""The Prefect server of a command: the embedded one is started, and one that is gone is named."""

from collections.abc import Iterator

from overlap.errors import RESUME_HINT
from overlap.system.signals import block_sigint


def start_embedded_server() -> None:
    """Start the embedded server, where no other is named, out of the way of Ctrl-C.

    It is ended with this process; one that a terminal ends first takes the last words of a run with
    it, and says "Aborted!".
    """
    from prefect.client.orchestration import get_client

    with block_sigint(), get_client(sync_client=True):
        pass  # whoever asks for a client first starts it


def unreachable(error: BaseException) -> str | None:
    """What to say if a Prefect server that does not answer is behind an error; else None."""
    for cause in _causes(error):
        # Nothing else here speaks through httpx.
        if type(cause).__module__.startswith("httpx") and not _refuses(cause):
            from prefect.settings import PREFECT_API_URL

            where = PREFECT_API_URL.value() or "that the run started for itself"
            said = str(cause) or type(cause).__name__
            return f"the Prefect server {where} does not answer ({said}); {RESUME_HINT}"
    return None


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    seen = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _refuses(error: BaseException) -> bool:
    """Whether a server did answer: that the request was wrong."""
    response = getattr(error, "response", None) if hasattr(error, "response") else None
    return response is not None and response.status_code < 500
