"""A duel between published ensembles, from their files; and clips newer than the champion."""

import shutil
from pathlib import Path

import keras
import numpy as np
import pytest

from overlap.catalog import Catalog, partition
from overlap.config import PromotionConfig, RunConfig, ValidationConfig
from overlap.ensemble import registry
from overlap.ensemble.exposure import LEARNED, TrainingExposure, known_clips
from overlap.ensemble.members import look_at_members
from overlap.ensemble.publish import publish
from overlap.ensemble.registry import EnsembleRecord
from overlap.features import FeatureStore
from overlap.io.location import Location
from overlap.io.workspace_paths import MEMBER_FILE, MODEL_FILE, PREDICTIONS_FILE
from overlap.metrics.divergence import kl
from overlap.prediction.worker import apply_ensemble
from overlap.promotion import champion
from overlap.promotion.challenge import ComparisonPlan, plan_comparison
from overlap.promotion.champion import Promotion
from overlap.synthetic import MixConfig, mix
from overlap.training.feed.sources import ChunkedSource
from overlap.training.fit import predict
from overlap.training.network import SCORES, build_network
from overlap.training.saved import save_network
from overlap.training.spec import MemberRecord, MemberSpec, plan_members
from overlap.training.spec import test_key as key_of_tests
from support.comparison_data import (
    WORDS,
    catalog_of,
    knowing,
    publish_knowing,
    relabelled,
    says,
    without_names,
)
from support.run_steps import TINY, computed

RULE = PromotionConfig(min_clips=5)


def publish_on(
    workspace: Location, version: str, catalog: Catalog, fold: list[int], error: float = 0.3, **more
) -> EnsembleRecord:
    knowledge = knowing(catalog, fold)
    labels = catalog.labels[knowledge.fold >= 0]
    return publish_knowing(workspace, version, catalog, knowledge, says(labels, error), **more)


def judged(
    workspace: Location, one: EnsembleRecord, other: EnsembleRecord
) -> tuple[ComparisonPlan, str]:
    plan = plan_comparison(workspace, one, other)
    champion.promote(workspace, one.version)
    return plan, champion.consider(workspace, other, RULE, plan).reason


# --- what is in the files --------------------------------------------------------------------


def test_what_an_ensemble_knows_is_kept_with_its_predictions() -> None:
    catalog = catalog_of(range(30), [f"g{i % 6}" for i in range(30)])
    for validation in (
        ValidationConfig(holdout=0.2),
        ValidationConfig(holdout=0, folds=3),
        ValidationConfig(holdout=0),
    ):
        known = known_clips(catalog, validation)
        assert known.folds == (validation.folds or 1)
        for fold in range(known.folds):
            held_out = partition(catalog, validation, fold).held_out
            assert np.flatnonzero(known.fold == fold).tolist() == held_out.tolist()
        saved = known.arrays("16000 Hz") | {"held_out": np.zeros(1)}
        again = TrainingExposure.of(saved, "16000 Hz")
        assert again is not None
        for name, value in vars(known).items():
            assert np.array_equal(getattr(again, name), value)
        assert TrainingExposure.of(saved, "8000 Hz") is None
        del saved["held_out"]
        assert set(TrainingExposure.of(saved, "16000 Hz").fold) == {LEARNED}


def test_other_words_are_told(workspace: Location) -> None:
    catalog = catalog_of(range(20))
    catalog.save(workspace)
    old = publish_on(workspace, "v1", catalog, [0] * 20, words=("a", "b", "c", "e"))
    new = publish_on(workspace, "v2", catalog, [0] * 20, 0.01)
    plan, reason = judged(workspace, old, new)
    assert plan.judged(0.95) is None
    assert reason == ("v1 has other words: d, e; `overlap models promote v2` makes it the champion")


def test_words_in_another_order_are_put_right(workspace: Location) -> None:
    catalog = catalog_of(range(20))
    catalog.save(workspace)
    new = publish_on(workspace, "v2", catalog, [0] * 20)
    said = says(catalog.labels, 0.3)[:, ::-1]
    old = publish_knowing(workspace, "v1", catalog, knowing(catalog, [0] * 20), said, WORDS[::-1])
    duel = plan_comparison(workspace, old, new).judged(0.95)
    assert (duel.clips, duel.gain) == (20, 0)


