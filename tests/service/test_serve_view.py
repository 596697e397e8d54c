"""`overlap serve --view`: the deployments and the page are served together, and end together."""

import signal
import socket
import urllib.request
from urllib.parse import urlsplit

import pytest

from flows.cli.commands.service import VIEW_URL
from support.earlier_workspace import CONFIG_FILE, Earlier
from support.processes import OVERLAP, wait_for
from support.running_service import Service, missing

pytestmark = pytest.mark.nightly


def listens() -> bool:
    """Whether somebody serves the page's port."""
    address = urlsplit(VIEW_URL)
    with socket.socket() as probe:
        probe.settimeout(5)
        return probe.connect_ex((str(address.hostname), int(address.port or 0))) == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_page_begins_and_ends_with_the_service(
    service: Service, earlier: Earlier, number: signal.Signals
) -> None:
    if listens():
        missing(f"another process serves {VIEW_URL}")
    process = service.start(
        OVERLAP, "serve", "--view", "--data", earlier.data, "--workspace", earlier.workspace,
        "--config", CONFIG_FILE, name=f"serve-{number.name}",
    )  # fmt: skip
    wait_for(f"{VIEW_URL}/healthz", process)
    with urllib.request.urlopen(f"{VIEW_URL}/clips", timeout=60) as answer:
        assert b"train_010" in answer.read()
    service.until(lambda: service.call("POST", "/deployments/filter", {}), 60, "the deployments")
    found = service.deployment("retrain/retrain")
    assert found["parameters"]["config"]["view"]["url"] == VIEW_URL
    process.send_signal(number)
    process.wait(60)
    service.until(lambda: not listens(), 20, "the page to end")
