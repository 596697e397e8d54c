"""Students: their targets, their specification, what they hold out, and their judgement."""

import shutil
from pathlib import Path

import keras
import numpy as np
import pytest

from flows.cli.commands.distill import LABEL_WEIGHT as OPTION
from overlap.catalog import Catalog
from overlap.config import RunConfig
from overlap.ensemble.publish import publish
from overlap.ensemble.registry import EnsembleRecord, folder_of, read_predictions
from overlap.ensemble.student import (
    LABEL_WEIGHT,
    plan_student,
    student_config,
    student_state,
)
from overlap.errors import ConfigError, MemberError, NotReadyError
from overlap.features import FeatureStore
from overlap.io.location import Location
from overlap.io.workspace_paths import MODEL_FILE, MemberPaths
from overlap.metrics.divergence import kl_per_clip
from overlap.promotion.champion import champion, promote, read_aliases
from overlap.promotion.student import judge_student
from overlap.training.distillation.teacher import Teacher, open_teacher
from overlap.training.engine.epochs import predict
from overlap.training.fit import train
from overlap.training.learner import Learner, build_learner
from overlap.training.network import build_network
from overlap.training.saved import save_network
from overlap.training.spec import MemberSpec, load_record, plan_members
from support.comparison_data import catalog_of, exposure_of, perturbed, publish_with_exposure
from support.errors import raises
from support.learners import CONSTANTS, SHAPE, SMALL, WORDS, StoppedError, arrays, data_of
from support.run_steps import computed, publish_record
from support.untrained_members import complete, published, with_ensemble

Ready = tuple[Catalog, FeatureStore]


def network_of(seed: int, subset: int | None = None) -> keras.Model:
    keras.utils.set_random_seed(seed)
    return build_network(SMALL, SHAPE, WORDS, CONSTANTS, subset).model


def student_of(teacher: Teacher, subset: int | None = None, **training: object) -> Learner:
    data = data_of(**training)
    keras.utils.set_random_seed(3)
    network = build_network(SMALL, SHAPE, WORDS, CONSTANTS, subset)
    return build_learner(
        network, data.training, CONSTANTS,
        subset=subset, steps=data.steps, seed=9, teacher=teacher,
    )  # fmt: skip


# --- targets ---------------------------------------------------------------------------------


@pytest.mark.parametrize("weight", [0.0, 0.25, 1.0])
def test_targets_are_the_mean_prediction_mixed_with_the_labels(weight: float) -> None:
    decibels, labels = arrays()
    networks = [network_of(1), network_of(2)]
    shares = [np.asarray(one.predict(decibels, verbose=0), np.float64) for one in networks]
    targets = np.asarray(
        Teacher(networks, weight)(decibels.astype(np.float32), labels.astype(np.float32))
    )
    expected = weight * labels + (1 - weight) * (shares[0] + shares[1]) / 2
    assert np.abs(targets - expected).max() < 1e-5
    assert np.abs(targets.sum(axis=1) - 1).max() < 1e-5


def test_targets_of_sets_are_shares_of_sets() -> None:
    """A share above 1/k belongs to no distribution over sets: the loss would have no minimum."""
    decibels, labels = arrays()
    networks = [network_of(seed, subset=2) for seed in (1, 2, 3)]
    targets = np.asarray(
        Teacher(networks, 0.3)(decibels.astype(np.float32), labels.astype(np.float32))
    )
    assert targets.max() <= 0.5 + 1e-6


def test_the_teacher_hears_the_clip_as_the_student_does() -> None:
    """With the augmentation's own decibels the student that equals its teacher has loss 0."""
    decibels, labels = arrays()
    alone = network_of(3)
    learner = student_of(Teacher([alone], 0.0), augment={"shift_frames": 4, "mix": 1.0})
    learner.network.set_weights(alone.get_weights())
    inputs = {"decibels": decibels, "labels": labels.astype(np.float32)}
    # Dropout and batch statistics are off; the augmentation is not.
    losses = np.asarray(learner.model(inputs, training=False))
    assert np.abs(losses).max() < 1e-5
    assert np.asarray(student_of(Teacher([alone], 1.0)).model(inputs, training=False)).min() > 0.01


