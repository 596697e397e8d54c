"""Who is champion, how that changes, and what is noted of it."""

import threading
from pathlib import Path

import pytest

from overlap.config import PromotionConfig
from overlap.ensemble import registry
from overlap.ensemble.registry import EnsembleRecord
from overlap.errors import NotReadyError, UserError
from overlap.io.location import Location
from overlap.io.workspace_paths import CHAMPION_FILE, ENSEMBLES_FOLDER
from overlap.promotion import champion
from overlap.promotion.challenge import plan_comparison
from overlap.promotion.champion import HISTORY, Promotion, read_aliases
from support.comparison_data import catalog_of, knowing, publish_knowing, says
from support.run_steps import publish_record, published

CLIPS = 60
RULE = PromotionConfig()


def publish(workspace: Location, *versions: str) -> list[EnsembleRecord]:
    records = [published(version) for version in versions]
    for record in records:
        publish_record(workspace, record)
    return records


def contender(workspace: Location, version: str, error: float) -> EnsembleRecord:
    """An ensemble that holds out every clip, and is as good as its error."""
    catalog = catalog_of(range(CLIPS))
    if not (workspace / "catalog.parquet").exists():
        catalog.save(workspace)
    said = says(catalog.labels, error, seed=1)
    return publish_knowing(workspace, version, catalog, knowing(catalog, [0] * CLIPS), said)


def consider(
    workspace: Location, challenger: EnsembleRecord, config: PromotionConfig = RULE
) -> Promotion:
    """As a run does."""
    current = champion.current_champion(workspace, challenger)
    plan = plan_comparison(workspace, current, challenger) if current else None
    return champion.consider(workspace, challenger, config, plan)


# --- the rule --------------------------------------------------------------------------------


def test_the_first_ensemble_becomes_champion(workspace: Location) -> None:
    first = contender(workspace, "v1", 0.5)
    assert champion.champion(workspace) is None
    assert consider(workspace, first).promoted
    assert champion.champion(workspace) == "v1"
    again = consider(workspace, first)
    assert (again.promoted, again.reason) == (False, "it is the champion already")
    assert [decision.reason for decision in read_aliases(workspace).history] == [
        "it is the first champion"
    ]


@pytest.mark.parametrize(
    ("error", "config", "promoted", "reason"),
    [
        (0.2, {}, True, "60 clips that neither has seen; gain 0."),
        (0.5, {}, False, "no certain gain: KL"),
        (0.8, {}, False, "no certain gain: KL"),
        (0.2, {"min_gain": 1}, False, "the gain is below promotion.min_gain 1: KL"),
        (0.2, {"min_clips": 61}, False, "only 60 clips that neither has seen, and promotion."),
        (0.2, {"rule": "never"}, False, "promotion.rule is never; KL"),
        (0.8, {"rule": "always"}, True, "promotion.rule is always; KL"),
    ],
)
def test_a_challenger_must_be_certainly_better(
    workspace: Location, error: float, config: dict, promoted: bool, reason: str
) -> None:
    current, challenger = contender(workspace, "v1", 0.5), contender(workspace, "v2", error)
    champion.promote(workspace, "v1")
    outcome = consider(workspace, challenger, PromotionConfig(**config))
    assert outcome.promoted is promoted
    assert reason in outcome.reason
    assert ("`overlap models promote v2`" in outcome.reason) is not promoted
    assert champion.champion(workspace) == ("v2" if promoted else "v1")
    duel = outcome.duel
    assert duel is not None
    assert (duel.champion, duel.clips, duel.newer, duel.groups) == ("v1", 60, 0, None)
    assert duel.champion_kl == pytest.approx(current.kl)
    assert duel.challenger_kl == pytest.approx(challenger.kl)
    assert duel.gain == pytest.approx(current.kl - challenger.kl, abs=1e-12)
    assert duel.low <= duel.gain <= duel.high
    assert read_aliases(workspace).decision("v2") == outcome


def test_never_promotes_not_even_the_first(workspace: Location) -> None:
    never = PromotionConfig(rule="never")
    outcome = consider(workspace, contender(workspace, "v1", 0.5), never)
    assert "promotion.rule is never; `overlap models promote v1`" in outcome.reason
    assert champion.champion(workspace) is None


def test_a_champion_that_is_gone_is_replaced(workspace: Location) -> None:
    _, second = contender(workspace, "v1", 0.1), contender(workspace, "v2", 0.5)
    champion.promote(workspace, "v1")
    (workspace / ENSEMBLES_FOLDER / "v1").remove()
    outcome = consider(workspace, second)
    assert outcome.promoted
    assert "champion v1 is no longer there" in outcome.reason


def test_what_a_person_decided_stays(workspace: Location) -> None:
    """A run over unchanged data considers the same version again."""
    _, better = contender(workspace, "v1", 0.5), contender(workspace, "v2", 0.2)
    champion.promote(workspace, "v1")
    assert consider(workspace, better).promoted
    champion.rollback(workspace)
    outcome = consider(workspace, better)
    assert not outcome.promoted
    assert "was considered before; `overlap models promote v2`" in outcome.reason
    assert champion.champion(workspace) == "v1"


def test_what_was_removed_and_is_published_again_was_considered(workspace: Location) -> None:
    """Its version has another time, and the same members."""
    publish(workspace, "20260101-000000-aaaaaaaa", "20260102-000000-bbbbbbbb")
    again, other = publish(workspace, "20260103-000000-bbbbbbbb", "20260103-000000-cccccccc")
    champion.promote(workspace, "20260101-000000-aaaaaaaa")
    before = champion.read_aliases(workspace)
    after = before.model_copy(update={"considered": ("20260102-000000-bbbbbbbb",)})
    (workspace / CHAMPION_FILE).write_record(after)
    assert champion.current_champion(workspace, again) is None
    assert "was considered before" in consider(workspace, again).reason
    assert champion.current_champion(workspace, other) is not None


