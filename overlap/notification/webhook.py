"""Sends messages to a webhook. A receiver that fails never fails a run."""

import http.client
import json
import os
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any, Final

from overlap.config import NotifyConfig
from overlap.notification.notice import Notice
from overlap.redaction import masked, remember_secret, without_path

TIMEOUT_SECONDS: Final = 10.0
"""Longest wait for the receiver's answer."""


class Messenger:
    """Sends the messages of one run; a failure is reported once.

    Args:
        config: The webhook and the form of a message.
        warn: Prints one line for the user.
    """

    def __init__(self, config: NotifyConfig, warn: Callable[[str], None]) -> None:
        self._format, self._warn, self._warned = config.format, warn, False
        self._address = self._resolved(config)

    def send(self, notice: Notice) -> None:
        """Send a message, unless no webhook is set."""
        if self._address is None:
            return
        try:
            post(self._address, content(notice, self._format))
        except (OSError, http.client.HTTPException, ValueError) as error:
            self._fail(
                f"{without_path(self._address)} did not accept a message: {reason(error)}; the "
                "run is not affected"
            )

    def _resolved(self, config: NotifyConfig) -> str | None:
        if config.webhook is None:
            return None
        if config.variable is None:
            return config.webhook.get_secret_value()
        address = os.environ.get(config.variable, "").strip()
        if not address.startswith(("https://", "http://")):
            fault = "does not contain a web address" if address else "is not set"
            self._fail(
                f"notify.webhook: the environment variable {config.variable} {fault}; no messages "
                "are sent"
            )
            return None
        remember_secret(address)
        return address

    def _fail(self, text: str) -> None:
        if not self._warned:
            self._warned = True
            self._warn(masked(text))


def content(notice: Notice, form: str) -> dict[str, Any]:
    """Return what is sent: the text alone for Slack, or everything."""
    if form == "slack":
        return {"text": f"{masked(notice.subject)}\n{notice.text}"}
    return notice.as_json()


def post(address: str, body: dict[str, Any]) -> None:
    """Send JSON.

    Args:
        address: Address of the receiver; http or https.
        body: The JSON object.

    Raises:
        OSError: The receiver does not answer, or with an error.
    """
    request = urllib.request.Request(  # noqa: S310  the configuration accepts http and https only
        address,
        json.dumps(body).encode(),
        {"Content-Type": "application/json", "User-Agent": "overlap"},
        method="POST",
    )
    with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as answer:  # noqa: S310  as above
        answer.read()


def reason(error: Exception) -> str:
    """Return why a message was not accepted, without the address."""
    if isinstance(error, urllib.error.HTTPError):
        return f"HTTP {error.code} {error.reason}"
    cause = error.reason if isinstance(error, urllib.error.URLError) else error
    return masked(str(cause)) or type(error).__name__
