"""Standard output that cannot be written, and clips as users name them on the command line."""

import csv
import json
import shutil
from pathlib import Path

import pytest

from support.errors import printed_code
from support.trials import trial


def redirected(how: str) -> tuple[str, ...]:
    """A command in front, which starts the rest with a redirection."""
    return ("bash", "-c", f'"$@" {how}', "bash")


@pytest.fixture
def scored(data: Path) -> tuple[object, ...]:
    """Arguments of a command that only reads and prints."""
    answers = data / "test_answer.csv"
    return ("score", answers, "--labels", answers)


@pytest.mark.extended
@pytest.mark.parametrize(
    "more",
    [
        pytest.param((), marks=trial(
            "J", "`overlap … > /dev/full`: standard output on a full disk", source="own",
            before="a traceback, exit code 1", now="one line with the cause, exit code 1")),
        pytest.param(("--json",), marks=trial(
            "J", "`overlap … --json > /dev/full`", source="own",
            before="an ignored exception at exit, exit code 120",
            now="one line with the cause, exit code 1")),
    ],
)  # fmt: skip
def test_a_full_disk(run, scored, more: tuple[str, ...]) -> None:
    done = run(*scored, *more, prefix=redirected("> /dev/full"))
    assert done.code == 1
    assert done.err.count("\n") == 1
    assert printed_code(done.err) == "output-not-written"


@pytest.mark.extended
@trial(
    "J", "`overlap … | head -1`: a pipe whose reader ends", source="own",
    before="an ignored exception at exit", now="nothing is printed, exit code 141 as other tools",
)  # fmt: skip
def test_a_closed_pipe(run, scored) -> None:
    done = run(*scored, "--json", prefix=redirected("| true; exit ${PIPESTATUS[0]}"))
    assert (done.code, done.err) == (141, "")


@pytest.mark.extended
@trial(
    "J", "`overlap … >&-`: standard output is closed", source="own",
    before="the next file or connection got the number of standard output",
    now="the command ends with exit code 0; its output is discarded",
)  # fmt: skip
def test_a_closed_output(run, scored) -> None:
    done = run(*scored, prefix=redirected(">&-"))
    assert (done.code, done.err) == (0, "")


@pytest.mark.extended
@trial(
    "J", "`overlap … 2> /dev/full`: an error that cannot be printed", source="own",
    before="exit code 1 after a second error", now="exit code 2, as for this error",
)  # fmt: skip
def test_full_messages(run, tmp_path: Path) -> None:
    done = run("score", "none.csv", "--labels", "none.csv", prefix=redirected("2> /dev/full"))
    assert done.code == 2


@trial(
    "W", "a service whose three standard streams are closed", source="own",
    before="the next files got their numbers", now="exit code 0, and the picture is written",
)  # fmt: skip
def test_all_streams_closed(run, finished, data: Path, tmp_path: Path) -> None:
    workspace = shutil.copytree(finished.workspace, tmp_path / "w")
    clip, out = data / "test" / "test_000001.wav", tmp_path / "x.png"
    shown = ("show", clip, "--workspace", workspace, "--out", out)
    assert run(*shown, prefix=redirected("<&- >&- 2>&-")).code == 0
    assert out.read_bytes().startswith(b"\x89PNG")


@trial(
    "I", "a wav and files of other formats given to `overlap predict` as folder and as file",
    source="own", before='"2 clips predicted"; "no such folder" for the file',
    now="a note counts the others, also in a repeated prediction; the file has the same prediction",
)  # fmt: skip
def test_predicting_a_folder_and_a_file(run, finished, data: Path, tmp_path: Path) -> None:
    workspace = shutil.copytree(finished.workspace, tmp_path / "w")
    clips = tmp_path / "clips"
    clips.mkdir()
    for name in ("test_000001.wav", "test_000002.wav"):
        shutil.copy(data / "test" / name, clips)
    (clips / "phone.m4a").write_bytes(b"x")

    def predicted(*given: object) -> tuple[dict[str, list[str]], str, dict[str, object]]:
        out = tmp_path / "out.csv"
        done = run("predict", *given, "--workspace", workspace, "--out", out, "--json")
        assert done.code == 0, done.err
        rows = [*csv.reader(out.read_text("utf-8").splitlines())]
        return {row[0]: row[1:] for row in rows}, done.err, json.loads(done.out)

    whole, notes, _ = predicted(clips)
    assert "1 file is not used: 1 of an unsupported format (.m4a" in notes
    again, notes, report = predicted(clips)
    assert "1 of an unsupported format (.m4a" in notes
    assert (again, report["computed"]) == (whole, 0)
    one, notes, _ = predicted(clips / "test_000001.wav")
    assert "not used" not in notes
    assert one.keys() == {"id", "test_000001"}
    both, _, _ = predicted(*sorted(clips.glob("*.wav")))
    assert both.keys() == whole.keys()
    words = [float(cell) for cell in whole["test_000001"]]
    assert [float(cell) for cell in one["test_000001"]] == pytest.approx(words, abs=1e-4)
