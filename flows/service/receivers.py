"""Receivers of messages, as `--notify KIND=ADDRESS` names them, and their blocks in Prefect.

An address is a secret: it is stored in a block, whose value Prefect encrypts, and no message or
error contains it.
"""

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final, Literal, cast, get_args
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from prefect.blocks.core import Block
from prefect.blocks.notifications import SlackWebhook
from prefect.blocks.webhook import Webhook
from prefect.types import SecretDict
from pydantic import SecretStr

from overlap.config.notify import BY_VARIABLE
from overlap.errors import ConfigError
from overlap.redaction import remember_secret

Kind = Literal["slack", "webhook", "email"]
"""slack: a Slack-compatible webhook; webhook: any program that reads JSON; email: SMTP."""
BLOCK_PREFIX: Final = "overlap-notify-"
"""A block is named after its receiver's kind; a second one of a kind has a number."""
BLOCK_TYPES: Final = ("webhook", "slack-webhook")
"""Types of the blocks of receivers."""
MAIL_MODES: Final = {"smtp": "insecure", "smtps": "ssl", "smtp+starttls": "starttls"}
MAIL_PORTS: Final = {"smtp": 25, "smtps": 465, "smtp+starttls": 587}
SLACK_FIELDS: Final = (
    (":message", "text"), (":title", ""), (":version", ""), (":type", ""), (":attachments", ""),
)  # fmt: skip
"""Names that Apprise gives to the fields of its JSON; a field without one is left out."""
MAIL_FORM: Final = (
    "smtp://HOST:PORT?from=SENDER&to=RECIPIENT, smtps://USER:PASSWORD@HOST?… (TLS) or "
    "smtp+starttls://USER:PASSWORD@HOST?…"
)


@dataclass(frozen=True)
class Receiver:
    """One receiver of messages."""

    kind: Kind
    name: str
    """Name of its block."""
    address: str = field(repr=False)

    def block(self) -> Block:
        """Return the block that stores the address."""
        if self.kind != "webhook":
            # The only block that a server knows without other packages and that takes any address
            # of Apprise; Prefect's interface class for them cannot be registered.
            to_apprise = mail_url if self.kind == "email" else slack_url
            return SlackWebhook(url=SecretStr(to_apprise(self.address)))
        headers = SecretDict({"Content-Type": "application/json"})
        return Webhook(method="POST", url=SecretStr(self.address), headers=headers)


def parse_receivers(options: Iterable[str]) -> tuple[Receiver, ...]:
    """Read `--notify` options; the option `none` alone means no receiver.

    Args:
        options: Each of the form KIND=ADDRESS or KIND=env:NAME.

    Raises:
        ConfigError: An option has another form, an address is invalid, or a variable is not set.
    """
    given = tuple(options)
    if given == ("none",):
        return ()
    receivers: list[Receiver] = []
    for option in given:
        kind, equals, text = option.partition("=")
        if not equals or kind not in get_args(Kind):
            raise ConfigError(
                f"--notify: an option is not of the form KIND=ADDRESS, where KIND is one of "
                f"{', '.join(get_args(Kind))}; `--notify none` alone removes all receivers",
                code="malformed-receiver",
                known=get_args(Kind),
            )
        address = _resolved(kind, text.strip())
        remember_secret(address)
        _check(cast("Kind", kind), address)
        count = sum(receiver.kind == kind for receiver in receivers) + 1
        name = BLOCK_PREFIX + kind + (f"-{count}" if count > 1 else "")
        receivers.append(Receiver(cast("Kind", kind), name, address))
    return tuple(receivers)


def _resolved(kind: str, text: str) -> str:
    named = BY_VARIABLE.fullmatch(text)
    if not named:
        return text
    address = os.environ.get(named[1], "").strip()
    if not address:
        raise ConfigError(
            f"--notify {kind}=env:{named[1]}: the environment variable {named[1]} is not set",
            code="variable-missing",
            variable=named[1],
        )
    return address


def _check(kind: Kind, address: str) -> None:
    if kind == "email":
        mail_url(address)
    elif not re.fullmatch(r"https?://[^\s/]+\S*", address):
        raise ConfigError(
            f"--notify {kind}: the address does not begin with https:// or http://",
            code="invalid-receiver",
            kind=kind,
        )


def slack_url(address: str) -> str:
    """Return the address of a Slack-compatible webhook as Apprise takes it.

    The body is `{"text": …}`. Apprise's own form for Slack accepts only the hosts of Slack. Webhook
    blocks of Prefect would send the same body, but share one pool of connections, which each of
    them closes at its end; of two messages at the same moment one may then be lost.

    Args:
        address: https://… or http://….

    Examples:
        >>> slack_url("https://host/hooks/key?a=1")
        'jsons://host/hooks/key?-a=1&:message=text&:title=&:version=&:type=&:attachments='
    """
    parts = urlsplit(address)
    query = [(f"-{name}", value) for name, value in parse_qsl(parts.query, keep_blank_values=True)]
    options = urlencode([*query, *SLACK_FIELDS], quote_via=quote, safe=":")
    return f"json{'s' * (parts.scheme == 'https')}://{parts.netloc}{parts.path}?{options}"


def mail_url(address: str) -> str:
    """Return the address of a mailbox as Prefect's notification library Apprise takes it.

    Args:
        address: smtp://HOST:PORT?from=A&to=B, with the schemes of `MAIL_MODES`; several recipients
            are separated by commas.

    Raises:
        ConfigError: The address has another form.

    Examples:
        >>> mail_url("smtp://host?from=a@b&to=c@d")
        'mailto://host:25?smtp=host&mode=insecure&format=text&from=a%40b&to=c%40d'
    """
    try:
        parts = urlsplit(address)
        scheme, host, port = parts.scheme.lower(), parts.hostname, parts.port
    except ValueError:
        scheme, host, port = "", None, None
    query = dict(parse_qsl(parts.query)) if scheme else {}
    if scheme not in MAIL_MODES or not host or not {"from", "to"} <= query.keys():
        raise ConfigError(
            f"--notify email: the address is not of the form {MAIL_FORM}",
            code="invalid-receiver",
            kind="email",
        )
    login = parts.netloc.rpartition("@")[0]
    secure = "" if scheme == "smtp" else "s"
    # Without `smtp`, Apprise guesses the server from the sender's domain.
    options = {"smtp": host, "mode": MAIL_MODES[scheme], "format": "text"}
    options |= {"from": query["from"], "to": query["to"]}
    port = port or MAIL_PORTS[scheme]
    user = f"{login}@" if login else ""
    return f"mailto{secure}://{user}{host}:{port}?{urlencode(options, quote_via=quote)}"
