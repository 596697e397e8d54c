"""Standard output and error that may be closed, full, or a pipe without a reader."""

import errno
import io
import os
import sys
from contextlib import suppress
from typing import Final, TextIO

PIPE_CLOSED_CODE: Final = 141
"""Exit code after writing to a closed pipe: 128 + SIGPIPE, as of other tools."""
FAILED_CODE: Final = 1
"""Exit code if the output could not be written."""


class OutputError(Exception):
    """Standard output cannot be written.

    It is no OSError: Click and Rich would handle that on their own.

    Attributes:
        code: The exit code.
    """

    def __init__(self, error: OSError) -> None:
        super().__init__(f"standard output cannot be written ({error.strerror or error})")
        self.code = PIPE_CLOSED_CODE if error.errno == errno.EPIPE else FAILED_CODE


class _Output(io.TextIOWrapper):
    """Standard output whose errors are an `OutputError`."""

    def write(self, text: str, /) -> int:
        try:
            return super().write(text)
        except OSError as error:
            raise self._ended(error) from None

    def flush(self) -> None:
        try:
            super().flush()
        except OSError as error:
            raise self._ended(error) from None

    def _ended(self, error: OSError) -> OutputError:
        """Discard everything that is written later, such as the buffer at the end of Python."""
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, self.fileno())
        os.close(nothing)
        return OutputError(error)


class _Messages(_Output):
    """Standard error; messages that cannot be written are discarded."""

    def write(self, text: str, /) -> int:
        with suppress(OutputError):
            return super().write(text)
        return len(text)

    def flush(self) -> None:
        with suppress(OutputError):
            super().flush()


def prepare_streams() -> None:
    """Replace the standard streams by ones whose failure ends the command in one message.

    A closed descriptor is opened on the null device first: otherwise the next file or connection
    would get its number, and output of child processes would be written into it.
    """
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDONLY if descriptor == 0 else os.O_WRONLY)
    sys.stdout = _replaced(sys.stdout, 1, _Output)
    sys.stderr = _replaced(sys.stderr, 2, _Messages)


def flush_output() -> None:
    """Write what is buffered.

    Raises:
        OutputError: it cannot be written.
    """
    sys.stdout.flush()


def _replaced(stream: TextIO | None, descriptor: int, kind: type[_Output]) -> TextIO:
    """Return a stream of the kind with the settings of an existing one."""
    if stream is None:  # Python found the descriptor closed
        return kind(open(descriptor, "wb", closefd=False), encoding="utf-8", line_buffering=True)
    if not isinstance(stream, io.TextIOWrapper) or isinstance(stream, _Output):
        return stream  # a test or a notebook captures it
    with suppress(OSError):
        stream.flush()
    return kind(
        stream.buffer,
        encoding=stream.encoding,
        errors="backslashreplace" if stream.errors == "strict" else stream.errors,
        line_buffering=stream.line_buffering,
        write_through=stream.write_through,
    )