def test_clips_are_found_by_their_sound(workspace: Location) -> None:
    """One is renamed by standing elsewhere, one has another sound, one is gone, one is new."""
    before = catalog_of(range(20))
    old = publish_on(workspace, "v1", before, [0] * 10 + [LEARNED] * 10)
    now = catalog_of([*range(3, 20), "other", "new", 0])
    now.save(workspace)
    new = publish_on(workspace, "v2", now, [0] * 10 + [LEARNED] * 7 + [0] * 3)
    ground = plan_comparison(workspace, old, new).ground
    assert ground.rows.tolist() == [*range(7), 17, 18, 19]
    assert ground.needs_backfill.tolist() == [False] * 7 + [True, True, False]
    held = says(before.labels[:10], 0.3)
    assert np.array_equal(ground.champion[[0, 9]], held[[3, 0]])


def test_labels_are_those_of_today(workspace: Location) -> None:
    before = catalog_of(range(20))
    old = publish_on(workspace, "v1", before, [0] * 20, 0.01)
    new = publish_on(workspace, "v2", before, [0] * 20, 0.02)
    relabelled(before, 5).save(workspace)
    duel = plan_comparison(workspace, old, new).judged(0.95)
    labels = relabelled(before, 5).labels
    assert duel.champion_kl == pytest.approx(kl(labels, says(before.labels, 0.01)))


def test_a_record_of_before_is_compared_where_its_rows_are_what_they_were(
    workspace: Location,
) -> None:
    before = catalog_of(range(20))
    old = without_names(workspace, publish_on(workspace, "v1", before, [0] * 20))
    now = catalog_of(range(25))
    now.save(workspace)
    new = publish_on(workspace, "v2", now, [0] * 25, 0.01)
    plan, reason = judged(workspace, old, new)
    assert plan.ground.rows.tolist() == [*range(20)]  # of the five others nobody knows
    assert "20 clips that neither has seen; gain" in reason
    catalog_of([*range(19), "other"]).save(workspace)
    plan, reason = judged(workspace, old, publish_on(workspace, "v3", now, [0] * 25, 0.01))
    assert len(plan.ground.rows) == 0
    assert reason == (
        "it is not known which clips v1 learned from; "
        "`overlap models promote v3` makes it the champion"
    )
    catalog_of(range(3)).save(workspace)
    assert len(plan_comparison(workspace, old, new).ground.rows) == 0


def test_nothing_held_out_and_nothing_readable(workspace: Location) -> None:
    catalog = catalog_of(range(20))
    catalog.save(workspace)
    old = publish_on(workspace, "v1", catalog, [0] * 20)
    blind = publish_on(workspace, "v2", catalog, [LEARNED] * 20)
    assert (
        "it holds out no clips (validation.holdout, validation.folds); `overlap"
        in (judged(workspace, old, blind)[1])
    )
    new = publish_on(workspace, "v3", catalog, [0] * 5 + [LEARNED] * 15)
    assert (
        "no clips that neither has seen, and promotion.min_clips is 5; `overlap models"
        in (judged(workspace, blind, new)[1])
    )
    for damage in (b"damaged", b""):
        (registry.folder_of(workspace, old) / "predictions.npz").write_bytes(damage)
        plan = plan_comparison(workspace, old, new)
        assert plan.obstacle == "the predictions of v1 cannot be read"
    (registry.folder_of(workspace, old) / "predictions.npz").remove()
    assert plan_comparison(workspace, old, new).obstacle == "the predictions of v1 cannot be read"


def test_without_its_members_only_what_it_said_before_counts(workspace: Location) -> None:
    before = catalog_of(range(20))
    old = publish_on(workspace, "v1", before, [0] * 20, 0.5).model_copy(update={"members": ("m",)})
    now = catalog_of(range(30))
    now.save(workspace)
    plan, reason = judged(workspace, old, publish_on(workspace, "v2", now, [0] * 30, 0.1))
    assert plan.missing() == []
    assert "on 20 clips that neither has seen; gain" in reason
    assert "v1 cannot predict the 10 clips newer than it: " in reason
    assert champion.champion(workspace) == "v2"


# --- new clips -------------------------------------------------------------------------------


@pytest.fixture
def growing(words: Path, data: Path, tmp_path: Path) -> Path:
    """A data set that a test may change; `grow` makes half as many clips more."""
    return Path(shutil.copytree(data, tmp_path / "growing"))


def grow(growing: Path, words: Path, tmp_path: Path) -> None:
    mix(words, tmp_path / "more", MixConfig(
        train=150, test=20, words_per_clip=2, groups=4, seed=3, test_speakers=0.2
    ))  # fmt: skip
    shutil.rmtree(growing)
    (tmp_path / "more").rename(growing)


