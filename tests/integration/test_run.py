"""The command line end to end: a run, what it leaves, and running it again."""

import json
import shlex
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile

from overlap.catalog import Catalog
from overlap.ensemble import registry
from overlap.features import FeatureStore
from overlap.io.location import Location
from support.errors import printed_code

pytestmark = pytest.mark.extended


def mtimes(folder: Path, *parts: str) -> dict[str, int]:
    return {
        str(file): file.stat().st_mtime_ns
        for part in parts
        for file in sorted((folder / part).rglob("*"))
        if file.is_file()
    }


@pytest.fixture
def copy(finished, tmp_path: Path) -> Path:
    """A copy of the finished workspace that a test may change."""
    return Path(shutil.copytree(finished.workspace, tmp_path / "workspace"))


def test_a_run_ends_with_the_table_and_the_paths(finished, data: Path) -> None:
    for expected in (
        "member 1", "member 2", "ensemble of 1", "ensemble of 2", "trivial (mean training label)",
        "the trivial prediction.",
        str(finished.workspace), "submission.csv", "report.html",
        "promoted: first champion",
    ):  # fmt: skip
        assert expected in finished.printed
    record = registry.list_ensembles(Location.of(finished.workspace))[0]
    assert f"{record.kl:.4f}" in finished.printed
    assert f"{record.trivial_kl:.4f}" in finished.printed


def test_a_run_says_how_far_test_is_from_train(finished) -> None:
    assert "Drift of the decibels" in finished.printed
    assert finished.printed.count("test / train") == 4
    assert "/ other" not in finished.printed


@pytest.mark.extended
def test_features_are_compared_with_those_of_another_workspace(
    overlap, copy: Path, data: Path, tiny: Path, tmp_path: Path
) -> None:
    """Of the same clips, and of the same clips at a tenth of the amplitude."""
    options = ("--workspace", tmp_path / "w", "--config", tiny, "--compare", copy)
    same = json.loads(overlap("features", "--data", data, *options, "--json").stdout)
    rows = [row for row in same["drift"] if row["other"]]
    assert {row["other"] for row in rows} == {str(copy)}
    assert [row["clips"] for row in rows] == ["train"] * 4 + ["test"] * 4
    assert all(row["drift"]["wasserstein_db"] == 0 for row in rows[:4])
    quiet = Path(shutil.copytree(data, tmp_path / "quiet"))
    for file in quiet.glob("t*/*.wav"):
        samples, rate = soundfile.read(file)
        soundfile.write(file, samples / 10, rate, subtype="FLOAT")
    printed = overlap("features", "--data", quiet, *options).stdout
    assert str(copy) in printed
    table = [line.split("│") for line in printed.splitlines() if "train / other" in line]
    assert len(table) == 4
    assert [float(cells[7]) for cells in table] == pytest.approx([-20] * 4, abs=0.1)  # the peaks


def test_the_submission_fits_its_template(finished, data: Path) -> None:
    template = pd.read_csv(data / "submission.csv")
    (file,) = finished.workspace.glob("ensembles/*/submission.csv")
    table = pd.read_csv(file)
    assert table["id"].tolist() == template["id"].tolist()
    assert [*table.columns] == [*template.columns]
    assert np.abs(table.drop(columns="id").sum(axis=1) - 1).max() < 1e-6


def test_a_second_run_does_nothing_and_says_the_same(overlap, copy, data, tiny, finished) -> None:
    before = mtimes(copy, "features.zarr", "members", "ensembles")
    done = overlap("run", "--data", data, "--workspace", copy, "--config", tiny)
    assert mtimes(copy, "features.zarr", "members", "ensembles") == before
    assert "it is already the champion" in done.stdout
    table = [line for line in finished.printed.splitlines() if "│" in line]
    assert [line for line in done.stdout.splitlines() if "│" in line] == table


