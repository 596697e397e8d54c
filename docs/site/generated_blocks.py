"""Generated parts of Markdown files, between two comments that name them."""

import re
from typing import Final

BLOCK: Final = "<!-- generated: {name} -->\n\n{content}\n\n<!-- end of {name} -->"


def filled(text: str, name: str, content: str) -> str:
    r"""Return a Markdown text with new content in one of its generated blocks.

    Args:
        text: The Markdown file.
        name: Name of the block; the file contains it exactly once.
        content: The new content, Markdown.

    Raises:
        ValueError: the text does not contain exactly one such block.

    Examples:
        >>> filled("a <!-- generated: x --> old <!-- end of x --> b", "x", "new")
        'a <!-- generated: x -->\n\nnew\n\n<!-- end of x --> b'
    """
    whole = re.compile(f"<!-- generated: {name} -->.*?<!-- end of {name} -->", re.DOTALL)
    block = BLOCK.format(name=name, content=content.strip("\n"))
    changed, count = whole.subn(lambda _: block, text)
    if count != 1:
        raise ValueError(f"{count} blocks are named {name}, 1 is expected")
    return changed
