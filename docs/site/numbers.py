"""Keeps the item numbers of lists as written."""

import re
from typing import Final

ITEM: Final = re.compile(r"(?m)^(\d+)\. ")


def numbered(text: str) -> str:
    r"""Return Markdown with each list split where its numbers skip.

    Markdown uses only the first number of a list and counts on from there. The decisions are
    cited by number, so the items after a gap would get wrong numbers.

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
