"""Expected errors, by class, code and fields: a message may be reworded, a code may not."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from overlap.errors import OverlapError


@contextmanager
def raises(
    kind: type[OverlapError], code: str, /, **fields: object
) -> Iterator[pytest.ExceptionInfo[OverlapError]]:
    """Assert that the block raises an error of this class with this code and these fields.

    Fields that are not named here may have any value.
    """
    with pytest.raises(kind) as caught:
        yield caught
    error = caught.value
    assert error.code == code, f"{error.code}: {error}"
    assert {name: error.fields.get(name) for name in fields} == fields


def printed_code(output: str) -> str | None:
    """The code at the end of the message with which the command line ends, or None.

    Examples:
        >>> printed_code("error: D: no such folder [no-such-folder]\\n")
        'no-such-folder'
    """
    found = re.search(
        r"^(?:error|failed): .*\[([a-z0-9-]+)\]\n?\Z", output, re.DOTALL | re.MULTILINE
    )
    return found[1] if found else None
