"""Comparisons of published ensembles, and the backfill of clips newer than the champion."""

import shutil
from pathlib import Path

import keras
import numpy as np
import pytest

from overlap.catalog import Catalog, partition
from overlap.config import PromotionConfig, RunConfig, ValidationConfig
from overlap.ensemble import registry
from overlap.ensemble.exposure import LEARNED, TrainingExposure, training_exposure
from overlap.ensemble.members import load_members
from overlap.ensemble.publish import publish
from overlap.ensemble.registry import EnsembleRecord
from overlap.errors import NotReadyError
from overlap.features import FeatureStore
from overlap.io.location import Location
from overlap.io.workspace_paths import MEMBER_FILE, MODEL_FILE, PREDICTIONS_FILE
from overlap.metrics.divergence import kl
from overlap.prediction.worker import apply_ensemble
from overlap.promotion import champion, decision
from overlap.promotion.challenge import ComparisonPlan, plan_comparison
from overlap.promotion.champion import Promotion
from overlap.promotion.comparison import read_candidate
from overlap.synthetic import MixConfig, mix
from overlap.training.engine.epochs import predict
from overlap.training.feed.sources import ChunkedSource
from overlap.training.network import SCORES, build_network
from overlap.training.saved import save_network
from overlap.training.spec import MemberRecord, MemberSpec, plan_members
from overlap.training.spec import test_key as key_of_tests
from support.comparison_data import (
    WORDS,
    catalog_of,
    exposure_of,
    perturbed,
    publish_with_exposure,
    relabelled,
    without_exposure,
)
from support.errors import raises
from support.run_steps import TINY, computed

RULE = PromotionConfig(min_clips=5, better_than_trivial="ignored")


def publish_on(
    workspace: Location, version: str, catalog: Catalog, fold: list[int], error: float = 0.3, **more
) -> EnsembleRecord:
    exposure, labels = exposure_of(catalog, fold), catalog.labels
    held_out = perturbed(labels[exposure.fold >= 0], error)
    return publish_with_exposure(workspace, version, catalog, exposure, held_out, **more)


def considered(
    workspace: Location, one: EnsembleRecord, other: EnsembleRecord
) -> tuple[ComparisonPlan, str]:
    """Plan the comparison of two ensembles, and return it with the reason of the decision."""
    plan = plan_comparison(workspace, one, other)
    champion.promote(workspace, one.version)
    return plan, decision.consider(workspace, other, RULE, plan).reason


# --- stored predictions ----------------------------------------------------------------------


def test_the_exposure_is_stored_with_the_predictions() -> None:
    catalog = catalog_of(range(30), [f"g{i % 6}" for i in range(30)])
    for validation in (
        ValidationConfig(holdout=0.2),
        ValidationConfig(holdout=0, folds=3),
        ValidationConfig(holdout=0),
    ):
        known = training_exposure(catalog, validation)
        assert known.folds == (validation.folds or 1)
        for fold in range(known.folds):
            held_out = partition(catalog, validation, fold).held_out
            assert np.flatnonzero(known.fold == fold).tolist() == held_out.tolist()
        saved = known.to_arrays("16000 Hz") | {"held_out": np.zeros(1)}
        again = TrainingExposure.from_arrays(saved, "16000 Hz")
        assert again is not None
        for name, value in vars(known).items():
            assert np.array_equal(getattr(again, name), value)
        assert TrainingExposure.from_arrays(saved, "8000 Hz") is None
        del saved["held_out"]
        assert set(TrainingExposure.from_arrays(saved, "16000 Hz").fold) == {LEARNED}


def test_ensembles_with_other_words_are_not_compared(workspace: Location) -> None:
    catalog = catalog_of(range(20))
    catalog.save(workspace)
    old = publish_on(workspace, "v1", catalog, [0] * 20, words=("a", "b", "c", "e"))
    new = publish_on(workspace, "v2", catalog, [0] * 20, 0.01)
    plan, reason = considered(workspace, old, new)
    assert plan.compare(0.95) is None
    assert "d, e" in plan.obstacle
    assert plan.obstacle in reason
    assert "`overlap models promote v2`" in reason
    with raises(NotReadyError, "other-words", version="v1", words=["d", "e"]):
        read_candidate(workspace, old, catalog)


def test_words_are_reordered(workspace: Location) -> None:
    catalog = catalog_of(range(20))
    catalog.save(workspace)
    new = publish_on(workspace, "v2", catalog, [0] * 20)
    exposure, held_out = exposure_of(catalog, [0] * 20), perturbed(catalog.labels, 0.3)[:, ::-1]
    old = publish_with_exposure(workspace, "v1", catalog, exposure, held_out, WORDS[::-1])
    found = plan_comparison(workspace, old, new).compare(0.95)
    assert (found.clips, found.gain) == (20, 0)


