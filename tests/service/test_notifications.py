"""Messages about runs: what an HTTP and an SMTP server have received."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from support.processes import has_checkpoint
from support.receivers import Mailbox, WebReceiver, mailbox, web_receiver
from support.running_service import Service

pytestmark = pytest.mark.nightly

SECRET = "planted-secret-4be1"
QUIET = ("--notify-silence", 0)


@pytest.fixture(scope="module")
def web() -> Iterator[WebReceiver]:
    with web_receiver() as receiver:
        yield receiver


@pytest.fixture(scope="module")
def post() -> Iterator[Mailbox]:
    with mailbox() as box:
        yield box


@pytest.fixture
def workspace(service: Service, finished, tmp_path: Path) -> Path:
    """A copy of a finished run's workspace."""
    return Path(shutil.copytree(finished.workspace, tmp_path / "workspace"))


def deploy(
    service: Service, web: WebReceiver, post: Mailbox, data: object, workspace: Path, tiny: Path,
    *options: object,
) -> str:  # fmt: skip
    """Deploy with all kinds of receivers."""
    web.deliveries.clear()
    post.mails.clear()
    mail = f"smtp://127.0.0.1:{post.port}?from=overlap@a.example&to=ops@b.example"
    return service.overlap(
        "deploy", "--data", data, "--workspace", workspace, "--config", tiny,
        "--notify", "slack=env:SLACK_ADDRESS", "--notify", f"webhook={web.url}/json?key={SECRET}",
        "--notify", f"email={mail}", *options,
        SLACK_ADDRESS=f"{web.url}/services/{SECRET}",
    )  # fmt: skip


def received(service: Service, web: WebReceiver, post: Mailbox, part: str) -> tuple[Any, ...]:
    """The message that contains a text: for Slack, for programs, and as mail."""

    def found() -> list[Any]:
        slack = [d.json["text"] for d in web.deliveries if d.path.startswith("/services/")]
        full = [d.json for d in web.deliveries if d.path.startswith("/json")]
        return [
            [text for text in slack if part in text],
            [one for one in full if part in f"{one['subject']}\n{one['text']}"],
            [mail for mail in post.mails if part in f"{mail.content['subject']}\n{mail.text}"],
        ]

    service.until(lambda: all(found()), 60, f"messages with {part!r}")
    return tuple(one[0] for one in found())


def test_deploying_twice_updates_and_none_removes(
    service: Service, web: WebReceiver, post: Mailbox, data: Path, tiny: Path, workspace: Path
) -> None:
    def names(what: str) -> list[str]:
        found = [str(one["name"]) for one in service.call("POST", f"/{what}/filter", {})]
        return sorted(name for name in found if name.startswith("overlap-notify-"))

    for _ in range(2):
        output = deploy(service, web, post, data, workspace, tiny, "--cron", "0 2 * * *")
        assert SECRET not in output
        assert "slack, webhook, email" in output
    automations = [f"overlap-notify-{name}" for name in ("data", "failed", "outcome", "silence")]
    blocks = [f"overlap-notify-{name}" for name in ("email", "slack", "webhook")]
    assert (names("automations"), names("block_documents")) == (automations, blocks)
    (silence,) = [
        one for one in service.call("POST", "/automations/filter", {})
        if one["name"] == "overlap-notify-silence"
    ]  # fmt: skip
    assert silence["trigger"]["within"] == 26 * 3600

    service.overlap("deploy", "--data", data, "--workspace", workspace)
    assert (names("automations"), names("block_documents")) == (automations, blocks)
    web_only = ("--notify", f"webhook={web.url}/json", *QUIET)
    service.overlap("deploy", "--data", data, "--workspace", workspace, *web_only)
    assert names("automations") == automations[:3]
    assert names("block_documents") == blocks[2:]
    service.overlap("deploy", "--data", data, "--workspace", workspace, "--notify", "none")
    assert names("automations") == names("block_documents") == []


