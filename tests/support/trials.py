"""Field trials: situations of real machines and real files, each of them a test.

`trial` marks a test, or one parameter set of a test, and states what happened before the fault was
fixed and what happens now. docs/reliability.md lists every trial; `make reference` writes the list.
"""

import ast
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Final

import pytest

from docs.site.generated_blocks import filled
from support.fault_tables import markdown
from support.markdown_blocks import ROOT

DOCUMENT: Final = ROOT / "docs" / "reliability.md"
BLOCK: Final = "field trials"
KINDS: Final = {
    "A": "Imports from the current folder",
    "B": "Outputs that the user names",
    "C": "Text in tables",
    "D": "The environment of Prefect and the network",
    "E": "Settings of other tools",
    "F": "Packages of the same name",
    "G": "Processors and accelerators of the process",
    "H": "Decoding",
    "I": "Input that is not used",
    "J": "Messages",
    "R": "Records and addresses",
    "U": "Upgrades",
    "W": "Wrappers",
}
"""Heading of each kind of trial, in the order of the document."""


@dataclass(frozen=True)
class Trial:
    """One situation.

    Attributes:
        kind: A key of `KINDS`.
        situation: What the user has or does, in Markdown.
        source: Where it was met: a public issue (`dask/distributed#1234`), a document, or `own`.
        before: What happened before the fault was fixed; `correct` if nothing was wrong.
        now: What happens now, which the test asserts.
        test: Path of the test's file and name of its function; empty in a mark.
    """

    kind: str
    situation: str
    source: str
    before: str
    now: str
    test: str = ""


def trial(kind: str, situation: str, source: str, before: str, now: str) -> pytest.MarkDecorator:
    """Mark a test, or a `pytest.param`, as a field trial.

    Args:
        kind: A key of `KINDS`. Like every other argument a string literal, because `listed` reads
            the source.
        situation: What the user has or does, in Markdown.
        source: Where it was met: a public issue (`dask/distributed#1234`), a document, or `own`.
        before: What happened before the fault was fixed; `correct` if nothing was wrong.
        now: What happens now, which the test asserts.
    """
    return pytest.mark.trial(Trial(kind, situation, source, before, now))


def listed(tests: Path = ROOT / "tests") -> list[Trial]:
    """Return every trial of the tests, in the order of kinds, files and lines.

    Raises:
        ValueError: an argument is not a string literal, or the kind is unknown.
    """
    found = []
    for file in sorted(tests.rglob("test_*.py")):
        text = file.read_text("utf-8")
        if "trial(" in text:
            found += _of_file(file.relative_to(tests.parent), ast.parse(text))
    order = [*KINDS]
    return sorted(found, key=lambda one: order.index(one.kind))


def _of_file(file: Path, tree: ast.Module) -> list[Trial]:
    names = [field.name for field in fields(Trial)][:-1]
    found = []
    for statement in tree.body:
        for node in ast.walk(statement):
            if not (isinstance(node, ast.Call) and getattr(node.func, "id", "") == "trial"):
                continue
            given = dict(zip(names, node.args, strict=False))
            given |= {keyword.arg or "**": keyword.value for keyword in node.keywords}
            values = {
                name: value.value
                for name, value in given.items()
                if isinstance(value, ast.Constant) and isinstance(value.value, str)
            }
            if [*values] != [*given] or {*values} != {*names} or values["kind"] not in KINDS:
                raise ValueError(f"{file}:{node.lineno}: a trial needs {names} as literals")
            test = getattr(statement, "name", "")
            found.append(Trial(**values, test=f"{file.as_posix()}::{test}".rstrip(":")))
    return found


def tables(trials: list[Trial]) -> str:
    """Return the trials as one table per kind, with its heading, Markdown."""
    parts = []
    for kind, heading in KINDS.items():
        if rows := [one for one in trials if one.kind == kind]:
            cells = [(one.situation, one.source, one.before, one.now) for one in rows]
            table = markdown(("situation", "source", "before", "now"), cells)
            parts.append(f"### {heading}\n\n{table}")
    return "\n\n".join(parts)


def current() -> str:
    """Return the text that docs/reliability.md must have."""
    return filled(DOCUMENT.read_text("utf-8"), BLOCK, tables(listed()))


if __name__ == "__main__":
    DOCUMENT.write_text(current(), "utf-8")