def test_a_champion_that_changed_meanwhile_is_not_replaced(workspace: Location) -> None:
    for version, error in (("v1", 0.5), ("v2", 0.2), ("v3", 0.1)):
        contender(workspace, version, error)
    champion.promote(workspace, "v1")
    (third,) = [r for r in registry.list_ensembles(workspace) if r.version == "v3"]
    current = champion.current_champion(workspace, third)
    plan = plan_comparison(workspace, current, third)
    champion.promote(workspace, "v2")
    outcome = champion.consider(workspace, third, RULE, plan)
    assert (outcome.promoted, "v2 became champion meanwhile" in outcome.reason) == (False, True)
    assert champion.champion(workspace) == "v2"
    assert consider(workspace, third).promoted  # the next run compares it with v2


# --- by hand ---------------------------------------------------------------------------------


def test_an_ensemble_of_another_workspace_is_not_promoted(
    workspace: Location, tmp_path: Path
) -> None:
    other = Location.of(tmp_path / "other")
    publish(other, "v1")
    with pytest.raises(UserError, match=r"v1: is an ensemble of .*other, not of"):
        champion.promote(workspace, str(other / ENSEMBLES_FOLDER / "v1"))
    assert champion.champion(workspace) is None


def test_promote_and_roll_back(workspace: Location) -> None:
    publish(workspace, "v1", "v2")
    champion.promote(workspace, "v1")
    champion.promote(workspace, "v2")
    champion.promote(workspace, "v2")
    assert champion.rollback(workspace).version == "v1"
    assert champion.champion(workspace) == "v1"
    with pytest.raises(NotReadyError, match="no earlier champion to go back to$"):
        champion.rollback(workspace)
    with pytest.raises(NotReadyError, match=r"no ensemble v9; there are: v1, v2"):
        champion.promote(workspace, "v9")
    aliases = read_aliases(workspace)
    assert [(d.version, d.by, d.reason, d.instead_of) for d in aliases.history] == [
        ("v1", "hand", "by hand", None),
        ("v2", "hand", "by hand", "v1"),
        ("v1", "hand", "by hand: back from v2", "v2"),
    ]
    assert aliases.summary("v2") == "by hand; then v1 by hand"


def test_a_rollback_passes_over_what_is_gone_and_says_so(workspace: Location) -> None:
    publish(workspace, "v1", "v2", "v3")
    for version in ("v1", "v2", "v3"):
        champion.promote(workspace, version)
    (workspace / ENSEMBLES_FOLDER / "v2").remove()
    outcome = champion.rollback(workspace)
    assert (outcome.version, outcome.reason) == (
        "v1", "by hand: back from v3; no longer there: v2",
    )  # fmt: skip
    champion.promote(workspace, "v3")
    (workspace / ENSEMBLES_FOLDER / "v1").remove()
    with pytest.raises(NotReadyError, match=r"to go back to; no longer there: v1"):
        champion.rollback(workspace)
    assert champion.champion(workspace) == "v3"


def test_what_is_being_removed_is_not_promoted(workspace: Location) -> None:
    publish(workspace, "v1", "v2")
    (workspace / CHAMPION_FILE).write_json({"version": "v2", "leaving": ["v1"], "earlier": ["v1"]})
    with pytest.raises(NotReadyError, match=r"v1: is being removed by `overlap models prune`"):
        champion.promote(workspace, "v1")
    with pytest.raises(NotReadyError, match="no earlier champion to go back to"):
        champion.rollback(workspace)


def test_an_ensemble_is_found_by_every_name(workspace: Location) -> None:
    with pytest.raises(NotReadyError, match="no champion there yet"):
        champion.find_ensemble(workspace, "champion")
    publish(workspace, "v1")
    champion.promote(workspace, "v1")
    folder = str(workspace / ENSEMBLES_FOLDER / "v1")
    for name in ("champion", "v1", folder):
        owner, found = champion.find_ensemble(workspace, name)
        assert (owner, found.version) == (workspace, "v1")
    with pytest.raises(NotReadyError, match="so no ensemble"):
        champion.find_ensemble(workspace, folder + "0")


# --- the file --------------------------------------------------------------------------------


def test_a_file_of_before_still_loads(workspace: Location) -> None:
    publish(workspace, "v1", "v2")
    (workspace / CHAMPION_FILE).write_json(
        {"version": "v2", "earlier": ["v1"], "considered": ["v1", "v2"]}
    )
    assert champion.champion(workspace) == "v2"
    assert read_aliases(workspace).summary("v2") == ""
    assert champion.rollback(workspace).version == "v1"


def test_the_history_is_short(workspace: Location) -> None:
    publish(workspace, "v1", "v2")
    for number in range(HISTORY + 5):
        champion.promote(workspace, f"v{1 + number % 2}")
    history = read_aliases(workspace).history
    assert len(history) == HISTORY
    assert history[-1].version == champion.champion(workspace)


def test_readers_and_writers_at_a_time(workspace: Location) -> None:
    """Four writers: no promotion is lost, and who reads meanwhile sees one of them whole."""
    versions = [f"v{number}" for number in range(4)]
    publish(workspace, *versions)
    champion.promote(workspace, "v0")
    over, seen = threading.Event(), set()

    def read() -> None:
        while not over.is_set():
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
    over.set()
    reader.join()
    assert seen <= {*versions}
    history = read_aliases(workspace).history
    assert [decision.instead_of for decision in history[1:]] == [
        decision.version for decision in history[:-1]
    ]
    assert sum(decision.version == "v2" for decision in history) == 5
