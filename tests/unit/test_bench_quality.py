"""The benchmark of quality: data sets of new voices, missing trainings, equal time."""

import math
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from flows.cli.commands.benchmarks.bench_quality import ensemble_sizes, numbers
from overlap.bench.quality import run
from overlap.bench.quality.comparison import SetComparison, compare
from overlap.bench.quality.recipes import (
    RECIPES,
    REFERENCE,
    Recipe,
    chosen_recipes,
    configuration,
)
from overlap.bench.quality.records import TrainingJob, TrainingResult
from overlap.bench.quality.run import Plan, jobs_of, train_missing
from overlap.bench.quality.sets import (
    KINDS,
    NINE_WORDS,
    DataSet,
    SetSize,
    chosen_kinds,
    compute,
    make_set,
    parts_of_speakers,
)
from overlap.bench.quality.training import Clock
from overlap.catalog import Catalog
from overlap.errors import ChildError, ConfigError, CorruptError, UserError
from overlap.io.location import Location
from overlap.metrics.divergence import kl
from overlap.synthetic import MixConfig, mix
from support.errors import raises
from support.session_files import once_per_session

CHANGED = Recipe("changed", "no difference", ("network.dropout=0",))
CHEAPER = Recipe("cheaper", "no difference", ("network.dropout=0",), passes_factor=2.6)


@pytest.fixture(scope="module")
def data_set(words: Path, tmp_path_factory: pytest.TempPathFactory) -> DataSet:
    """A small data set of two words per clip, with its features; not to be changed."""

    def write(folder: Path) -> None:
        for part, clips, seed in (("train", 40, 1), ("scored", 24, 2)):
            config = MixConfig(train=clips, test=0, words_per_clip=2, groups=3, seed=seed)
            mix(words, folder / part / "data", config)
            compute(folder / part / "data", Location.of(folder / part / "workspace"))

    return DataSet(KINDS["words2"], once_per_session(tmp_path_factory, "quality", write))


def plan(*recipes: Recipe, passes: int = 2, reference_passes: tuple[int, ...] = ()) -> Plan:
    return Plan((RECIPES[0], *recipes), (passes,), reference_passes, 2, 0.02)


def finish(job: TrainingJob, seconds: float, probabilities: np.ndarray) -> None:
    """Write what a training leaves."""
    job.predictions.write_arrays({"probabilities": probabilities})
    result = TrainingResult(
        data_set=job.data_set, recipe=job.recipe, passes=job.passes, seed=job.seed, member="m",
        cpu_seconds=seconds, seconds=seconds, parameters=7,
        predictions_digest=job.predictions.digest() or "",
    )  # fmt: skip
    job.record.write_record(result)


def test_the_sealed_set_needs_permission() -> None:
    with raises(UserError, "sealed-set"):
        chosen_kinds("words9,sealed", sealed=False)
    assert [kind.name for kind in chosen_kinds("sealed", sealed=True)] == ["sealed"]
    assert [kind.name for kind in chosen_kinds("words9, words2", sealed=False)] == [
        "words9", "words2",
    ]  # fmt: skip
    with raises(UserError, "unknown-set", name="words7"):
        chosen_kinds("words7", sealed=True)


def test_the_parts_of_the_speakers_are_disjoint_and_stable() -> None:
    speakers = {f"speaker{number}" for number in range(100)}
    parts = parts_of_speakers(speakers)
    counts = {part: [*parts.values()].count(part) for part in ("train", "score", "sealed")}
    assert counts == {"train": 60, "score": 20, "sealed": 20}
    assert parts_of_speakers({*reversed([*speakers])}) == parts


def test_no_voice_of_the_score_is_heard_in_training(words: Path, tmp_path: Path) -> None:
    """The sets of real speech, here with nine folders of synthetic recordings."""
    source = tmp_path / "speech"
    for place, word in enumerate(NINE_WORDS):
        folder = sorted(item for item in words.iterdir() if item.is_dir())[place % 6]
        (source / word).mkdir(parents=True)
        for file in folder.iterdir():
            (source / word / file.name).symlink_to(file)
    kind, size = KINDS["words2"], SetSize(12, 8)
    made = make_set(tmp_path, kind, size, source)
    voices = next((tmp_path / "voices").iterdir())
    by_part = {
        part: {file.stem.split("_")[0] for file in (voices / part).rglob("*.wav")}
        for part in ("train", "score", "sealed")
    }
    assert all(by_part.values())
    assert not by_part["train"] & (by_part["score"] | by_part["sealed"])
    assert not by_part["score"] & by_part["sealed"]
    assert len(Catalog.load(made.training).rows("train")) == 12
    assert len(Catalog.load(made.scoring).rows("train")) == 8
    assert make_set(tmp_path, kind, size, source) == made
    with raises(UserError, "speech-needed", name="words2"):
        make_set(tmp_path, kind, size, None)
    (source / "zero").rename(source / "other")
    with raises(UserError, "no-such-word", word="zero"):
        make_set(tmp_path / "again", kind, size, source)


