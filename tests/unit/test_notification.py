"""Messages about a run: their contents, the webhook, and that its address is masked."""

import json
import logging
from pathlib import Path

import pytest
from prefect.blocks.notifications import SlackWebhook

from flows.service.notifications import longest_pause_hours, read_definitions
from flows.service.receivers import mail_url, parse_receivers
from overlap.config import NotifyConfig, RunConfig
from overlap.config.loading import configure
from overlap.ensemble.registry import EnsembleRecord
from overlap.errors import ConfigError, MemberError
from overlap.features.compare import DriftRow
from overlap.features.drift import Drift
from overlap.io.location import Location
from overlap.io.workspace_paths import WorkspacePaths
from overlap.notification.failures import failures_told
from overlap.notification.notice import (
    Notice,
    RunLinks,
    data_notices,
    failure_notice,
    outcome_notice,
)
from overlap.notification.webhook import Messenger
from overlap.promotion.champion import Aliases, Promotion
from overlap.redaction import masked
from support.errors import raises
from support.receivers import web_receiver
from support.run_steps import publish_record, published

SECRET = "planted-7c19"
ADDRESS = f"https://hooks.example/services/{SECRET}?token={SECRET}"


def ensemble(version: str, kl: float | None, **more: object) -> EnsembleRecord:
    return published(version).model_copy(update={"kl": kl, "trivial_kl": 0.7, **more})


@pytest.fixture
def of(workspace: Location) -> RunLinks:
    """A run in a workspace with the versions v1 (KL 0.5) and v2 (KL 0.4)."""
    for version, kl in (("v1", 0.5), ("v2", 0.4)):
        publish_record(workspace, ensemble(version, kl))
    return RunLinks(workspace, "set", "http://server/runs/flow-run/1")


def decided(of: RunLinks, promotion: Promotion, champion: str, *considered: str) -> None:
    """Write the file of the champion as after a decision."""
    history = (promotion,) if considered else ()
    aliases = Aliases(version=champion, considered=considered, history=history)
    WorkspacePaths(of.workspace).champion.write_record(aliases)


def test_a_promotion_states_the_kl_now_and_before(of: RunLinks) -> None:
    promotion = Promotion(version="v2", promoted=True, reason="any words", instead_of="v1")
    decided(of, promotion, "v2", "v1", "v2")
    record = ensemble("v2", 0.4, kl_interval=(0.39, 0.41))
    notice = outcome_notice(of, record, promotion, "ensemble v2, KL 0.4\nsecond line")
    assert notice.event == "promoted"
    assert notice.headline == "ensemble v2, KL 0.4"
    assert "KL now: 0.4000 (95 % interval 0.3900 to 0.4100); before: 0.5000 (champion v1)" in (
        notice.text
    )
    assert "run: http://server/runs/flow-run/1" in notice.text
    assert notice.links["report"].endswith("/v2/report.html")
    details = json.loads(json.dumps(notice.as_json()))["details"]
    assert (details["kl"], details["kl_before"], details["promoted"]) == (0.4, 0.5, True)


@pytest.mark.parametrize(
    ("reason", "champion", "considered", "event"),
    [
        ("not better than the trivial prediction", "v1", ("v1", "v2"), "not-promoted"),
        ("v1 has not predicted 3 clips; the next run tries again", "v1", (), "not-promoted"),
    ],
)
def test_the_event_does_not_depend_on_the_words_of_the_reason(
    of: RunLinks, reason: str, champion: str, considered: tuple[str, ...], event: str
) -> None:
    promotion = Promotion(version="v2", promoted=False, reason=reason)
    decided(of, promotion, champion, *considered)
    notice = outcome_notice(of, ensemble("v2", 0.4), promotion, "headline")
    assert notice.event == event
    assert notice.details["champion_before"] == "v1"


@pytest.mark.parametrize("champion", ["v1", "v2"])
def test_a_version_that_was_settled_before_is_no_news(of: RunLinks, champion: str) -> None:
    earlier = Promotion(version="v2", promoted=False, reason="no significant gain")
    decided(of, earlier, champion, "v1", "v2")
    again = Promotion(version="v2", promoted=False, reason="already considered")
    assert outcome_notice(of, ensemble("v2", 0.4), again, "headline").event == "unchanged"


def test_a_failure_states_the_cause_and_the_champion(of: RunLinks) -> None:
    decided(of, Promotion(version="v1", promoted=True, reason="first"), "v1", "v1")
    error = MemberError("3 members failed: no memory\nmember 2: no memory", code="members-failed")
    notice = failure_notice(of, error)
    assert notice.headline == "MemberError: 3 members failed: no memory"
    assert "the champion is unchanged: v1, KL 0.5000" in notice.text
    assert notice.details["code"] == "members-failed"


