"""The trials of a study: its journal, pruning by successive halving, and killed drivers."""

import json
from pathlib import Path

import optuna
import pytest

from overlap.catalog import Catalog
from overlap.config import RunConfig
from overlap.errors import CorruptError, DataError
from overlap.features import FeatureStore
from overlap.io.location import Location
from overlap.training.spec import MemberSpec
from overlap.tuning.definition import (
    FOLDS,
    Study,
    StudyRecord,
    define_study,
)
from overlap.tuning.journal import WorkspaceJournal
from overlap.tuning.names import STUDY
from overlap.tuning.outcomes import Trial, best_trial
from overlap.tuning.paths import StudyPaths
from overlap.tuning.pruning import REDUCTION, first_rung
from overlap.tuning.space import parse_space
from overlap.tuning.trials import Trials, importances

SEARCHES = ("training.learning_rate=1e-4:1e-1:log", "network.dropout=0:0.6")
EPOCHS = 9


@pytest.fixture
def study(workspace: Location) -> Study:
    """A study without data: nothing is trained here."""
    config = RunConfig.model_validate(
        {"data": "D", "workspace": str(workspace), "training": {"epochs": EPOCHS}}
    )
    base = MemberSpec(
        seed=0, fold=0, features=config.features, network=config.network, training=config.training,
        validation=config.validation, floor_db=(), mean_db=(), std_db=(), words=(), chunk_clips=1,
        training_key="", reserved=4,
    )  # fmt: skip
    record = StudyRecord(
        id="s", preset="demo", data="D", space=SEARCHES, base=base, first_rung=first_rung(EPOCHS)
    )
    space = parse_space(SEARCHES, config)
    return Study(record, config, space, StudyPaths.of(workspace, "s"))


@pytest.fixture
def stored(computed_workspace: Path) -> tuple[Catalog, FeatureStore]:
    """Catalogue and features of a data set with four groups; not to be changed."""
    location = Location.of(computed_workspace)
    return Catalog.load(location), FeatureStore.open(location)


def kl(trial: Trial, epoch: int) -> float:
    """The lower the dropout, the better; every epoch is better than the one before."""
    return float(trial.values["network.dropout"]) + 1 / epoch


def run_one(trials: Trials, until: int = EPOCHS) -> Trial:
    trial = trials.ask()
    assert trials.begin(trial, f"member-{trial.number}")
    train(trials, trial, until)
    return trial


def train(trials: Trials, trial: Trial, until: int = EPOCHS, start: int = 1) -> None:
    for epoch in range(start, until + 1):
        if trials.report(trial.number, epoch, kl(trial, epoch)):
            trials.prune(trial.number, f"after {epoch}")
            return
    if until == EPOCHS:
        trials.complete(trial.number, kl(trial, EPOCHS))


def with_folds(config: RunConfig, folds: int) -> RunConfig:
    validation = config.validation.model_copy(update={"folds": folds, "holdout": 0.0})
    return config.model_copy(update={"validation": validation})


def test_folds_are_kept_apart(config: RunConfig, stored: tuple[Catalog, FeatureStore]) -> None:
    catalog, _ = stored
    study = define_study(with_folds(config, 3), SEARCHES, *stored)
    rows = study.record.base.partition(catalog)
    parts = [{*part.tolist()} for part in (rows.train, rows.held_out, rows.reserved)]
    assert all(parts)
    assert sum(map(len, parts)) == len(set.union(*parts)) == len(catalog.rows("train"))
    groups = catalog.clips["group"].to_numpy()
    names = [{*groups[[*part]]} for part in parts]
    assert sum(map(len, names)) == len(set.union(*names))


def test_equal_searches_are_one_study(
    config: RunConfig, stored: tuple[Catalog, FeatureStore]
) -> None:
    config = with_folds(config, 3)
    study = define_study(config, SEARCHES, *stored)
    again = define_study(config, tuple(reversed(SEARCHES)), *stored)
    assert again.record == study.record
    other = define_study(config, SEARCHES[:1], *stored)
    more = define_study(with_folds(config, 4), SEARCHES, *stored)
    assert len({study.record.id, other.record.id, more.record.id}) == 3


def test_too_few_groups_are_an_error_before_any_training(
    config: RunConfig, stored: tuple[Catalog, FeatureStore]
) -> None:
    with pytest.raises(DataError) as caught:
        define_study(config, SEARCHES, *stored)
    assert caught.value.code == "too-few-groups"
    assert (caught.value.fields["groups"], caught.value.fields["parts"]) == (4, FOLDS)


def test_the_first_trial_has_the_settings_of_the_preset(study: Study) -> None:
    first = Trials(study).ask()
    assert first.values == {
        "training.learning_rate": study.config.training.learning_rate,
        "network.dropout": study.config.network.dropout,
    }


