"""A champion must be better than the trivial prediction, the mean training label."""

import numpy as np
import pytest

from overlap.config import PromotionConfig, RunConfig
from overlap.ensemble.registry import EnsembleRecord, list_ensembles
from overlap.errors import NotReadyError
from overlap.io.location import Location
from overlap.io.workspace_paths import CHAMPION_FILE
from overlap.promotion import champion
from overlap.promotion.challenge import plan_comparison
from overlap.promotion.champion import Promotion, read_aliases
from overlap.promotion.decision import consider
from overlap.promotion.trivial import check_trivial
from overlap.workspace.workspace import Workspace
from support.comparison_data import catalog_of, exposure_of, perturbed, publish_with_exposure
from support.errors import raises
from support.run_steps import publish_record, published
from support.untrained_members import Ready, champion_of

CLIPS = 80
HELD_OUT = 60
RULE = PromotionConfig()
USELESS, GOOD = 4.0, 0.1
"""Errors of predictions; the trivial prediction lies between."""


def ensemble(workspace: Location, version: str, error: float) -> EnsembleRecord:
    """Publish an ensemble that holds out most clips; a smaller error is better."""
    catalog = catalog_of(range(CLIPS))
    catalog.save(workspace)
    exposure = exposure_of(catalog, [0] * HELD_OUT + [-1] * (CLIPS - HELD_OUT))
    held_out = perturbed(catalog.labels[:HELD_OUT], error, seed=1)
    return publish_with_exposure(workspace, version, catalog, exposure, held_out)


def decide(
    workspace: Location, record: EnsembleRecord, config: PromotionConfig = RULE
) -> Promotion:
    """Decide about an ensemble as a run does."""
    current = champion.current_champion(workspace, record)
    plan = plan_comparison(workspace, current, record) if current else None
    return consider(workspace, record, config, plan)


def test_a_first_ensemble_that_is_better_is_promoted(workspace: Location) -> None:
    record = ensemble(workspace, "v1", GOOD)
    outcome = decide(workspace, record)
    assert (outcome.promoted, outcome.state) == (True, "promoted")
    assert outcome.summary == "first champion"
    found = outcome.trivial
    assert found is not None
    assert (found.clips, found.groups) == (HELD_OUT, None)
    assert found.kl == pytest.approx(record.kl)
    assert found.gain == pytest.approx(found.trivial_kl - found.kl)
    assert 0 < found.low <= found.gain <= found.high
    assert champion.caution(workspace, record) == ""


def test_a_first_ensemble_that_is_not_better_is_only_published(workspace: Location) -> None:
    record = ensemble(workspace, "v1", USELESS)
    outcome = decide(workspace, record)
    assert f"{outcome.state}: {outcome.reason}".startswith(
        "published, not promoted: not better than the trivial prediction: KL "
    )
    assert "`overlap models promote v1`" in outcome.reason
    aliases = read_aliases(workspace)
    assert aliases.version is None
    assert aliases.summary("v1").startswith("not better than the trivial prediction: KL ")
    assert champion.caution(workspace, record).startswith("not better than the trivial prediction")
    with raises(NotReadyError, "no-champion", version="v1") as caught:
        champion.find_ensemble(workspace, "champion")
    for expected in ("--model v1", "`overlap models promote v1`", "not better than the trivial"):
        assert expected in str(caught.value)
    # The run is complete: repeating it neither decides again nor writes.
    assert champion.is_settled(workspace, "v1")
    assert not decide(workspace, record).promoted
    assert read_aliases(workspace) == aliases


def test_a_small_gain_whose_interval_includes_zero_is_not_enough(workspace: Location) -> None:
    catalog = catalog_of(range(CLIPS))
    catalog.save(workspace)
    exposure = exposure_of(catalog, [0] * HELD_OUT + [-1] * (CLIPS - HELD_OUT))
    mean = np.tile(catalog.labels[HELD_OUT:].mean(axis=0), (HELD_OUT, 1))
    noise = np.random.default_rng(5).standard_normal(mean.shape)
    almost = np.exp(np.log(mean) + 0.05 * noise)
    record = publish_with_exposure(
        workspace, "v1", catalog, exposure, almost / almost.sum(axis=1, keepdims=True)
    )
    outcome = decide(workspace, record)
    assert outcome.trivial is not None
    assert outcome.trivial.low <= 0
    assert not outcome.promoted