def test_messages_of_runs(
    service: Service, web: WebReceiver, post: Mailbox, data: Path, tiny: Path, workspace: Path
) -> None:
    deploy(service, web, post, data, workspace, tiny, *QUIET)
    (first,) = [folder.name for folder in workspace.glob("ensembles/*")]
    run = ("run", "--data", data, "--workspace", workspace, "--config", tiny)

    service.overlap(*run, "--set", "promotion.rule=always", "--members", 1,
                    "--set", "notify.drift_above=0")  # fmt: skip
    slack, full, mail = received(service, web, post, "; promoted: ")
    (second,) = {folder.name for folder in workspace.glob("ensembles/*")} - {first}
    assert f"ensemble {second} of 1 member, KL " in slack
    assert f"(champion {first})" in slack
    assert "KL now: " in slack
    assert f"{second}/report.html" in slack
    assert f"{service.url}/runs/flow-run/" in slack
    assert full["event"] == "overlap.run.promoted"
    assert full["details"]["version"] == second
    assert full["details"]["champion_before"] == first
    assert full["details"]["kl"] > 0
    assert full["details"]["kl_before"] > 0
    assert (mail.sender, mail.recipients) == ("overlap@a.example", ["ops@b.example"])
    assert mail.content["subject"] == full["subject"]
    assert mail.text.splitlines() == full["text"].splitlines()
    _, full, _ = received(service, web, post, "notify.drift_above is 0")
    assert full["event"] == "overlap.data.drift"

    service.overlap(*run, "--set", "promotion.rule=never", "--set", "ensemble.pool=power")
    slack, full, _ = received(service, web, post, "promotion.rule is never")
    assert f"(champion {second})" in slack
    assert full["event"] == "overlap.run.not-promoted"

    before = len(web.deliveries)
    service.overlap(*run)  # the first version again: nothing has changed
    service.worker()
    failing = service.start_run("retrain/retrain", {"data": str(workspace / "missing")})
    assert service.ended(failing)[0] == "FAILED"
    slack, full, _ = received(service, web, post, "Failed")
    assert "missing" in slack.splitlines()[1]
    assert f"the champion is unchanged: {second}, KL " in slack
    assert failing in slack
    assert full["automation"] == "overlap-notify-failed"
    assert len(web.deliveries) == before + 2  # Slack and JSON about the failure alone
    assert SECRET not in (service.folder / "server.log").read_text()
    for filters in ("events", "logs", "automations", "block_documents"):
        assert SECRET not in str(service.call("POST", f"/{filters}/filter", {})), filters


def test_a_crash_and_silence(
    service: Service, web: WebReceiver, post: Mailbox, data: Path, tiny: Path, workspace: Path
) -> None:
    hours = 20 / 3600  # Prefect's shortest is 10 s
    deploy(service, web, post, data, workspace, tiny, "--notify-silence", hours)
    slack, full, _ = received(service, web, post, "no retraining has succeeded for")
    assert full["automation"] == "overlap-notify-silence"
    assert full["event"] == "overlap.deployed"

    worker = service.worker("worker-of-crash")
    changes = {"training": {"epochs": 100000, "batch_size": 16}, "ensemble": {"members": 1}}
    run = service.start_run("retrain/retrain", changes)
    service.until(lambda: has_checkpoint(workspace), 240, "an epoch")
    children = psutil.Process(worker.pid).children(recursive=True)
    for process in children:
        process.kill()
    assert service.ended(run)[0] == "CRASHED"
    slack, full, _ = received(service, web, post, "Crashed")
    assert run in slack
    assert full["event"] == "prefect.flow-run.Crashed"
    worker.terminate()


def test_a_receiver_that_refuses_fails_no_run(
    service: Service, data: Path, tiny: Path, workspace: Path
) -> None:
    with web_receiver(status=500) as broken:
        options = ("--data", data, "--workspace", workspace, "--config", tiny)
        address = f"{broken.url}/services/{SECRET}"
        service.overlap("deploy", *options, "--notify", f"slack={address}")
        service.overlap("run", *options, "--members", 1)
        service.until(lambda: broken.deliveries, 60, "the message")
    assert SECRET not in (service.folder / "server.log").read_text()
