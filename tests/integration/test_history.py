"""`overlap history` and its table in Prefect, after a real run."""

import csv
import io
import json
from pathlib import Path

import pytest

pytestmark = pytest.mark.extended


def test_the_history_of_a_finished_run(overlap, api, finished, tmp_path: Path) -> None:
    place = ("--workspace", finished.workspace)
    (version,) = json.loads(overlap("history", *place, "--json").stdout)["versions"]
    assert version["is_champion"]
    assert version["champion"] == version["version"]
    assert version["kl_low"] < version["kl"] < version["kl_high"]
    assert (version["clips"], version["members"], version["gpu_hours"]) == (100, 2, 0.0)
    assert version["drift_db"] > 0
    assert version["seconds"] > 1

    out = tmp_path / "history.csv"
    assert str(out) in overlap("history", *place, "--out", out).stdout
    written = overlap("history", *place, "--out", "-").stdout
    assert written == out.read_text()
    (row,) = csv.DictReader(io.StringIO(written))
    assert row["version"] == version["version"]
    assert float(row["kl"]) == version["kl"]

    shown = overlap("history", *place).stdout
    assert version["version"] in shown
    assert f"{version['kl']:.4f}" in shown
    tables = [json.loads(found["data"]) for found in api.ask("artifacts")
              if found["key"] == "history"]  # fmt: skip
    assert any(row["version"] == version["version"] for table in tables for row in table)


def test_a_version_of_an_earlier_release_has_empty_figures(overlap, earlier) -> None:
    """They are not zero, and the command changes nothing."""
    before = earlier.contents()
    place = ("--workspace", earlier.workspace)
    versions = json.loads(overlap("history", *place, "--json").stdout)["versions"]
    assert len(versions) == 2
    assert {one["drift_db"] for one in versions} == {None}
    assert {one["seconds"] for one in versions} == {None}
    assert overlap("history", *place).returncode == 0
    assert earlier.contents() == before
