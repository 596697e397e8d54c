"""The end of a command's process: no time is spent on releasing memory object by object.

At its end Python destroys every module and object, a second after a flow. The operating system
releases the memory at once. Everything with an effect still happens: threads that are no daemons
are awaited, exit functions run, and output is written.
"""

import atexit
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

NOT_WRITTEN_CODE: Final = 120
"""Exit code of Python if output cannot be written at its end."""


@contextmanager
def quick_exit() -> Iterator[None]:
    """End the process quickly after the block.

    Enter it before a module registers an exit function: the one of this block then runs last. An
    exception other than SystemExit ends the process as Python does.
    """
    code = 0

    def leave() -> None:
        logging.shutdown()  # its exit function may be registered earlier, and would not run
        os._exit(_written(code))

    atexit.register(leave)
    try:
        yield
    except SystemExit as end:
        if end.code is not None and not isinstance(end.code, int):  # Python prints it
            atexit.unregister(leave)
        else:
            code = end.code or 0
        raise
    except BaseException:
        atexit.unregister(leave)
        raise


def _written(code: int) -> int:
    """Write what is buffered, and return the exit code."""
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None and not stream.closed:
                stream.flush()
        except (OSError, ValueError):
            code = code or NOT_WRITTEN_CODE
        except Exception as error:  # noqa: BLE001  the streams of `standard_streams` have their own
            code = code or getattr(error, "code", NOT_WRITTEN_CODE)
    return code
