"""What the documentation tells people to type is there: programs, options, targets, files.

The blocks of README and tutorial are also run: `tests/e2e/test_documentation.py`.
"""

import re
import shlex
import tomllib

import pytest

from overlap.config.loading import checked
from support.command_lines import refusal
from support.markdown_blocks import ROOT, blocks

DOCUMENTS = sorted(
    str(file.relative_to(ROOT))
    for file in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md"))
)
PROGRAMS = {"dask", "overlap", "prefect"}


def lines(document: str) -> list[list[str]]:
    """Words of every line of every block that begins with a program or make."""
    found = []
    for block in blocks(document):
        whole = re.sub(r"\\\n\s*", " ", block.text)
        for line in whole.splitlines():
            command = re.match(r"(dask|make|overlap|prefect) [^|<>]*", line)
            if command and "…" not in command[0] and "(" not in command[0].partition(" #")[0]:
                found.append([command[1], *shlex.split(command[0], comments=True)[1:]])
    return found


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_command_is_one_that_its_program_accepts(document: str) -> None:
    wrong = [refusal(words) for words in lines(document) if words[0] in PROGRAMS]
    assert [said for said in wrong if said] == []


def test_commands_are_found() -> None:
    assert sum(len(lines(document)) for document in DOCUMENTS) > 60
    assert ["make", "run"] in lines("README.md")
    assert ["overlap", "models", "list", "--workspace", "W"] in lines("README.md")


def test_every_target_of_make_exists() -> None:
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"(?m)^([\w-]+):(?!=)", makefile))
    text = "".join((ROOT / document).read_text() for document in DOCUMENTS)
    named = set(re.findall(r"(?m)(?:`|^    )make ([\w-]+)", text))
    assert {"run", "test", "docs", "lint"} <= named
    assert named - targets == set()


def configurations() -> list[tuple[str, str]]:
    """Blocks that are a configuration in TOML, with the document that shows each."""
    return [
        (document, block.text)
        for document in DOCUMENTS
        for block in blocks(document)
        if re.match(r"\[\[?[a-z]+(\.[a-z]+)*\]\]?\s", block.text)
    ]


def test_every_configuration_is_accepted() -> None:
    found = configurations()
    assert {"docs/howto/resolution.md", "docs/howto/network.md", "docs/howto/own-data.md"} <= {
        document for document, _ in found
    }
    for _, text in found:
        checked(tomllib.loads(text) | {"data": "D"})


def test_every_link_leads_to_a_file() -> None:
    """In the repository too, where the site's pages are read as files."""
    for document in (*DOCUMENTS, "CHANGELOG.md"):
        text = re.sub(r"(?m)^    .*$|```.*?```", "", (ROOT / document).read_text(), flags=re.DOTALL)
        for target in re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", text):
            assert (ROOT / document).parent.joinpath(target).exists(), (document, target)
