"""A Prefect server that is not there, or goes away: one line, and how to go on."""

from pathlib import Path

import httpx
import pytest

from flows.service.server_errors import unreachable
from overlap.errors import RESUME_HINT, MemberError
from support.errors import printed_code
from support.processes import free_port


@pytest.mark.extended
def test_a_server_that_does_not_answer_is_named(
    overlap, data: Path, tiny: Path, tmp_path: Path
) -> None:
    url = f"http://127.0.0.1:{free_port()}/api"
    run = ("run", "--data", data, "--workspace", tmp_path / "w", "--config", tiny)
    printed = overlap(*run, code=2, PREFECT_API_URL=url).stderr
    assert f"error: the Prefect server {url} does not answer (" in printed
    assert printed_code(printed) == "server-unreachable"
    assert RESUME_HINT in printed
    assert "Traceback" not in printed


@pytest.mark.parametrize("behind", ["cause", "context"])
def test_it_is_found_behind_what_others_make_of_it(behind: str) -> None:
    error = RuntimeError("Failed to reach API")
    setattr(error, f"__{behind}__", httpx.ConnectError("refused"))
    assert "(refused)" in str(unreachable(error))


def test_what_a_server_refuses_is_no_missing_server() -> None:
    request = httpx.Request("POST", "http://127.0.0.1:1/api")
    for status, missing in ((409, False), (503, True)):
        error = httpx.HTTPStatusError("no", request=request, response=httpx.Response(status))
        assert bool(unreachable(error)) is missing
    assert unreachable(MemberError("no")) is None
