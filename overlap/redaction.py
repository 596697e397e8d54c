"""Secrets stay where they belong: in the environment, and in no text that anyone reads.

What counts as a secret: the values of environment variables whose names say so, and passwords
within addresses. Addresses of data and workspaces hold none: they are part of a run's parameters,
which Prefect keeps and shows.
"""

import logging
import os
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

HIDDEN: Final = "***"
SHORTEST: Final = 8
"""Characters of a value that is looked for: a shorter one is part of ordinary words."""
SECRET: Final = re.compile(
    r"SECRET|PASSWORD|PASSWD|PASSPHRASE|TOKEN|CREDENTIAL|API_?KEY|ACCESS_?KEY|ACCOUNT_?KEY"
    r"|PRIVATE_?KEY|SAS_?KEY|AUTH_STRING|CONNECTION_STRING",
    re.IGNORECASE,
)
NO_SECRET: Final = re.compile(r"(_ID|_FILE|_PATH|_DIR|_NAME|_SECONDS|_EXPIRATION)$", re.IGNORECASE)
"""Names that tell where a secret is, or something about it."""
IN_ADDRESS: Final = re.compile(r"(?<=://)([^\s/:@'\"]*):([^\s/@'\"]+)@")
"""user:password@ of an address."""
IN_QUERY: Final = re.compile(
    r"(://[^\s'\"]*[?&](?:[^=&\s]*(?:secret|password|token|key)|sig|signature)=)[^&\s'\"]+",
    re.IGNORECASE,
)
"""?key=… of an address."""


def is_secret(name: str) -> bool:
    """Whether a variable, option or key of this name holds a secret.

    Examples:
        >>> is_secret("AWS_SECRET_ACCESS_KEY"), is_secret("AWS_ACCESS_KEY_ID"), is_secret("token")
        (True, False, True)
    """
    return bool(SECRET.search(name)) and not NO_SECRET.search(name)


def in_address(address: str) -> bool:
    """Whether an address holds a password or a key.

    Examples:
        >>> in_address("s3://key:secret@bucket/data"), in_address("abfs://box@name.host/data")
        (True, False)
    """
    return "://" in address and bool(IN_ADDRESS.search(address) or IN_QUERY.search(address))


def masked(text: str, environment: Mapping[str, str] | None = None) -> str:
    """A text without the secrets of the environment and of addresses.

    Args:
        text: What is about to be shown, logged or kept.
        environment: Where secrets are looked up; None: that of this process.

    Examples:
        >>> masked("as s3://me:hidden@host", {}), masked("no 12345678", {"DB_PASSWORD": "12345678"})
        ('as s3://me:***@host', 'no ***')
    """
    secrets = {*_secrets(os.environ if environment is None else environment)}
    for value in sorted(secrets, key=len, reverse=True):  # one may be part of another
        text = text.replace(value, HIDDEN)
    text = IN_ADDRESS.sub(rf"\1:{HIDDEN}@", text)
    return IN_QUERY.sub(rf"\1{HIDDEN}", text)


def _secrets(environment: Mapping[str, str]) -> Iterator[str]:
    for name, value in environment.items():
        if is_secret(name) and not os.path.exists(value):  # noqa: PTH110  a file that holds one
            user, colon, password = value.partition(":")
            found = [value, password] if colon and user.isalnum() else [value]
        else:
            found = [password for _, password in IN_ADDRESS.findall(value)]
        yield from (secret for secret in found if len(secret) >= SHORTEST)


def secret_keys(values: Any, below: str = "") -> list[str]:  # noqa: ANN401  whatever YAML holds
    """Where nested values hold a secret: dotted paths of keys whose names say so."""
    if isinstance(values, Mapping):
        found = []
        for key, value in values.items():
            path = f"{below}.{key}" if below else str(key)
            plain = isinstance(value, str) and bool(value)
            found += [path] if plain and is_secret(str(key)) else secret_keys(value, path)
        return found
    if isinstance(values, list | tuple):
        return [path for value in values for path in secret_keys(value, below)]
    return [below] if isinstance(values, str) and in_address(values) else []


def hide_in_logs() -> None:
    """From now on no log record of this process holds a secret, whoever writes and handles it."""
    made = logging.getLogRecordFactory()
    if getattr(made, "hides_secrets", False):
        return

    def factory(*args: Any, **kwargs: Any) -> logging.LogRecord:  # noqa: ANN401  as logging calls
        record = made(*args, **kwargs)
        try:
            record.msg, record.args = masked(record.getMessage()), ()
        except (TypeError, ValueError):  # logging tells of a record that fits not its arguments
            return record
        if record.exc_info and not record.exc_text:
            record.exc_text = masked(logging.Formatter().formatException(record.exc_info))
        return record

    factory.hides_secrets = True  # type: ignore[attr-defined]
    logging.setLogRecordFactory(factory)
