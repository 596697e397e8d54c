"""Numbers of lists as they are written."""

import re
from typing import Final

ITEM: Final = re.compile(r"(?m)^(\d+)\. ")


def numbered(text: str) -> str:
    r"""The Markdown with every list broken where its numbers jump.

    Markdown counts the items of a list by itself and heeds only the first number; a list that is
    cited by its numbers, as the decisions are, would be numbered anew behind a gap.

    Examples:
        >>> numbered("1. a\n2. b\n5. c")
        '1. a\n2. b\n\n<!-- -->\n\n5. c'
    """
    parts, last, end = [], None, 0
    for item in ITEM.finditer(text):
        number = int(item[1])
        if last is not None and number > last + 1:
            parts += [text[end : item.start()], "\n<!-- -->\n\n"]
            end = item.start()
        last = number
    return "".join([*parts, text[end:]])