def test_clips_are_identified_by_their_audio(workspace: Location) -> None:
    """One clip has moved, one has other audio, one is removed and one is new."""
    before = catalog_of(range(20))
    old = publish_on(workspace, "v1", before, [0] * 10 + [LEARNED] * 10)
    now = catalog_of([*range(3, 20), "other", "new", 0])
    now.save(workspace)
    new = publish_on(workspace, "v2", now, [0] * 10 + [LEARNED] * 7 + [0] * 3)
    shared = plan_comparison(workspace, old, new).shared
    assert shared.rows.tolist() == [*range(7), 17, 18, 19]
    assert shared.needs_backfill.tolist() == [False] * 7 + [True, True, False]
    held = perturbed(before.labels[:10], 0.3)
    assert np.array_equal(shared.champion[[0, 9]], held[[3, 0]])


def test_both_are_scored_against_current_labels(workspace: Location) -> None:
    before = catalog_of(range(20))
    old = publish_on(workspace, "v1", before, [0] * 20, 0.01)
    new = publish_on(workspace, "v2", before, [0] * 20, 0.02)
    relabelled(before, 5).save(workspace)
    found = plan_comparison(workspace, old, new).compare(0.95)
    labels = relabelled(before, 5).labels
    assert found.champion_kl == pytest.approx(kl(labels, perturbed(before.labels, 0.01)))


def test_an_older_record_is_compared_while_its_rows_are_unchanged(
    workspace: Location,
) -> None:
    before = catalog_of(range(20))
    old = without_exposure(workspace, publish_on(workspace, "v1", before, [0] * 20))
    now = catalog_of(range(25))
    now.save(workspace)
    new = publish_on(workspace, "v2", now, [0] * 25, 0.01)
    plan, reason = considered(workspace, old, new)
    assert plan.shared.rows.tolist() == [*range(20)]  # the exposure to the others is unknown
    assert "on 20 clips" in reason
    catalog_of([*range(19), "other"]).save(workspace)
    plan, reason = considered(workspace, old, publish_on(workspace, "v3", now, [0] * 25, 0.01))
    assert len(plan.shared.rows) == 0
    assert reason.startswith(plan.obstacle)
    with raises(NotReadyError, "unknown-exposure", version="v1"):
        read_candidate(workspace, old, Catalog.load(workspace))
    catalog_of(range(3)).save(workspace)
    assert len(plan_comparison(workspace, old, new).shared.rows) == 0


def test_nothing_held_out_and_nothing_readable(workspace: Location) -> None:
    catalog = catalog_of(range(20))
    catalog.save(workspace)
    old = publish_on(workspace, "v1", catalog, [0] * 20)
    blind = publish_on(workspace, "v2", catalog, [LEARNED] * 20)
    plan, reason = considered(workspace, old, blind)
    assert plan.obstacle.startswith("v2 ")
    assert "(validation.holdout, validation.folds)" in reason
    new = publish_on(workspace, "v3", catalog, [0] * 5 + [LEARNED] * 15)
    plan, reason = considered(workspace, blind, new)
    assert (plan.obstacle, len(plan.shared.rows)) == ("", 0)
    assert "promotion.min_clips is 5" in reason
    for damage in (b"damaged", b""):
        (registry.folder_of(workspace, old) / "predictions.npz").write_bytes(damage)
        with raises(NotReadyError, "predictions-unreadable", version="v1"):
            read_candidate(workspace, old, catalog)
        assert "v1" in plan_comparison(workspace, old, new).obstacle
    (registry.folder_of(workspace, old) / "predictions.npz").remove()
    with raises(NotReadyError, "predictions-unreadable", version="v1"):
        read_candidate(workspace, old, catalog)


def test_without_members_only_stored_predictions_are_compared(workspace: Location) -> None:
    before = catalog_of(range(20))
    old = publish_on(workspace, "v1", before, [0] * 20, 0.5).model_copy(update={"members": ("m",)})
    now = catalog_of(range(30))
    now.save(workspace)
    plan, reason = considered(workspace, old, publish_on(workspace, "v2", now, [0] * 30, 0.1))
    assert plan.missing() == []
    assert "on 20 clips" in reason
    assert plan.obstacle in reason
    assert "10 clips" in plan.obstacle
    assert champion.champion(workspace) == "v2"


# --- new clips -------------------------------------------------------------------------------


@pytest.fixture
def growing(words: Path, data: Path, tmp_path: Path) -> Path:
    """A data set that a test may change; `grow` adds half as many clips again."""
    return Path(shutil.copytree(data, tmp_path / "growing"))


def grow(growing: Path, words: Path, tmp_path: Path) -> None:
    mix(words, tmp_path / "more", MixConfig(
        train=150, test=20, words_per_clip=2, groups=4, seed=3, test_speakers=0.2
    ))  # fmt: skip
    shutil.rmtree(growing)
    (tmp_path / "more").rename(growing)


