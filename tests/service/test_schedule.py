"""The schedule: retrains on changed data, skips on unchanged."""

import re
import shutil
from pathlib import Path

import pandas as pd
import pytest

from support.running_service import Service

pytestmark = pytest.mark.nightly

EVERY_15_SECONDS = "* * * * * */15"


def messages(service: Service) -> list[str]:
    """What the scheduled runs ended with, oldest first."""
    runs = service.runs(flows={"name": {"any_": ["nightly-retrain"]}})
    assert not [run for run in runs if run["state_type"] in {"FAILED", "CRASHED"}], runs
    return [run["state"]["message"] for run in runs if run["state_type"] == "COMPLETED"]


def test_a_scheduled_run_retrains_on_changed_data_and_skips_on_unchanged(
    service: Service, clips: Path, tiny: Path
) -> None:
    workspace = service.folder / "w"
    service.deploy(clips, workspace, tiny, "--members", 1, "--cron", EVERY_15_SECONDS)
    service.worker()

    def ended_with(pattern: str, times: int) -> list[str]:
        said = [m for m in messages(service) if re.match(pattern, m)]
        return said if len(said) >= times else []

    service.until(lambda: ended_with(r"ensemble \S+ of 1 member\b", 1), 240, "the first ensemble")
    skipped = "skipped: nothing changed since ensemble "
    service.until(lambda: ended_with(skipped, 2), 240, "two runs that skip")
    (version,) = {message.removeprefix(skipped) for message in ended_with(skipped, 2)}
    assert [folder.name for folder in workspace.glob("ensembles/*")] == [version]

    table = pd.read_csv(clips / "train_answer.csv")
    first = table.iloc[0]
    (file,) = clips.glob(f"train/{first['id']}.*")
    shutil.copy(clips / "train" / f"{table['id'][1]}{file.suffix}", clips / "train" / "new.wav")
    more = pd.concat([table, first.to_frame().T.assign(id="new")], ignore_index=True)
    more.to_csv(clips / "part.csv", index=False)
    (clips / "part.csv").rename(clips / "train_answer.csv")
    groups = clips / "groups.csv"
    if groups.exists():
        with groups.open("a") as file:
            file.write("new,another\n")
    service.until(lambda: ended_with(r"ensemble \S+ of 1 member\b", 2), 240, "another ensemble")
    assert len([*workspace.glob("ensembles/*")]) == 2
