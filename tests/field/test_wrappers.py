"""Commands as other programs start them: with their environment, their user and their output."""

from support.trials import trial


@trial(
    "W",
    "cron: `env -i` with PATH and HOME only",
    source="own",
    before="correct",
    now="the run ends with exit code 0 and computes nothing",
)
def test_cron(run, again) -> None:
    kept = ("LANG", "COLUMNS", "NO_COLOR", "LD_LIBRARY_PATH", "OVERLAP_SKIP_NOTHING")
    done = run(*again, without=kept)
    assert done.code == 0, done.err
    assert "submission.csv" in done.out