def test_of_three_trials_one_continues(study: Study) -> None:
    assert (study.record.first_rung, REDUCTION) == (1, 3)
    trials = Trials(study)
    for _ in range(12):
        run_one(trials)
    found = trials.all()
    dropouts = [float(trial.values["network.dropout"]) for trial in found]
    reached = [max(trial.kls) for trial in found]
    assert {*reached} <= {1, 3, 9}
    assert sum(reached) < 12 * EPOCHS / 2
    for number, trial in enumerate(found):
        # At the first comparison a trial continues if it is among the best third so far.
        better = sorted(dropouts[: number + 1])[: max(1, (number + 1) // 3)]
        assert (max(trial.kls) > 1) == (dropouts[number] in better)
        assert (trial.state == "complete") == (max(trial.kls) == EPOCHS)
    best = best_trial(found)
    assert best is not None
    assert best.kl == min(trial.kl for trial in found if trial.kl is not None)


def test_a_driver_that_is_killed_changes_no_trial(study: Study) -> None:
    trials = Trials(study)
    for _ in range(8):
        run_one(trials)
    undisturbed = trials.all()
    study.paths.folder.remove()
    for number in range(8):
        trial = run_one(Trials(study), until=1 + number % 2)
        killed = Trials(study)  # knows what the last driver wrote, and nothing else
        if killed.running():
            (open_one,) = killed.running()
            assert open_one.number == trial.number
            assert open_one.kls == {epoch: kl(trial, epoch) for epoch in range(1, 2 + number % 2)}
            train(killed, open_one, start=max(open_one.kls) + 1)
    assert Trials(study).all() == undisturbed


def test_a_trial_with_all_epochs_is_complete(study: Study) -> None:
    trials = Trials(study)
    for _ in range(4):  # the later, the worse; all are promoted until the last epoch
        trial = trials.ask()
        trials.begin(trial, str(trial.number))
        for epoch in range(1, EPOCHS):
            assert not trials.report(trial.number, epoch, 1.0)
        assert not trials.report(trial.number, EPOCHS, 1.0 + trial.number)
        assert not trials.due(trial.number)


def test_an_epoch_is_counted_once(study: Study) -> None:
    trials = Trials(study)
    trial = trials.ask()
    trials.begin(trial, "m")
    assert not trials.report(trial.number, 1, 0.5)
    assert not trials.report(trial.number, 1, 0.1)
    assert trials.all()[0].kls == {1: 0.5}
    assert not trials.due(trial.number)


def test_a_decision_that_a_kill_interrupted_is_made_again(study: Study) -> None:
    trials = Trials(study)
    for value in (0.1, 0.2):
        trial = trials.ask()
        trials.begin(trial, str(value))
        if value == 0.1:
            trials.report(trial.number, 1, value)
    optuna_trial = optuna.trial.Trial(trials._study, trial.number)
    optuna_trial.report(value, 1)  # killed before `should_prune`
    assert Trials(study).due(trial.number)


def test_an_epoch_without_a_finite_kl_is_pruned(study: Study) -> None:
    trials = Trials(study)
    trial = trials.ask()
    trials.begin(trial, "m")
    assert trials.report(trial.number, 1, None)


def test_equal_settings_are_trained_once(study: Study) -> None:
    trials = Trials(study)
    first = run_one(trials)
    second = trials.ask()
    assert not trials.begin(second, f"member-{first.number}")
    assert [trial.number for trial in trials.all()] == [first.number]


def test_a_trial_that_was_being_asked_for_is_asked_for_again(study: Study) -> None:
    Trials(study).ask()
    lines = study.paths.journal.read_bytes().splitlines(keepends=True)
    cut = next(n for n, line in enumerate(lines) if b"param_name" in line) + 1
    study.paths.journal.write_bytes(b"".join(lines[:cut]))
    trials = Trials(study)
    assert trials.all() == []
    assert trials.ask().values["training.learning_rate"] == study.config.training.learning_rate


def test_a_line_that_was_cut_off_is_removed(study: Study) -> None:
    run_one(Trials(study))
    whole = study.paths.journal.read_bytes()
    study.paths.journal.write_bytes(whole + b'{"op_code":6,"wor')
    assert len(Trials(study).all()) == 1
    assert study.paths.journal.read_bytes() == whole


def test_a_damaged_journal_is_named(study: Study) -> None:
    run_one(Trials(study))
    lines = study.paths.journal.read_bytes().splitlines(keepends=True)
    study.paths.journal.write_bytes(b"".join([lines[0], b"\0\0\n", *lines[1:]]))
    with pytest.raises(CorruptError) as caught:
        Trials(study)
    assert (caught.value.code, caught.value.fields["line"]) == ("corrupt-journal", 2)


def test_optuna_reads_the_journal(study: Study) -> None:
    run_one(Trials(study))
    backend = optuna.storages.journal.JournalFileBackend(str(study.paths.journal.local))
    found = optuna.load_study(study_name=STUDY, storage=optuna.storages.JournalStorage(backend))
    assert [trial.state.name for trial in found.trials] == ["COMPLETE"]


def test_a_journal_on_an_object_store_is_replaced_as_a_whole() -> None:
    location = Location.of("memory://tuning/journal.log")
    journal = WorkspaceJournal(location)
    journal.append_logs([{"a": 1}])
    journal.append_logs([{"b": 2}, {"c": 3}])
    assert [json.loads(line) for line in location.read_bytes().splitlines()] == [
        {"a": 1}, {"b": 2}, {"c": 3},
    ]  # fmt: skip
    assert [*WorkspaceJournal(location).read_logs(1)] == [{"b": 2}, {"c": 3}]


def test_the_importance_names_the_setting_that_matters(study: Study) -> None:
    trials = Trials(study)
    for _ in range(20):
        run_one(trials)
    found = importances(trials.all(), study.space, study.record.first_rung)
    assert next(iter(found)) == "network.dropout"
    assert sum(found.values()) == pytest.approx(1)
    assert importances(trials.all()[:3], study.space, 1) == {}
