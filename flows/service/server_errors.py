"""The message about a Prefect server that stopped answering during the work."""

from collections.abc import Iterator

from flows.service.embedded_server import fault_of, is_embedded
from overlap.errors import RESUME_HINT


def unreachable(error: BaseException) -> str | None:
    """Return the message for an error caused by an unreachable Prefect server; else None."""
    for cause in _causes(error):
        # Only Prefect uses httpx.
        if type(cause).__module__.startswith("httpx") and not _refuses(cause):
            from prefect.settings import PREFECT_API_URL

            url, reason = PREFECT_API_URL.value(), str(cause) or type(cause).__name__
            where = url or "embedded in this run"
            if url and is_embedded(url):
                where, reason = "embedded in this run", fault_of(url) or reason
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
