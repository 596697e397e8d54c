"""The messages of a Prefect server: automations whose actions call the receivers.

`deployments/notifications.yaml` defines the automations. They also work for runs whose process
died, and for runs that never started, about which no process could send a message.
"""

import asyncio
import math
from collections.abc import Sequence
from datetime import timedelta
from itertools import pairwise
from string import Template
from typing import Any, Final, cast
from uuid import UUID

import yaml
from prefect.client.orchestration import SyncPrefectClient
from prefect.events import emit_event
from prefect.events.actions import CallWebhook, SendNotification
from prefect.events.schemas.automations import AutomationCore
from prefect.server.schemas.schedules import CronSchedule

from flows.service.deployment_files import FOLDER, renewed
from flows.service.receivers import BLOCK_PREFIX, BLOCK_TYPES, Receiver

PREFIX: Final = "overlap-notify-"
"""Begins the names of the automations."""
SILENCE: Final = "overlap-notify-silence"
DEPLOYED: Final = "overlap.deployed"
"""Event that starts the time within which a retraining must succeed."""
SPARE_HOURS: Final = 2
"""Time that a scheduled run may take, in addition to the longest pause of the schedule."""
FIRINGS: Final = 60
"""Runs of a schedule that are examined for the longest pause."""
TEXT: Final = "{% set subject %}$subject{% endset %}{% set text %}$text{% endset %}"
SLACK: Final = TEXT + '{{ subject ~ "\\n" ~ text }}'
"""Text for Slack-compatible webhooks, a template."""
JSON: Final = (
    TEXT + '{"automation": {{ automation.name | tojson }}, "subject": {{ subject | tojson }}, '
    '"text": {{ text | tojson }}, "event": {{ event.event | default(none) | tojson }}, '
    '"details": $details}'
)
"""Body for programs, a template."""


def read_definitions(silence_hours: float | None) -> list[dict[str, Any]]:
    """Read the definitions of the automations.

    Args:
        silence_hours: Time without a success after which a message is sent, h; None: never.
    """
    content = yaml.safe_load((FOLDER / "notifications.yaml").read_text("utf-8"))
    found = []
    for entry in content["automations"]:
        if entry["name"] == SILENCE:
            if silence_hours is None:
                continue
            entry["trigger"]["within"] = timedelta(hours=silence_hours).total_seconds()
            hours = {"hours": f"{silence_hours:g}"}
            for key in ("subject", "text"):
                entry[key] = Template(entry[key]).safe_substitute(hours)
        found.append(entry)
    return found


def automation(
    definition: dict[str, Any], blocks: Sequence[tuple[Receiver, UUID]]
) -> AutomationCore:
    """Return an automation with an action per receiver.

    Args:
        definition: An entry of `read_definitions`.
        blocks: The receivers and the ids of their blocks.
    """
    texts = {name: definition.get(name, "{}") for name in ("subject", "text", "details")}
    actions: list[Any] = []
    for receiver, block in blocks:
        if receiver.kind == "email":
            actions.append(
                SendNotification(
                    block_document_id=block, subject=texts["subject"], body=texts["text"]
                )
            )
        elif receiver.kind == "slack":
            text = Template(SLACK).substitute(texts)
            actions.append(SendNotification(block_document_id=block, subject="", body=text))
        else:
            body = Template(JSON).substitute(texts)
            actions.append(CallWebhook(block_document_id=block, payload=body))
    plain = {name: definition[name] for name in ("name", "description", "trigger")}
    return AutomationCore.model_validate(
        plain | {"actions": [action.model_dump(mode="json") for action in actions]}
    )


def apply_notifications(
    client: SyncPrefectClient, receivers: Sequence[Receiver], silence_hours: float | None
) -> tuple[str, ...]:
    """Create or update blocks and automations, and remove those of other receivers.

    Args:
        client: Client of the server.
        receivers: All receivers; without one, all messages end.
        silence_hours: Time without a success after which a message is sent, h; None: never.

    Returns:
        The names of the automations.
    """
    blocks = [
        (receiver, cast("UUID", receiver.block().save(receiver.name, overwrite=True)))
        for receiver in receivers
    ]
    definitions = read_definitions(silence_hours) if receivers else []
    names = tuple(renewed(client, automation(entry, blocks)) for entry in definitions)
    for old in client.read_automations():
        if old.name.startswith(PREFIX) and old.name not in names:
            client.delete_automation(old.id)
    kept = {block for _, block in blocks}
    for kind in BLOCK_TYPES:
        for document in client.read_block_documents_by_type(kind):
            # The type of a receiver's block may have been another one in an earlier version.
            if (document.name or "").startswith(BLOCK_PREFIX) and document.id not in kept:
                client.delete_block_document(document.id)
    if SILENCE in names:
        start_of_silence()
    return names


def start_of_silence() -> None:
    """Start the time within which a retraining must succeed."""
    emit_event(
        DEPLOYED,
        {"prefect.resource.id": "overlap.deployments"},
        related=[
            {
                "prefect.resource.id": "overlap.flow.nightly-retrain",
                "prefect.resource.role": "flow",
                "prefect.resource.name": "nightly-retrain",
            }
        ],
    )


def longest_pause_hours(cron: str, timezone: str) -> int:
    """Return the hours within which a schedule must have led to a success.

    Args:
        cron: The schedule, valid.
        timezone: Its time zone.

    Returns:
        The longest pause between two runs, and time for the run itself.
    """
    dates = asyncio.run(CronSchedule(cron=cron, timezone=timezone).get_dates(FIRINGS))
    pauses = [(later - earlier).total_seconds() / 3600 for earlier, later in pairwise(dates)]
    return math.ceil(max(pauses, default=24)) + SPARE_HOURS