def test_the_links_lead_to_the_web_page_of_the_workspace(workspace: Location) -> None:
    of = RunLinks(workspace, "set", view="http://team.example")
    assert of.links(ensemble("v2", 0.4)) == {
        "report": "http://team.example/versions/v2/files/report.html",
        "workspace": "http://team.example/",
    }


def test_a_failure_in_a_workspace_without_champion(workspace: Location) -> None:
    notice = failure_notice(RunLinks(workspace, "set"), ValueError())
    assert notice.headline == "ValueError: no message"
    assert notice.details["kl_before"] is None


def test_limits_of_the_data(of: RunLinks) -> None:
    resolution = RunConfig(data="D").features.resolutions[0]
    rows = [
        DriftRow("test", "train", None, resolution, Drift(1, 0, 0, 0, 0, network_shift=shift))
        for shift in (0.1, 0.3)
    ]
    record = ensemble("v2", 0.4, clips={"train": 90, "test": 9, "quarantined": 1})
    found = {n.event: n for n in data_notices(of, record, rows, NotifyConfig())}
    assert found["drift"].details["shift"] == 0.3
    assert "1 of 100 clips are unusable (1.00%)" in found["unusable-clips"].headline
    limits = NotifyConfig(drift_above=0.3, unusable_above=0.01)
    assert data_notices(of, record, rows, limits) == []
    off = NotifyConfig(drift_above=None, unusable_above=None)
    assert data_notices(of, record, rows, off) == []


NOTICE = Notice("promoted", "subject", "headline", ("KL now: 0.4",), {"run": "http://r"})


def test_what_a_webhook_receives() -> None:
    faults: list[str] = []
    with web_receiver() as web:
        Messenger(NotifyConfig(webhook=web.url), faults.append).send(NOTICE)
        Messenger(NotifyConfig(webhook=web.url, format="json"), faults.append).send(NOTICE)
    slack, full = (delivery.json for delivery in web.deliveries)
    assert slack == {"text": "subject\nheadline\nKL now: 0.4\nrun: http://r"}
    assert (full["event"], full["text"]) == ("promoted", "headline\nKL now: 0.4\nrun: http://r")
    assert faults == []


def test_a_failing_receiver_is_reported_once_without_its_address() -> None:
    faults: list[str] = []
    with web_receiver(status=500) as web:
        messenger = Messenger(NotifyConfig(webhook=f"{web.url}/{SECRET}"), faults.append)
        messenger.send(NOTICE)
        messenger.send(NOTICE)
        assert len(web.deliveries) == 2
    (fault,) = faults
    assert "HTTP 500" in fault
    assert SECRET not in fault
    assert web.url in fault
    closed = Messenger(NotifyConfig(webhook=f"{web.url}/{SECRET}"), faults.append)
    closed.send(NOTICE)
    assert "refused" in faults[1]
    assert SECRET not in faults[1]


def test_the_address_of_a_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    faults: list[str] = []
    config = NotifyConfig(webhook="env:TEAM_HOOK")
    assert config.variable == "TEAM_HOOK"
    monkeypatch.delenv("TEAM_HOOK", raising=False)
    Messenger(config, faults.append).send(NOTICE)
    monkeypatch.setenv("TEAM_HOOK", SECRET)
    Messenger(config, faults.append).send(NOTICE)
    assert ["is not set" in faults[0], "no web address" not in faults[1]] == [True, True]
    assert SECRET not in faults[1]
    with web_receiver() as web:
        monkeypatch.setenv("TEAM_HOOK", web.url)
        Messenger(config, faults.append).send(NOTICE)
    assert len(web.deliveries) == 1


def test_a_failure_is_told_once(workspace: Location) -> None:
    with web_receiver() as web:
        config = RunConfig(data="D", workspace=str(workspace), notify=NotifyConfig(webhook=web.url))
        with pytest.raises(MemberError), failures_told(config, print), failures_told(config, print):
            raise MemberError("no memory")
    (text,) = web.texts()
    assert "MemberError: no memory" in text


def test_the_address_is_masked_everywhere(caplog: pytest.LogCaptureFixture) -> None:
    config = configure({"data": "D", "notify": {"webhook": ADDRESS}})
    assert config.notify.webhook is not None
    assert config.notify.webhook.get_secret_value() == ADDRESS
    for text in (repr(config), str(config), config.model_dump_json(), masked(f"at {ADDRESS}")):
        assert SECRET not in text
    stored = config.model_dump(mode="json")
    assert stored["notify"]["webhook"] == "***"
    assert RunConfig.from_stored(stored).notify.webhook is None
    named = configure({"data": "D", "notify": {"webhook": "env:TEAM_HOOK"}})
    assert named.model_dump(mode="json")["notify"]["webhook"] == "env:TEAM_HOOK"
    logging.getLogger("planted").warning("no")