@pytest.mark.extended
def test_a_student_learns_from_its_teacher_which_stays_as_it_is(tmp_path: Path) -> None:
    networks = [network_of(1), network_of(2)]
    before = [one.get_weights() for one in networks]
    learner = student_of(Teacher(networks, 0.0), epochs=25, learning_rate=0.01)
    data = data_of(epochs=25, learning_rate=0.01)
    progress = train(learner, data, Location.of(tmp_path), lambda _event: None)
    assert progress.history[-1]["loss"] < 0.3 * progress.history[0]["loss"]
    for one, weights in zip(networks, before, strict=True):
        assert all(map(np.array_equal, one.get_weights(), weights))


@pytest.mark.extended
def test_a_stopped_student_resumes_without_its_teacher_in_the_checkpoint(tmp_path: Path) -> None:
    networks = [network_of(1), network_of(2)]
    recipe = {"augment": {"mix": 0.5}, "epochs": 4}

    def trained(folder: Path, stop: int = 0) -> np.ndarray:
        def emit(event: dict) -> None:
            if event["epoch"] == stop:
                raise StoppedError

        learner, data = student_of(Teacher(networks, 0.2), **recipe), data_of(**recipe)
        train(learner, data, Location.of(folder), emit)
        return predict(learner.network, data.source, data.partition.held_out)

    whole = trained(tmp_path / "whole")
    with pytest.raises(StoppedError):
        trained(tmp_path / "stopped", stop=2)
    saved = MemberPaths(Location.of(tmp_path / "stopped")).checkpoint.read_arrays()
    learner = student_of(Teacher(networks, 0.2), **recipe)
    assert len([name for name in saved if name[0] == "v"]) == len(learner.state)
    teachers = {id(variable) for one in networks for variable in one.variables}
    assert not teachers & {id(variable) for variable in learner.state}
    assert np.array_equal(trained(tmp_path / "stopped"), whole)


# --- the specification -----------------------------------------------------------------------


@pytest.fixture
def ensemble(config: RunConfig, ready: Ready) -> EnsembleRecord:
    """A published ensemble of two members with networks that were not trained."""
    complete(config, ready, (1, 2))
    for seed, spec in enumerate(plan_members(config, *ready)):
        folder = spec.folder(Location.of(config.workspace))
        shape = ready[1].config.shape
        keras.utils.set_random_seed(seed)
        built = build_network(spec.network, shape, len(spec.words), spec.constants, spec.subset)
        save_network(built.model, folder)
        record = load_record(folder)
        assert record is not None
        files = record.files | {MODEL_FILE: str((folder / MODEL_FILE).digest())}
        MemberPaths(folder).record.write_record(record.model_copy(update={"files": files}))
    return published(config, ready)


def planned(
    config: RunConfig, ready: Ready, ensemble: EnsembleRecord, weight: float = 0.2, **given: object
) -> tuple[RunConfig, MemberSpec]:
    place = Location.of(config.workspace)
    chosen = student_config(place, ensemble, config.data, given)
    return chosen, plan_student(place, chosen, ensemble, *ready, weight)


def test_a_student_has_the_settings_of_its_ensemble(
    config: RunConfig, ready: Ready, ensemble: EnsembleRecord
) -> None:
    chosen, spec = planned(config, ready, ensemble)
    member = plan_members(config, *ready)[0]
    assert spec.network == member.network
    assert spec.validation == member.validation
    assert spec.training == member.training.model_copy(update={"seed": 2})
    assert chosen.ensemble.members == 1
    given = {"training": {"epochs": 9, "augment": {"mix": 0.1}}, "network": {"width": 0.5}}
    chosen, spec = planned(config, ready, ensemble, **given)
    assert (spec.training.epochs, spec.training.augment.mix, spec.network.width) == (9, 0.1, 0.5)
    assert OPTION == LABEL_WEIGHT