def test_the_report_is_there_and_is_written_anew_when_asked_for(overlap, copy, finished) -> None:
    (report,) = copy.glob("ensembles/*/report.html")
    page = report.read_text()
    assert "This ensemble was the champion when the report was written" in page
    assert page.count("<audio ") == 16
    report.unlink()
    printed = json.loads(overlap("report", "--workspace", copy, "--json").stdout)
    assert printed["report"] == str(report)
    assert report.read_text() == page
    assert str(report) in overlap("report", printed["version"], "--workspace", copy).stdout
    wrong = overlap("report", "20200101-000000-00000000", "--workspace", copy, code=2).stderr
    assert printed_code(wrong) == "no-such-ensemble"
    assert printed["version"] in wrong
    for file in copy.glob("ensembles/*/ensemble.json"):
        file.unlink()
    missing = overlap("report", "--workspace", copy, code=2).stderr
    assert (printed_code(missing), str(copy) in missing) == ("no-such-ensemble", True)


@pytest.mark.extended
def test_status_and_plan_tell_what_is_there(overlap, finished, data: Path, tiny: Path) -> None:
    found = json.loads(overlap("status", "--workspace", finished.workspace, "--json").stdout)
    assert found["clips"] == {"train": 100, "test": 20, "quarantined": 0, "removed": 0}
    assert (found["blocks"], found["blocks_done"]) == (8, 8)
    assert [member["state"] for member in found["members"]] == ["complete", "complete"]
    assert found["champion"] == found["ensembles"][0]["version"]
    printed = overlap("status", "--workspace", finished.workspace).stdout
    assert "feature blocks done" in printed
    assert printed.splitlines()[-1].startswith("next            overlap predict CLIPS")
    assert finished.printed.splitlines()[-1] == printed.splitlines()[-1]
    options = ("--data", data, "--workspace", finished.workspace, "--config", tiny)
    plan = json.loads(overlap("plan", *options, "--members", 5, "--json").stdout)
    assert [plan[name] for name in ("clips_to_check", "blocks_to_compute")] == [0, 0]
    assert (plan["members_to_train"], plan["members"]) == (3, 5)
    assert plan["feature_bytes"] == 120 * 64 * 101 * 4 * 2
    assert plan["member_seconds"] > 0
    printed = overlap("plan", *options).stdout
    assert "memory per member" in printed
    assert "total time" in printed
    assert printed.splitlines()[-1].startswith("next            `overlap run`")


def test_plan_of_a_new_workspace_writes_nothing(overlap, data: Path, tmp_path: Path) -> None:
    place = tmp_path / "new"
    plan = json.loads(overlap("plan", "--data", data, "--workspace", place, "--json").stdout)
    assert (plan["train_clips"], plan["test_clips"], plan["clips_to_check"]) == (100, 20, 120)
    assert plan["blocks_to_compute"] == plan["blocks"] == 1
    assert plan["bytes_to_write"] == plan["feature_bytes"]
    assert plan["clips_per_core_second"] > 20
    assert plan["member_seconds"] is None
    assert plan["feed"]["mode"] == "memory"
    assert not place.exists()


@pytest.mark.extended
def test_damage_is_found_and_only_that_is_made_again(
    overlap, copy: Path, data: Path, tiny: Path, finished
) -> None:
    """A flipped bit in the features and a spoiled member; and a third member besides."""
    assert "OK" in overlap("verify", "--workspace", copy, "--all").stdout
    chunk = copy / "features.zarr" / "mel" / "c" / "5" / "0" / "0" / "0"
    good, content = chunk.read_bytes(), bytearray(chunk.read_bytes())
    content[1000] ^= 1
    chunk.write_bytes(content)
    spoiled, kept = sorted((copy / "members").iterdir())
    (spoiled / "model.keras").write_bytes(b"damaged")
    done = overlap("verify", "--workspace", copy, "--repair", code=1)
    assert "block 2 (rows 32 to 47): " in done.stderr
    assert f"member {spoiled.name}: model.keras" in done.stderr
    assert "2 marked as missing" in done.stderr
    before = mtimes(copy, f"members/{kept.name}", "features.zarr/mel/c/0")
    overlap("run", "--data", data, "--workspace", copy, "--config", tiny, "--members", 3)
    assert mtimes(copy, f"members/{kept.name}", "features.zarr/mel/c/0") == before
    assert chunk.read_bytes() == good
    assert len(list((copy / "members").iterdir())) == 3
    records = registry.list_ensembles(Location.of(copy))
    assert [len(record.members) for record in records] == [2, 3]
    assert records[1].members[:2] == records[0].members
    assert records[1].member_kl[:2] == records[0].member_kl
    assert "OK" in overlap("verify", "--workspace", copy).stdout


