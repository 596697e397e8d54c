"""Tells the outcome of a run: to the webhook of its configuration, and to its Prefect server.

A server receives events, to which the automations of `overlap deploy --notify` react. Failures and
crashes are events of Prefect itself. Nothing here ever fails a run.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

from prefect import get_run_logger
from prefect.client.orchestration import get_client
from prefect.context import FlowRunContext
from prefect.events import emit_event
from prefect.settings import PREFECT_API_URL
from prefect.utilities.urls import url_for

from flows.service.embedded_server import is_embedded
from overlap.config import RunConfig, fingerprint
from overlap.ensemble.registry import EnsembleRecord
from overlap.features.compare import DriftRow
from overlap.io.location import Location
from overlap.notification.failures import tell_failure
from overlap.notification.notice import (
    Notice,
    RunLinks,
    current_champion,
    data_notices,
    outcome_notice,
    shown_kl,
)
from overlap.notification.webhook import Messenger
from overlap.promotion.champion import Promotion
from overlap.redaction import masked
from tasks.progress import note

EVENTS: Final = {
    "promoted": "overlap.run.promoted",
    "not-promoted": "overlap.run.not-promoted",
    "unchanged": "overlap.run.unchanged",
    "drift": "overlap.data.drift",
    "unusable-clips": "overlap.data.unusable-clips",
}
"""Events of a server by the kind of message; `deployments/notifications.yaml` names them."""
EVENT_PAUSE_SECONDS: Final = 5
"""Pause between two events; of two webhooks called at the same moment, a server may lose one.

Webhook blocks share one pool of connections, which each of them closes at its end (Prefect 3.8,
`prefect/blocks/webhook.py`).
"""
CHAMPION_LABEL: Final = "overlap.champion"
"""Label of a flow run: the champion at its start, for messages about a failure."""


class Announcer:
    """Tells what a run has found.

    Args:
        config: The run.
    """

    def __init__(self, config: RunConfig) -> None:
        workspace = Location.of(config.workspace)
        self._limits = config.notify
        self._messenger = Messenger(config.notify, note)
        self._server = has_server()
        self._links = RunLinks(workspace, config.data_name, run_address(), config.view.url)
        if self._server:
            self._guarded(self._label_run)

    def published(
        self,
        record: EnsembleRecord,
        promotion: Promotion,
        drift: Sequence[DriftRow],
        headline: str,
    ) -> None:
        """Tell that a run has published an ensemble, and what is wrong with its data."""

        def compose() -> None:
            outcome = outcome_notice(self._links, record, promotion, headline)
            if outcome.event == "unchanged":
                self._tell(outcome, message=False)
                return
            self._tell(outcome)
            for notice in data_notices(self._links, record, drift, self._limits):
                if self._server:
                    time.sleep(EVENT_PAUSE_SECONDS)
                self._tell(notice)

        self._guarded(compose)

    def unchanged(self, reason: str) -> None:
        """Tell the server that a run had nothing to do; nobody receives a message."""
        subject = f"overlap: {self._links.data} unchanged"
        notice = Notice("unchanged", subject, reason, links=self._links.links())
        self._guarded(lambda: self._tell(notice, message=False))

    def failed(self, error: Exception) -> None:
        """Send a message about a failure; the server has an event of its own."""
        self._guarded(lambda: tell_failure(self._messenger, self._links, error))

    def _tell(self, notice: Notice, *, message: bool = True) -> None:
        if message:
            self._messenger.send(notice)
        if self._server:
            workspace = self._links.workspace
            emit_event(
                EVENTS[notice.event],
                {
                    "prefect.resource.id": f"overlap.workspace.{fingerprint(str(workspace))}",
                    "prefect.resource.name": str(workspace),
                },
                payload=notice.as_json(),
            )

    def _label_run(self) -> None:
        version, kl = current_champion(self._links.workspace)
        shown = f"{version}, KL {shown_kl(kl)}" if version else "none"
        context = FlowRunContext.get()
        if context is not None and context.flow_run is not None:
            with get_client(sync_client=True) as client:
                client.update_flow_run_labels(context.flow_run.id, {CHAMPION_LABEL: shown})

    def _guarded(self, action: Callable[[], Any]) -> None:
        try:
            action()
        except Exception as error:  # noqa: BLE001  a message never fails a run
            get_run_logger().warning(
                "a message about this run was not composed: %s: %s",
                type(error).__name__, masked(str(error)),
            )  # fmt: skip


@contextmanager
def announced(config: RunConfig) -> Iterator[Announcer]:
    """Tell the outcome of the run in the block, also if it fails; must be within a flow."""
    announcer = Announcer(config)
    try:
        yield announcer
    except Exception as error:
        announcer.failed(error)
        raise


def has_server() -> bool:
    """Return whether this run reports to a server that outlives it."""
    address = PREFECT_API_URL.value()
    return bool(address) and not is_embedded(address)


def run_address() -> str | None:
    """Return the address of this flow run in the UI of its server; None without a server."""
    context = FlowRunContext.get()
    run = context.flow_run if context else None
    return url_for("flow-run", obj_id=run.id) if run is not None and has_server() else None
