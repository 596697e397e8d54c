"""`overlap predict` and `overlap show` with outputs that are no ordinary files."""

import shutil
from pathlib import Path

import pytest

from support.errors import printed_code
from support.run_steps import Finished
from support.trials import trial


@pytest.fixture
def workspace(finished: Finished, tmp_path: Path) -> Path:
    copy = tmp_path / "w"
    shutil.copytree(finished.workspace, copy)
    return copy


@trial(
    "B",
    "`overlap predict CLIPS --out link.csv`, then `--out -` into a pipe",
    source="own",
    before="the link is replaced; a file named `-`",
    now="the link stays; the same table on standard output, the messages on standard error",
)
def test_predict_to_a_link_and_to_standard_output(run, workspace, data, tmp_path) -> None:
    (tmp_path / "real.csv").write_text("old\n")
    (tmp_path / "link.csv").symlink_to("real.csv")
    done = run("predict", data / "test", "--workspace", workspace, "--out", "link.csv")
    assert done.code == 0, done.err
    assert (tmp_path / "link.csv").is_symlink()
    table = (tmp_path / "real.csv").read_text()
    assert table.startswith("id,")
    done = run("predict", data / "test", "--workspace", workspace, "--out", "-")
    assert (done.code, done.out) == (0, table), done.err
    assert "clips predicted" in done.err


@trial(
    "B",
    "`overlap show CLIP --out /dev/stdout`, with and without `--json`",
    source="own",
    before="`not-a-png`",
    now="the picture on standard output; with `--json` `two-outputs`, exit code 2",
)
def test_a_picture_on_standard_output(run, workspace, data, tmp_path) -> None:
    clip = min((data / "test").iterdir())
    command = ("show", clip, "--workspace", workspace, "--out")
    done = run(*command, "/dev/stdout", prefix=("sh", "-c", '"$@" | od -An -c -N4', "sh"))
    assert done.out.split() == ["211", "P", "N", "G"], done.err
    done = run(*command, "-", "--json")
    assert (done.code, printed_code(done.err)) == (2, "two-outputs")
