"""The run that the user started reports what is going on, and is never silent for long."""

import logging
import time
from contextlib import ExitStack

import pytest

from tasks.progress.followed_run import CHECK_SECONDS, HEARTBEAT_SECONDS, FollowedRun

WAITS = "waits for a training worker"


class Lines(logging.Handler):
    """Keeps what is logged."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a line."""
        self.lines.append(record.getMessage())


@pytest.fixture
def lines() -> Lines:
    """The log of the run."""
    return Lines()


@pytest.fixture
def run(lines: Lines) -> FollowedRun:
    """A run with a log of its own."""
    logger = logging.getLogger("overlap-followed-run")
    logger.handlers, logger.propagate = [lines], False
    logger.setLevel(logging.INFO)
    return FollowedRun(logger, None)


def test_a_long_silence_ends_with_what_is_going_on(
    run: FollowedRun, lines: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [time.monotonic()]
    monkeypatch.setattr(time, "monotonic", lambda: now[-1])
    with run.open(lambda: "members: 2 of 8 35 s per member, 3 min 30 s left"):
        run.beat()
        assert lines.lines == []
        now.append(now[-1] + HEARTBEAT_SECONDS)
        run.beat()
        run.beat()
        assert lines.lines == ["members: 2 of 8 35 s per member, 3 min 30 s left"]
        now.append(now[-1] + HEARTBEAT_SECONDS - 1)
        run.beat()
        assert len(lines.lines) == 1
    assert HEARTBEAT_SECONDS + CHECK_SECONDS < 45


def test_waiting_members_are_counted(run: FollowedRun) -> None:
    assert run.status() == "the run continues"
    with ExitStack() as opened:
        for number, does in enumerate(["3 of 8 loss 0.8", WAITS], 1):
            text = f"member {number} of 3 (epochs): {does}"
            opened.enter_context(run.open(lambda text=text: text))
        assert run.status() == (
            f"member 1 of 3 (epochs): 3 of 8 loss 0.8; member 2 of 3 (epochs): {WAITS}"
        )
        opened.enter_context(run.open(lambda: f"member 3 of 3 (epochs): {WAITS}"))
        assert run.status().endswith(
            "; member 2 of 3 (epochs) and 1 more wait for a training worker"
        )
    assert run.status() == "the run continues"


def test_a_wait_for_another_run_is_repeated(run: FollowedRun) -> None:
    run.idle = "waits for the run that works on w"
    assert run.status() == "waits for the run that works on w"
    with run.open(lambda: "checking the data"):
        assert run.status() == "checking the data"
    assert run.status() == "the run continues"