@pytest.mark.parametrize(
    ("assignment", "code"),
    [
        (f"notify.webhook=ftp://{SECRET}", "invalid-webhook"),
        (f"notify.webhook=[{SECRET}", "malformed-assignment"),
        (f"notify.webhook={{a: {SECRET}}}", "invalid-value"),
    ],
)
def test_a_wrong_address_is_refused_without_showing_it(assignment: str, code: str) -> None:
    with raises(ConfigError, code) as refused:
        configure({"data": "D"}, None, [assignment])
    assert SECRET not in f"{refused.value} {refused.value.fields}"


def test_the_form_accepts_only_the_name_of_a_variable() -> None:
    jsonschema = pytest.importorskip("jsonschema")
    check = jsonschema.Draft202012Validator(RunConfig.model_json_schema())
    assert check.is_valid({"data": "D", "notify": {"webhook": "env:TEAM_HOOK"}})
    assert not check.is_valid({"data": "D", "notify": {"webhook": ADDRESS}})


def test_receivers_of_a_deployment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEAM_HOOK", ADDRESS)
    mail = "smtp+starttls://me:pass@mail.example?from=a@b.example&to=c@d.example,e@f.example"
    found = parse_receivers(["slack=env:TEAM_HOOK", f"slack={ADDRESS}", f"email={mail}"])
    assert [one.name for one in found] == [
        "overlap-notify-slack", "overlap-notify-slack-2", "overlap-notify-email",
    ]  # fmt: skip
    assert SECRET not in repr(found)
    assert found[0].address == ADDRESS
    assert parse_receivers(["none"]) == ()
    assert mail_url(mail) == (
        "mailtos://me:pass@mail.example:587?smtp=mail.example&mode=starttls&format=text"
        "&from=a%40b.example&to=c%40d.example%2Ce%40f.example"
    )


@pytest.mark.filterwarnings("ignore:'imghdr' is deprecated")  # Apprise imports it
@pytest.mark.parametrize("path", ["/hooks/Key_1-x/", "/hooks", "/a%20b?id=5&empty=&q=a%26b", ""])
def test_a_slack_compatible_webhook_receives_the_text_alone(path: str) -> None:
    with web_receiver() as web:
        (receiver,) = parse_receivers([f"slack={web.url}{path}"])
        block = receiver.block()
        assert isinstance(block, SlackWebhook)
        block.notify("subject\n<text> \\n 10 % :tada: & more", "")
    (delivery,) = web.deliveries
    assert delivery.path.removeprefix("/") == path.removeprefix("/")
    assert delivery.content_type == "application/json"
    assert delivery.json == {"text": "subject\n<text> \\n 10 % :tada: & more"}


@pytest.mark.parametrize(
    ("option", "code"),
    [
        (ADDRESS, "malformed-receiver"),
        (f"pager={ADDRESS}", "malformed-receiver"),
        ("none=x", "malformed-receiver"),
        (f"slack=ftp://{SECRET}", "invalid-receiver"),
        (f"email=smtp://{SECRET}", "invalid-receiver"),
        (f"email=smtp://host:{SECRET}?from=a&to=b", "invalid-receiver"),
        ("webhook=env:NOT_SET_AT_ALL", "variable-missing"),
    ],
)
def test_a_wrong_receiver_is_refused_without_showing_it(option: str, code: str) -> None:
    with raises(ConfigError, code) as refused:
        parse_receivers([option])
    assert SECRET not in f"{refused.value} {refused.value.fields}"


def test_the_time_without_success_follows_the_schedule() -> None:
    assert longest_pause_hours("0 2 * * *", "UTC") == 26
    assert longest_pause_hours("0 2 * * 1-5", "UTC") == 74
    names = [entry["name"] for entry in read_definitions(None)]
    assert "overlap-notify-silence" not in names
    *_, silence = read_definitions(1.5)
    assert silence["trigger"]["within"] == 5400
    assert "1.5 h" in silence["text"]


def test_the_automations_name_the_events_of_runs() -> None:
    from flows.announcer import EVENTS

    expected = {event for entry in read_definitions(None) for event in entry["trigger"]["expect"]}
    own = {event for event in expected if event.startswith("overlap.")}
    assert own == set(EVENTS.values()) - {"overlap.run.unchanged"}


def test_a_file_with_the_address(tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    file.write_text(f"data: D\nnotify:\n  webhook: {ADDRESS}\n")
    config = configure(None, file)
    assert config.notify.webhook is not None
    assert SECRET not in repr(config)
