"""Progress as a person sees it: in a real pseudo-terminal, in a plain one, and in a file."""

import io
import os
import pty
import re
import subprocess
import sys
import time
from collections.abc import Mapping

import pytest
from rich.console import Console

from flows.cli.console import ERR, OUT
from support.processes import OVERLAP
from support.trials import trial
from tasks.progress import TERMINAL, stage

WORK = """
import time
from flows.cli.console import ERR
from tasks.progress import TERMINAL, stage
with TERMINAL.shown(ERR), stage("features (clips)", 4, unit="clip") as work:
    for _ in range(3):
        time.sleep(0.4)
        work.advance()
    time.sleep(0.6)
"""
COLOUR = re.compile(r"\x1b\[[0-9;]*3[0-9][;m]")


def in_terminal(*command: str, **extra: str) -> str:
    """What a command writes to a pseudo-terminal of 120 columns, which is all that it has."""
    ours, theirs = pty.openpty()
    plain = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "FORCE_COLOR", "CI")}
    environment: Mapping[str, str] = plain | {"TERM": "xterm-256color", "COLUMNS": "120"} | extra
    with subprocess.Popen(
        command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment
    ) as child:
        os.close(theirs)
        said = b""
        while part := _read(ours):
            said += part
        assert child.wait(60) == 0, said.decode()
    os.close(ours)
    return said.decode()


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 4096)
    except OSError:  # Linux tells the end of a pseudo-terminal so
        return b""


@pytest.mark.extended
def test_a_bar_shows_how_much_how_fast_and_how_long() -> None:
    said = in_terminal(sys.executable, "-c", WORK)
    assert "features (clips)" in said
    assert "━" in said
    assert "3/4" in said
    assert re.search(r"[12]\.\d clips/s", said)
    assert re.search(r"0\.[89] s, 0\.[0-5] s left", said)  # so long, and the time left
    assert COLOUR.search(said)


@pytest.mark.extended
@pytest.mark.parametrize("told", ["NO_COLOR", "TERM"])
def test_without_colour_there_is_none(told: str) -> None:
    said = in_terminal(sys.executable, "-c", WORK, **{told: "1" if told == "NO_COLOR" else "dumb"})
    assert not COLOUR.search(said)
    if told == "TERM":
        assert "features (clips): 3 of 4" in said
        assert "\x1b" not in said  # nothing but lines
    else:
        assert "3/4" in said


@pytest.mark.parametrize("place", [0, 1])
def test_the_option_no_color_may_stand_anywhere(place: int) -> None:
    options = ["models", "list", "--workspace", "nothing"]
    plain = in_terminal(OVERLAP, *options[: place * 4], "--no-color", *options[place * 4 :])
    assert "no ensembles in" in plain
    helped = in_terminal(OVERLAP, "status", "--help")
    bare = in_terminal(OVERLAP, *["--no-color"] * (1 - place), "status", "--help",
                       *["--no-color"] * place)  # fmt: skip
    assert COLOUR.search(helped)
    assert not COLOUR.search(bare)


def test_lines_tell_the_time_left(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[-1])
    with (
        TERMINAL.shown(Console(stderr=True, width=200)),
        stage("members", 8, unit="member") as work,
    ):
        work.start()
        for second in (10.0, 70.0, 80.0, 140.0):
            clock.append(second)
            work.advance()
            work.start()  # every event of a member calls it
    assert capsys.readouterr().err.splitlines() == [
        "members: 2 of 8, 35 s per member, 3 min 30 s left",
        "members: 4 of 8, 35 s per member, 2 min 20 s left",
    ]


def test_the_clock_of_a_stage_starts_at_its_first_event(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A member that waited, and then resumed after epoch 5, counts only its own epochs."""
    clock = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[-1])
    with (
        TERMINAL.shown(Console(stderr=True, width=200)),
        stage("member 2", 20, unit="epoch", waits_for="a training worker") as work,
    ):
        assert work.status() == "member 2: waits for a training worker"
        clock.append(2000.0)
        work.say("starts")
        clock.append(2040.0)
        work.advance(6, "loss 1.0")
        assert work.status() == "member 2: 6 of 20, loss 1.0"
        clock.append(2050.0)
        work.advance()
        assert work.status() == "member 2: 7 of 20, 10 s per epoch, 2 min 10 s left"
        clock.append(2055.0)
        assert work.status().endswith("2 min 05 s left")
        work.restart("restarts")
        clock.append(2100.0)
        work.advance()
        assert work.status() == "member 2: 1 of 20"
    assert "member 2: waits" not in capsys.readouterr().err


def test_lines_never_wrap(capsys: pytest.CaptureFixture[str]) -> None:
    text = ", ".join(["member 1 of 3 (epochs): 3 of 8 loss 0.8209, held-out KL 1.0776"] * 3)
    with TERMINAL.shown(Console(stderr=True, width=40)):
        TERMINAL.line(text)
        TERMINAL.note(text)
    ERR.print(text)
    OUT.print(text)
    said = capsys.readouterr()
    assert said.err.splitlines() == [text, f"note: {text}", text]
    assert said.out.splitlines() == [text]


def test_what_ends_early_or_at_once_has_no_time_left(capsys: pytest.CaptureFixture[str]) -> None:
    with TERMINAL.shown(Console(stderr=True, width=200)):
        with stage("nothing", 0):
            pass
        with stage("all", 2) as work:
            work.advance(2, "at once")
    assert capsys.readouterr().err.splitlines() == ["nothing: 0 of 0", "all: 2 of 2, at once"]


class WorkError(Exception):
    """Ends a block of work."""


@trial(
    "R",
    "A notebook or service runs a flow that fails, and then another flow",
    "own",
    "The second flow shows no progress: its bars belong to the display of the first.",
    "Every flow shows its progress, whatever ended the one before.",
)
@pytest.mark.parametrize("terminal", [True, False])
def test_progress_is_shown_after_an_error(terminal: bool) -> None:
    written = io.StringIO()
    first = Console(file=io.StringIO(), force_terminal=terminal, width=200)
    with pytest.raises(WorkError), TERMINAL.shown(first), stage("lost", 2):
        raise WorkError
    with stage("between", 1) as work:  # nothing is shown outside a block
        work.advance()
    with TERMINAL.shown(Console(file=written, width=200)), stage("members", 2) as work:
        work.advance(2, "done")
    assert written.getvalue().splitlines() == ["members: 2 of 2, done"]
    assert "between" not in first.file.getvalue()


@trial(
    "R",
    "A training begins again, and the terminal shows bars",
    "own",
    "The reason is in Prefect's log only.",
    "The reason is printed above the bars.",
)
@pytest.mark.parametrize("terminal", [True, False])
def test_notes_are_shown_with_bars_and_without(terminal: bool) -> None:
    console = Console(file=io.StringIO(), force_terminal=terminal, width=200)
    with TERMINAL.shown(console), stage("members", 2):
        TERMINAL.note("the training restarts")
    assert console.file.getvalue().count("note: the training restarts") == 1
