"""The champion: promotion by the rule, by the user, rollback, and the history of decisions."""

import threading
from pathlib import Path

import pytest

from overlap.config import PromotionConfig
from overlap.ensemble import registry
from overlap.ensemble.registry import EnsembleRecord
from overlap.errors import NotReadyError, UserError
from overlap.io.location import Location
from overlap.io.workspace_paths import CHAMPION_FILE, ENSEMBLES_FOLDER
from overlap.promotion import champion, decision
from overlap.promotion.challenge import plan_comparison
from overlap.promotion.champion import HISTORY, Promotion, read_aliases
from support.comparison_data import catalog_of, exposure_of, perturbed, publish_with_exposure
from support.errors import raises
from support.run_steps import publish_record, published

CLIPS = 60
RULE = PromotionConfig()


def publish(workspace: Location, *versions: str) -> list[EnsembleRecord]:
    records = [published(version) for version in versions]
    for record in records:
        publish_record(workspace, record)
    return records


def candidate(workspace: Location, version: str, error: float) -> EnsembleRecord:
    """Publish an ensemble that holds out every clip; a smaller error is better."""
    catalog = catalog_of(range(CLIPS))
    if not (workspace / "catalog.parquet").exists():
        catalog.save(workspace)
    held_out = perturbed(catalog.labels, error, seed=1)
    exposure = exposure_of(catalog, [0] * CLIPS)
    return publish_with_exposure(workspace, version, catalog, exposure, held_out)


def consider(
    workspace: Location, challenger: EnsembleRecord, config: PromotionConfig = RULE
) -> Promotion:
    """Consider a challenger as a run does."""
    current = champion.current_champion(workspace, challenger)
    plan = plan_comparison(workspace, current, challenger) if current else None
    return decision.consider(workspace, challenger, config, plan)


# --- the rule --------------------------------------------------------------------------------


def test_the_first_ensemble_becomes_champion(workspace: Location) -> None:
    first = candidate(workspace, "v1", 0.5)
    assert champion.champion(workspace) is None
    assert consider(workspace, first).promoted
    assert champion.champion(workspace) == "v1"
    again = consider(workspace, first)
    assert not again.promoted
    assert [(d.version, d.promoted, d.by) for d in read_aliases(workspace).history] == [
        ("v1", True, "rule")
    ]


@pytest.mark.parametrize(
    ("error", "config", "promoted", "reason"),
    [
        (0.2, {}, True, "60 clips"),
        (0.5, {}, False, "60 clips"),
        (0.8, {}, False, "60 clips"),
        (0.2, {"min_gain": 1}, False, "promotion.min_gain 1:"),
        (0.2, {"min_clips": 61}, False, "promotion.min_clips is 61"),
        (0.2, {"rule": "never"}, False, "promotion.rule is never"),
        (0.8, {"rule": "always"}, True, "promotion.rule is always"),
    ],
)
def test_a_challenger_needs_a_significant_gain(
    workspace: Location, error: float, config: dict, promoted: bool, reason: str
) -> None:
    current, challenger = candidate(workspace, "v1", 0.5), candidate(workspace, "v2", error)
    champion.promote(workspace, "v1")
    outcome = consider(workspace, challenger, PromotionConfig(**config))
    assert outcome.promoted is promoted
    assert reason in outcome.reason
    assert ("`overlap models promote v2`" in outcome.reason) is not promoted
    assert champion.champion(workspace) == ("v2" if promoted else "v1")
    found = outcome.duel
    assert found is not None
    assert (found.champion, found.clips, found.newer, found.groups) == ("v1", 60, 0, None)
    assert found.champion_kl == pytest.approx(current.kl)
    assert found.challenger_kl == pytest.approx(challenger.kl)
    assert found.gain == pytest.approx(current.kl - challenger.kl, abs=1e-12)
    assert found.low <= found.gain <= found.high
    assert read_aliases(workspace).decision("v2") == outcome


def test_the_rule_never_promotes_nothing_at_all(workspace: Location) -> None:
    never = PromotionConfig(rule="never")
    outcome = consider(workspace, candidate(workspace, "v1", 0.5), never)
    assert "promotion.rule is never" in outcome.reason
    assert "`overlap models promote v1`" in outcome.reason
    assert champion.champion(workspace) is None