@pytest.mark.parametrize("rule", ["better", "always"])
def test_a_challenger_must_beat_the_trivial_prediction_too(workspace: Location, rule: str) -> None:
    """The champion is even worse, as one that an earlier release promoted may be."""
    ensemble(workspace, "v1", 2 * USELESS)
    champion.promote(workspace, "v1")
    challenger = ensemble(workspace, "v2", USELESS)
    outcome = decide(workspace, challenger, PromotionConfig(rule=rule))
    assert not outcome.promoted
    assert outcome.summary.startswith("not better than the trivial prediction")
    assert outcome.duel is not None
    assert champion.champion(workspace) == "v1"


def test_the_user_may_ignore_the_condition(workspace: Location) -> None:
    record = ensemble(workspace, "v1", USELESS)
    outcome = decide(workspace, record, PromotionConfig(better_than_trivial="ignored"))
    assert outcome.promoted
    assert outcome.summary == "first champion; not better than the trivial prediction"
    assert champion.caution(workspace, record)


def test_the_user_may_promote_by_hand(workspace: Location) -> None:
    ensemble(workspace, "v1", USELESS)
    decide(workspace, list_ensembles(workspace)[0])
    assert champion.promote(workspace, "v1").promoted
    aliases = read_aliases(workspace)
    assert aliases.version == "v1"
    expected = "promoted by the user; not better than the trivial prediction"
    assert aliases.summary("v1") == expected
    # The run that published it says nothing else afterwards.
    assert decide(workspace, list_ensembles(workspace)[0]).state == "unchanged"


@pytest.mark.parametrize(
    ("setting", "promoted"), [("if-measured", True), ("ignored", True), ("required", False)]
)
def test_without_held_out_clips_nothing_is_measured(
    workspace: Location, setting: str, promoted: bool
) -> None:
    record = published("v1")
    publish_record(workspace, record)
    outcome = decide(workspace, record, PromotionConfig(better_than_trivial=setting))
    assert (outcome.promoted, outcome.trivial) == (promoted, None)
    assert ("not measured" in outcome.summary) is (setting != "ignored")
    assert ("no clips are held out" in outcome.reason) is (setting != "ignored")


def test_changed_training_clips_are_not_measured(workspace: Location) -> None:
    record = ensemble(workspace, "v1", USELESS)
    catalog_of(range(CLIPS + 1)).save(workspace)
    check = check_trivial(workspace, record, 0.95)
    assert (check.comparison, check.obstacle) == (None, "the training clips have changed since")


@pytest.mark.parametrize("validation", [{"holdout": 0.2}, {"holdout": 0, "folds": 2}])
def test_the_trivial_prediction_is_that_of_the_record(
    config: RunConfig, ready: Ready, validation: dict[str, float]
) -> None:
    workspace, record = champion_of(config, ready, 2, validation)
    found = check_trivial(workspace, record, 0.95, Workspace.of(workspace).catalog).comparison
    assert found is not None
    assert found.trivial_kl == pytest.approx(record.trivial_kl)
    assert found.kl == pytest.approx(record.kl)


def test_decisions_of_earlier_releases_load(workspace: Location) -> None:
    """They have no comparison with the trivial prediction; the KL alone is known."""
    record = published("v1").model_copy(update={"kl": 2.5, "trivial_kl": 0.7})
    publish_record(workspace, record)
    (workspace / CHAMPION_FILE).write_json(
        {"version": "v1", "history": [{"version": "v1", "promoted": True, "reason": "first"}]}
    )
    assert read_aliases(workspace).summary("v1") == "first"
    assert champion.caution(workspace, record) == (
        "not better than the trivial prediction: KL 2.5000 against 0.7000"
    )
    assert champion.find_ensemble(workspace, "champion")[1].version == "v1"
