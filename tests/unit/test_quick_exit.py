"""A command ends quickly, and everything with an effect happens before."""

import subprocess
import sys
from pathlib import Path

import pytest

START = "from flows.cli.quick_exit import quick_exit\n"


def ended(code: str) -> tuple[int, str, str]:
    """Run code in a process; return its exit code and what it printed."""
    done = subprocess.run(
        [sys.executable, "-c", START + code], capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize(
    ("last", "code"),
    [("pass", 0), ("raise SystemExit", 0), ("raise SystemExit(2)", 2), ("raise ValueError(1)", 1)],
)
def test_the_exit_code_and_the_output_are_those_of_python(last: str, code: int) -> None:
    found = ended(f"with quick_exit():\n    print('done', end='')\n    {last}")
    assert found[:2] == (code, "done")
    assert ("ValueError" in found[2]) == (code == 1)


def test_the_message_of_an_exit_is_printed() -> None:
    assert ended("with quick_exit():\n    raise SystemExit('no')") == (1, "", "no\n")


def test_exit_functions_run_and_threads_are_awaited(tmp_path: Path) -> None:
    code, printed, _ = ended(f"""
import atexit, logging, tempfile, threading, time
class Handler(logging.Handler):
    def flush(self): print("log")
handler = Handler()
with quick_exit():
    atexit.register(print, "function")
    folder = tempfile.TemporaryDirectory(dir={str(tmp_path)!r})
    threading.Thread(target=lambda: (time.sleep(0.2), print("thread"))).start()
    raise SystemExit(3)
""")
    assert (code, printed.split()) == (3, ["thread", "function", "log"])
    assert [*tmp_path.iterdir()] == []


def test_no_object_is_destroyed() -> None:
    code = "class A:\n    def __del__(self): print('gone')\na = A()\nwith quick_exit(): pass"
    assert ended(code) == (0, "", "")