def test_a_removed_champion_is_replaced(workspace: Location) -> None:
    _, second = candidate(workspace, "v1", 0.1), candidate(workspace, "v2", 0.5)
    champion.promote(workspace, "v1")
    (workspace / ENSEMBLES_FOLDER / "v1").remove()
    outcome = consider(workspace, second)
    assert outcome.promoted
    assert "champion v1" in outcome.reason


def test_a_decision_of_the_user_is_kept(workspace: Location) -> None:
    """A run over unchanged data publishes the same version again."""
    _, better = candidate(workspace, "v1", 0.5), candidate(workspace, "v2", 0.2)
    champion.promote(workspace, "v1")
    assert consider(workspace, better).promoted
    champion.rollback(workspace)
    outcome = consider(workspace, better)
    assert not outcome.promoted
    assert "`overlap models promote v2`" in outcome.reason
    assert champion.champion(workspace) == "v1"


def test_a_removed_version_counts_as_considered_when_published_again(workspace: Location) -> None:
    """Its new version has another time and the same members."""
    publish(workspace, "20260101-000000-aaaaaaaa", "20260102-000000-bbbbbbbb")
    again, other = publish(workspace, "20260103-000000-bbbbbbbb", "20260103-000000-cccccccc")
    champion.promote(workspace, "20260101-000000-aaaaaaaa")
    before = champion.read_aliases(workspace)
    after = before.model_copy(update={"considered": ("20260102-000000-bbbbbbbb",)})
    (workspace / CHAMPION_FILE).write_record(after)
    assert champion.current_champion(workspace, again) is None
    assert not consider(workspace, again).promoted
    assert champion.read_aliases(workspace) == after
    assert champion.current_champion(workspace, other) is not None


def test_a_champion_that_changes_during_the_run_is_not_replaced(workspace: Location) -> None:
    for version, error in (("v1", 0.5), ("v2", 0.2), ("v3", 0.1)):
        candidate(workspace, version, error)
    champion.promote(workspace, "v1")
    (third,) = [r for r in registry.list_ensembles(workspace) if r.version == "v3"]
    current = champion.current_champion(workspace, third)
    plan = plan_comparison(workspace, current, third)
    champion.promote(workspace, "v2")
    outcome = decision.consider(workspace, third, RULE, plan)
    assert (outcome.promoted, outcome.reason.split()[0]) == (False, "v2")
    assert champion.champion(workspace) == "v2"
    assert consider(workspace, third).promoted  # the next run compares it with v2


# --- by the user -----------------------------------------------------------------------------


def test_an_ensemble_of_another_workspace_is_not_promoted(
    workspace: Location, tmp_path: Path
) -> None:
    other = Location.of(tmp_path / "other")
    publish(other, "v1")
    with raises(UserError, "foreign-ensemble", version="v1", owner=str(other)):
        champion.promote(workspace, str(other / ENSEMBLES_FOLDER / "v1"))
    assert champion.champion(workspace) is None


def test_promote_and_roll_back(workspace: Location) -> None:
    publish(workspace, "v1", "v2")
    champion.promote(workspace, "v1")
    champion.promote(workspace, "v2")
    champion.promote(workspace, "v2")
    assert champion.rollback(workspace).version == "v1"
    assert champion.champion(workspace) == "v1"
    with raises(NotReadyError, "no-earlier-champion", removed=[]):
        champion.rollback(workspace)
    with raises(NotReadyError, "no-such-ensemble", version="v9", known=["v1", "v2"]):
        champion.promote(workspace, "v9")
    aliases = read_aliases(workspace)
    assert [(d.version, d.by, d.instead_of) for d in aliases.history] == [
        ("v1", "hand", None),
        ("v2", "hand", "v1"),
        ("v1", "hand", "v2"),
    ]
    first, _, then = aliases.summary("v2").partition("; ")
    assert first == aliases.decision("v2").reason
    assert "v1" in then


def test_a_rollback_skips_removed_versions(workspace: Location) -> None:
    publish(workspace, "v1", "v2", "v3")
    for version in ("v1", "v2", "v3"):
        champion.promote(workspace, version)
    (workspace / ENSEMBLES_FOLDER / "v2").remove()
    outcome = champion.rollback(workspace)
    assert (outcome.version, outcome.instead_of) == ("v1", "v3")
    assert outcome.reason.endswith(": v2")
    champion.promote(workspace, "v3")
    (workspace / ENSEMBLES_FOLDER / "v1").remove()
    with raises(NotReadyError, "no-earlier-champion", removed=["v1"]):
        champion.rollback(workspace)
    assert champion.champion(workspace) == "v3"