@pytest.mark.extended
def test_a_lost_submission_is_published_again(
    overlap, copy: Path, data: Path, tiny: Path, finished
) -> None:
    (file,) = copy.glob("ensembles/*/submission.csv")
    file.unlink()
    assert "submission.csv" in (overlap("verify", "--workspace", copy, code=1).stderr)
    overlap("run", "--data", data, "--workspace", copy, "--config", tiny)
    assert file.read_bytes() == finished.submission
    assert len(list(copy.glob("ensembles/*"))) == 1
    assert "OK" in overlap("verify", "--workspace", copy).stdout


def test_predictions_for_new_clips_are_the_ensembles(
    overlap, copy: Path, data: Path, tmp_path: Path, finished
) -> None:
    # Other tests predict with the ensemble of the shared workspace, too.
    shutil.rmtree(copy / "predictions", ignore_errors=True)
    clips = Path(shutil.copytree(data / "test", tmp_path / "clips"))
    (clips / "broken.wav").write_bytes(b"no sound")
    done = overlap("predict", clips, "--workspace", copy, "--out", tmp_path / "preds.csv")
    assert "21 clips predicted" in done.stdout
    assert "mean prediction: broken" in done.stdout
    found = pd.read_csv(tmp_path / "preds.csv").set_index("id")
    (file,) = finished.workspace.glob("ensembles/*/submission.csv")
    expected = pd.read_csv(file).set_index("id")
    spread = found.pop("spread")
    assert np.allclose(found.loc["broken"], expected.mean(), atol=1e-6)
    assert spread.index[spread.isna()].tolist() == ["broken"]
    assert (spread.drop("broken") > 0).all()
    assert np.abs(found.loc[expected.index] - expected).max(axis=None) < 1e-6
    # Only the predictions lie on the disk, and the same clips again cost nothing.
    kept = [file.suffix for file in (copy / "predictions").rglob("*") if file.is_file()]
    assert sorted(kept) == ["", ".npz"]  # one chunk, and the mark of its last use
    again = overlap("predict", clips, "--workspace", copy, "--out", tmp_path / "again.csv")
    assert "21 clips predicted, 21 of them by" in again.stdout
    assert again.stdout.splitlines()[-1].startswith("next            overlap show CLIP --workspace")
    assert (tmp_path / "again.csv").read_bytes() == (tmp_path / "preds.csv").read_bytes()


@pytest.mark.extended
def test_a_stage_does_what_is_missing(
    overlap, copy: Path, data: Path, tiny: Path, finished
) -> None:
    options = ("--data", data, "--workspace", copy, "--config", tiny)
    shutil.rmtree(copy / "ensembles")
    (copy / "champion.json").unlink()
    (copy / "features.zarr" / "blocks" / "key" / "c" / "3" / "0").unlink()
    assert printed_code(overlap("train", *options, code=2).stderr) == "features-missing"
    found = json.loads(overlap("features", *options, "--json").stdout)
    assert [found[name] for name in ("written", "blocks", "clips")] == [1, 8, 16]
    shutil.rmtree(min((copy / "members").iterdir()))
    assert printed_code(overlap("pool", *options, code=2).stderr) == "members-missing"
    found = json.loads(overlap("train", *options, "--json").stdout)
    assert (len(found["trained"]), found["complete"]) == (1, 2)
    assert len(json.loads(overlap("pool", *options, "--json").stdout)["members"]) == 2
    (file,) = copy.glob("ensembles/*/submission.csv")
    assert file.read_bytes() == finished.submission


def test_models_are_listed(overlap, finished) -> None:
    listed = overlap("models", "list", "--workspace", finished.workspace)
    (record,) = registry.list_ensembles(Location.of(finished.workspace))
    assert record.version in listed.stdout
    assert "champion" in listed.stdout
    assert listed.stdout.splitlines()[-1] == finished.printed.splitlines()[-1]
    found = json.loads(
        overlap("models", "list", "--workspace", finished.workspace, "--json").stdout
    )
    assert found["champion"] == record.version


