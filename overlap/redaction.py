"""Masking of secrets in messages, logs and stored text.

Secrets are the values of environment variables with names such as `..._PASSWORD`, and passwords
within addresses. Addresses of data and workspaces may not contain any, because they are parameters
of a run, which Prefect stores and shows.
"""

import logging
import os
import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any, Final

HIDDEN: Final = "***"
SHORTEST: Final = 8
"""Minimum length of a masked value, characters: a shorter one occurs in ordinary words."""
SECRET: Final = re.compile(
    r"SECRET|PASSWORD|PASSWD|PASSPHRASE|TOKEN|CREDENTIAL|API_?KEY|ACCESS_?KEY|ACCOUNT_?KEY"
    r"|PRIVATE_?KEY|SAS_?KEY|AUTH_STRING|CONNECTION_STRING|WEBHOOK",
    re.IGNORECASE,
)
NO_SECRET: Final = re.compile(r"(_ID|_FILE|_PATH|_DIR|_NAME|_SECONDS|_EXPIRATION)$", re.IGNORECASE)
"""Names of variables that describe a secret, for instance its file."""
IN_ADDRESS: Final = re.compile(r"(?<=://)([^\s/:@'\"]*):([^\s/@'\"]+)@")
"""`user:password@` in an address."""
IN_QUERY: Final = re.compile(
    r"(://[^\s'\"]*[?&](?:[^=&\s]*(?:secret|password|token|key)|sig|signature)=)[^&\s'\"]+",
    re.IGNORECASE,
)
"""`?key=…` in an address."""


def is_secret(name: str) -> bool:
    """Return whether a variable, option or key of this name contains a secret.

    Examples:
        >>> is_secret("AWS_SECRET_ACCESS_KEY"), is_secret("AWS_ACCESS_KEY_ID"), is_secret("token")
        (True, False, True)
    """
    return bool(SECRET.search(name)) and not NO_SECRET.search(name)


def in_address(address: str) -> bool:
    """Return whether an address contains a password or a key.

    Examples:
        >>> in_address("s3://key:secret@bucket/data"), in_address("abfs://box@name.host/data")
        (True, False)
    """
    return "://" in address and bool(IN_ADDRESS.search(address) or IN_QUERY.search(address))


def masked(text: str, environment: Mapping[str, str] | None = None) -> str:
    """Return a text with the secrets of the environment and of addresses masked.

    Args:
        text: Text that will be shown, logged or stored.
        environment: Variables whose secrets are masked; None: the environment of this process.

    Examples:
        >>> masked("as s3://me:hidden@host", {}), masked("no 12345678", {"DB_PASSWORD": "12345678"})
        ('as s3://me:***@host', 'no ***')
    """
    secrets = {*_secrets(os.environ if environment is None else environment), *_remembered}
    for value in sorted(secrets, key=len, reverse=True):  # a secret may contain another
        text = text.replace(value, HIDDEN)
    text = IN_ADDRESS.sub(rf"\1:{HIDDEN}@", text)
    return IN_QUERY.sub(rf"\1{HIDDEN}", text)


_remembered: set[str] = set()


def remember_secret(value: str) -> None:
    """Mask a value in all future messages and logs of this process."""
    if len(value) >= SHORTEST:
        _remembered.add(value)


def without_path(address: str) -> str:
    """Return an address of which only scheme and host are shown.

    Examples:
        >>> without_path("https://me:hidden@host.example:8443/services/T0/B1?key=2")
        'https://host.example:8443/***'
    """
    scheme, separator, rest = address.partition("://")
    if not separator:
        return HIDDEN
    host = re.split(r"[/?#]", rest, maxsplit=1)[0].rpartition("@")[2]
    return f"{scheme}://{host}/{HIDDEN}"


def _secrets(environment: Mapping[str, str]) -> Iterator[str]:
    for name, value in environment.items():
        if is_secret(name) and not os.path.exists(value):  # noqa: PTH110  the path of a secret file
            user, colon, password = value.partition(":")
            found = [value, password] if colon and user.isalnum() else [value]
        else:
            found = [password for _, password in IN_ADDRESS.findall(value)]
        yield from (secret for secret in found if len(secret) >= SHORTEST)


def secret_keys(
    values: Any,  # noqa: ANN401  any YAML value
    allowed: Collection[str] = (),
    below: str = "",
) -> list[str]:
    """Return the dotted paths of nested values that contain secrets.

    Args:
        values: Values of a configuration.
        allowed: Paths that may contain one.
        below: Path of the values.
    """
    if below in allowed:
        return []
    if isinstance(values, Mapping):
        found = []
        for key, value in values.items():
            path = f"{below}.{key}" if below else str(key)
            plain = isinstance(value, str) and bool(value) and path not in allowed
            secret = plain and is_secret(str(key))
            found += [path] if secret else secret_keys(value, allowed, path)
        return found
    if isinstance(values, list | tuple):
        return [path for value in values for path in secret_keys(value, allowed, below)]
    return [below] if isinstance(values, str) and in_address(values) else []


def hide_in_logs() -> None:
    """Mask secrets in all future log records of this process, for every logger and handler."""
    made = logging.getLogRecordFactory()
    if getattr(made, "hides_secrets", False):
        return

    def factory(*args: Any, **kwargs: Any) -> logging.LogRecord:  # noqa: ANN401  as logging calls
        record = made(*args, **kwargs)
        try:
            record.msg, record.args = masked(record.getMessage()), ()
        except (
            TypeError,
            ValueError,
        ):  # logging itself reports a format that does not match its arguments
            return record
        if record.exc_info and not record.exc_text:
            record.exc_text = masked(logging.Formatter().formatException(record.exc_info))
        return record

    factory.hides_secrets = True  # type: ignore[attr-defined]
    logging.setLogRecordFactory(factory)
