"""The history of published versions: figures that records do not contain are empty, not zero."""

import csv
import io
from datetime import UTC, datetime, timedelta

import pytest

from overlap.config import RunConfig
from overlap.ensemble.registry import EnsembleRecord
from overlap.io.location import Location
from overlap.io.workspace_paths import CHAMPION_FILE
from overlap.promotion import champion
from overlap.promotion.champion import Promotion
from overlap.reporting.history_table import history_csv, history_table
from overlap.reporting.plots.encoding import png
from overlap.reporting.plots.run import draw_history
from overlap.workspace.history import PublishedVersion, read_history
from support.run_steps import publish_record, published
from support.untrained_members import Ready, champion_of

START = datetime(2026, 1, 1, tzinfo=UTC)


def publish(workspace: Location, day: int, **fields: object) -> EnsembleRecord:
    """Publish a record on a day, whose member was removed."""
    created = START + timedelta(days=day)
    name = f"{created:%Y%m%d-%H%M%S}-{day:08d}"
    record = published(name, members=(f"m{day}",)).model_copy(update={"created": created, **fields})
    publish_record(workspace, record)
    return record


@pytest.fixture
def versions(workspace: Location) -> list[PublishedVersion]:
    """Three versions: one of an earlier release, one that was promoted by hand, one that waits."""
    publish(workspace, 0, clips={})
    second = publish(workspace, 1, kl=0.5, kl_interval=(0.4, 0.6), trivial_kl=0.9,
                     clips={"train": 80}, run_seconds=3900.0, drift_db=0.75)  # fmt: skip
    third = publish(workspace, 2, kl=0.45, kl_interval=(0.35, 0.55), trivial_kl=0.95,
                    clips={"train": 1200})  # fmt: skip
    champion.promote(workspace, second.version)
    decision = Promotion(version=third.version, promoted=False, reason="no significant gain")
    decided = champion.read_aliases(workspace).with_decision(decision)
    (workspace / CHAMPION_FILE).write_record(decided)
    return read_history(workspace)


def test_versions_are_listed_with_the_champion_of_their_time(
    versions: list[PublishedVersion],
) -> None:
    first, second, third = versions
    assert [one.created for one in versions] == [START + timedelta(days=n) for n in range(3)]
    assert [one.promoted for one in versions] == [None, True, False]
    assert [one.champion for one in versions] == [None, second.version, second.version]
    assert [one.is_champion for one in versions] == [False, True, False]
    assert (second.kl, second.kl_low, second.kl_high, second.trivial_kl) == (0.5, 0.4, 0.6, 0.9)
    assert (second.clips, second.drift_db, second.seconds) == (80, 0.75, 3900.0)
    assert first.version < second.version < third.version


def test_unknown_figures_are_empty(versions: list[PublishedVersion]) -> None:
    first = versions[0]
    unknown = (first.kl, first.clips, first.drift_db, first.seconds, first.champion)
    assert unknown == (None,) * 5
    rows = history_table(versions)
    assert {*rows[0].values()} == {first.version, ""}
    assert rows[1]["duration"] == "1 h 05 min"
    assert rows[1]["95 %"] == "0.4000 to 0.6000"
    assert rows[2]["clips"] == "1,200"


def test_csv_has_one_row_per_version(versions: list[PublishedVersion]) -> None:
    rows = [*csv.DictReader(io.StringIO(history_csv(versions).decode()))]
    assert [row["version"] for row in rows] == [one.version for one in versions]
    assert (rows[0]["kl"], rows[0]["seconds"], rows[0]["clips"]) == ("", "", "")
    assert float(rows[1]["kl"]) == 0.5
    assert datetime.fromisoformat(rows[1]["created"]) == versions[1].created


def test_the_figure_needs_two_scored_versions(versions: list[PublishedVersion]) -> None:
    assert draw_history(versions[:2]) is None
    drawn = draw_history(versions)
    assert drawn is not None
    (axes,) = drawn.axes
    named = [text.get_text() for text in axes.get_legend().get_texts()]
    assert {"trivial prediction", "champion now", "promoted, 95 % interval"} <= {*named}
    assert png(drawn).startswith(b"\x89PNG")


def test_costs_are_those_of_the_new_members(config: RunConfig, ready: Ready) -> None:
    """Members without a known device and without a measured energy leave both figures unknown."""
    workspace, record = champion_of(config, ready, 2)
    (one,) = read_history(workspace)
    assert (one.version, one.members, one.is_champion) == (record.version, 2, True)
    assert (one.gpu_hours, one.energy_wh) == (None, None)
    assert one.clips == record.clips["train"]


@pytest.mark.parametrize(
    ("devices", "expected"),
    [(("NVIDIA H100", "NVIDIA H100"), 2.0), (("CPU (2 cores)", "NVIDIA H100"), 1.0),
     (("CPU (2 cores)", "cpu:0"), 0.0), (("", "NVIDIA H100"), None)],
)  # fmt: skip
def test_hours_on_gpus(
    config: RunConfig, ready: Ready, devices: tuple[str, str], expected: float | None
) -> None:
    workspace, record = champion_of(config, ready, 2)
    for name, device in zip(record.members, devices, strict=True):
        place = workspace / "members" / name / "member.json"
        content = place.read_json() | {"device": device, "seconds": 3600.0, "energy_joules": 7200.0}
        del content["seal"]
        place.write_json(content)
    (one,) = read_history(workspace)
    assert one.gpu_hours == expected
    assert one.energy_wh == pytest.approx(4.0)