def test_weight_teachers_and_networks_name_a_student(
    config: RunConfig, ready: Ready, ensemble: EnsembleRecord
) -> None:
    _, spec = planned(config, ready, ensemble)
    lesson = spec.distillation
    assert lesson is not None
    assert lesson.members == ensemble.members
    assert lesson.start == ensemble.members[0]
    changes = (
        {"label_weight": 0.3}, {"members": lesson.members[:1]}, {"networks": ("0", "1")},
        {"start": None},
    )  # fmt: skip
    others = [
        spec.model_copy(update={"distillation": lesson.model_copy(update=one)}) for one in changes
    ] + [spec.model_copy(update={"distillation": None})]
    assert len({one.fingerprint for one in (spec, *others)}) == 6
    # Another version of the same members has the same student.
    again = ensemble.model_copy(update={"version": "20300101-000000-00000000"})
    assert planned(config, ready, again)[1].fingerprint == spec.fingerprint


def test_the_specification_is_stored_whole(
    config: RunConfig, ready: Ready, ensemble: EnsembleRecord, tmp_path: Path
) -> None:
    _, spec = planned(config, ready, ensemble)
    file = Location.of(tmp_path / "spec.json")
    file.write_record(spec)
    assert file.read_record(MemberSpec) == spec
    assert file.read_record(MemberSpec).fingerprint == spec.fingerprint


def test_a_student_holds_out_what_every_member_held_out(
    config: RunConfig, ready: Ready, ensemble: EnsembleRecord
) -> None:
    catalog, _ = ready
    rows = planned(config, ready, ensemble)[1].partition(catalog)
    saved = read_predictions(Location.of(config.workspace), ensemble)
    assert rows.held_out.tolist() == saved["held_out_rows"].tolist()
    assert len(rows.held_out) > 0
    assert not np.intersect1d(rows.train, rows.held_out).size
    groups = catalog.clips["group"].to_numpy(np.str_)
    assert not np.intersect1d(groups[rows.train], groups[rows.held_out]).size


def test_other_training_clips_are_refused(
    config: RunConfig, ready: Ready, ensemble: EnsembleRecord, tmp_path: Path
) -> None:
    """Otherwise the student could hold out a clip that its teacher has learned."""
    fewer = tmp_path / "data"
    shutil.copytree(config.data, fewer)
    labels = (fewer / "train_answer.csv").read_text().splitlines()
    (fewer / "train" / f"{labels[-1].split(',')[0]}.wav").unlink()
    (fewer / "train_answer.csv").write_text("\n".join(labels[:-1]) + "\n")
    changed = config.model_copy(update={"data": str(fewer)})
    with raises(NotReadyError, "teacher-of-other-clips", version=ensemble.version):
        planned(changed, computed(changed), ensemble)
    other = config.validation.model_copy(update={"seed": 5})
    with raises(NotReadyError, "teacher-of-other-clips", version=ensemble.version):
        plan_student(
            Location.of(config.workspace),
            with_ensemble(config, other.model_dump(), members=1), ensemble, *ready,
        )  # fmt: skip


def test_settings_that_must_be_the_ensembles_are_refused(config: RunConfig) -> None:
    place = Location.of(config.workspace)
    record = publish_like(config)
    given = {"validation": {"holdout": 0.3}, "features": {}, "training": {}}
    with raises(ConfigError, "setting-of-the-ensemble", sections=["features", "validation"]):
        student_config(place, record, config.data, given)
    folded = with_ensemble(config, {"folds": 2, "holdout": 0}, members=2)
    with raises(ConfigError, "folds-not-distilled", version="v"):
        student_config(place, publish_like(folded), config.data, {})
    with raises(ConfigError, "invalid-value"):
        student_config(place, record, config.data, {"training": {"epochs": 0}})