def test_recipes_are_valid_and_differ_from_the_reference() -> None:
    assert [recipe.name for recipe in chosen_recipes("lion,tail")] == [REFERENCE, "lion", "tail"]
    assert chosen_recipes("all") == RECIPES
    assert len({recipe.name for recipe in RECIPES}) == len(RECIPES)
    sizes = {"data": "D", "workspace": "W", "width": 0.25, "passes": 6, "seeds": 1}
    configurations = [configuration(recipe.settings, **sizes) for recipe in RECIPES]
    assert all(recipe.prediction for recipe in RECIPES)
    sections = {(one.network.model_dump_json(), one.training.model_dump_json())
                for one in configurations}  # fmt: skip
    assert len(sections) == len(RECIPES)
    measured = configurations[[recipe.name for recipe in RECIPES].index("pool-wide")]
    wide = configuration(("preset=wide",), **sizes)
    assert (measured.network, measured.training) == (wide.network, wide.training)
    baseline = configuration(("preset=baseline",), **sizes)
    of_baseline = configurations[[recipe.name for recipe in RECIPES].index("baseline")]
    assert of_baseline.network == baseline.network
    assert of_baseline.training == baseline.training.model_copy(update={"batch_size": 16})
    with raises(UserError, "unknown-recipe", recipe="best"):
        chosen_recipes("fast,best")
    with raises(UserError, "invalid-passes"):
        numbers("--passes", "6,0")


def test_every_recipe_trains_with_its_first_seed_first(data_set: DataSet, tmp_path: Path) -> None:
    jobs = jobs_of(plan(CHANGED, reference_passes=(3,)), tmp_path, [data_set])
    assert [(job.recipe, job.passes, job.seed) for job in jobs] == [
        ("fast", 2, 0), ("fast", 3, 0), ("changed", 2, 0),
        ("fast", 2, 1), ("fast", 3, 1), ("changed", 2, 1),
    ]  # fmt: skip
    assert len({job.name for job in jobs}) == len(jobs)
    assert [job.passes for job in jobs_of(plan(CHEAPER), tmp_path, [data_set])] == [2, 5, 2, 5]
    shared = replace(plan(CHANGED, reference_passes=(3,)), settings=("training.seed=1",))
    others = jobs_of(shared, tmp_path, [data_set])
    assert others[2].settings == ("training.seed=1", "network.dropout=0")
    assert not {job.name for job in jobs} & {job.name for job in others}
    with raises(ConfigError, "unknown-key"):
        jobs_of(replace(shared, settings=("training.sead=1",)), tmp_path, [data_set])


def test_recipes_are_compared_at_equal_time(data_set: DataSet, tmp_path: Path) -> None:
    """A time between two schedules of the reference is compared with the mean of their KL."""
    catalog = Catalog.load(data_set.scoring)
    labels = catalog.labels[catalog.rows("train")]
    flat = np.full_like(labels, 1 / labels.shape[1])
    half = (labels + flat) / 2
    jobs = jobs_of(plan(CHANGED, reference_passes=(8,)), tmp_path, [data_set])
    for job in jobs:
        if job.recipe == REFERENCE:
            finish(job, float(job.passes), flat if job.passes == 2 else half)
        elif job.seed == 0:  # the second seed is still missing
            finish(job, 4.0, half)  # half-way between 2 s and 8 s on a logarithmic scale
    found = compare(data_set, jobs)
    rows = {(row.recipe, row.passes): row for row in found.rows}
    slow, quick, changed = rows["fast", 8], rows["fast", 2], rows["changed", 2]
    assert (slow.seeds, quick.seeds, changed.seeds) == (2, 2, 1)
    assert slow.member_difference is None
    at_equal_time = (kl(labels, flat) + kl(labels, half)) / 2
    assert changed.member[0] == pytest.approx(kl(labels, half))
    assert changed.within
    for difference in (changed.member_difference, changed.ensemble_difference):
        assert difference[0] == pytest.approx(kl(labels, half) - at_equal_time)
        assert difference[1] <= difference[0] <= difference[2] < 0
    assert changed.cpu_hours == pytest.approx(4 / 3600)


