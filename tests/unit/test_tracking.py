"""What an experiment tracker receives, and that nothing is sent by default."""

import os
from importlib.util import find_spec

import pytest

from overlap.config import RunConfig, TrackingConfig
from overlap.ensemble.record_parts import CurvePoint
from overlap.ensemble.registry import EnsembleRecord
from overlap.promotion.champion import Promotion
from overlap.tracking import request
from overlap.tracking.contents import Point, ensemble_entry
from overlap.tracking.request import log_to_mlflow
from support.run_steps import published


@pytest.fixture
def record() -> EnsembleRecord:
    config = RunConfig(data="D", notify={"webhook": "https://hooks.example/planted-secret"})
    curve = (CurvePoint(1, 0.6, 0.5, 0.7), CurvePoint(2, 0.5, 0.4, 0.6))
    values = {
        "kl": 0.5, "kl_interval": (0.4, 0.6), "trivial_kl": 0.7, "clips": {"train": 9},
        "config": config.model_dump(mode="json"), "curve": curve, "members": ("a", "b"),
    }  # fmt: skip
    return published("v1").model_copy(update=values)


def test_nothing_is_sent_by_default() -> None:
    assert RunConfig(data="D").tracking.mlflow is False


def test_an_ensemble_as_parameters_metrics_and_tags(record: EnsembleRecord) -> None:
    decision = Promotion(version="v1", promoted=False, reason="no significant gain")
    entry = ensemble_entry(record, decision)
    assert entry.name == "v1"
    assert entry.parameters["training.epochs"] == str(record.config["training"]["epochs"])
    assert not [name for name in entry.parameters if name.startswith(("notify", "tracking"))]
    assert Point("kl", 0.5) in entry.points
    assert Point("kl_low", 0.4) in entry.points
    assert Point("kl_of_members", 0.5, 2) in entry.points
    assert entry.tags["overlap.version"] == "v1"
    assert entry.tags["overlap.promoted"] == "False"
    assert "planted-secret" not in str(entry)


def test_without_held_out_clips_there_is_no_kl(record: EnsembleRecord) -> None:
    bare = record.model_copy(update={"kl": None, "kl_interval": None, "trivial_kl": None})
    names = {point.name for point in ensemble_entry(bare, None).points}
    assert "kl" not in names
    assert "members" in names


def test_a_missing_package_or_address_is_one_note(
    record: EnsembleRecord, workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    notes: list[str] = []
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert log_to_mlflow(workspace, record, TrackingConfig(mlflow=True), notes.append) is None
    expected = "MLFLOW_TRACKING_URI is not set" if find_spec("mlflow") else "[mlflow]"
    assert expected in notes[0]


def test_a_failure_of_the_tracker_is_one_note(
    record: EnsembleRecord, workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The record is not in the workspace, so the process that logs fails."""
    notes: list[str] = []
    monkeypatch.setattr(request, "unavailable", lambda: None)
    monkeypatch.setitem(os.environ, "MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    assert log_to_mlflow(workspace, record, TrackingConfig(mlflow=True), notes.append) is None
    (note,) = notes
    assert "v1 was not logged" in note