def publish_networks(
    config: RunConfig, seed: int, confidence: float
) -> tuple[EnsembleRecord, list[keras.Model]]:
    """Publish untrained networks; the more confident they are, the larger is their error."""
    workspace = Location.of(config.workspace)
    config = RunConfig.model_validate(config.model_dump() | {"training": {"seed": seed}})
    before = Catalog.load(workspace) if (workspace / "catalog.parquet").exists() else None
    catalog, store = computed(config, before)
    networks = []
    for spec in plan_members(config, catalog, store):
        network = build_network(
            spec.network, store.config.shape, len(spec.words), spec.constants, spec.subset
        ).model
        scores = network.get_layer(SCORES)
        scores.set_weights([confidence * weights for weights in scores.get_weights()])
        complete_with(workspace, spec, network, catalog, store)
        networks.append(network)
    members = load_members(workspace, config, catalog, store)
    return publish(workspace, config, catalog, members), networks


def complete_with(
    workspace: Location, spec: MemberSpec, network: keras.Model, catalog: Catalog,
    store: FeatureStore,
) -> None:  # fmt: skip
    folder, source = spec.folder(workspace), ChunkedSource(store)
    rows = partition(catalog, spec.validation, spec.fold).held_out
    predictions, test = predict(network, source, rows), catalog.rows("test")
    save_network(network, folder)
    (folder / PREDICTIONS_FILE).write_arrays(
        {"test_rows": test, "test": predict(network, source, test),
         "held_out_rows": rows, "held_out": predictions}
    )  # fmt: skip
    record = MemberRecord(
        fingerprint=spec.fingerprint, spec=spec, test_key=key_of_tests(catalog), parameters=1,
        history=[], held_out_kl=kl(catalog.labels[rows], predictions), clips=1, seconds=1,
        clips_per_second=1, device="", peak_memory_mb=1, software={},
        files={n: str((folder / n).digest()) for n in (MODEL_FILE, PREDICTIONS_FILE)},
    )  # fmt: skip
    (folder / MEMBER_FILE).write_record(record)


def decide(workspace: Location, challenger: EnsembleRecord) -> tuple[ComparisonPlan, Promotion]:
    """Do in this process what a run does at its end."""
    current = champion.current_champion(workspace, challenger)
    plan = plan_comparison(workspace, current, challenger)
    many, few = (RULE.model_copy(update={"min_clips": clips}) for clips in (1000, 20))
    waiting = decision.consider(workspace, challenger, many, plan)
    assert f" {np.count_nonzero(plan.shared.needs_backfill)} clips" in waiting.reason
    assert not champion.is_settled(workspace, challenger.version)  # the next run tries again
    for job in plan.missing():
        apply_ensemble(job, lambda _event: None)
    assert plan.missing() == []
    return plan, decision.consider(workspace, challenger, few, plan)


@pytest.mark.nightly
@pytest.mark.parametrize("validation", [{"holdout": 0.2}, {"holdout": 0, "folds": 2}])
def test_the_champion_predicts_newer_clips(
    growing: Path, words: Path, tmp_path: Path, validation: dict
) -> None:
    """The members that did not train on a clip's group predict it; a worse ensemble stays out."""
    folds = validation.get("folds", 1)
    workspace = Location.of(tmp_path / "workspace")
    config = RunConfig(data=str(growing), workspace=str(workspace), **TINY | {
        "ensemble": {"members": folds}, "validation": validation
    })  # fmt: skip
    first, networks = publish_networks(config, 1, 1.0)
    assert decision.consider(workspace, first, RULE).promoted
    before = Catalog.load(workspace)
    grow(growing, words, tmp_path)
    worse, _ = publish_networks(config, 2, 30.0)
    plan, outcome = decide(workspace, worse)

    now, shared = Catalog.load(workspace), plan.shared
    assert shared.needs_backfill.tolist() == (shared.rows >= len(before)).tolist()
    newer = np.count_nonzero(shared.needs_backfill)
    assert newer == 50 if folds == 2 else 0 < newer < 50
    held_out = [partition(now, config.validation, fold).held_out for fold in range(folds)]
    assert shared.rows.tolist() == sorted(np.concatenate(held_out))
    source = ChunkedSource(FeatureStore.open(workspace))
    expected = np.empty((len(shared.rows), 6))
    for fold, network in enumerate(networks):
        left_out = before.clips["group"].iloc[partition(before, config.validation, fold).held_out]
        eligible = now.clips["group"].iloc[shared.rows].isin({*left_out}).to_numpy()
        expected[eligible] = predict(network, source, shared.rows[eligible])
    found = outcome.duel
    assert (found.clips, found.newer) == (len(shared.rows), newer)
    assert found.champion_kl == pytest.approx(kl(shared.labels, expected), abs=1e-5)
    assert found.challenger_kl == pytest.approx(worse.kl)
    assert not outcome.promoted
    assert f"{found.challenger_kl:.4f}" in outcome.reason
    assert f"{newer} of them newer than {first.version}" in outcome.reason
    assert champion.champion(workspace) == first.version