def publish_networks(
    config: RunConfig, seed: int, sureness: float
) -> tuple[EnsembleRecord, list[keras.Model]]:
    """Publish networks that nobody trained, and are the more wrong the surer they are."""
    workspace = Location.of(config.workspace)
    config = RunConfig.model_validate(config.model_dump() | {"training": {"seed": seed}})
    before = Catalog.load(workspace) if (workspace / "catalog.parquet").exists() else None
    catalog, store = computed(config, before)
    networks = []
    for spec in plan_members(config, catalog, store):
        network = build_network(
            spec.network, store.config.shape, len(spec.words), spec.constants, spec.subset
        )
        scores = network.get_layer(SCORES)
        scores.set_weights([sureness * weights for weights in scores.get_weights()])
        complete_with(workspace, spec, network, catalog, store)
        networks.append(network)
    members = look_at_members(workspace, config, catalog, store)
    return publish(workspace, config, catalog, members), networks


def complete_with(
    workspace: Location, spec: MemberSpec, network: keras.Model, catalog: Catalog,
    store: FeatureStore,
) -> None:  # fmt: skip
    folder, source = spec.folder(workspace), ChunkedSource(store)
    rows = partition(catalog, spec.validation, spec.fold).held_out
    said, test = predict(network, source, rows), catalog.rows("test")
    save_network(network, folder)
    (folder / PREDICTIONS_FILE).write_arrays(
        {"test_rows": test, "test": predict(network, source, test),
         "held_out_rows": rows, "held_out": said}
    )  # fmt: skip
    record = MemberRecord(
        fingerprint=spec.fingerprint, spec=spec, test_key=key_of_tests(catalog), parameters=1,
        history=[], held_out_kl=kl(catalog.labels[rows], said), clips=1, seconds=1,
        clips_per_second=1, device="", peak_memory_mb=1, software={},
        files={n: str((folder / n).digest()) for n in (MODEL_FILE, PREDICTIONS_FILE)},
    )  # fmt: skip
    (folder / MEMBER_FILE).write_record(record)


def settle(workspace: Location, challenger: EnsembleRecord) -> tuple[ComparisonPlan, Promotion]:
    """As the end of a run, in this process."""
    current = champion.current_champion(workspace, challenger)
    plan = plan_comparison(workspace, current, challenger)
    waiting = champion.consider(workspace, challenger, PromotionConfig(min_clips=1000), plan)
    assert (
        f"has not predicted {np.count_nonzero(plan.ground.needs_backfill)} clips" in waiting.reason
    )
    assert waiting.reason.endswith("the next run tries again")
    for job in plan.missing():
        apply_ensemble(job, lambda _event: None)
    assert plan.missing() == []
    return plan, champion.consider(workspace, challenger, PromotionConfig(min_clips=20), plan)


@pytest.mark.nightly
@pytest.mark.parametrize("validation", [{"holdout": 0.2}, {"holdout": 0, "folds": 2}])
def test_the_champion_predicts_clips_that_came_after_it(
    growing: Path, words: Path, tmp_path: Path, validation: dict
) -> None:
    """By the members that have not heard their group; and who is surely wrong is not promoted."""
    folds = validation.get("folds", 1)
    workspace = Location.of(tmp_path / "workspace")
    config = RunConfig(data=str(growing), workspace=str(workspace), **TINY | {
        "ensemble": {"members": folds}, "validation": validation
    })  # fmt: skip
    first, networks = publish_networks(config, 1, 1.0)
    assert champion.consider(workspace, first, RULE).promoted
    before = Catalog.load(workspace)
    grow(growing, words, tmp_path)
    worse, _ = publish_networks(config, 2, 30.0)
    plan, outcome = settle(workspace, worse)

    now, ground = Catalog.load(workspace), plan.ground
    assert ground.needs_backfill.tolist() == (ground.rows >= len(before)).tolist()
    newer = np.count_nonzero(ground.needs_backfill)
    assert newer == 50 if folds == 2 else 0 < newer < 50
    held_out = [partition(now, config.validation, fold).held_out for fold in range(folds)]
    assert ground.rows.tolist() == sorted(np.concatenate(held_out))
    source = ChunkedSource(FeatureStore.open(workspace))
    expected = np.empty((len(ground.rows), 6))
    for fold, network in enumerate(networks):
        left_out = before.clips["group"].iloc[partition(before, config.validation, fold).held_out]
        mine = now.clips["group"].iloc[ground.rows].isin({*left_out}).to_numpy()
        expected[mine] = predict(network, source, ground.rows[mine])
    duel = outcome.duel
    assert (duel.clips, duel.newer) == (len(ground.rows), newer)
    assert duel.champion_kl == pytest.approx(kl(ground.labels, expected), abs=1e-5)
    assert duel.challenger_kl == pytest.approx(worse.kl)
    assert not outcome.promoted
    assert f"no certain gain: KL {duel.challenger_kl:.4f} against" in outcome.reason
    assert f"{newer} of them newer than it" in outcome.reason
    assert champion.champion(workspace) == first.version
