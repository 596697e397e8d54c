"""The trials of a study in its journal: asked for, reported epoch by epoch, pruned and told.

Only the driver calls this; workers only train. Every change is in the journal before its effect:
a driver that was killed finds the trials that ran then, and continues them from the checkpoints of
their members. The sampler's seed depends on the number of trials alone, so that trials that run
one at a time do not depend on kills.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.samplers import TPESampler
from optuna.storages import JournalStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from overlap.tuning.definition import Study
from overlap.tuning.journal import WorkspaceJournal
from overlap.tuning.names import MEMBER, REASON, REPEATS, STUDY
from overlap.tuning.outcomes import State, Trial
from overlap.tuning.pruning import successive_halving
from overlap.tuning.space import Dimension, values_of

STATES: Final[Mapping[TrialState, State]] = {
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
    TrialState.RUNNING: "running",
}


class Trials:
    """The trials of a study.

    Args:
        study: The study.

    Raises:
        CorruptError: The journal is damaged.
    """

    def __init__(self, study: Study) -> None:
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._distributions = {one.key: distribution(one) for one in study.space}
        self._seed, self._epochs = study.record.base.seed, study.record.epochs
        storage = JournalStorage(WorkspaceJournal(study.paths.journal))
        if not storage.get_all_studies():
            storage.create_new_study([StudyDirection.MINIMIZE], STUDY)
        self._study = optuna.load_study(
            study_name=STUDY,
            storage=storage,
            pruner=successive_halving(study.record.first_rung),
        )
        if not self._study.get_trials(deepcopy=False):
            first = values_of(study.config, study.space)
            if first is not None:
                self._study.enqueue_trial(dict(first))
        self._end_unstarted()

    def all(self) -> list[Trial]:
        """Return the trials in the order of their numbers, without repetitions of earlier ones."""
        return [
            _as_trial(found)
            for found in self._study.get_trials(deepcopy=False)
            if REPEATS not in found.user_attrs and self._is_known(found)
        ]

    def running(self) -> list[Trial]:
        """Return the trials that have not ended."""
        return [trial for trial in self.all() if trial.state == "running"]

    def ask(self) -> Trial:
        """Return a new trial; the first has the settings that the study begins with, if it can."""
        known = len(self._study.get_trials(deepcopy=False))
        self._study.sampler = TPESampler(seed=self._seed + known, constant_liar=True)
        return _as_trial(self._found(self._study.ask(self._distributions).number))

    def begin(self, trial: Trial, member: str) -> bool:
        """Set the member of a trial; return False if an earlier trial has the same member.

        Such a trial trains nothing. It receives the outcome of the earlier one.
        """
        earlier = next((one for one in self.all() if one.member == member), None)
        if earlier is not None and earlier.number != trial.number:
            self._attribute(trial.number, REPEATS, earlier.number)
            if earlier.kl is not None:
                self._study.tell(trial.number, earlier.kl)
            else:
                self._study.tell(trial.number, state=TrialState.FAIL)
            return False
        self._attribute(trial.number, MEMBER, member)
        return True

    def report(self, number: int, epoch: int, kl: float | None) -> bool:
        """Report an epoch; return whether the trial is to be pruned.

        Epochs arrive in order. One that is known already changes nothing. After its last epoch a
        trial is complete, whatever its KL.

        Args:
            number: Number of the trial.
            epoch: Number of the epoch, from 1.
            kl: Held-out KL after it, nats; None if it is not finite.
        """
        trial = self._open(number)
        if trial is None or epoch <= (self._found(number).last_step or 0):
            return False
        trial.report(math.nan if kl is None else kl, epoch)
        return epoch < self._epochs and trial.should_prune()

    def due(self, number: int) -> bool:
        """Return whether a trial is to be pruned after its last reported epoch.

        A driver may have been killed between the report and the decision.
        """
        trial = self._open(number)
        if trial is None or (self._found(number).last_step or 0) >= self._epochs:
            return False
        return trial.should_prune()

    def prune(self, number: int, reason: str) -> None:
        """End a trial before its last epoch."""
        self._attribute(number, REASON, reason)
        self._study.tell(number, state=TrialState.PRUNED)

    def complete(self, number: int, kl: float) -> None:
        """End a trial with the held-out KL of its member, nats."""
        self._study.tell(number, kl)

    def fail(self, number: int, reason: str) -> None:
        """End a trial that could not be trained."""
        self._attribute(number, REASON, reason)
        self._study.tell(number, state=TrialState.FAIL)

    def _open(self, number: int) -> optuna.trial.Trial | None:
        """Return a trial of any driver for reports; None if it has ended."""
        found = self._found(number)
        if found.state is not TrialState.RUNNING:
            return None
        return optuna.trial.Trial(self._study, found._trial_id)

    def _found(self, number: int) -> FrozenTrial:
        return self._study.get_trials(deepcopy=False)[number]

    def _attribute(self, number: int, name: str, value: object) -> None:
        trial_id = self._found(number)._trial_id
        optuna.trial.Trial(self._study, trial_id).set_user_attr(name, value)

    def _is_known(self, found: FrozenTrial) -> bool:
        """Return whether a trial has all its values; a driver may have been killed before."""
        return found.params.keys() == self._distributions.keys() and found.state in STATES

    def _end_unstarted(self) -> None:
        """End the trials that a killed driver had begun to ask for; the values are asked again."""
        for found in self._study.get_trials(deepcopy=False):
            if found.state is TrialState.RUNNING and not self._is_known(found):
                self._study.tell(found.number, state=TrialState.FAIL)
                if given := found.system_attrs.get("fixed_params"):
                    self._study.enqueue_trial(given)


def distribution(dimension: Dimension) -> BaseDistribution:
    """Return the distribution that Optuna samples a dimension from."""
    if dimension.choices:
        return CategoricalDistribution(dimension.choices)
    if dimension.whole:
        return IntDistribution(int(dimension.low), int(dimension.high), log=dimension.log)
    return FloatDistribution(dimension.low, dimension.high, log=dimension.log)


def importances(
    trials: Sequence[Trial], space: Sequence[Dimension], epoch: int
) -> dict[str, float]:
    """Return how much each setting matters for the held-out KL after an epoch; they sum to 1.

    PED-ANOVA compares the settings of the better trials with those of all. It uses the KL after an
    epoch that all trials have reached: later epochs exist only for trials that were not pruned.

    Args:
        trials: The trials.
        space: The dimensions.
        epoch: The epoch.

    Returns:
        The importance by setting, largest first; empty with fewer than four trials.
    """
    reached = [(trial, trial.kls[epoch]) for trial in trials if epoch in trial.kls]
    known = [(trial, kl) for trial, kl in reached if math.isfinite(kl)]
    if len(known) < 4 or len({kl for _, kl in known}) < 2:
        return {}
    distributions = {one.key: distribution(one) for one in space}
    study = optuna.create_study()
    for trial, kl in known:
        study.add_trial(
            optuna.trial.create_trial(
                params=dict(trial.values), distributions=distributions, value=kl
            )
        )
    # The better quarter, but at least two trials.
    evaluator = optuna.importance.PedAnovaImportanceEvaluator(
        target_quantile=max(0.25, 2 / len(known))
    )
    found: dict[str, Any] = optuna.importance.get_param_importances(study, evaluator=evaluator)
    return {key: float(value) for key, value in found.items()}


def _as_trial(found: FrozenTrial) -> Trial:
    return Trial(
        number=found.number,
        state=STATES[found.state],
        values=dict(found.params),
        member=str(found.user_attrs.get(MEMBER, "")),
        kls=dict(found.intermediate_values),
        kl=found.value if found.state is TrialState.COMPLETE else None,
        reason=str(found.user_attrs.get(REASON, "")),
    )
