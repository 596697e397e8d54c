"""Configuration files as editors and other programs write them."""

import codecs
import time
from itertools import pairwise
from pathlib import Path

import pytest

from overlap.config.loading import configure
from overlap.errors import ConfigError
from support.errors import raises
from support.trials import trial

TOML, YAML, JSON = (
    "[training]\nepochs = 3\n",
    "training:\n  epochs: 3\n",
    '{"training":{"epochs":3}}',
)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        pytest.param("c.toml", TOML, marks=trial(
            "J", "a TOML configuration with a byte order mark", source="own",
            before="invalid statement at line 1", now="read")),
        pytest.param("c.yaml", YAML, marks=trial(
            "J", "a YAML configuration with a byte order mark", source="own", before="correct",
            now="read")),
        pytest.param("c.json", JSON, marks=trial(
            "J", "a JSON configuration with a byte order mark", source="own",
            before="unexpected UTF-8 BOM", now="read")),
    ],
)  # fmt: skip
def test_byte_order_marks(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_bytes(codecs.BOM_UTF8 + text.encode())
    assert configure({"data": "x"}, tmp_path / name).training.epochs == 3


@trial(
    "J", "a configuration named `RUN.TOML`", source="own", before="read as YAML: no sections",
    now="read as TOML",
)  # fmt: skip
def test_suffixes_in_capitals(tmp_path: Path) -> None:
    (tmp_path / "RUN.TOML").write_text(TOML)
    assert configure({"data": "x"}, tmp_path / "RUN.TOML").training.epochs == 3


@pytest.mark.parametrize(
    ("name", "text", "lines"),
    [
        pytest.param("c.yaml", YAML + "ensemble: {members: 2}\ntraining:\n  batch_size: 8\n",
            "lines 1, 4", marks=trial(
                "I", "a YAML section that stands twice", source="own",
                before="the first was dropped", now="refused with both lines")),
        pytest.param("c.yaml", "training:\n  epochs: 3\n  epochs: 4\n", "lines 2, 3", marks=trial(
                "I", "a YAML key that stands twice in a section", source="own",
                before="the first was dropped", now="refused with both lines")),
        pytest.param("c.json", '{"training": {"epochs": 3},\n "training": {}}', "lines 1, 2",
            marks=trial(
                "I", "a JSON section that stands twice", source="own",
                before="the first was dropped", now="refused with both lines")),
    ],
)  # fmt: skip
def test_repeated_keys(tmp_path: Path, name: str, text: str, lines: str) -> None:
    (tmp_path / name).write_text(text)
    with raises(ConfigError, "repeated-key", path=str(tmp_path / name)) as error:
        configure({"data": "x"}, tmp_path / name)
    assert lines in str(error.value)


def test_a_merge_is_no_repetition(tmp_path: Path) -> None:
    text = "training: &a\n  epochs: 3\nvalidation: {holdout: 0.2}\nensemble: {<<: {members: 2}}\n"
    (tmp_path / "c.yaml").write_text(text)
    assert configure({"data": "x"}, tmp_path / "c.yaml").ensemble.members == 2


def references(levels: int) -> str:
    """References to references, which stand for 9 to the power of the levels values."""
    letters = [chr(ord("a") + n) for n in range(levels + 1)]
    lines = ["a: &a [1,1,1,1,1,1,1,1,1]"]
    for before, letter in pairwise(letters):
        lines.append(f"{letter}: &{letter} [{','.join(['*' + before] * 9)}]")
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("name", "text", "fact"),
    [
        pytest.param("c.yaml", YAML.encode("utf-16"), "UTF-16", marks=trial(
            "J", "a configuration in UTF-16, as PowerShell writes", source="own",
            before="byte 0xff cannot be decoded", now="UTF-16 is named")),
        pytest.param("c.yaml", b"training:\n  epochs: 3 # \xe9\n", "line 2", marks=trial(
            "J", "a configuration in Latin-1", source="own", before="position in bytes",
            now="the line is named")),
        pytest.param("c.yaml", b"x: " + b"[" * 3000 + b"]" * 3000, "nested", marks=trial(
            "J", "YAML nested 3,000 deep", source="own", before="RecursionError with a traceback",
            now="refused in one line")),
        pytest.param("c.json", b'{"x": ' + b"[" * 200000 + b"]" * 200000 + b"}", "nested",
            marks=trial("J", "JSON nested 200,000 deep", source="own",
                before="RecursionError with a traceback", now="refused in one line")),
        pytest.param("c.toml", b"x = " + b"[" * 3000 + b"]" * 3000, "nested", marks=trial(
            "J", "TOML nested 3,000 deep", source="own", before="RecursionError with a traceback",
            now="refused in one line")),
        pytest.param("c.yaml", references(12).encode(), "aliases", marks=trial(
            "J", "YAML aliases that stand for a billion values", source="own",
            before="no answer within minutes", now="refused within a second")),
    ],
)  # fmt: skip
def test_files_that_are_refused(tmp_path: Path, name: str, text: bytes, fact: str) -> None:
    (tmp_path / name).write_bytes(text)
    began = time.monotonic()
    with raises(ConfigError, "unreadable-file", path=str(tmp_path / name)) as error:
        configure({"data": "x"}, tmp_path / name)
    assert fact in str(error.value)
    assert time.monotonic() - began < 5


@trial(
    "J", "`--set` with a value nested 3,000 deep, and with a key of 3,000 parts", source="own",
    before="RecursionError with a traceback", now="refused in one line",
)  # fmt: skip
def test_deep_assignments() -> None:
    for text in ("training.epochs=" + "[" * 3000, ".".join("a" * 3000) + "=1"):
        with raises(ConfigError, "malformed-assignment"):
            configure({"data": "x"}, None, [text])