def test_without_a_champion_the_next_is_to_choose_one(overlap, copy: Path) -> None:
    (copy / "champion.json").unlink()
    printed = overlap("status", "--workspace", copy).stdout.splitlines()[-1]
    assert printed.startswith("next            no champion yet; overlap models promote 2")
    typed = printed.split("; ")[1].removesuffix(" makes it one")
    promoted = overlap(*shlex.split(typed)[1:]).stdout.splitlines()[-1]
    assert promoted.startswith("next            overlap predict CLIPS")


def test_the_score_of_the_submission(overlap, finished, data: Path) -> None:
    (file,) = finished.workspace.glob("ensembles/*/submission.csv")
    options = ("score", "--labels", data / "test_answer.csv", file)
    found = json.loads(overlap(*options, "--json").stdout)
    assert found["clips"] == 20
    assert 0 < found["kl"] < 3
    assert found["trivial_kl"] == pytest.approx(np.log(6 / 2), abs=0.1)
    assert f"{found['kl']:.4f}" in overlap(*options).stdout


def test_prefect_shows_the_run(finished, api) -> None:
    # Other tests use the same server, and leave runs that were killed.
    runs = {
        run["id"]: run["name"]
        for run in api.ask("flow_runs")
        if str(finished.workspace) in json.dumps(run["parameters"])
    }
    names = {"retrain-data-demo", "features-data", "train-data-demo", "pool-data-demo"}
    assert names <= set(runs.values())
    mine = {"flow_runs": {"id": {"any_": list(runs)}}}
    tasks = {run["name"] for run in api.ask("task_runs", mine)}
    assert {"member 1 of 2", "member 2 of 2"} <= tasks
    artifacts = api.ask("artifacts", mine)
    assert {"progress", "table"} <= {artifact["type"] for artifact in artifacts}
    table = next(a for a in artifacts if a["key"] == "kl")
    assert "trivial" in table["data"]
    drift = next(a for a in artifacts if a["key"] == "drift")
    assert "test / train" in drift["data"]
    progress = {a["description"]: a["data"] for a in artifacts if a["type"] == "progress"}
    (features,) = (what for what in progress if what.startswith("features (clips): 120 of 120"))
    assert progress[features] == 100


def test_the_page_of_the_run_shows_its_stages_epochs_and_artifacts(finished, api) -> None:
    """The stages are sub-flows with pages of their own; a user opens that of the run."""
    (run,) = (
        run
        for run in api.ask("flow_runs")
        if run["name"].startswith("retrain-")
        and run["parameters"].get("config", {}).get("workspace") == str(finished.workspace)
        and run["state"]["type"] == "COMPLETED"
    )
    mine = {"flow_runs": {"id": {"any_": [run["id"]]}}}
    artifacts = [a for a in api.ask("artifacts", mine) if a["flow_run_id"] == run["id"]]
    copies = [artifact for artifact in artifacts if not artifact["key"]]
    shown = " ".join(str(artifact["data"]) + artifact["description"] for artifact in copies)
    for expected in ("test / train", "# Members", "trivial", "first champion"):
        assert expected in shown
    assert {a["description"].partition(":")[0] for a in copies if a["type"] == "progress"} >= {
        "features (clips)", "members", "member 1 of 2 (epochs)",
    }  # fmt: skip
    lines = [
        log["message"] for log in api.ask("logs", {"logs": {"flow_run_id": {"any_": [run["id"]]}}})
    ]
    for expected in (
        "listing the data", "checking the data", "features (clips): 120 of 120",
        "member 1 of 2: epoch 1 of ", "member 2 of 2: epoch 2 of ", "pooling 2 members",
        "writing the report",
    ):  # fmt: skip
        assert any(line.startswith(expected) for line in lines), (expected, lines)
    first = next(line for line in lines if line.startswith("member 1 of 2: epoch 1 "))
    assert "clips/s" not in first  # it compiles
    assert not any("concurrency limit" in line for line in lines)


def test_the_store_of_a_run_equals_one_made_in_one_process(finished, config) -> None:
    from support.run_steps import computed

    catalog, store = computed(config)
    place = Location.of(finished.workspace)
    ran = FeatureStore.open(place)
    assert np.array_equal(ran.read_rows(0, 120), store.read_rows(0, 120))
    assert Catalog.load(place).key(slice(None)) == catalog.key(slice(None))