def test_equal_predictions_have_no_difference_and_the_pool_is_the_mean(
    data_set: DataSet, tmp_path: Path
) -> None:
    catalog = Catalog.load(data_set.scoring)
    labels = catalog.labels[catalog.rows("train")]
    random = np.random.default_rng(0)
    by_seed = random.dirichlet(np.ones(labels.shape[1]), (2, len(labels)))
    jobs = jobs_of(plan(CHANGED), tmp_path, [data_set])
    for job in jobs:
        finish(job, 5.0, by_seed[job.seed])
    changed = compare(data_set, jobs).rows[1]
    assert changed.member_difference == changed.ensemble_difference == (0, 0, 0)
    assert changed.member[0] == pytest.approx(np.mean([kl(labels, one) for one in by_seed]))
    assert changed.ensemble[0] == pytest.approx(kl(labels, by_seed.mean(axis=0)))
    # A time that the reference has no schedule around is marked.
    finish(jobs[1], 50.0, by_seed[0])
    assert not compare(data_set, jobs).rows[1].within


def test_ensembles_are_compared_by_their_cost(data_set: DataSet, tmp_path: Path) -> None:
    """The KL of ensembles of a size is the mean over those without a common member."""
    catalog = Catalog.load(data_set.scoring)
    labels = catalog.labels[catalog.rows("train")]
    random = np.random.default_rng(0)
    by_seed = random.dirichlet(np.ones(labels.shape[1]), (5, len(labels)))
    jobs = jobs_of(replace(plan(), seeds=5), tmp_path, [data_set])
    for job in jobs:
        finish(job, 36.0, by_seed[job.seed])
    found = compare(data_set, jobs, sizes=(5, 2, 1, 6)).costs
    assert [(point.members, point.ensembles) for point in found] == [(1, 5), (2, 2), (5, 1)]
    assert [point.cpu_hours for point in found] == pytest.approx([0.01, 0.02, 0.05])
    pairs = [kl(labels, by_seed[place : place + 2].mean(axis=0)) for place in (0, 2)]
    assert found[0].kl[0] == pytest.approx(np.mean([kl(labels, one) for one in by_seed]))
    assert found[1].kl[0] == pytest.approx(np.mean(pairs))
    assert found[2].kl[0] == pytest.approx(kl(labels, by_seed.mean(axis=0)))
    assert all(point.kl[1] <= point.kl[0] <= point.kl[2] for point in found)
    with raises(UserError, "invalid-members"):
        ensemble_sizes("1,6", 5)


def test_damaged_predictions_are_not_scored(data_set: DataSet, tmp_path: Path) -> None:
    job = jobs_of(plan(), tmp_path, [data_set])[0]
    finish(job, 1.0, np.full((24, 6), 1 / 6))
    job.predictions.write_arrays({"probabilities": np.full((24, 6), 0.5)})
    with pytest.raises(CorruptError):
        compare(data_set, [job])


class GivenClock(Clock):
    """A clock whose times are given: processor and elapsed seconds."""

    times = iter(())

    @classmethod
    def _now(cls) -> tuple[float, float]:
        return next(cls.times)


def test_the_first_pass_is_not_measured() -> None:
    GivenClock.times = iter([(0, 0), (30, 20), (32, 21), (34, 22), (35, 22.5)])
    clock = GivenClock()
    for number in range(3):
        clock.after({"event": "epoch", "epoch": number + 1})
    clock.after({"event": "plan"})
    cpu, elapsed = clock.seconds(3)
    assert math.isclose(cpu, 3 * 2 + 1)
    assert math.isclose(elapsed, 3 * 1 + 0.5)


@pytest.mark.nightly
def test_only_what_is_missing_is_trained(data_set: DataSet, tmp_path: Path) -> None:
    """A training that is removed is trained again, with the same predictions."""
    jobs = jobs_of(plan(), tmp_path, [data_set])
    trained: list[str] = []

    def note(job: TrainingJob, event: object) -> None:
        if job.name not in trained:
            trained.append(job.name)

    assert train_missing(jobs, note) == 2
    assert sorted(trained) == sorted(job.name for job in jobs)
    first = [job.probabilities(job.finished()) for job in jobs]
    assert not np.array_equal(*first)  # the seeds differ
    compared: SetComparison = compare(data_set, jobs)
    assert compared.rows[0].seeds == 2
    assert compared.rows[0].cpu_hours > 0
    trained.clear()
    jobs[1].record.remove()
    assert train_missing(jobs, note) == 1
    assert trained == [jobs[1].name]
    assert np.array_equal(jobs[1].probabilities(jobs[1].finished()), first[1])
    assert train_missing(jobs, note) == 0


PROGRAM = """
import json, sys, time

if json.loads(sys.argv[1])["seed"]:
    sys.exit(3)
time.sleep(600)
"""


def test_a_failed_training_ends_the_others(
    data_set: DataSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two trainings run at once, and the one that does not fail would take ten minutes."""
    (tmp_path / "program.py").write_text(PROGRAM)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(run, "CHILD", "program")
    monkeypatch.setattr(run, "local_trainings", lambda jobs, *_others: (1, jobs))
    began = time.monotonic()
    with raises(ChildError, "worker-process-failed", exit_code=3):
        train_missing(jobs_of(plan(), tmp_path, [data_set]))
    assert time.monotonic() - began < 60