def test_a_leaving_version_is_not_promoted(workspace: Location) -> None:
    publish(workspace, "v1", "v2")
    (workspace / CHAMPION_FILE).write_json({"version": "v2", "leaving": ["v1"], "earlier": ["v1"]})
    with raises(NotReadyError, "version-leaving", version="v1"):
        champion.promote(workspace, "v1")
    with raises(NotReadyError, "no-earlier-champion"):
        champion.rollback(workspace)


def test_an_ensemble_is_found_by_every_name(workspace: Location) -> None:
    with raises(NotReadyError, "no-champion", workspace=str(workspace)):
        champion.find_ensemble(workspace, "champion")
    publish(workspace, "v1")
    champion.promote(workspace, "v1")
    folder = str(workspace / ENSEMBLES_FOLDER / "v1")
    for name in ("champion", "v1", folder):
        owner, found = champion.find_ensemble(workspace, name)
        assert (owner, found.version) == (workspace, "v1")
    with raises(NotReadyError, "not-an-ensemble", folder=folder + "0"):
        champion.find_ensemble(workspace, folder + "0")


# --- the file --------------------------------------------------------------------------------


def test_a_file_without_a_history_still_loads(workspace: Location) -> None:
    publish(workspace, "v1", "v2")
    (workspace / CHAMPION_FILE).write_json(
        {"version": "v2", "earlier": ["v1"], "considered": ["v1", "v2"]}
    )
    assert champion.champion(workspace) == "v2"
    assert read_aliases(workspace).summary("v2") == ""
    assert champion.rollback(workspace).version == "v1"


def test_the_summary_of_a_stored_decision_does_not_depend_on_its_wording(
    workspace: Location,
) -> None:
    """The reasons are those that earlier versions wrote."""
    measured = {
        "champion": "v1", "clips": 60, "newer": 0, "champion_kl": 0.5, "challenger_kl": 0.4,
        "gain": 0.1, "low": 0.05, "high": 0.15, "confidence": 0.95, "groups": None, "whole": False,
    }  # fmt: skip
    text = (
        "KL 0.4000 against 0.5000 of v1 on 60 clips that neither has seen; "
        "gain 0.1000, 95 % interval 0.0500 to 0.1500"
    )
    few = "only 60 clips that neither has seen, and promotion.min_clips is 61; more"
    decisions = [
        {"version": "v1", "promoted": True, "reason": "by hand", "by": "hand"},
        {"version": "v2", "promoted": True, "reason": text, "duel": measured},
        {"version": "v3", "promoted": False, "reason": few, "duel": measured},
    ]
    at = {"at": "2026-01-01T00:00:00Z"}
    (workspace / CHAMPION_FILE).write_json({"history": [one | at for one in decisions]})
    aliases = read_aliases(workspace)
    assert aliases.summary("v1") == "by hand"
    assert aliases.summary("v2") == "gain +0.1000 (+0.0500 to +0.1500), 60 clips"
    assert aliases.summary("v3") == few.partition(";")[0]


def test_the_history_is_limited(workspace: Location) -> None:
    publish(workspace, "v1", "v2")
    for number in range(HISTORY + 5):
        champion.promote(workspace, f"v{1 + number % 2}")
    history = read_aliases(workspace).history
    assert len(history) == HISTORY
    assert history[-1].version == champion.champion(workspace)


def test_concurrent_readers_and_writers(workspace: Location) -> None:
    """Three writers lose no promotion, and a concurrent reader always sees a complete file."""
    versions = [f"v{number}" for number in range(4)]
    publish(workspace, *versions)
    champion.promote(workspace, "v0")
    finished, seen = threading.Event(), set()

    def read() -> None:
        while not finished.is_set():
            seen.add(champion.champion(workspace))

    def write(version: str) -> None:
        for _ in range(5):
            champion.promote(workspace, version)
            champion.promote(workspace, "v0")

    threads = [threading.Thread(target=write, args=(version,)) for version in versions[1:]]
    reader = threading.Thread(target=read)
    for thread in (reader, *threads):
        thread.start()
    for thread in threads:
        thread.join()
    finished.set()
    reader.join()
    assert seen <= {*versions}
    history = read_aliases(workspace).history
    assert [decision.instead_of for decision in history[1:]] == [
        decision.version for decision in history[:-1]
    ]
    assert sum(decision.version == "v2" for decision in history) == 5
