"""Withdrawal of clips: what is removed, who learned from them, and what the next run does."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from overlap.catalog import Catalog, build_catalog
from overlap.catalog.withdrawn import WITHDRAWN_SOUND, read_withdrawn
from overlap.config import ChecksConfig, RunConfig
from overlap.ensemble.registry import list_ensembles, read_predictions
from overlap.errors import NotReadyError, UserError
from overlap.features import FeatureStore
from overlap.training.spec import load_record
from overlap.workspace.pending import pending_work
from overlap.workspace.verify import verify_workspace
from overlap.workspace.withdrawal.results import without_rows
from overlap.workspace.withdrawal.withdraw import withdraw
from overlap.workspace.workspace import Workspace
from support.earlier_workspace import Earlier
from support.errors import raises

Ready = tuple[Catalog, FeatureStore]


class StoppedError(Exception):
    """Ends a withdrawal."""


def rebuilt(config: RunConfig) -> Catalog:
    """The catalogue of a run that begins now."""
    workspace = Workspace.of(config.workspace)
    listing = workspace.list_data(config)
    wanted = config.features.clip_format
    return build_catalog(listing, wanted, ChecksConfig(), workspace.catalog).catalog


def test_a_group_leaves_catalogue_and_features(config: RunConfig, ready: Ready) -> None:
    """The store is as if a run over the remaining clips had made it: nothing is computed again."""
    before, store = ready
    group = before.clips["group"].iloc[0]
    rows = np.flatnonzero((before.clips["group"] == group).to_numpy())
    assert store.read_rows(int(rows[0]), int(rows[0]) + 1).any()
    report = withdraw(Workspace.of(config.workspace), [], [group])
    assert len(report.clips) == len(rows)
    assert (report.blocks > 0, report.blocks_to_compute) == (True, 0)
    workspace = Workspace.of(config.workspace)
    after = workspace.catalog
    assert set(after.clips.loc[rows, "state"]) == {"removed"}
    assert not after.clips.loc[rows, ["digest", "group", "version"]].any(axis=None)
    assert np.isnan(after.labels[rows]).all()
    assert after.equals(rebuilt(config))
    pending = pending_work(config, workspace.list_data(config))
    assert (pending.clips, pending.blocks) == (0, 0)
    assert not verify_workspace(workspace.location, None).faults
    for row in rows:
        assert not workspace.store.read_rows(int(row), int(row) + 1).any()
    assert withdraw(workspace, [], [group]).blocks == 0  # there is nothing left to do


def test_a_later_clip_of_a_group_or_with_the_sound_is_left_out(
    config: RunConfig, ready: Ready, tmp_path: Path
) -> None:
    catalog, _ = ready
    data = Path(shutil.copytree(config.data, tmp_path / "grown"))
    clip, file = catalog.clips[["clip_id", "file"]].iloc[0]
    withdraw(Workspace.of(config.workspace), [file])
    group = catalog.clips["group"].iloc[1]
    withdraw(Workspace.of(config.workspace), [], [group])
    names = {"same_sound": "another", "new_of_group": group}
    with (data / "groups.csv").open("a") as groups, (data / "train_answer.csv").open("a") as labels:
        row = (data / "train_answer.csv").read_text().splitlines()[1].partition(",")[2]
        for name, of_group in names.items():
            groups.write(f"{name},{of_group}\n")
            labels.write(f"{name},{row}\n")
    shutil.copy(data / file, data / "train" / "same_sound.wav")
    samples, rate = soundfile.read(data / file)
    soundfile.write(data / "train" / "new_of_group.wav", samples[::-1], rate)
    (data / file).unlink()  # its rows in the tables stay
    grown = rebuilt(config.model_copy(update={"data": str(data)})).clips.set_index("clip_id")
    assert "new_of_group" not in grown.index
    assert grown.loc["same_sound", ["state", "reason"]].tolist() == ["quarantined", WITHDRAWN_SOUND]
    assert grown.loc[clip, "state"] == "removed"


def test_versions_that_learned_are_named(earlier: Earlier) -> None:
    """The second run had eight clips more than the first; both held clips out."""
    before = earlier.contents()
    records, catalog = list_ensembles(earlier.location), Catalog.load(earlier.location)
    ids = catalog.clips["clip_id"]
    held_out = [{*ids[read_predictions(earlier.location, r)["held_out_rows"]]} for r in records]
    train = sorted(ids[catalog.rows("train")])
    trained = [name for name in train if name not in held_out[0] | held_out[1]]
    cases = {
        trained[0]: ["yes", "yes"],
        next(name for name in trained if name >= "train_032"): ["no", "yes"],
        next(name for name in train if name in held_out[1] - held_out[0]): None,
    }
    for name, expected in cases.items():
        found = withdraw(Workspace.of(earlier.location), [name], dry_run=True)
        learned = [version.learned for version in found.versions]
        if expected is None:
            assert learned[1] == "scored"
            assert not found.versions[1].members
        else:
            assert learned == expected
            assert found.versions[1].members == records[1].members
            assert any("weights cannot forget" in one.what for one in found.remaining)
    assert earlier.contents() == before  # a dry run changes nothing


def test_predictions_submissions_and_reports_lose_the_clips(earlier: Earlier) -> None:
    place = earlier.location
    catalog = Catalog.load(place)
    test_row = int(catalog.rows("test")[0])
    name = catalog.clips["table_id"].iloc[test_row]
    new = list_ensembles(place)[-1]
    held = int(read_predictions(place, new)["held_out_rows"][0])
    clips = [name, catalog.clips["clip_id"].iloc[held]]
    folder = earlier.workspace / "ensembles" / new.version
    (folder / "report.html").write_text("a report")
    assert name in (folder / "submission.csv").read_text()
    models = earlier.contents("members")
    report = withdraw(Workspace.of(place), clips)
    assert new.version in report.changed_versions
    assert not (folder / "report.html").exists()
    text = (folder / "submission.csv").read_text()
    assert name not in text
    assert len(text.splitlines()) == 6
    changed = list_ensembles(place)[-1]
    saved = read_predictions(place, changed)  # compares the digest
    assert test_row not in saved["test_rows"]
    assert held not in saved["held_out_rows"]
    assert len(saved["held_out"]) == len(saved["held_out_rows"])
    assert not any((earlier.workspace / "predictions").glob("*/*"))
    for member in new.members:
        record = load_record(place / "members" / member)
        assert record is not None
        assert not (place / "members" / member).changed(record.files)
        assert (
            held
            not in (place / "members" / member / "predictions.npz").read_arrays()["held_out_rows"]
        )
    after = earlier.contents("members")
    networks = [path for path in models if path.endswith("model.keras")]
    assert [models[path] for path in networks] == [after[path] for path in networks]
    faults = verify_workspace(place, 0).faults
    assert not [fault.what for fault in faults if "features" not in fault.what]


@pytest.mark.parametrize("stage", ["clear_rows", "clear_members", "clear_versions", "_write"])
def test_an_interrupted_withdrawal_is_completed(
    earlier: Earlier, stage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = earlier.location
    catalog = Catalog.load(place)
    new = list_ensembles(place)[-1]
    held = int(read_predictions(place, new)["held_out_rows"][0])
    clip, audio = catalog.clips[["clip_id", "digest"]].iloc[held]

    def stop(*_arguments: object) -> None:
        raise StoppedError

    with monkeypatch.context() as patch:
        where = "results" if stage == "_write" else "withdraw"
        patch.setattr(f"overlap.workspace.withdrawal.{where}.{stage}", stop)
        with pytest.raises(StoppedError):
            withdraw(Workspace.of(place), [clip])
    assert [entry.audio for entry in read_withdrawn(place).clips] == [audio]
    report = withdraw(Workspace.of(place), [clip])
    assert report.clips == (f"train/{clip}",)
    assert [entry.audio for entry in read_withdrawn(place).clips] == [audio]
    saved = read_predictions(place, list_ensembles(place)[-1])
    assert held not in saved["held_out_rows"]
    for member in new.members:
        record = load_record(place / "members" / member)
        assert record is not None
        assert not (place / "members" / member).changed(record.files)


def test_held_out_rows_and_exposure_stay_in_step() -> None:
    arrays = {
        "held_out_rows": np.array([1, 3, 4]), "held_out": np.arange(6.0).reshape(3, 2),
        "train_audio": np.array([b"a", b"b", b"c", b"d", b"e"]),
        "train_fold": np.array([-1, 0, -1, 1, 0]), "train_group": np.array(list("vwxyz")),
        "train_folds": np.array(2), "train_named_by": np.array("scheme"),
    }  # fmt: skip
    kept = without_rows(arrays, np.array([3]))
    assert kept is not None
    assert kept["held_out_rows"].tolist() == [1, 4]
    assert kept["train_fold"].tolist() == [-1, 0, -1, -1, 0]
    one = without_rows({**arrays, "train_folds": np.array(1)}, np.array([3]))
    assert one is not None
    assert one["train_audio"].tolist() == [b"a", b"b", b"c", b"e"]
    assert len(one["train_group"]) == len(one["train_fold"]) == 4
    assert without_rows(arrays, np.array([2])) is None


def test_what_cannot_be_withdrawn_is_refused(config: RunConfig, ready: Ready) -> None:
    workspace = Workspace.of(config.workspace)
    with raises(UserError, "nothing-to-withdraw"):
        withdraw(workspace, [])
    with raises(NotReadyError, "unknown-clips", unknown=["nobody"]):
        withdraw(workspace, [], ["nobody"])
    catalog, _ = ready
    clips = catalog.clips.copy()
    clips.loc[clips.index[-1], "clip_id"] = clips["clip_id"].iloc[0]
    replace(catalog, clips=clips).save(workspace.location)
    with raises(UserError, "ambiguous-clips"):
        withdraw(workspace, [clips["clip_id"].iloc[0]])
    assert not workspace.paths.withdrawn.exists()


def test_sound_files_are_removed_on_request(
    config: RunConfig, ready: Ready, tmp_path: Path
) -> None:
    data = Path(shutil.copytree(config.data, tmp_path / "own"))
    catalog = replace(ready[0], data=str(data))
    catalog.save(Workspace.of(config.workspace).location)
    file = catalog.clips["file"].iloc[0]
    report = withdraw(Workspace.of(config.workspace), [file], delete_files=True)
    assert report.files == (file,)
    assert not (data / file).exists()
    assert not [one for one in report.remaining if one.what == "the sound files"]
    assert (
        rebuilt(config.model_copy(update={"data": str(data)})).clips["state"].iloc[0] == "removed"
    )
