"""The message about a run that fails, sent once however many blocks the error passes."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from overlap.config import RunConfig
from overlap.io.location import Location
from overlap.notification.notice import RunLinks, failure_notice
from overlap.notification.webhook import Messenger

TOLD: Final = "_overlap_told"
"""Attribute of an error about which a message was sent."""


def tell_failure(messenger: Messenger, of: RunLinks, error: Exception) -> None:
    """Send the message about an error, unless one was sent.

    Args:
        messenger: Sends it.
        of: The run.
        error: The error.
    """
    if not vars(error).get(TOLD):
        vars(error)[TOLD] = True
        messenger.send(failure_notice(of, error))


@contextmanager
def failures_told(config: RunConfig, warn: Callable[[str], None]) -> Iterator[None]:
    """Send a message if the block fails, for instance because the data folder is missing.

    Args:
        config: The run.
        warn: Prints one line for the user.
    """
    try:
        yield
    except Exception as error:
        if config.notify.webhook is not None:
            of = RunLinks(Location.of(config.workspace), config.data_name, view=config.view.url)
            tell_failure(Messenger(config.notify, warn), of, error)
        raise
