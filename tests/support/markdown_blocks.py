"""The code blocks of the documentation, as they are written."""

from dataclasses import dataclass
from pathlib import Path

from markdown_it import MarkdownIt

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Block:
    """A fenced or indented block."""

    heading: str
    """What it stands under."""
    language: str
    """Of a fence; empty where none is named, and for indented blocks."""
    text: str


def blocks(document: str) -> list[Block]:
    """The blocks of a document, which is named from the project's folder."""
    found, heading = [], ""
    tokens = MarkdownIt().parse((ROOT / document).read_text())
    for token, after in zip(tokens, [*tokens[1:], None], strict=True):
        if token.type == "heading_open" and after is not None:
            heading = after.content
        elif token.type in ("fence", "code_block"):
            found.append(Block(heading, token.info.strip(), token.content))
    return found


def block(document: str, heading: str) -> Block:
    """The only block under a heading."""
    (found,) = (block for block in blocks(document) if block.heading == heading)
    return found