def publish_like(config: RunConfig) -> EnsembleRecord:
    """A record with a configuration, which stands nowhere."""
    return EnsembleRecord(
        version="v", fingerprint="f", created="2026-01-01T00:00:00Z", members=(), pooled=(),
        pool="mean", words=("a",), data="D", clips={}, kl=None, trivial_kl=None, member_kl=(),
        curve=(), held_out_key=None, test_key="t", files={}, imputed=(),
        config=config.model_dump(mode="json"), software={}, git_revision=None,
    )  # fmt: skip


def test_the_teacher_is_that_of_the_plan(
    config: RunConfig, ready: Ready, ensemble: EnsembleRecord
) -> None:
    place = Location.of(config.workspace)
    _, spec = planned(config, ready, ensemble)
    teacher = open_teacher(spec, spec.folder(place))
    assert teacher is not None
    assert (len(teacher.networks), teacher.label_weight) == (2, 0.2)
    assert not teacher.trainable_variables
    student = keras.models.clone_model(teacher.networks[0])
    teacher.prepare(student)
    assert all(map(np.array_equal, student.get_weights(), teacher.networks[0].get_weights()))
    # Another network cannot begin with the weights of a member.
    _, wider = planned(config, ready, ensemble, network={"width": 2.0})
    assert wider.distillation is not None
    assert wider.distillation.start is None
    assert open_teacher(plan_members(config, *ready)[0], spec.folder(place)) is None
    first = ensemble.members[0]
    folder = spec.folder(place).parent / first
    record = load_record(folder)
    assert record is not None
    again = record.model_copy(update={"files": record.files | {MODEL_FILE: 64 * "0"}})
    MemberPaths(folder).record.write_record(again)
    with raises(MemberError, "teacher-changed", teacher=first):
        open_teacher(spec, spec.folder(place))
    MemberPaths(folder).record.remove()
    with raises(MemberError, "teacher-changed", teacher=first):
        open_teacher(spec, spec.folder(place))


# --- publication and judgement ---------------------------------------------------------------


def test_the_record_names_the_ensemble(
    config: RunConfig, ready: Ready, ensemble: EnsembleRecord
) -> None:
    place = Location.of(config.workspace)
    alone = with_ensemble(config, members=1)
    record = publish(
        place, alone, ready[0],
        student_state(place, plan_members(alone, *ready)[0], ready[0]),
        distilled_from=ensemble.version,
    )  # fmt: skip
    stored = (folder_of(place, record) / "ensemble.json").read_record(EnsembleRecord)
    assert stored == record
    assert stored.distilled_from == ensemble.version
    assert ensemble.distilled_from is None


def test_the_judgement_is_paired_recorded_once_and_promotes_nothing(workspace: Location) -> None:
    catalog = catalog_of(range(30), [f"g{i % 6}" for i in range(30)])
    catalog.save(workspace)
    exposure = exposure_of(catalog, [0] * 12 + [-1] * 18)
    labels = catalog.labels[:12]
    held = {"v1": perturbed(labels, 0.3), "v2": perturbed(labels, 0.1)}
    one, other = (
        publish_with_exposure(workspace, version, catalog, exposure, values)
        for version, values in held.items()
    )
    other = other.model_copy(update={"distilled_from": "v1"})
    publish_record(workspace, other)
    promote(workspace, "v1")
    judged = judge_student(workspace, one, other, 0.9)
    gains = kl_per_clip(labels, held["v1"]) - kl_per_clip(labels, held["v2"])
    assert judged.duel is not None
    assert judged.duel.gain == pytest.approx(gains.mean())
    assert (judged.duel.clips, judged.duel.groups, judged.duel.confidence) == (12, 6, 0.9)
    assert judged.duel.low > 0  # better, and still not promoted
    assert (judged.promoted, champion(workspace)) == (False, "v1")
    assert "`overlap models promote v2`" in judged.reason
    again = judge_student(workspace, one, other, 0.9)
    assert again == judged
    assert [d.version for d in read_aliases(workspace).history] == ["v1", "v2"]
